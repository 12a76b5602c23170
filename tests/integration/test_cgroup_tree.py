"""The container's cgroup on this host's own cgroupfs: made, joined, refused and removed. Needs root."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from cgroup_tree import (
    LAYOUT,
    NAME,
    content,
    created,
    directory_of,
    mounts,
    needs,
    needs_v1,
    needs_v2,
    new,
    run_in,
    status_of,
)

from ocirt.cgroup import Cgroup, group
from ocirt.cgroup.resources import compile
from ocirt.errors import StepError, UnsupportedError

MIB = 1 << 20

pytestmark = [
    pytest.mark.usefixtures("no_cgroup_is_left"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(LAYOUT.mode == "none", reason="needs a mounted cgroup hierarchy"),
]


# -- create, enter, delete ---------------------------------------------------------------------------------------------


def test_create_makes_a_directory_in_every_hierarchy_and_delete_removes_it_with_its_parents() -> None:
    cgroup = created()
    assert [directory.path for directory in cgroup.directories] == [f"{mount}/{NAME}/c1" for mount in mounts()]
    assert all(os.path.isdir(directory.path) for directory in cgroup.directories)
    cgroup.delete()
    assert not any(os.path.exists(f"{mount}/{NAME}") for mount in mounts())


def test_a_child_enters_by_writing_to_the_descriptors(children: list[int]) -> None:
    cgroup = created()
    pid = run_in(cgroup, children)
    places = [line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    assert places.count(f"/{NAME}/c1") == len(cgroup.directories)
    assert cgroup.pids() == [pid]
    cgroup.kill(signal.SIGKILL)
    assert status_of(pid) == -signal.SIGKILL
    cgroup.delete()


def test_entry_descriptors_are_close_on_exec() -> None:
    cgroup = created()
    fds = cgroup.open_entry_fds()
    v2_fd = cgroup.open_v2_fd()
    assert len(fds) + (v2_fd is not None) == len(cgroup.directories)
    for fd in fds if v2_fd is None else [*fds, v2_fd]:
        assert not os.get_inheritable(fd)
        os.close(fd)
    cgroup.delete()


def test_without_a_path_the_container_is_below_the_own_cgroup() -> None:
    cgroup = new(None)
    cgroup.create()
    own = {line.split(":")[1]: line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()}
    for directory in cgroup.directories:
        if directory.version == 1:
            assert directory.path == f"{directory.mount}{own[','.join(directory.controllers)].rstrip('/')}/{NAME}"
        assert os.path.isdir(directory.path)
    cgroup.delete()
    assert not any(os.path.exists(directory.path) for directory in cgroup.directories)


def test_a_parent_that_was_there_stays() -> None:
    for mount in mounts():
        os.mkdir(f"{mount}/{NAME}")
    cgroup = created()
    cgroup.delete()
    for mount in mounts():
        assert os.listdir(f"{mount}/{NAME}")
        os.rmdir(f"{mount}/{NAME}")


def test_a_parent_that_another_container_uses_stays() -> None:
    first, second = created(f"/{NAME}/c1"), created(f"/{NAME}/c2")
    first.delete()
    assert all(os.path.isdir(directory.path) for directory in second.directories)
    second.delete()
    for mount in mounts():
        os.rmdir(f"{mount}/{NAME}")


def test_a_directory_that_was_there_is_joined_and_stays() -> None:
    for mount in mounts():
        os.makedirs(f"{mount}/{NAME}/c1")
    cgroup = created()
    assert cgroup.made == []
    cgroup.delete()
    for directory in cgroup.directories:
        os.rmdir(directory.path)
        os.rmdir(os.path.dirname(directory.path))


def test_delete_is_content_when_all_is_gone_already() -> None:
    cgroup = created()
    for directory in cgroup.directories:
        os.rmdir(directory.path)
        os.rmdir(os.path.dirname(directory.path))
    again = Cgroup.from_state(cgroup.to_state())
    again.delete()
    assert again.pids() == []
    assert not again.frozen
    again.kill(signal.SIGKILL)


def test_delete_after_a_round_trip_through_the_state_leaves_nothing() -> None:
    Cgroup.from_state(created().to_state()).delete()


def test_delete_removes_what_the_container_made_inside(children: list[int]) -> None:
    cgroup = created()
    pid = run_in(cgroup, children, sub="inner")
    for directory in cgroup.directories:
        os.mkdir(f"{directory.path}/inner/innermost")
    assert cgroup.pids() == [pid]
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()
    assert status_of(pid) == -signal.SIGKILL


def test_delete_removes_a_tree_that_is_deeper_than_a_path_is_long() -> None:
    cgroup = created()
    directory = cgroup.directories[-1]
    fd = os.open(directory.path, os.O_RDONLY)
    for _ in range(60):
        os.mkdir("d" * 100, dir_fd=fd)
        below_fd = os.open("d" * 100, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below_fd
    os.close(fd)
    assert cgroup.pids() == []
    cgroup.delete()
    assert not os.path.exists(directory.path)


def test_delete_waits_for_a_process_that_is_about_to_end(children: list[int]) -> None:
    cgroup = created()
    ready_fd, told_fd = os.pipe()

    def use_memory() -> None:
        # Giving it back takes the kernel longer than us to come to delete.
        block = bytearray(128 * MIB)
        block[::4096] = b"x" * len(block[::4096])
        os.write(told_fd, b"1")
        signal.pause()

    pid = run_in(cgroup, children, use_memory)
    assert os.read(ready_fd, 1) == b"1"
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()
    assert not any(os.path.exists(directory.path) for directory in cgroup.directories)
    assert status_of(pid) == -signal.SIGKILL
    os.close(ready_fd)
    os.close(told_fd)


def test_delete_of_a_cgroup_in_use_names_the_processes(children: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "DELETE_DEADLINE_SEC", 0.05)
    cgroup = created()
    pid = run_in(cgroup, children)
    with pytest.raises(StepError, match=rf"cannot remove cgroup .*busy \[processes in it: \[{pid}\]\]") as caught:
        cgroup.delete()
    assert caught.value.errno == errno.EBUSY
    monkeypatch.undo()
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()
    assert status_of(pid) == -signal.SIGKILL


def test_a_failed_create_leaves_nothing() -> None:
    cgroup = new()
    last = cgroup.directories[-1]
    # A file of the kernel's in the way of a directory.
    last.path = f"{last.mount}/cgroup.procs/c1"
    with pytest.raises(StepError, match=r"cannot create cgroup .*/cgroup\.procs/c1: not a directory"):
        cgroup.create()
    assert cgroup.made == []
    assert not any(os.path.exists(directory.path) for directory in cgroup.directories)


@needs_v1("pids")
def test_a_path_of_more_components_than_the_stack_has_frames_is_made_and_removed() -> None:
    cgroup = new("/" + NAME + "/d" * 1200)
    cgroup.directories = (directory_of(cgroup, "pids"),)
    cgroup.create()
    assert os.path.isdir(cgroup.directories[0].path)
    cgroup.delete()


def test_nothing_is_made_outside_cgroupfs() -> None:
    cgroup = new()
    for directory in cgroup.directories:
        directory.path = directory.path.replace(directory.mount, "/tmp/" + NAME)
        directory.mount = "/tmp/" + NAME
    with pytest.raises(StepError, match=r"cannot create cgroup .*: no such file or directory"):
        cgroup.create()
    assert not os.path.exists("/tmp/" + NAME)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_a_cgroup_with_processes_is_refused_and_left_alone(children: list[int]) -> None:
    first = created()
    pid = run_in(first, children, sub="inner")
    second = new()
    with pytest.raises(StepError, match=r"container's cgroup is not empty: 1 process\(es\) found") as caught:
        second.create()
    assert caught.value.origin == "/linux/cgroupsPath"
    second.delete()
    assert first.pids() == [pid]
    first.kill(signal.SIGKILL)
    first.delete()


def test_a_frozen_cgroup_is_refused() -> None:
    first = created()
    first.freeze()
    with pytest.raises(StepError, match="container's cgroup unexpectedly frozen"):
        created()
    first.thaw()
    second = created()
    second.delete()
    first.delete()


def test_a_cgroup_below_a_frozen_one_is_refused_and_removed() -> None:
    parent = created(f"/{NAME}")
    parent.freeze()
    child = new()
    with pytest.raises(StepError, match="container's cgroup unexpectedly frozen"):
        child.create()
    assert not any(os.path.exists(directory.path) for directory in child.directories)
    parent.thaw()
    parent.delete()


# -- rootless ----------------------------------------------------------------------------------------------------------


def as_nobody(action: Callable[[], str]) -> str:
    """What *action* says when it is run by nobody."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(write_fd, action().encode())
        except BaseException as error:
            os.write(write_fd, str(error).encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    with open(read_fd) as text:
        said = text.read()
    os.waitpid(pid, 0)
    return said


def test_a_runtime_without_permission_goes_without_cgroups() -> None:
    def action() -> str:
        cgroup = new(None, rootless=True)
        wanted = [directory.controllers for directory in cgroup.directories]
        cgroup.create()
        cgroup.apply(compile({}, LAYOUT))
        assert cgroup.directories == ()
        assert cgroup.open_entry_fds() == []
        assert cgroup.open_v2_fd() is None
        assert [controllers for controllers, _ in cgroup.skipped] == wanted
        cgroup.delete()
        return ", ".join({reason for _, reason in cgroup.skipped})

    assert as_nobody(action) == "permission denied"


@needs("pids")
def test_a_runtime_without_permission_cannot_set_a_limit() -> None:
    def action() -> str:
        cgroup = new(None, rootless=True)
        cgroup.create()
        cgroup.apply(compile({"pids": {"limit": 5}}, LAYOUT))
        return "no error"

    said = as_nobody(action)
    assert "rootless needs no limits + no cgrouppath when no permission is granted for cgroups" in said


@pytest.mark.parametrize(("path", "rootless"), [(f"/{NAME}/c1", True), (None, False)])
def test_a_runtime_without_permission_fails_where_it_must(path: str | None, rootless: bool) -> None:
    def action() -> str:
        try:
            new(path, rootless=rootless).create()
        except StepError as error:
            return str(error)
        return "no error"

    said = as_nobody(action)
    assert said.startswith("cannot create cgroup ")
    assert said.endswith(": permission denied")


# -- v2 alone ----------------------------------------------------------------------------------------------------------


@needs_v2()
def test_all_controllers_are_enabled_down_to_the_container() -> None:
    cgroup = created(f"/{NAME}/deep/c1")
    enabled = Path(cgroup.directories[0].path, "cgroup.controllers").read_text().split()
    assert sorted(enabled) == sorted(LAYOUT.v2_controllers)
    cgroup.delete()


@needs_v2()
def test_below_a_cgroup_with_processes_a_limit_is_unsupported(children: list[int]) -> None:
    parent = created(f"/{NAME}")
    run_in(parent, children)
    cgroup = created()
    cgroup.apply(compile({}, LAYOUT))
    with pytest.raises(UnsupportedError) as caught:
        cgroup.apply(compile({"memory": {"limit": 64 * MIB}}, LAYOUT))
    assert caught.value.needs == f"the cgroup controller memory, which cannot be enabled in {LAYOUT.v2_mount}/{NAME}"
    assert caught.value.pointer == "/linux/resources/memory/limit"
    cgroup.delete()
    parent.kill(signal.SIGKILL)
    parent.delete()


@needs_v2()
def test_a_cgroup_below_a_threaded_one_is_made_threaded(children: list[int]) -> None:
    parent = created(f"/{NAME}")
    first = created(f"/{NAME}/threaded")
    Path(parent.directories[0].path, "cgroup.subtree_control").write_text(
        " ".join("-" + name for name in LAYOUT.v2_controllers)
    )
    Path(first.directories[0].path, "cgroup.type").write_text("threaded")
    second = created()
    assert Path(second.directories[0].path, "cgroup.type").read_text() == "threaded\n"
    assert second.pids() == []
    second.delete()
    first.delete()
    parent.delete()


@needs_v2()
def test_unified_is_written_line_by_line() -> None:
    cgroup = created()
    cgroup.apply(compile({"unified": {"memory.high": "67108864", "cgroup.max.depth": "3"}}, LAYOUT))
    assert content(cgroup, "memory", "memory.high") == "67108864"
    assert content(cgroup, "memory", "cgroup.max.depth") == "3"
    with pytest.raises(UnsupportedError, match=r"memory\.nonsense is not supported here: needs a kernel that has"):
        cgroup.apply(compile({"unified": {"memory.nonsense": "1"}}, LAYOUT))
    with pytest.raises(UnsupportedError, match=r"foo\.bar is not supported here: needs the cgroup controller foo"):
        cgroup.apply(compile({"unified": {"foo.bar": "1"}}, LAYOUT))
    cgroup.delete()


@needs_v2()
def test_a_delegated_cgroup_has_a_new_owner_but_its_limits_have_not() -> None:
    cgroup = created()
    cgroup.delegate(1234)
    path = cgroup.directories[0].path
    assert [os.stat(f"{path}/{file}").st_uid for file in ("", "cgroup.procs", "cgroup.subtree_control")] == [1234] * 3
    assert os.stat(f"{path}/memory.max").st_uid == 0
    cgroup.delete()
