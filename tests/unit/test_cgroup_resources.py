"""linux.resources as files of cgroupfs: one table for v1, one for v2, and what neither can do."""

from __future__ import annotations

from typing import Any

import pytest

from ocirt.cgroup.layout import Hierarchy, Layout
from ocirt.cgroup.resources import Setting, compile, cpu_weight, io_weight
from ocirt.errors import ConfigError, UnsupportedError

COMMON = ("cpu", "cpuset", "memory", "devices", "freezer", "blkio", "pids")
CONTROLLERS = (*COMMON, "hugetlb", "net_cls", "net_prio", "rdma")
V1 = Layout(
    "v1",
    hierarchies=tuple(Hierarchy((name,), "/sys/fs/cgroup/" + name) for name in CONTROLLERS),
)
V2 = Layout(
    "v2", v2_mount="/sys/fs/cgroup", v2_controllers=("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
)
HYBRID = Layout(
    "hybrid", v2_mount="/sys/fs/cgroup/unified", v2_controllers=("hugetlb",), hierarchies=V1.hierarchies[:7]
)
NONE = Layout("none")


def written(resources: dict[str, Any], layout: Layout) -> list[tuple[str, str, str]]:
    """(file, value, pointer below /linux/resources), fallbacks after "or"."""
    rows = []
    for setting in compile(resources, layout, devices=False):
        file, value = setting.file, setting.value
        if setting.fallback is not None:
            file += " or " + setting.fallback.file
            if setting.fallback.value != value:
                value += " or " + setting.fallback.value
        rows.append((file, value, setting.pointer.removeprefix("/linux/resources")))
    return rows


DEVICE = {"major": 8, "minor": 16}
TABLE: list[tuple[dict[str, Any], list[tuple[str, str, str]], list[tuple[str, str, str]]]] = [
    ({}, [], []),
    # memory
    (
        {"memory": {"limit": 1000, "swap": 3000, "reservation": 500}},
        [
            ("memory.limit_in_bytes", "1000", "/memory/limit"),
            ("memory.memsw.limit_in_bytes", "3000", "/memory/swap"),
            ("memory.soft_limit_in_bytes", "500", "/memory/reservation"),
        ],
        [
            ("memory.swap.max", "2000", "/memory/swap"),
            ("memory.max", "1000", "/memory/limit"),
            ("memory.low", "500", "/memory/reservation"),
        ],
    ),
    (
        {"memory": {"limit": 1000, "swap": 1000}},
        [("memory.limit_in_bytes", "1000", "/memory/limit"), ("memory.memsw.limit_in_bytes", "1000", "/memory/swap")],
        [("memory.swap.max", "0", "/memory/swap"), ("memory.max", "1000", "/memory/limit")],
    ),
    (
        {"memory": {"limit": 1000, "swap": -1}},
        [("memory.limit_in_bytes", "1000", "/memory/limit"), ("memory.memsw.limit_in_bytes", "-1", "/memory/swap")],
        [("memory.swap.max", "max", "/memory/swap"), ("memory.max", "1000", "/memory/limit")],
    ),
    (
        {"memory": {"limit": -1}},
        [("memory.limit_in_bytes", "-1", "/memory/limit"), ("memory.memsw.limit_in_bytes", "-1", "/memory/limit")],
        [("memory.swap.max", "max", "/memory/limit"), ("memory.max", "max", "/memory/limit")],
    ),
    (
        {"memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "disableOOMKiller": False}},
        [],
        [],
    ),
    ({"memory": {"kernel": 1000}}, [], []),
    ({"memory": {"kernelTCP": 1000}}, [("memory.kmem.tcp.limit_in_bytes", "1000", "/memory/kernelTCP")], []),
    ({"memory": {"swappiness": -1, "useHierarchy": True}}, [], []),
    ({"memory": {"swappiness": 2**64 - 1}}, [], []),
    # cpu
    (
        {"cpu": {"shares": 1024, "quota": 50000, "period": 100000}},
        [
            ("cpu.shares", "1024", "/cpu/shares"),
            ("cpu.cfs_period_us", "100000", "/cpu/period"),
            ("cpu.cfs_quota_us", "50000", "/cpu/quota"),
        ],
        [("cpu.weight", "100", "/cpu/shares"), ("cpu.max", "50000 100000", "/cpu/quota")],
    ),
    ({"cpu": {"quota": 50000}}, [("cpu.cfs_quota_us", "50000", "/cpu/quota")], [("cpu.max", "50000", "/cpu/quota")]),
    ({"cpu": {"quota": -1}}, [("cpu.cfs_quota_us", "-1", "/cpu/quota")], [("cpu.max", "max", "/cpu/quota")]),
    (
        {"cpu": {"period": 200000}},
        [("cpu.cfs_period_us", "200000", "/cpu/period")],
        [("cpu.max", "max 200000", "/cpu/period")],
    ),
    (
        {"cpu": {"burst": 10000, "idle": 1}},
        [("cpu.cfs_burst_us", "10000", "/cpu/burst"), ("cpu.idle", "1", "/cpu/idle")],
        [("cpu.max.burst", "10000", "/cpu/burst"), ("cpu.idle", "1", "/cpu/idle")],
    ),
    (
        {"cpu": {"cpus": "0-1", "mems": "0"}},
        [("cpuset.cpus", "0-1", "/cpu/cpus"), ("cpuset.mems", "0", "/cpu/mems")],
        [("cpuset.cpus", "0-1", "/cpu/cpus"), ("cpuset.mems", "0", "/cpu/mems")],
    ),
    ({"cpu": {"shares": 0, "quota": 0, "period": 0, "realtimeRuntime": 0, "cpus": "", "mems": ""}}, [], []),
    # pids
    ({"pids": {"limit": 20}}, [("pids.max", "20", "/pids/limit")], [("pids.max", "20", "/pids/limit")]),
    ({"pids": {"limit": 0}}, [("pids.max", "1", "/pids/limit")], [("pids.max", "1", "/pids/limit")]),
    ({"pids": {"limit": -1}}, [("pids.max", "max", "/pids/limit")], [("pids.max", "max", "/pids/limit")]),
    # blockIO
    (
        {"blockIO": {"weight": 500}},
        [("blkio.weight or blkio.bfq.weight", "500", "/blockIO/weight")],
        [("io.bfq.weight or io.weight", "500 or 4950", "/blockIO/weight")],
    ),
    ({"blockIO": {"weight": 0, "leafWeight": 0}}, [], []),
    (
        {"blockIO": {"weightDevice": [{**DEVICE, "weight": 10}]}},
        [("blkio.weight_device or blkio.bfq.weight_device", "8:16 10", "/blockIO/weightDevice/0")],
        [("io.bfq.weight or io.weight", "8:16 10 or 8:16 1", "/blockIO/weightDevice/0")],
    ),
    (
        {
            "blockIO": {
                "throttleReadBpsDevice": [{**DEVICE, "rate": 600}, {"major": 8, "minor": 0, "rate": 700}],
                "throttleWriteBpsDevice": [{**DEVICE, "rate": 1}],
                "throttleReadIOPSDevice": [{**DEVICE, "rate": 2}],
                "throttleWriteIOPSDevice": [{**DEVICE, "rate": 0}],
            }
        },
        [
            ("blkio.throttle.read_bps_device", "8:16 600", "/blockIO/throttleReadBpsDevice/0"),
            ("blkio.throttle.read_bps_device", "8:0 700", "/blockIO/throttleReadBpsDevice/1"),
            ("blkio.throttle.write_bps_device", "8:16 1", "/blockIO/throttleWriteBpsDevice/0"),
            ("blkio.throttle.read_iops_device", "8:16 2", "/blockIO/throttleReadIOPSDevice/0"),
            ("blkio.throttle.write_iops_device", "8:16 0", "/blockIO/throttleWriteIOPSDevice/0"),
        ],
        [
            ("io.max", "8:16 rbps=600", "/blockIO/throttleReadBpsDevice/0"),
            ("io.max", "8:0 rbps=700", "/blockIO/throttleReadBpsDevice/1"),
            ("io.max", "8:16 wbps=1", "/blockIO/throttleWriteBpsDevice/0"),
            ("io.max", "8:16 riops=2", "/blockIO/throttleReadIOPSDevice/0"),
            ("io.max", "8:16 wiops=max", "/blockIO/throttleWriteIOPSDevice/0"),
        ],
    ),
    # hugepageLimits: 0 is a limit
    (
        {"hugepageLimits": [{"pageSize": "2MB", "limit": 4194304}, {"pageSize": "1GB", "limit": 0}]},
        [
            ("hugetlb.2MB.limit_in_bytes", "4194304", "/hugepageLimits/0"),
            ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304", "/hugepageLimits/0"),
            ("hugetlb.1GB.limit_in_bytes", "0", "/hugepageLimits/1"),
            ("hugetlb.1GB.rsvd.limit_in_bytes", "0", "/hugepageLimits/1"),
        ],
        [
            ("hugetlb.2MB.max", "4194304", "/hugepageLimits/0"),
            ("hugetlb.2MB.rsvd.max", "4194304", "/hugepageLimits/0"),
            ("hugetlb.1GB.max", "0", "/hugepageLimits/1"),
            ("hugetlb.1GB.rsvd.max", "0", "/hugepageLimits/1"),
        ],
    ),
    # rdma
    (
        {"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10000}, "a/b": {"hcaObjects": 0}}},
        [
            ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000", "/rdma/mlx5_1"),
            ("rdma.max", "a/b hca_object=0", "/rdma/a~1b"),
        ],
        [
            ("rdma.max", "mlx5_1 hca_handle=3 hca_object=10000", "/rdma/mlx5_1"),
            ("rdma.max", "a/b hca_object=0", "/rdma/a~1b"),
        ],
    ),
    ({"network": {"classID": 0, "priorities": []}}, [], []),
]
ONLY_V1: list[tuple[dict[str, Any], list[tuple[str, str, str]], str]] = [
    (
        {"memory": {"disableOOMKiller": True}},
        [("memory.oom_control", "1", "/memory/disableOOMKiller")],
        "memory.disableOOMKiller is not supported here: needs cgroup v1",
    ),
    (
        {"memory": {"swappiness": 0}},
        [("memory.swappiness", "0", "/memory/swappiness")],
        "memory.swappiness is not supported here: needs cgroup v1",
    ),
    (
        {"cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 950000}},
        [
            ("cpu.rt_period_us", "1000000", "/cpu/realtimePeriod"),
            ("cpu.rt_runtime_us", "950000", "/cpu/realtimeRuntime"),
        ],
        "cpu.realtimePeriod is not supported here: needs cgroup v1",
    ),
    (
        {"blockIO": {"leafWeight": 300}},
        [("blkio.leaf_weight or blkio.bfq.leaf_weight", "300", "/blockIO/leafWeight")],
        "blockIO.leafWeight is not supported here: needs cgroup v1",
    ),
    (
        {"blockIO": {"weightDevice": [{**DEVICE, "leafWeight": 300}]}},
        [("blkio.leaf_weight_device or blkio.bfq.leaf_weight_device", "8:16 300", "/blockIO/weightDevice/0")],
        "blockIO.weightDevice.leafWeight is not supported here: needs cgroup v1",
    ),
    (
        {"network": {"classID": 1048577}},
        [("net_cls.classid", "1048577", "/network/classID")],
        "network.classID is not supported here: needs the cgroup controller net_cls",
    ),
    (
        {"network": {"priorities": [{"name": "eth0", "priority": 500}]}},
        [("net_prio.ifpriomap", "eth0 500", "/network/priorities/0")],
        "network.priorities is not supported here: needs the cgroup controller net_prio",
    ),
]


@pytest.mark.parametrize(("resources", "v1", "v2"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_resources_become_the_files_of_each_version(
    resources: dict[str, Any], v1: list[tuple[str, str, str]], v2: list[tuple[str, str, str]]
) -> None:
    assert written(resources, V1) == v1
    assert written(resources, V2) == v2


@pytest.mark.parametrize(("resources", "v1", "message"), ONLY_V1, ids=[str(row[0]) for row in ONLY_V1])
def test_what_v2_has_no_file_for_is_an_error_there(
    resources: dict[str, Any], v1: list[tuple[str, str, str]], message: str
) -> None:
    assert written(resources, V1) == v1
    with pytest.raises(UnsupportedError) as caught:
        compile(resources, V2)
    assert str(caught.value).startswith(message + " (config.json#/linux/resources/")


@pytest.mark.parametrize(
    ("resources", "pointer", "controller"),
    [
        ({"memory": {"swap": 5}}, "/memory/swap", "memory"),
        ({"cpu": {"quota": 5}}, "/cpu/quota", "cpu"),
        ({"cpu": {"idle": 1}}, "/cpu/idle", "cpu"),
        ({"cpu": {"mems": "0"}}, "/cpu/mems", "cpuset"),
        ({"pids": {"limit": 5}}, "/pids/limit", "pids"),
        ({"blockIO": {"weight": 5}}, "/blockIO/weight", "blkio"),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, "/hugepageLimits/0", "hugetlb"),
        ({"rdma": {"m": {"hcaHandles": 1}}}, "/rdma/m", "rdma"),
        ({"devices": [{"allow": False, "access": "rwm"}]}, "/devices", "devices"),
    ],
)
def test_a_limit_without_its_controller_is_unsupported(
    resources: dict[str, Any], pointer: str, controller: str
) -> None:
    with pytest.raises(UnsupportedError) as caught:
        compile(resources, NONE)
    assert caught.value.pointer == "/linux/resources" + pointer
    assert caught.value.needs == f"the cgroup controller {controller}"


@pytest.mark.parametrize(
    "resources",
    [
        {"memory": {"limit": 0, "reservation": 0, "disableOOMKiller": False}},
        {"cpu": {"shares": 0, "idle": 0, "burst": 0, "cpus": ""}},
        {"pids": {"limit": -1}},
        {"blockIO": {"weight": 0, "weightDevice": []}},
        {"hugepageLimits": [], "rdma": {}, "network": {}, "unified": {}, "devices": []},
    ],
)
def test_what_is_unset_needs_no_controller(resources: dict[str, Any]) -> None:
    assert compile(resources, NONE) == []


def optional(resources: dict[str, Any], layout: Layout) -> list[str]:
    return [setting.file for setting in compile(resources, layout, devices=False) if setting.optional]


def test_a_missing_file_is_no_error_where_nothing_is_lost() -> None:
    assert optional({"cpu": {"burst": 0, "idle": 0}}, V1) == ["cpu.idle", "cpu.cfs_burst_us"]
    assert optional({"cpu": {"burst": 1, "idle": 1}}, V1) == []
    assert optional({"memory": {"limit": -1}}, V1) == ["memory.memsw.limit_in_bytes"]
    assert optional({"memory": {"limit": 5, "swap": 5}}, V2) == ["memory.swap.max"]
    assert optional({"memory": {"limit": 5, "swap": 6}}, V2) == []
    assert optional({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]}, V2) == ["hugetlb.2MB.rsvd.max"]


def test_on_a_hybrid_host_each_controller_is_taken_where_it_is() -> None:
    resources = {"memory": {"limit": 5}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}
    assert [file for file, _, _ in written(resources, HYBRID)] == [
        "memory.limit_in_bytes",
        "hugetlb.2MB.max",
        "hugetlb.2MB.rsvd.max",
    ]


def test_v1_always_gets_device_rules_but_not_in_an_update() -> None:
    assert compile({}, V1)[0].file == "devices.deny"
    assert compile({}, V1, devices=False) == []


def test_v2_gets_no_setting_for_device_rules() -> None:
    assert compile({"devices": [{"allow": False, "access": "rwm"}]}, V2) == []


def test_a_v1_host_without_the_devices_controller_is_refused_even_without_rules() -> None:
    layout = Layout("v1", hierarchies=V1.hierarchies[:1])
    with pytest.raises(UnsupportedError, match="device access control is not supported here"):
        compile({}, layout)


@pytest.mark.parametrize("layout", [V1, HYBRID])
def test_unified_is_refused_without_v2(layout: Layout) -> None:
    with pytest.raises(ConfigError, match="invalid configuration: cannot use unified on cgroup v1") as caught:
        compile({"unified": {"memory.high": "5"}}, layout)
    assert caught.value.pointer == "/linux/resources/unified"


def test_unified_comes_last_and_as_it_is() -> None:
    resources = {"unified": {"memory.max": "7", "io.max": "8:0 rbps=1\n8:16 rbps=2"}, "memory": {"limit": 5}}
    settings = compile(resources, V2)
    assert [(setting.controller, setting.file, setting.value) for setting in settings] == [
        ("memory", "memory.max", "5"),
        ("memory", "memory.max", "7"),
        ("io", "io.max", "8:0 rbps=1\n8:16 rbps=2"),
    ]


def test_an_idle_cgroup_loses_its_weight_last_and_gets_it_back_first() -> None:
    def files(unified: dict[str, str]) -> list[str]:
        return [setting.file for setting in compile({"unified": unified}, V2, devices=False)]

    assert files({"cpu.idle": "1", "cpu.weight": "8"}) == ["cpu.weight", "cpu.idle"]
    assert files({"cpu.weight": "8", "cpu.idle": " 0\n"}) == ["cpu.idle", "cpu.weight"]


@pytest.mark.parametrize("key", ["../memory.max", "memory", ".max", "a/b.c"])
def test_a_unified_key_that_is_no_file_name_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=r"wanted a file name CONTROLLER\.PARAMETER") as caught:
        compile({"unified": {key: "1"}}, V2)
    assert repr(key) in caught.value.message


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        ({"swap": 5}, "unable to set swap limit without memory limit"),
        ({"limit": 6, "swap": 5}, "memory+swap limit should be >= memory limit, found 5 < 6"),
    ],
)
def test_a_swap_limit_that_cannot_be_converted_is_an_error_on_v2(memory: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile({"memory": memory}, V2)
    assert (caught.value.pointer, caught.value.message) == ("/linux/resources/memory/swap", message)


def test_memory_without_hierarchy_is_gone_from_the_kernel() -> None:
    with pytest.raises(UnsupportedError, match=r"memory.useHierarchy false is not supported here"):
        compile({"memory": {"useHierarchy": False}}, V1)


@pytest.mark.parametrize(
    ("shares", "message"),
    [(1, "the minimum allowed cpu-shares is 2, found 1"), (262145, "the maximum allowed cpu-shares is 262144")],
)
def test_shares_that_v1_would_change_silently_are_refused(shares: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compile({"cpu": {"shares": shares}}, V1)
    assert caught.value.message.startswith(message)
    assert [setting.file for setting in compile({"cpu": {"shares": shares}}, V2)] == ["cpu.weight"]


def test_a_check_before_update_is_of_memory_and_of_memory_with_swap() -> None:
    def usages(memory: dict[str, Any]) -> list[tuple[str, int] | None]:
        return [setting.usage for setting in compile({"memory": memory}, V2)]

    assert usages({"limit": 5, "swap": 7, "checkBeforeUpdate": True}) == [("memory+swap", 7), ("memory", 5)]
    assert usages({"limit": 5, "swap": -1, "checkBeforeUpdate": True}) == [None, ("memory", 5)]
    assert usages({"limit": 5, "swap": 7}) == [None, None]


def test_a_setting_shows_what_it_writes() -> None:
    assert repr(Setting("pids", "pids.max", "5", "/x")) == "Setting('pids', 'pids.max', '5', '/x')"


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(1, 1), (2, 1), (3, 2), (10, 4), (100, 17), (512, 59), (1024, 100), (1025, 101), (2048, 174), (262144, 10000)]
    + [(262143, 10000), (999999, 10000)],
)
def test_shares_become_weights_along_the_quadratic_curve(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


@pytest.mark.parametrize(("weight", "expected"), [(10, 1), (11, 11), (100, 910), (500, 4950), (1000, 10000)])
def test_io_weights_are_stretched(weight: int, expected: int) -> None:
    assert io_weight(weight) == expected
