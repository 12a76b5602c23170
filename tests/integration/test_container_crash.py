"""A runtime that is killed at any moment, state that is half there, and processes that die at the wrong time: whatever
is left can be deleted, and then nothing is left."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host_view import PATIENCE, cgroups_named, mount, unmount, wait_until
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

#: Parts of the time that a create takes, at which its creator is killed.
MOMENTS = [part / 10 for part in range(1, 13)]

QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


@pytest.fixture(scope="module")
def durations() -> dict[str, float]:
    """How long an operation has taken on this machine, measured once."""
    return {}


def duration_of(verb: str, runtime: Runtime, bundle: Bundle, durations: dict[str, float]) -> float:
    if verb not in durations:
        times = []
        for _ in range(3):
            container = runtime.create(bundle, "pause") if verb == "start" else None
            id = container.id if container else runtime.new_id()
            words = [verb, id] if container else [verb, "--bundle", str(bundle.path), id]
            begin = time.monotonic()
            runtime(*words).check()
            times.append(time.monotonic() - begin)
            runtime("delete", "--force", id).check()
        durations[verb] = min(times)
    return durations[verb]


def kill_after(process_pid: int, seconds: float) -> None:
    """Kills the process when the time has come, unless it has ended by then."""
    pidfd = os.pidfd_open(process_pid)
    try:
        if not select.select([pidfd], [], [], seconds)[0]:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


@pytest.mark.parametrize("part", MOMENTS)
def test_after_a_create_that_was_killed_delete_leaves_nothing(
    runtime: Runtime, bundle: Bundle, durations: dict[str, float], part: float
) -> None:
    bundle.set_program("pause")
    bundle.save()
    seconds = duration_of("create", runtime, bundle, durations) * part
    id = runtime.new_id()
    process = runtime.popen("create", "--bundle", str(bundle.path), id)
    kill_after(process.pid, seconds)
    process.wait(PATIENCE)
    runtime("delete", "--force", id).check()
    assert runtime.ids() == []
    wait_until(lambda: not runtime.orphans.living(), "the end of what create had started")
    assert cgroups_named(id) == []
    # And the id can be used again.
    runtime("create", "--bundle", str(bundle.path), id).check()
    runtime("delete", "--force", id).check()


@pytest.mark.parametrize("part", MOMENTS[::3])
def test_after_a_start_that_was_killed_the_container_can_be_deleted(
    runtime: Runtime, bundle: Bundle, durations: dict[str, float], part: float
) -> None:
    bundle.set_program("pause")
    bundle.save()
    seconds = duration_of("start", runtime, bundle, durations) * part
    container = runtime.create(bundle, "pause")
    process = runtime.popen("start", container.id)
    kill_after(process.pid, seconds)
    process.wait(PATIENCE)
    assert container.status in ("created", "running", "stopped")
    container.delete("--force")


@pytest.mark.parametrize("part", MOMENTS[::3])
def test_after_a_run_that_was_killed_the_container_can_be_deleted(
    runtime: Runtime, bundle: Bundle, durations: dict[str, float], part: float
) -> None:
    bundle.set_program("pause")
    bundle.save()
    seconds = duration_of("create", runtime, bundle, durations) * part
    id = runtime.new_id()
    process = runtime.popen("run", "--bundle", str(bundle.path), id)
    kill_after(process.pid, seconds)
    process.wait(PATIENCE)
    runtime("delete", "--force", id).check()
    wait_until(lambda: not runtime.orphans.living(), "the end of what run had started")


@pytest.mark.parametrize("part", MOMENTS[::3])
def test_after_a_delete_that_was_killed_delete_can_be_repeated(
    runtime: Runtime, bundle: Bundle, durations: dict[str, float], part: float
) -> None:
    bundle.set_program("pause")
    bundle.save()
    seconds = duration_of("start", runtime, bundle, durations) * part
    container = runtime.start_paused_program(bundle)
    process = runtime.popen("delete", "--force", container.id)
    kill_after(process.pid, seconds)
    process.wait(PATIENCE)
    container.delete("--force")
    assert runtime.ids() == []


def test_the_init_ends_when_its_creator_is_killed_in_a_hook(runtime: Runtime, bundle: Bundle) -> None:
    """The moment between the two is exact here: the hook itself says when."""
    fifo = bundle.path / "fifo"
    os.mkfifo(fifo)
    program = str(bundle.rootfs / "init")
    bundle.config["hooks"] = {
        "createRuntime": [{"path": program, "args": ["init", "append", str(fifo), "x", ";", "pause"]}]
    }
    bundle.set_program("pause")
    bundle.save()
    id = runtime.new_id()
    process = runtime.popen("create", "--bundle", str(bundle.path), id)
    with open(fifo, "rb") as file:
        assert file.read(1) == b"x"
    process.kill()
    process.wait(PATIENCE)
    hook = next(pid for pid, command in runtime.orphans.living().items() if command.startswith("init append"))
    os.kill(hook, signal.SIGKILL)
    wait_until(lambda: not runtime.orphans.living(), "the end of the init")
    runtime("delete", "--force", id).check()


def test_a_state_directory_without_a_state_can_be_deleted_by_force(runtime: Runtime, bundle: Bundle) -> None:
    directory = runtime.root / runtime.new_id()
    directory.mkdir(parents=True)
    runtime("delete", "--force", directory.name).check()
    assert not directory.exists()


def test_what_a_killed_create_has_left_is_a_stopped_container(runtime: Runtime) -> None:
    directory = runtime.root / runtime.new_id()
    directory.mkdir(parents=True)
    id = directory.name
    assert runtime("ps", "--format", "json", id).check().out == "[]\n"
    runtime("kill", "--all", id, "KILL").check()
    runtime("kill", id, "KILL").fails("container not running")
    runtime("start", id).fails("cannot start a container that has stopped")
    runtime("pause", id).fails("container not running")
    runtime("exec", id, "true").fails(f"container {id} is stopped, and has no configuration", status=255)
    runtime("delete", id).check()
    assert not directory.exists()


@pytest.mark.parametrize("content", ["", "\n", "{", "[]\n", '{"version": 99}\n', "\x00" * 100])
def test_a_state_that_is_damaged_is_told_and_does_not_spoil_a_list(
    runtime: Runtime, bundle: Bundle, content: str
) -> None:
    healthy = runtime.create(bundle, "pause")
    directory = runtime.root / runtime.new_id()
    directory.mkdir()
    (directory / "state.json").write_text(content)
    result = runtime("state", directory.name)
    assert result.status == 1
    assert "Traceback" not in result.err
    assert "hint: end its processes" in result.err
    assert "bug" not in result.err
    listed = runtime("list", "-q")
    assert listed.out.split() == [healthy.id]
    assert f"load container {directory.name}: " in listed.err
    # What it has made is not known any more; to remove it is the administrator's.
    (directory / "state.json").unlink()
    directory.rmdir()


def newer(document: dict[str, Any]) -> None:
    """As a later version may write it: with members that nobody knows, in the places where there can be some."""
    document.update(version=2, unknown={"a": [1]}, labels=None)
    document["cgroup"].update(unknown=True)


def older(document: dict[str, Any]) -> None:
    """As an earlier version may have written it: without what only start, exec and update need."""
    document["version"] = 0
    for name in ("created", "uid", "annotations", "poststart", "poststop", "hasProcess", "terminal", "streams"):
        del document[name]
    for name in ("ownPidNamespace", "ownMountNamespace", "noPivot", "noNewKeyring"):
        del document[name]
    for name in ("skipped", "created", "rootless"):
        del document["cgroup"][name]


@pytest.mark.parametrize("change", [newer, older])
def test_a_container_of_another_version_can_be_looked_at_killed_and_deleted(
    runtime: Runtime, bundle: Bundle, change: Callable[[dict[str, Any]], None]
) -> None:
    for ending in (["kill"], ["delete", "--force"]):
        container = runtime.start_paused_program(bundle)
        directory = runtime.root / container.id
        document = json.loads((directory / "state.json").read_text().splitlines()[-1])
        change(document)
        (directory / "state.json").write_text(json.dumps(document))
        (directory / "later/inner").mkdir(parents=True)
        (directory / "later/inner/file").touch()
        assert container.status == "running"
        assert runtime("list", "-q").out.split() == [container.id]
        runtime(*ending, container.id, *(["KILL"] if ending == ["kill"] else [])).check()
        container.wait()
        if ending == ["kill"]:
            assert container.status == "stopped"
            container.delete()
        assert runtime.ids() == []
        assert cgroups_named(container.id) == []


def test_a_container_whose_bundle_is_gone_can_be_looked_at_killed_and_deleted(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    container = runtime.start_paused_program(bundle)
    created = runtime.create(bundle, "pause")
    bundle.path.rename(tmp_path / "elsewhere")
    assert [container.status, created.status] == ["running", "created"]
    assert container.state()["bundle"] == str(bundle.path)
    container.exec("/init", "id").check()
    container.kill("KILL")
    container.wait()
    container.delete()
    created.delete("--force")
    assert runtime.ids() == []
    runtime("run", "--bundle", str(bundle.path), runtime.new_id()).fails("no such file or directory", str(bundle.path))


def test_a_created_init_that_is_killed_leaves_a_stopped_container(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    os.kill(container.pid, signal.SIGKILL)
    assert container.wait() == -9
    assert container.status == "stopped"
    runtime("start", container.id).fails("cannot start a container that has stopped")
    container.delete()


def test_an_init_that_is_killed_during_create_is_told_in_words(runtime: Runtime, bundle: Bundle) -> None:
    """A createContainer hook kills its parent, which is the init."""
    fifo = bundle.path / "fifo"
    os.mkfifo(fifo)
    program = str(bundle.rootfs / "init")
    hook = {"path": program, "args": ["init", "append", str(fifo), "x", ";", "pause"]}
    bundle.config["hooks"] = {"createContainer": [hook]}
    bundle.set_program("pause")
    bundle.save()
    err = os.memfd_create("err")
    runtime.keep(err)
    process = runtime.popen("create", "--bundle", str(bundle.path), runtime.new_id(), stderr=err)
    with open(fifo, "rb") as file:
        assert file.read(1) == b"x"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in map(int, children):
        os.kill(pid, signal.SIGKILL)
    assert process.wait(PATIENCE) == 1
    text = os.pread(err, 1 << 16, 0).decode()
    (line,) = [line for line in text.splitlines() if "level=error" in line]
    assert "ocirt create failed: " in line
    assert "ocirt-init was killed: perhaps the memory limit is too low for the set-up" in line
    assert runtime.ids() == []


def test_two_deletes_at_once_both_succeed_by_force(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    deletes = [runtime.popen("delete", "--force", container.id) for _ in range(4)]
    assert [process.wait(PATIENCE) for process in deletes] == [0, 0, 0, 0]
    assert runtime.ids() == []


def test_of_several_starts_at_once_one_succeeds(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    starts = [runtime.popen("start", container.id, **QUIET) for _ in range(4)]
    assert sorted(process.wait(PATIENCE) for process in starts) == [0, 1, 1, 1]
    container.read_until("ready")
    assert container.status == "running"


def test_of_several_creates_of_one_id_one_succeeds(runtime: Runtime, bundle: Bundle) -> None:
    bundle.set_program("pause")
    bundle.save()
    id = runtime.new_id()
    creates = [runtime.popen("create", "--bundle", str(bundle.path), id, **QUIET) for _ in range(4)]
    assert sorted(process.wait(PATIENCE) for process in creates) == [0, 1, 1, 1]
    container = runtime.adopt(id, bundle)
    assert container.status == "created"


def test_a_container_whose_cgroups_are_gone_can_be_deleted(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "exit", "0")
    container.start()
    container.wait()
    for path in cgroups_named(container.id):
        os.rmdir(path)
    container.delete()


def test_a_container_whose_state_is_on_a_readonly_filesystem_says_so(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    runtime.root = tmp_path / "readonly"
    runtime.root.mkdir()
    mount("tmpfs", runtime.root, "tmpfs", 1)
    try:
        runtime.run(bundle, "id").fails("read-only file system", str(runtime.root))
    finally:
        unmount(runtime.root)


def test_on_a_full_state_filesystem_a_container_can_be_killed_and_deleted(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    runtime.root = tmp_path / "filled"
    runtime.root.mkdir()
    mount("tmpfs", runtime.root, "tmpfs", 0, "size=64k")
    try:
        running = runtime.start_paused_program(bundle)
        created = runtime.create(bundle, "pause")
        with pytest.raises(OSError, match="No space left"):
            (runtime.root / "@filler").write_bytes(b"x" * 65536)
        assert [running.status, created.status] == ["running", "created"]
        runtime.run(bundle, "id").fails("no space left on device")
        running.exec("/init", "id").check()
        created.start()
        running.kill("KILL")
        running.wait()
        running.delete()
        created.delete("--force")
        assert [path.name for path in runtime.root.iterdir()] == ["@filler"]
    finally:
        unmount(runtime.root)


def test_a_full_state_filesystem_says_so_and_leaves_nothing(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    runtime.root = tmp_path / "small"
    runtime.root.mkdir()
    mount("tmpfs", runtime.root, "tmpfs", 0, "size=16k,nr_inodes=50")
    try:
        (runtime.root / "@filler").write_bytes(b"x" * 16384)
        runtime.run(bundle, "id").fails("no space left on device")
        assert [path.name for path in runtime.root.iterdir()] == ["@filler"]
    finally:
        unmount(runtime.root)
