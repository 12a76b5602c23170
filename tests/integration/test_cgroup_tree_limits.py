"""Limits of a cgroup on this host's own cgroupfs. Needs root."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from cgroup_tree import LAYOUT, NAME, content, created, directory_of, needs, needs_v1, needs_v2, new, run_in, status_of

from ocirt.cgroup import Layout
from ocirt.cgroup.resources import compile
from ocirt.errors import StepError, UnsupportedError

MIB = 1 << 20

pytestmark = [
    pytest.mark.usefixtures("no_cgroup_is_left"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(LAYOUT.mode == "none", reason="needs a mounted cgroup hierarchy"),
]


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
