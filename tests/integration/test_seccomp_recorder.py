"""Record mode: the profile that a run needs, which then is enough for it and for nothing else."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime

from ocirt import Container, Options, SeccompRecorder

pytestmark = pytest.mark.needs_root


def record(runtime: Runtime, bundle: Bundle, tmp_path: Path, *program: str) -> Any:
    path = tmp_path / "seccomp.json"
    result = runtime.run(bundle, *program, flags=["--record-seccomp", str(path)])
    assert result.status == 0, result
    return json.loads(path.read_text())


def names(profile: Any) -> set[str]:
    (rule,) = profile["syscalls"]
    assert rule["action"] == "SCMP_ACT_ALLOW"
    return set(rule["names"])


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_the_profile_is_enough_for_the_same_run(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, no_new_privileges: bool
) -> None:
    bundle.process["noNewPrivileges"] = no_new_privileges
    program = ["mkdir", "/made", ";", "id", ";", "stat", "/init", ";", "exit", "0"]
    profile = record(runtime, bundle, tmp_path, *program)
    assert {"mkdir", "execve", "write"} <= names(profile)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    (bundle.rootfs / "made").rmdir()
    bundle.linux["seccomp"] = profile
    result = runtime.run(bundle, *program).check()
    assert (bundle.rootfs / "made").is_dir()
    assert result.values[0] == {"result": 0, "errno": 0}


def test_what_was_not_called_is_refused(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    profile = record(runtime, bundle, tmp_path, "id")
    assert "mkdir" not in names(profile)
    bundle.linux["seccomp"] = profile
    (value,) = runtime.run(bundle, "mkdir", "/made").check().values
    assert value["errno"] == errno.EPERM
    assert not (bundle.rootfs / "made").exists()


def test_the_calls_of_all_processes_are_noted(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.set_program("spawn", "2", ";", "wait-children")
    profile = record(runtime, bundle, tmp_path, "set-hostname", "x", ";", "unshare", "0")
    assert {"sethostname", "unshare"} <= names(profile)


def test_a_hook_in_the_container_belongs_to_the_run(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.config["hooks"] = {"startContainer": [{"path": "/init", "args": ["init", "mkdir", "/hooked"]}]}
    profile = record(runtime, bundle, tmp_path, "exit", "0")
    (bundle.rootfs / "hooked").rmdir()
    bundle.linux["seccomp"] = profile
    runtime.run(bundle, "exit", "0").check()
    assert (bundle.rootfs / "hooked").is_dir()


def test_the_profile_of_the_configuration_is_not_in_force_meanwhile(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    rules = [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}]
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    path = tmp_path / "seccomp.json"
    result = runtime.run(bundle, "mkdir", "/made", flags=["--record-seccomp", str(path)])
    assert result.values == [{"result": 0, "errno": 0}]
    assert "not in force while a profile is recorded" in result.err
    assert "mkdir" in names(json.loads(path.read_text()))


def test_the_exit_status_is_that_of_the_program(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    result = runtime.run(bundle, "exit", "7", flags=["--record-seccomp", str(tmp_path / "x")])
    assert result.status == 7
    assert "exit_group" in names(json.loads((tmp_path / "x").read_text()))


def test_a_container_that_cannot_be_made_is_the_usual_error(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.process["args"] = ["/nowhere"]
    result = runtime.run(bundle, flags=["--record-seccomp", str(tmp_path / "x")])
    result.fails("/nowhere", "no such file or directory")
    assert runtime.ids() == []


def test_nothing_is_recorded_in_the_background(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    result = runtime.run(bundle, "exit", "0", flags=["--detach", "--record-seccomp", str(tmp_path / "x")])
    result.fails("not with --detach")
    assert not (tmp_path / "x").exists()


def test_a_file_that_cannot_be_written_is_known_before_the_run(runtime: Runtime, bundle: Bundle) -> None:
    result = runtime.run(bundle, "mkdir", "/made", flags=["--record-seccomp", "/nowhere/x"])
    result.fails("/nowhere/x")
    assert not (bundle.rootfs / "made").exists()


def test_the_library_records(runtime: Runtime, bundle: Bundle) -> None:
    bundle.set_program("mkdir", "/made")
    bundle.save()
    os.makedirs(runtime.root, exist_ok=True)
    with SeccompRecorder() as recorder, open(os.devnull, "w"):
        options = Options(root=str(runtime.root), attached=True, recorder=recorder)
        container = Container.create(runtime.new_id(), str(bundle.path), options)
        container.start()
        assert os.waitstatus_to_exitcode(container.wait()) == 0
        container.delete()
        assert "mkdir" in names(recorder.profile())
    assert recorder.unknown == set()
