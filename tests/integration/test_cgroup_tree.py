"""The container's cgroup on this host's own cgroupfs: made, joined, limited, frozen, killed and removed. Needs root."""

from __future__ import annotations

import errno
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocirt.cgroup import Cgroup, Layout, detect, group, v1
from ocirt.cgroup.directory import Directory
from ocirt.cgroup.resources import compile
from ocirt.errors import StepError, UnsupportedError

LAYOUT = detect() if os.path.exists("/proc/self/cgroup") else Layout("none")
NAME = f"ocirt-test-{os.getpid()}"
MIB = 1 << 20

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(LAYOUT.mode == "none", reason="needs a mounted cgroup hierarchy"),
]


def needs_v1(controller: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(LAYOUT.version_of(controller) != 1, reason=f"needs the v1 controller {controller}")


def needs_v2() -> pytest.MarkDecorator:
    return pytest.mark.skipif(LAYOUT.mode != "v2", reason="needs cgroup v2 alone")


def needs(controller: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not LAYOUT.version_of(controller), reason=f"needs the controller {controller}")


def mounts() -> list[str]:
    found = [hierarchy.mount for hierarchy in LAYOUT.hierarchies]
    return found + ([LAYOUT.v2_mount] if LAYOUT.v2_mount else [])


def remove_tree(path: Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            if child.is_dir():
                remove_tree(child)
        path.rmdir()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    yield
    left = [path for mount in mounts() if (path := Path(mount, NAME)).exists()]
    for path in left:
        remove_tree(path)
    assert left == []


@pytest.fixture
def children() -> Iterator[list[int]]:
    pids: list[int] = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass


def new(path: str | None = f"/{NAME}/c1", **options: Any) -> Cgroup:
    return Cgroup.resolve(LAYOUT, path, NAME, **options)


def created(path: str = f"/{NAME}/c1") -> Cgroup:
    cgroup = new(path)
    cgroup.create()
    return cgroup


def directory_of(cgroup: Cgroup, controller: str) -> Directory:
    for directory in cgroup.directories:
        if controller in directory.controllers:
            return directory
    raise AssertionError(controller)


def content(cgroup: Cgroup, controller: str, file: str) -> str:
    return Path(directory_of(cgroup, controller).path, file).read_text().strip()


def run_in(cgroup: Cgroup, children: list[int], action: Callable[[], object] = signal.pause, sub: str = "") -> int:
    """A child that enters *cgroup*, or *sub* below it, says so and then does *action*; its pid."""
    fds = cgroup.open_entry_fds()
    ready_fd, child_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for fd in fds:
                os.write(fd, b"0")
            for directory in cgroup.directories:
                if directory.version == 2 or sub:
                    path = Path(directory.path, sub)
                    path.mkdir(exist_ok=True)
                    if directory.version == 1 and "cpuset" in directory.controllers:
                        v1.fill_cpuset(str(path), directory.mount, {})
                    (path / "cgroup.procs").write_text("0")
            os.write(child_fd, b"1")
            os.close(child_fd)
            action()
        finally:
            os._exit(77)
    for fd in (*fds, child_fd):
        os.close(fd)
    children.append(pid)
    assert os.read(ready_fd, 1) == b"1"
    os.close(ready_fd)
    return pid


def status_of(pid: int, timeout_sec: float = 10) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        assert select.select([pidfd], [], [], timeout_sec)[0], f"process {pid} does not end"
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- create, enter, delete -------------------------------------------------------------------------------------------


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


# -- what is refused -------------------------------------------------------------------------------------------------


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


# -- limits ----------------------------------------------------------------------------------------------------------


@needs("memory")
@needs("pids")
@needs("cpu")
def test_limits_can_be_read_back() -> None:
    cgroup = created()
    resources = {
        "memory": {"limit": 64 * MIB, "reservation": 32 * MIB},
        "cpu": {"shares": 512, "quota": 50000, "period": 200000},
        "pids": {"limit": 20},
    }
    cgroup.apply(compile(resources, LAYOUT))
    if LAYOUT.version_of("memory") == 1:
        assert content(cgroup, "memory", "memory.limit_in_bytes") == str(64 * MIB)
        assert content(cgroup, "memory", "memory.soft_limit_in_bytes") == str(32 * MIB)
    else:
        assert content(cgroup, "memory", "memory.max") == str(64 * MIB)
        assert content(cgroup, "memory", "memory.low") == str(32 * MIB)
    if LAYOUT.version_of("cpu") == 1:
        assert content(cgroup, "cpu", "cpu.shares") == "512"
        assert content(cgroup, "cpu", "cpu.cfs_quota_us") == "50000"
        assert content(cgroup, "cpu", "cpu.cfs_period_us") == "200000"
    else:
        assert content(cgroup, "cpu", "cpu.weight") == "59"
        assert content(cgroup, "cpu", "cpu.max") == "50000 200000"
    assert content(cgroup, "pids", "pids.max") == "20"
    cgroup.delete()


@pytest.mark.parametrize("resources", [{}, {"memory": {"limit": 0}, "cpu": {"shares": 0}, "blockIO": {"weight": 0}}])
def test_what_engines_send_by_default_can_be_applied(resources: dict[str, Any]) -> None:
    cgroup = created()
    cgroup.apply(compile(resources, LAYOUT))
    cgroup.delete()


@needs_v1("memory")
@pytest.mark.skipif(
    not os.path.exists("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes"), reason="needs accounting of swap"
)
def test_memory_and_swap_go_up_and_down_together() -> None:
    cgroup = created()
    for limit in (64, 256, 32, -1, 128):
        value = limit * MIB if limit > 0 else limit
        cgroup.apply(compile({"memory": {"limit": value, "swap": value}}, LAYOUT, devices=False))
        if limit > 0:
            assert content(cgroup, "memory", "memory.limit_in_bytes") == str(value)
            assert content(cgroup, "memory", "memory.memsw.limit_in_bytes") == str(value)
        else:
            assert int(content(cgroup, "memory", "memory.memsw.limit_in_bytes")) > 1 << 60
    cgroup.delete()


@needs("cpu")
def test_quota_and_burst_go_down_together() -> None:
    cgroup = created()
    for quota in (100000, 20000, 80000):
        cgroup.apply(compile({"cpu": {"quota": quota, "burst": quota // 2}}, LAYOUT, devices=False))
    v1 = LAYOUT.version_of("cpu") == 1
    assert content(cgroup, "cpu", "cpu.cfs_burst_us" if v1 else "cpu.max.burst") == "40000"
    cgroup.delete()


@needs("pids")
@needs("cpu")
def test_a_limit_that_the_kernel_refuses_is_named_and_all_others_are_put_back() -> None:
    cgroup = created()
    cgroup.apply(compile({"pids": {"limit": 20}, "cpu": {"shares": 2048}}, LAYOUT))
    resources = {"cpu": {"shares": 512, "period": 5}, "pids": {"limit": 7}}
    with pytest.raises(StepError) as caught:
        cgroup.apply(compile(resources, LAYOUT))
    v1 = LAYOUT.version_of("cpu") == 1
    file = "cpu.cfs_period_us" if v1 else "cpu.max"
    assert caught.value.errno == errno.EINVAL
    assert str(caught.value).endswith(f"/{file}: invalid argument (config.json#/linux/resources/cpu/period)")
    assert content(cgroup, "pids", "pids.max") == "20"
    assert content(cgroup, "cpu", "cpu.shares" if v1 else "cpu.weight") == ("2048" if v1 else "174")
    cgroup.delete()


@needs_v1("memory")
def test_a_memory_limit_below_the_usage_tells_the_usage(children: list[int]) -> None:
    cgroup = created()

    def use_memory() -> None:
        block = bytearray(b"x" * (16 * MIB))
        os.write(told_fd, block[:1])
        signal.pause()

    ready_fd, told_fd = os.pipe()
    pid = run_in(cgroup, children, use_memory)
    os.read(ready_fd, 1)
    with pytest.raises(StepError, match=r"busy \[current usage: \d+, peak usage: \d+\]"):
        cgroup.apply(compile({"memory": {"limit": 4096}}, LAYOUT, devices=False))
    os.close(ready_fd)
    os.close(told_fd)
    cgroup.kill(signal.SIGKILL)
    assert status_of(pid) == -signal.SIGKILL
    cgroup.delete()


@needs_v2()
def test_a_limit_below_the_usage_is_refused_when_asked_to_check(children: list[int]) -> None:
    cgroup = created()
    run_in(cgroup, children)
    memory = {"limit": 4096, "checkBeforeUpdate": True}
    with pytest.raises(StepError, match=r"rejecting memory limit 4096 <= usage \d+"):
        cgroup.apply(compile({"memory": memory}, LAYOUT))
    with pytest.raises(StepError, match=r"rejecting memory\+swap limit 4096 <= usage \d+"):
        cgroup.apply(compile({"memory": {**memory, "swap": 4096}}, LAYOUT))
    assert content(cgroup, "memory", "memory.max") == "max"
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()


@needs_v1("blkio")
def test_a_weight_is_written_to_the_file_that_the_kernel_has() -> None:
    cgroup = created()
    directory = directory_of(cgroup, "blkio")
    files = [file for file in ("blkio.weight", "blkio.bfq.weight") if os.path.exists(f"{directory.path}/{file}")]
    if not files:
        cgroup.delete()
        pytest.skip("needs a scheduler with weights")
    cgroup.apply(compile({"blockIO": {"weight": 321}}, LAYOUT))
    assert content(cgroup, "blkio", files[0]).split()[-1] == "321"
    cgroup.delete()


def test_a_limit_of_a_controller_that_the_host_lacks_is_unsupported() -> None:
    cgroup = created()
    with_rdma = Layout("v2", v2_controllers=("rdma",))
    settings = compile({"rdma": {"mlx5": {"hcaHandles": 1}}}, with_rdma)
    if LAYOUT.version_of("rdma"):
        with pytest.raises(StepError, match="cannot write 'mlx5 hca_handle=1'"):
            cgroup.apply(settings)
    else:
        with pytest.raises(UnsupportedError, match=r"rdma.max is not supported here: needs the cgroup controller rdma"):
            cgroup.apply(settings)
    cgroup.delete()


@pytest.mark.skipif(
    LAYOUT.mode != "hybrid" or "hugetlb" not in LAYOUT.v2_controllers, reason="needs hugetlb on v2 beside v1"
)
def test_beside_v1_a_controller_of_v2_is_enabled_when_it_is_needed() -> None:
    cgroup = created()
    size = os.listdir("/sys/kernel/mm/hugepages")[0].removeprefix("hugepages-").removesuffix("kB")
    name = f"{int(size) >> 10}MB" if int(size) < 1 << 20 else f"{int(size) >> 20}GB"
    limit = int(size) << 11
    cgroup.apply(compile({"hugepageLimits": [{"pageSize": name, "limit": limit}]}, LAYOUT))
    assert content(cgroup, "hugetlb", f"hugetlb.{name}.max") == str(limit)
    cgroup.delete()


@needs_v1("cpuset")
def test_a_new_cpuset_has_what_its_parent_has() -> None:
    cgroup = created(f"/{NAME}/deep/c1")
    directory = directory_of(cgroup, "cpuset")
    for file in ("cpuset.cpus", "cpuset.mems"):
        assert content(cgroup, "cpuset", file) == Path(directory.mount, file).read_text().strip()
    cgroup.delete()


@needs_v1("cpuset")
def test_a_new_cpuset_has_what_is_asked_for_even_beside_an_exclusive_one() -> None:
    mount = next(hierarchy.mount for hierarchy in LAYOUT.hierarchies if "cpuset" in hierarchy.controllers)
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        pytest.skip("needs two CPUs")
    parent = created(f"/{NAME}")
    try:
        Path(mount, NAME, "cpuset.cpu_exclusive").write_text("1")
    except OSError:
        parent.delete()
        pytest.skip("needs CPUs that no other cpuset of this host has")
    neighbour = Path(mount, NAME, "neighbour")
    neighbour.mkdir()
    (neighbour / "cpuset.cpus").write_text(str(available[0]))
    (neighbour / "cpuset.cpu_exclusive").write_text("1")
    settings = compile({"cpu": {"cpus": str(available[1])}}, LAYOUT)
    cgroup = new()
    with pytest.raises(StepError, match=r"cannot create cgroup .*/cpuset/.*invalid argument"):
        cgroup.create()
    cgroup.create(settings)
    cgroup.apply(settings)
    assert content(cgroup, "cpuset", "cpuset.cpus") == str(available[1])
    cgroup.delete()
    neighbour.rmdir()
    parent.delete()


@needs_v1("devices")
def test_a_device_that_no_rule_allows_cannot_be_opened(children: list[int], tmp_path: Path) -> None:
    os.mknod(tmp_path / "kmsg", 0o600 | 0o020000, os.makedev(1, 11))
    cgroup = created()
    cgroup.apply(compile({"devices": [{"allow": False, "access": "rwm"}]}, LAYOUT))

    def open_devices() -> None:
        os.close(os.open("/dev/null", os.O_RDWR))
        try:
            os.open(tmp_path / "kmsg", os.O_RDONLY)
        except PermissionError:
            os._exit(3)
        os._exit(4)

    assert status_of(run_in(cgroup, children, open_devices)) == 3
    allow = [{"allow": True, "type": "c", "major": 1, "minor": 11, "access": "r"}]
    cgroup.apply(compile({"devices": allow}, LAYOUT))
    assert status_of(run_in(cgroup, children, open_devices)) == 4
    cgroup.delete()


@needs_v1("devices")
def test_a_rule_that_the_parent_does_not_allow_is_refused_with_a_hint() -> None:
    parent = created(f"/{NAME}")
    parent.apply(compile({}, LAYOUT))
    cgroup = created()
    with pytest.raises(StepError, match=r"devices\.allow: operation not permitted") as caught:
        cgroup.apply(compile({"devices": [{"allow": True, "access": "rwm"}]}, LAYOUT))
    assert caught.value.origin == "/linux/resources/devices/0"
    assert caught.value.hint is not None
    assert "CAP_SYS_ADMIN in the initial user namespace" in caught.value.hint
    cgroup.delete()
    parent.delete()


# -- freeze, kill ----------------------------------------------------------------------------------------------------


def test_a_container_is_frozen_when_freeze_returns_and_runs_when_thaw_does(children: list[int]) -> None:
    cgroup = created()
    count_fd, tick_fd = os.pipe()
    os.set_blocking(count_fd, False)

    def tick() -> None:
        while True:
            os.write(tick_fd, b".")

    run_in(cgroup, children, tick)
    assert not cgroup.frozen
    cgroup.freeze()
    assert cgroup.frozen
    while True:
        try:
            os.read(count_fd, 65536)
        except BlockingIOError:
            break
    assert not select.select([count_fd], [], [], 0.05)[0]
    cgroup.freeze()
    cgroup.thaw()
    assert not cgroup.frozen
    assert select.select([count_fd], [], [], 10)[0]
    os.close(count_fd)
    os.close(tick_fd)
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()


def test_thawing_below_a_frozen_cgroup_is_an_error() -> None:
    parent, cgroup = created(f"/{NAME}"), created()
    parent.freeze()
    assert not cgroup.frozen
    with pytest.raises(StepError, match="a cgroup above it is frozen"):
        cgroup.thaw()
    parent.thaw()
    cgroup.delete()
    parent.delete()


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_sigkill_ends_every_process_also_in_sub_cgroups(children: list[int], frozen: bool) -> None:
    cgroup = created()
    pids = [run_in(cgroup, children, sub="inner"), run_in(cgroup, children, sub="inner")]
    if LAYOUT.mode != "v2":
        pids.append(run_in(cgroup, children))
    if frozen:
        cgroup.freeze()
    assert sorted(cgroup.pids()) == sorted(pids)
    cgroup.kill(signal.SIGKILL)
    assert [status_of(pid) for pid in pids] == [-signal.SIGKILL] * len(pids)
    assert not frozen or LAYOUT.mode == "v2" or not cgroup.frozen
    cgroup.delete()


def test_sigkill_finds_processes_that_only_v1_knows_of(children: list[int]) -> None:
    if LAYOUT.mode != "hybrid":
        pytest.skip("needs cgroup v2 beside v1")
    cgroup = created()
    pid = run_in(cgroup, children)
    assert LAYOUT.v2_mount is not None
    Path(LAYOUT.v2_mount, "cgroup.procs").write_text(str(pid))
    cgroup.freeze()
    cgroup.kill(signal.SIGKILL)
    assert status_of(pid) == -signal.SIGKILL
    cgroup.delete()


def test_another_signal_reaches_every_process(children: list[int]) -> None:
    cgroup = created()
    pids = [run_in(cgroup, children), run_in(cgroup, children)]
    cgroup.kill(signal.SIGTERM)
    assert [status_of(pid) for pid in pids] == [-signal.SIGTERM] * 2
    assert not cgroup.frozen
    cgroup.delete()


def test_another_signal_leaves_a_frozen_container_frozen(children: list[int]) -> None:
    cgroup = created()
    pid = run_in(cgroup, children)
    cgroup.freeze()
    cgroup.kill(signal.SIGTERM)
    assert cgroup.frozen
    assert cgroup.pids() == [pid]
    cgroup.thaw()
    assert status_of(pid) == -signal.SIGTERM
    cgroup.delete()


def test_a_fork_bomb_is_killed(children: list[int]) -> None:
    cgroup = created()
    if LAYOUT.version_of("pids"):
        cgroup.apply(compile({"pids": {"limit": 40}}, LAYOUT))

    def bomb() -> None:
        while True:
            try:
                if os.fork() == 0:
                    continue
                os.wait()
            except OSError:
                time.sleep(0.001)

    run_in(cgroup, children, bomb)
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()
    assert cgroup.pids() == []


# -- rootless --------------------------------------------------------------------------------------------------------


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


# -- v2 alone --------------------------------------------------------------------------------------------------------


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
