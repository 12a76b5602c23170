"""What the command tells about what it does: ``plan``, ``--debug``, and the log file."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

#: How a step of --debug ends: the time it took.
TIMED = re.compile(r": \d+ us\b")


def log_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def plan_of(runtime: Runtime, bundle: Bundle) -> list[dict[str, str]]:
    bundle.save()
    steps: list[dict[str, str]] = json.loads(runtime("plan", "--bundle", str(bundle.path), "--json").check().out)
    return steps


def test_a_plan_has_a_line_for_each_step_with_its_number(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = "box"
    bundle.save()
    lines = runtime("plan", "--bundle", str(bundle.path)).check().out.splitlines()
    assert [int(line.split()[0]) for line in lines] == list(range(len(lines)))
    assert {line.split()[1] for line in lines} == {"host", "init"}
    (hostname,) = [line for line in lines if "set hostname box" in line]
    assert hostname.endswith(" /hostname")
    assert "/process/args" in lines[-1]


def test_a_plan_as_json_says_the_same(runtime: Runtime, bundle: Bundle) -> None:
    steps = plan_of(runtime, bundle)
    lines = runtime("plan", "--bundle", str(bundle.path)).check().out.splitlines()
    assert [
        f"{number} {step['where']} {step['step']} {step['origin']}".split() for number, step in enumerate(steps)
    ] == [line.split() for line in lines]


def test_a_plan_does_nothing(runtime: Runtime, bundle: Bundle) -> None:
    before = sorted(path.name for path in bundle.rootfs.iterdir())
    plan_of(runtime, bundle)
    assert sorted(path.name for path in bundle.rootfs.iterdir()) == before
    assert not runtime.root.exists()


def test_the_plan_of_a_bad_bundle_is_its_error(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = 7
    bundle.save()
    result = runtime("plan", "--bundle", str(bundle.path)).fails("config.json#/hostname")
    assert result.out == ""


def test_a_failure_names_a_step_of_the_plan(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/data", None, "/nowhere", "bind")
    (step,) = [step for step in plan_of(runtime, bundle) if step["origin"] == "/mounts/3"]
    runtime.run(bundle).fails(f"cannot {step['step']}: no such file or directory (config.json#/mounts/3)")


@pytest.mark.parametrize("flags", [(), ("--log-format", "json")])
def test_debug_tells_every_step_of_the_init_and_the_time_it_took(
    runtime: Runtime, bundle: Bundle, flags: tuple[str, ...]
) -> None:
    bundle.config["hostname"] = "box"
    steps = [step["step"] for step in plan_of(runtime, bundle) if step["where"] == "init"]
    runtime.global_words = ["--debug", *flags]
    result = runtime.run(bundle, "exit", "0")
    assert result.status == 0
    lines = [line.replace('\\"', '"') for line in result.err.splitlines()]
    timed = [line for line in lines if "set hostname box" in line]
    assert len(timed) == 1
    assert TIMED.search(timed[0])
    # A plan calls the container ID.
    named = [re.sub(r"\bID$", f"{runtime.token}-1", step) for step in steps]
    assert [step for step in named if not any(step in line for line in lines)] == []


def milestones(texts: list[str]) -> list[str]:
    """Those of *texts* that users of runc look for, without process ids."""
    wanted = r"(nsexec\[\d+\]: .*|child process in init\(\)|(init|setns_init): .*)"
    return [re.sub(r"\[\d+\]", "[PID]", text) for text in texts if re.fullmatch(wanted, text)]


def affinity() -> str:
    return f"nsexec[PID]: affinity: {sum(1 << cpu for cpu in os.sched_getaffinity(0) if cpu < 64):#x}"


@pytest.mark.parametrize("format", ["text", "json"])
def test_debug_has_the_lines_that_users_of_runc_look_for(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, format: str
) -> None:
    def told(*words: str) -> list[str]:
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        runtime.global_words = ["--debug", "--log", str(log), "--log-format", format]
        runtime(*words).check()
        if format == "json":
            return milestones([line["msg"] for line in log_lines(log) if line["level"] == "debug"])
        lines = re.findall(r'^time="[^"]+" level=debug msg="(.*)"$', log.read_text(), re.MULTILINE)
        return milestones(lines)

    begin = ["nsexec[PID]: => nsexec container setup", "child process in init()"]
    end = "init: closing the pipe to signal completion"
    bundle.process["args"] = ["/init", "exit", "0"]
    bundle.save()
    assert told("run", "-b", str(bundle.path), runtime.new_id()) == [*begin, affinity(), end]
    bundle.process["args"] = ["/init", "pause"]
    bundle.save()
    id = runtime.new_id()
    assert told("create", "-b", str(bundle.path), id) == [*begin, affinity(), end]
    runtime("start", id).check()
    assert told("exec", id, "/init", "exit", "0") == [*begin, affinity(), "setns_init: about to exec"]
    runtime("delete", "--force", id).check()


def test_a_log_of_json_has_an_object_for_each_line(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    log = tmp_path / "log"
    bundle.process["args"] = ["/nothing"]
    runtime.global_words = ["--log", str(log), "--log-format", "json"]
    result = runtime.run(bundle)
    assert result.status == 1
    (line,) = log_lines(log)
    assert set(line) == {"level", "msg", "time"}
    assert line["level"] == "error"
    assert 'exec: "/nothing": stat /nothing: no such file or directory' in line["msg"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", line["time"])
    assert line["msg"] in result.err


def test_a_log_is_appended_to(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    log = tmp_path / "log"
    runtime.global_words = ["--log", str(log), "--log-format", "json"]
    runtime("start", "nobody")
    runtime("kill", "nobody")
    first, second = log_lines(log)
    assert "container does not exist" in first["msg"]
    assert "container does not exist" in second["msg"]


def test_a_log_without_a_format_is_text(runtime: Runtime, tmp_path: Path) -> None:
    log = tmp_path / "log"
    runtime.global_words = ["--log", str(log)]
    runtime("start", "nobody")
    (line,) = log.read_text().splitlines()
    assert re.match(r'time="[^"]+" level=error msg="', line)


def test_nothing_is_logged_when_all_goes_well(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    log = tmp_path / "log"
    runtime.global_words = ["--log", str(log), "--log-format", "json"]
    runtime.run(bundle, "exit", "0").check()
    assert not log.exists() or log.read_text() == ""
