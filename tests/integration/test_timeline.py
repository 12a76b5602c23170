"""``--trace FILE``: a timeline of the command and of the init, in the Trace Event Format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def spans(path: Path) -> list[dict[str, Any]]:
    return [event for event in json.loads(path.read_text())["traceEvents"] if event["ph"] == "X"]


def tracks(path: Path) -> dict[str, int]:
    events = json.loads(path.read_text())["traceEvents"]
    return {event["args"]["name"]: event["tid"] for event in events if event["ph"] == "M"}


def test_a_run_is_a_timeline_of_what_the_command_and_the_init_did(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.set_program("exit", "0")
    bundle.save()
    file = tmp_path / "trace.json"
    runtime("--trace", str(file), "run", "-b", str(bundle.path), runtime.new_id()).check()
    found = spans(file)
    names = [span["name"] for span in found]
    assert {"begin the command (CPU time)", "wait for ocirt-init", "ocirt run"} <= set(names)
    (whole,) = (span for span in found if span["name"] == "ocirt run")
    by_init = [span for span in found if span["tid"] == tracks(file)["ocirt-init"]]
    assert len(by_init) > 10
    for span in by_init:
        assert whole["ts"] <= span["ts"] <= whole["ts"] + whole["dur"]
    assert "/mounts/0" in [span["args"].get("origin") for span in by_init]


def test_the_end_of_a_command_that_fails_is_traced_as_well(runtime: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    assert runtime("--trace", str(file), "state", "no-such").status == 1
    assert [span["name"] for span in spans(file)] == ["begin the command (CPU time)", "ocirt state"]


def test_the_operations_up_to_one_that_fails_are_traced(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.add_mount("/data", None, "/nowhere", "bind")
    bundle.save()
    file = tmp_path / "trace.json"
    runtime("--trace", str(file), "create", "-b", str(bundle.path), runtime.new_id()).fails("/nowhere")
    by_init = [span for span in spans(file) if span["tid"] == tracks(file)["ocirt-init"]]
    assert by_init[-1]["args"]["origin"] == "/mounts/3"


def test_the_operations_of_an_exec_that_fails_are_traced(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    container = runtime.start_paused_program(bundle)
    file = tmp_path / "trace.json"
    assert runtime("--trace", str(file), "exec", container.id, "/no-such").status == 255
    by_init = [span["name"] for span in spans(file) if span["tid"] == tracks(file)["ocirt-init"]]
    assert by_init[-1] == "look up program /no-such"


def test_start_waits_for_the_init(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    container = runtime.create(bundle, "exit", "0")
    file = tmp_path / "trace.json"
    runtime("--trace", str(file), "start", container.id).check()
    names = [span["name"] for span in spans(file)]
    assert sorted(names) == ["begin the command (CPU time)", "ocirt start", "wait for ocirt-init"]


def test_the_trace_names_the_trace_that_it_is_a_part_of(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    monkeypatch.setenv("TRACEPARENT", parent)
    file = tmp_path / "trace.json"
    runtime("--trace", str(file), "features").check()
    assert json.loads(file.read_text())["otherData"] == {"traceparent": parent}


def test_a_trace_that_cannot_be_written_is_a_warning(runtime: Runtime, tmp_path: Path) -> None:
    result = runtime("--trace", str(tmp_path / "no" / "such"), "features")
    assert result.status == 0
    assert f"cannot write the trace: {tmp_path}/no/such: no such file or directory" in result.err
