"""Limits in force, and those that are asked for: what they come to, what of it is written, and the command's words."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirt.cgroup.layout import Hierarchy, Layout
from ocirt.cli import load
from ocirt.cli.parser import UsageError, parse
from ocirt.cli.update import parse_size, resources_document
from ocirt.update import merge, wanted_settings

MIB = 1 << 20
DENY_ALL = {"allow": False, "access": "rwm"}
V1 = Layout(
    "v1",
    hierarchies=tuple(
        Hierarchy((name,), f"/sys/fs/cgroup/{name}") for name in ("cpu", "cpuset", "memory", "pids", "blkio", "devices")
    ),
)
V2 = Layout("v2", v2_mount="/sys/fs/cgroup", v2_controllers=("cpu", "cpuset", "memory", "pids", "io", "hugetlb"))


def writes(current: dict[str, Any], changes: dict[str, Any], layout: Layout) -> list[tuple[str, str]]:
    settings = wanted_settings(current, merge(current, changes), changes, layout)
    return [(setting.file, setting.value) for setting in settings]


# -- merging -----------------------------------------------------------------------------------------------------------


def test_what_is_not_asked_for_stays() -> None:
    current = {"memory": {"limit": 32 * MIB, "swap": 64 * MIB}, "pids": {"limit": 20}}
    merged = merge(current, {"memory": {"limit": 48 * MIB}, "cpu": {"shares": 200}})
    assert merged == {
        "memory": {"limit": 48 * MIB, "swap": 64 * MIB},
        "pids": {"limit": 20},
        "cpu": {"shares": 200},
    }


def test_nothing_that_is_given_is_changed() -> None:
    current = {
        "memory": {"limit": -1, "swap": 7},
        "blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10}]},
    }
    changes = {"memory": {"limit": -1}, "blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 20}]}}
    before = copy.deepcopy((current, changes))
    merge(current, changes)
    assert (current, changes) == before


@pytest.mark.parametrize(
    "changes",
    [
        {"memory": {"limit": 0, "swap": 0, "reservation": 0}},
        {"memory": {"swappiness": 2**64 - 1}},
        {"cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""}},
        {"blockIO": {"weight": 0}},
        {},
    ],
)
def test_zeros_that_engines_send_for_unset_change_nothing(changes: dict[str, Any]) -> None:
    current = {
        "memory": {"limit": MIB, "swap": 2 * MIB, "reservation": MIB, "swappiness": 3},
        "cpu": {"shares": 100, "quota": 1000, "period": 10000, "cpus": "0", "mems": "0"},
        "blockIO": {"weight": 100},
    }
    assert merge(current, changes) == current


def test_zeros_that_mean_zero_are_taken() -> None:
    merged = merge(
        {"cpu": {"idle": 1, "burst": 5}, "pids": {"limit": 3}}, {"cpu": {"idle": 0, "burst": 0}, "pids": {"limit": 0}}
    )
    assert merged == {"cpu": {"idle": 0, "burst": 0}, "pids": {"limit": 0}}


def test_without_a_limit_of_memory_the_one_of_memory_and_swap_goes_too() -> None:
    current = {"memory": {"limit": 32 * MIB, "swap": 64 * MIB}}
    assert merge(current, {"memory": {"limit": -1}}) == {"memory": {"limit": -1}}


def test_a_device_has_one_entry() -> None:
    old = [
        {"major": 8, "minor": 0, "rate": 1},
        {"major": 8, "minor": 0, "rate": 2},
        {"major": 9, "minor": 0, "rate": 3},
    ]
    new = [{"major": 8, "minor": 0, "rate": 4}, {"major": 10, "minor": 0, "rate": 5}]
    merged = merge({"blockIO": {"throttleReadBpsDevice": old}}, {"blockIO": {"throttleReadBpsDevice": new}})
    assert merged["blockIO"]["throttleReadBpsDevice"] == [new[0], old[2], new[1]]


def test_the_weights_of_a_device_are_kept_apart() -> None:
    old = {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 10, "leafWeight": 20}]}}
    new = {"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 30}]}}
    assert merge(old, new)["blockIO"]["weightDevice"] == [{"major": 8, "minor": 0, "weight": 30, "leafWeight": 20}]


def test_limits_by_name_replace_those_of_the_name() -> None:
    current = {
        "hugepageLimits": [{"pageSize": "2MB", "limit": 1}, {"pageSize": "1GB", "limit": 2}],
        "network": {"classID": 5, "priorities": [{"name": "eth0", "priority": 1}]},
        "rdma": {"mlx": {"hcaHandles": 1, "hcaObjects": 2}},
        "unified": {"memory.high": "1", "pids.max": "2"},
    }
    changes = {
        "hugepageLimits": [{"pageSize": "2MB", "limit": 3}],
        "network": {"priorities": [{"name": "lo", "priority": 4}]},
        "rdma": {"mlx": {"hcaHandles": 6}},
        "unified": {"pids.max": "7"},
    }
    assert merge(current, changes) == {
        "hugepageLimits": [{"pageSize": "2MB", "limit": 3}, {"pageSize": "1GB", "limit": 2}],
        "network": {"classID": 5, "priorities": [{"name": "eth0", "priority": 1}, {"name": "lo", "priority": 4}]},
        "rdma": {"mlx": {"hcaHandles": 6, "hcaObjects": 2}},
        "unified": {"memory.high": "1", "pids.max": "7"},
    }


def test_device_rules_come_behind_those_in_force() -> None:
    first = {"allow": True, "type": "c", "major": 10, "minor": 1, "access": "rw"}
    second = {**first, "allow": False}
    assert merge({"devices": [DENY_ALL, first]}, {"devices": [second]})["devices"] == [DENY_ALL, first, second]


def test_a_rule_for_all_devices_forgets_those_before_it() -> None:
    rules = [DENY_ALL, {"allow": True, "type": "c", "major": 10, "minor": 1, "access": "rw"}]
    assert merge({"devices": rules}, {"devices": [DENY_ALL]})["devices"] == [DENY_ALL]
    everything = {"allow": True, "type": "a", "major": -1, "minor": -1, "access": "mrw"}
    assert merge({"devices": rules}, {"devices": [everything]})["devices"] == [everything]


RESOURCES = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.fixed_dictionaries({}, optional={"limit": st.integers(-1, 9), "swap": st.integers(-1, 9)}),
        "cpu": st.fixed_dictionaries({}, optional={"shares": st.integers(0, 9), "idle": st.integers(0, 1)}),
        "pids": st.fixed_dictionaries({}, optional={"limit": st.integers(-1, 9)}),
    },
)


@given(RESOURCES, RESOURCES)
def test_an_update_that_comes_twice_is_one(current: dict[str, Any], changes: dict[str, Any]) -> None:
    once = merge(current, changes)
    assert merge(once, changes) == once


# -- what is written ---------------------------------------------------------------------------------------------------


def test_what_stays_is_not_written_again() -> None:
    current = {"memory": {"limit": 32 * MIB}, "pids": {"limit": 20}, "cpu": {"shares": 100, "quota": 5000}}
    assert writes(current, {"pids": {"limit": 30}}, V1) == [("pids.max", "30")]
    assert writes(current, {}, V1) == []


def test_what_is_asked_for_is_written_even_if_it_should_be_there() -> None:
    assert writes({"pids": {"limit": 20}}, {"pids": {"limit": 20}}, V2) == [("pids.max", "20")]


def test_quota_and_period_are_one_file_of_v2() -> None:
    current = {"cpu": {"quota": 500000, "period": 1000000}}
    assert writes(current, {"cpu": {"period": 900000}}, V2) == [("cpu.max", "500000 900000")]
    assert writes({}, {"cpu": {"period": 50000}}, V2) == [("cpu.max", "max 50000")]
    assert writes({}, {"cpu": {"quota": 30000}}, V2) == [("cpu.max", "30000")]


def test_swap_follows_memory_on_v2() -> None:
    current = {"memory": {"limit": 30 * MIB, "swap": 50 * MIB}}
    assert writes(current, {"memory": {"limit": 40 * MIB}}, V2) == [
        ("memory.swap.max", str(10 * MIB)),
        ("memory.max", str(40 * MIB)),
    ]


def test_no_limit_of_memory_is_none_of_swap_either() -> None:
    current = {"memory": {"limit": 30 * MIB, "swap": 50 * MIB}}
    assert writes(current, {"memory": {"limit": -1}}, V2) == [("memory.swap.max", "max"), ("memory.max", "max")]
    assert writes(current, {"memory": {"limit": -1}}, V1) == [
        ("memory.limit_in_bytes", "-1"),
        ("memory.memsw.limit_in_bytes", "-1"),
    ]


def test_shares_come_back_when_a_container_is_idle_no_more() -> None:
    current = {"cpu": {"shares": 200, "idle": 1}}
    assert writes(current, {"cpu": {"idle": 0}}, V1) == [("cpu.idle", "0"), ("cpu.shares", "200")]
    assert writes({"cpu": {"shares": 200}}, {"cpu": {"idle": 1}}, V1) == [("cpu.idle", "1")]
    assert writes(current, {"cpu": {"period": 10000}}, V1) == [("cpu.cfs_period_us", "10000")]


def test_shares_end_that_a_container_is_idle() -> None:
    current = {"cpu": {"shares": 200, "idle": 1}, "unified": {"cpu.idle": "1"}}
    for layout, weight in ((V1, ("cpu.shares", "200")), (V2, ("cpu.weight", "29"))):
        assert writes({"cpu": current["cpu"]}, {"cpu": {"shares": 200}}, layout) == [("cpu.idle", "0"), weight]
    assert merge(current, {"cpu": {"shares": 200}}) == {"cpu": {"shares": 200, "idle": 0}, "unified": {"cpu.idle": "0"}}
    both = {"cpu": {"shares": 300, "idle": 1}}
    assert merge(current, both)["cpu"] == both["cpu"]
    assert merge(current, {"cpu": {"shares": 0}}) == current
    assert merge(current, {"cpu": {"shares": 300}, "unified": {"cpu.idle": "1"}})["unified"] == {"cpu.idle": "1"}


def test_a_weight_ends_that_a_container_is_idle() -> None:
    current = {"cpu": {"idle": 0}, "unified": {"cpu.idle": "1", "cpu.weight": "8"}}
    assert writes(current, {"unified": {"cpu.weight": "8"}}, V2) == [("cpu.idle", "0"), ("cpu.weight", "8")]
    assert writes({"cpu": {"idle": 1}}, {"unified": {"cpu.weight": "8"}}, V2) == [
        ("cpu.idle", "0"),
        ("cpu.weight", "8"),
    ]


def test_device_rules_are_no_settings_of_their_own() -> None:
    assert writes({"devices": [DENY_ALL]}, {"devices": [{"allow": True, "access": "rwm"}]}, V1) == []


# -- words -------------------------------------------------------------------------------------------------------------


def document(*words: str) -> dict[str, Any]:
    return resources_document(parse(load("update").flags, ["c", *words], stops_early=False))


def test_every_flag_has_its_property() -> None:
    assert document(
        *("--blkio-weight", "500", "--cpu-period", "10000", "--cpu-quota", "-1", "--cpu-burst", "1000"),
        *("--cpu-share", "200", "--cpu-rt-period", "7", "--cpu-rt-runtime", "6", "--cpuset-cpus", "0-1"),
        *("--cpuset-mems", "0", "--kernel-memory", "1k", "--kernel-memory-tcp", "2k", "--memory", "64M"),
        *("--cpu-idle", "1", "--memory-reservation", "32M", "--memory-swap", "-1", "--pids-limit", "0"),
    ) == {
        "blockIO": {"weight": 500},
        "cpu": {
            "cpus": "0-1",
            "mems": "0",
            "burst": 1000,
            "period": 10000,
            "realtimePeriod": 7,
            "shares": 200,
            "idle": 1,
            "quota": -1,
            "realtimeRuntime": 6,
        },
        "pids": {"limit": 0},
        "memory": {"limit": 64 * MIB, "swap": -1, "reservation": 32 * MIB, "kernel": 1024, "kernelTCP": 2048},
    }


def test_no_flag_asks_for_nothing() -> None:
    assert document() == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1234", 1234),
        ("10b", 10),
        ("1k", 1024),
        ("1 KiB", 1024),
        ("50M", 50 * MIB),
        ("50mb", 50 * MIB),
        ("1.5g", 3 << 29),
        (".5K", 512),
        ("2t", 2 << 40),
        ("1p", 1 << 50),
    ],
)
def test_sizes_have_units(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid size: ''"),
        ("M", "invalid size: 'M'"),
        ("-2", "invalid size: '-2'"),
        ("1..2", "invalid size: '1..2'"),
        ("1x", "invalid suffix: 'x'"),
        ("1kk", "invalid suffix: 'kk'"),
        ("1bb", "invalid suffix: 'bb'"),
        ("1mib5", "invalid size: '1mib5'"),
    ],
)
def test_a_size_that_is_none_is_named(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_size(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--cpu-share", "-5"), 'invalid value for cpu-share: wanted a number from 0, found "-5"'),
        (("--cpu-quota", "many"), 'invalid value for cpu-quota: wanted a number, found "many"'),
        (("--cpu-idle", "1.0"), 'invalid value for cpu-idle: wanted a number, found "1.0"'),
        (("--memory", "12Q"), "invalid value for memory: invalid suffix: 'q'"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_flag(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        document(*words)
    assert str(caught.value) == message
