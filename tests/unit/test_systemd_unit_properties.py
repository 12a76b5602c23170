"""linux.resources as properties of a unit: one table for v1, one for v2."""

from __future__ import annotations

from typing import Any

import pytest

from ocirt.cgroup.layout import Hierarchy, Layout
from ocirt.cgroup.resources import Setting, compile
from ocirt.cgroup.unit_properties import (
    annotation_properties,
    cpu_mask,
    device_properties,
    ignored,
    resource_properties,
    round_quota,
)
from ocirt.errors import ConfigError

NAMES = ("cpu", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "hugetlb")
V1 = Layout("v1", hierarchies=tuple(Hierarchy((name,), "/sys/fs/cgroup/" + name) for name in NAMES))
V2 = Layout("v2", v2_mount="/sys/fs/cgroup", v2_controllers=("cpuset", "cpu", "io", "memory", "hugetlb", "pids"))
UNLIMITED = 2**64 - 1
DEVICE = {"major": 8, "minor": 16}


def told(resources: dict[str, Any], layout: Layout, version: int = 252) -> dict[str, Any]:
    """Property -> value, of those that systemd is told of."""
    settings = compile(resources, layout, devices=False)
    properties = resource_properties(settings, version=version)
    assert len({name for name, _ in properties}) == len(properties)
    assert all(signature == ("ay" if isinstance(value, bytes) else "t") for _, (signature, value) in properties)
    return {name: value for name, (_, value) in properties}


TABLE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {}),
    ({"memory": {"limit": 4096}}, {"MemoryLimit": 4096}, {"MemoryMax": 4096}),
    (
        {"memory": {"limit": 4096, "swap": 8192, "reservation": 1024}},
        {"MemoryLimit": 4096},
        {"MemoryMax": 4096, "MemorySwapMax": 4096, "MemoryLow": 1024},
    ),
    (
        {"memory": {"limit": -1}},
        {"MemoryLimit": UNLIMITED},
        {"MemoryMax": UNLIMITED, "MemorySwapMax": UNLIMITED},
    ),
    ({"cpu": {"shares": 1024}}, {"CPUShares": 1024}, {"CPUWeight": 100}),
    (
        {"cpu": {"quota": 50000, "period": 100000}},
        {"CPUQuotaPeriodUSec": 100000, "CPUQuotaPerSecUSec": 500000},
        {"CPUQuotaPeriodUSec": 100000, "CPUQuotaPerSecUSec": 500000},
    ),
    ({"cpu": {"quota": 5000}}, {"CPUQuotaPerSecUSec": 50000}, {"CPUQuotaPerSecUSec": 50000}),
    (
        {"cpu": {"quota": 500000, "period": 900000}},
        {"CPUQuotaPeriodUSec": 900000, "CPUQuotaPerSecUSec": 560000},
        {"CPUQuotaPeriodUSec": 900000, "CPUQuotaPerSecUSec": 560000},
    ),
    (
        {"cpu": {"quota": -1, "period": 50000}},
        {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": UNLIMITED},
        {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": UNLIMITED},
    ),
    (
        {"cpu": {"period": 50000}},
        {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": UNLIMITED},
        {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": UNLIMITED},
    ),
    (
        {"cpu": {"cpus": "0-2,8", "mems": "0"}},
        {"AllowedCPUs": b"\x07\x01", "AllowedMemoryNodes": b"\x01"},
        {"AllowedCPUs": b"\x07\x01", "AllowedMemoryNodes": b"\x01"},
    ),
    ({"cpu": {"burst": 1000, "quota": 10000}}, {"CPUQuotaPerSecUSec": 100000}, {"CPUQuotaPerSecUSec": 100000}),
    ({"pids": {"limit": 20}}, {"TasksMax": 20}, {"TasksMax": 20}),
    ({"pids": {"limit": 0}}, {"TasksMax": 1}, {"TasksMax": 1}),
    ({"pids": {"limit": -1}}, {"TasksMax": UNLIMITED}, {"TasksMax": UNLIMITED}),
    ({"blockIO": {"weight": 500}}, {"BlockIOWeight": 500}, {"IOWeight": 4950}),
    ({"blockIO": {"weightDevice": [{**DEVICE, "weight": 50}]}}, {}, {}),
    ({"blockIO": {"throttleReadBpsDevice": [{**DEVICE, "rate": 50}]}}, {}, {}),
    ({"hugepageLimits": [{"pageSize": "2MB", "limit": 4096}]}, {}, {}),
]


@pytest.mark.parametrize(("resources", "v1", "v2"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_resources_are_properties(resources: dict[str, Any], v1: dict[str, Any], v2: dict[str, Any]) -> None:
    assert told(resources, V1) == v1
    assert told(resources, V2) == v2


UNIFIED = [
    ({"memory.min": "131072", "memory.low": "4M", "memory.high": "1g", "memory.max": "max"}, {
        "MemoryMin": 131072, "MemoryLow": 4 << 20, "MemoryHigh": 1 << 30, "MemoryMax": UNLIMITED}),
    ({"memory.swap.max": "0"}, {"MemorySwapMax": 0}),
    ({"pids.max": "99"}, {"TasksMax": 99}),
    ({"pids.max": "0"}, {"TasksMax": 1}),
    ({"cpu.max": "10000 100000"}, {"CPUQuotaPeriodUSec": 100000, "CPUQuotaPerSecUSec": 100000}),
    ({"cpu.max": "max 50000"}, {"CPUQuotaPeriodUSec": 50000, "CPUQuotaPerSecUSec": UNLIMITED}),
    ({"cpu.max": "max"}, {"CPUQuotaPerSecUSec": UNLIMITED}),
    ({"cpu.weight": " 42 "}, {"CPUWeight": 42}),
    ({"cpuset.cpus": "5, 6"}, {"AllowedCPUs": b"\x60"}),
    ({"io.weight": "default 300"}, {"IOWeight": 300}),
    ({"io.weight": "8:16 300"}, {}),
    ({"io.bfq.weight": "10"}, {"IOWeight": 1}),
    ({"memory.oom.group": "1", "cpu.max": "a lot", "cpuset.mems": "none"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("unified", "properties"), UNIFIED, ids=[str(row[0]) for row in UNIFIED])
def test_unified_is_properties_as_far_as_systemd_has_words_for_it(
    unified: dict[str, str], properties: dict[str, Any]
) -> None:
    assert told({"unified": unified}, V2) == properties


def test_an_idle_container_has_the_weight_that_systemd_calls_idle() -> None:
    assert told({"cpu": {"idle": 1, "shares": 1024}}, V2) == {"CPUWeight": 0}
    assert told({"cpu": {"idle": 0}}, V2) == {"CPUWeight": UNLIMITED}
    assert told({"cpu": {"idle": 0, "shares": 1024}}, V2) == {"CPUWeight": 100}


def test_a_systemd_before_252_is_not_told_of_idle_containers() -> None:
    assert told({"cpu": {"idle": 1, "shares": 1024}}, V2, version=251) == {"CPUWeight": 100}


def test_a_weight_that_an_idle_container_cannot_have_is_said() -> None:
    both = compile({"cpu": {"idle": 1, "shares": 1024}}, V2, devices=False)
    assert ignored(both, version=252) == [
        "unable to apply both cpu.weight and cpu.idle to systemd, ignoring cpu.weight"
    ]
    assert ignored(both, version=251) == []
    for cpu in ({"idle": 1}, {"shares": 1024}, {"idle": 0, "shares": 1024}):
        assert ignored(compile({"cpu": cpu}, V2, devices=False), version=252) == []


def test_a_property_is_left_out_where_systemd_is_too_old_for_it() -> None:
    limit = {"unified": {"memory.zswap.max": "4096"}}
    assert told(limit, V2, version=252) == {}
    assert told(limit, V2, version=253) == {"MemoryZSwapMax": 4096}


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"quota": 500000, "period": 900000}, "504000 900000"),
        ({"quota": 50000, "period": 100000}, "50000 100000"),
        ({"quota": 5500}, "6000"),
        ({"quota": -1, "period": 100000}, "max 100000"),
        ({"period": 100000}, "max 100000"),
    ],
)
def test_the_quota_is_rounded_up_to_a_percent_of_a_cpu(asked: dict[str, int], kept: str) -> None:
    (setting,) = round_quota(compile({"cpu": asked}, V2, devices=False))
    assert (setting.file, setting.value) == ("cpu.max", kept)
    assert round_quota([setting])[0].value == kept


def test_the_quota_of_v1_is_rounded_by_its_period() -> None:
    settings = round_quota(compile({"cpu": {"quota": 500000, "period": 900000}}, V1, devices=False))
    assert [(setting.file, setting.value) for setting in settings] == [
        ("cpu.cfs_period_us", "900000"),
        ("cpu.cfs_quota_us", "504000"),
    ]


def test_other_settings_are_not_rounded() -> None:
    settings = [Setting("memory", "memory.max", "4097", "/linux/resources/memory/limit")]
    assert round_quota(settings) == settings


# -- devices -----------------------------------------------------------------------------------------------------------

ALWAYS = [
    ("char-*", "m"),
    ("block-*", "m"),
    ("/dev/char/1:3", "rwm"),
    ("/dev/char/1:5", "rwm"),
    ("/dev/char/1:7", "rwm"),
    ("/dev/char/1:8", "rwm"),
    ("/dev/char/1:9", "rwm"),
    ("/dev/char/5:0", "rwm"),
    ("/dev/char/5:2", "rwm"),
    ("char-136", "rwm"),
    ("/dev/char/10:200", "rwm"),
]
DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}
ALLOW_DISK = {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "rw"}
ALLOW_DRIVER = {"allow": True, "type": "b", "major": 8, "access": "r"}
ALLOW_MINOR = {"allow": True, "type": "c", "minor": 7, "access": "r"}
DENY_DISK = {**ALLOW_DISK, "allow": False}


def devices(*rules: dict[str, Any], program: bool = True) -> tuple[str, list[tuple[str, str]]]:
    """The policy, and what is allowed beside `ALWAYS`."""
    first, (_, (_, policy)), *rest = device_properties(rules, program=program)
    assert first == ("DeviceAllow", ("a(ss)", [])), "what was allowed before is forgotten"
    allowed: list[tuple[str, str]] = [entry for _, (_, entries) in rest for entry in entries]
    assert policy == "auto" or set(ALWAYS) <= set(allowed) or (not allowed and not program)
    return policy, [entry for entry in allowed if entry not in ALWAYS]


@pytest.mark.parametrize("program", [True, False])
def test_devices_are_a_list_of_what_is_allowed(program: bool) -> None:
    assert devices(program=program) == ("strict", [])
    assert devices(DENY_ALL, ALLOW_DISK, program=program) == ("strict", [("/dev/block/8:0", "rw")])
    assert devices(DENY_ALL, ALLOW_DRIVER, program=program) == ("strict", [("block-8", "r")])
    assert devices(ALLOW_ALL, program=program) == ("auto", [])


def test_where_a_program_decides_too_systemd_allows_more() -> None:
    assert devices(ALLOW_ALL, DENY_DISK) == ("auto", [])
    assert devices(DENY_ALL, ALLOW_MINOR) == ("strict", [("char-*", "r")])
    assert devices(DENY_ALL, ALLOW_DRIVER, DENY_DISK) == ("strict", [("block-8", "r")])


def test_where_systemd_alone_decides_for_a_moment_it_allows_less() -> None:
    assert devices(ALLOW_ALL, DENY_DISK, program=False) == ("strict", [])
    assert devices(DENY_ALL, ALLOW_MINOR, program=False) == ("strict", [])


# -- annotations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "property"),
    [
        ("CollectMode", "'inactive-or-failed'", ("CollectMode", ("s", "inactive-or-failed"))),
        ("TasksMax", "uint64 9", ("TasksMax", ("t", 9))),
        ("After", "['a.service']", ("After", ("as", ["a.service"]))),
        ("TimeoutStopUSec", "uint64 123456789", ("TimeoutStopUSec", ("t", 123456789))),
        ("TimeoutStopSec", "10", ("TimeoutStopUSec", ("t", 10_000_000))),
        ("TimeoutStopSec", "1.5", ("TimeoutStopUSec", ("t", 1_500_000))),
        ("TimeoutStopSec", "byte 2", ("TimeoutStopUSec", ("t", 2_000_000))),
        ("Sec", "5", ("Sec", ("i", 5))),
        ("MIPSec", "5", ("MIPSec", ("i", 5))),
    ],
)
def test_an_annotation_is_a_property(name: str, text: str, property: tuple[str, tuple[str, Any]]) -> None:
    assert annotation_properties({"org.systemd.property." + name: text, "other": "uint32"}) == [property]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("", "5", "wanted the name of a property, three letters or more, found ''"),
        ("ab", "5", "found 'ab'"),
        ("Tasks_Max", "5", "found 'Tasks_Max'"),
        ("Täsks", "5", "found 'Täsks'"),
        ("TasksMax", "uint64", "unexpected end"),
        ("TimeoutStopSec", "'10'", "wanted a number of seconds for TimeoutStopSec"),
        ("TimeoutStopSec", "-1", "wanted a number of seconds"),
        ("TimeoutStopSec", "1e300", "wanted a number of seconds"),
    ],
)
def test_an_annotation_that_is_no_property_is_an_error(name: str, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        annotation_properties({"org.systemd.property." + name: text})
    assert message in caught.value.message
    assert caught.value.pointer == f"/annotations/org.systemd.property.{name}"


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("0", b"\x01"),
        ("0-3", b"\x0f"),
        (" 1 , 3-5 ,", b"\x3a"),
        ("15", b"\x00\x80"),
        ("", b""),
        ("5-3", b""),
        ("a", b""),
        ("1-", b""),
        ("0-6:2", b""),
        ("999999999", b""),
    ],
)
def test_a_list_of_numbers_is_a_mask(text: str, mask: bytes) -> None:
    assert cpu_mask(text) == mask
