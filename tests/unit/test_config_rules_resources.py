"""The rules of linux.resources: ocirt/config/rules_linux.py."""

from __future__ import annotations

from config_cases import Case, assert_complete, assert_named_alone, cases, changed

from ocirt.config import rules

CASES: list[Case] = [
    (
        "device_rules_are_known",
        changed(linux__resources={"devices": [{"allow": True, "type": "p"}]}),
        "/linux/resources/devices/0/type",
        'wanted "a", "b" or "c", found "p"',
    ),
    (
        "device_rules_are_known",
        changed(linux__resources={"devices": [{"allow": True, "access": "rx"}]}),
        "/linux/resources/devices/0/access",
        'wanted a composition of "r", "w" and "m", found "rx"',
    ),
    (
        "device_rules_are_known",
        changed(linux__resources={"devices": [{"allow": True, "type": "c", "major": -2}]}),
        "/linux/resources/devices/0/major",
        "wanted a device number, or -1 for all, found -2",
    ),
    (
        "memory_limits_are_ordered",
        changed(linux__resources={"memory": {"limit": 100, "swap": 99}}),
        "/linux/resources/memory/swap",
        "wanted at least the memory limit 100, as it counts memory and swap together, found 99",
    ),
    (
        "memory_limits_are_ordered",
        changed(linux__resources={"memory": {"limit": -1, "swap": 99}}),
        "/linux/resources/memory/swap",
        "wanted -1, as memory is unlimited and counts too, found 99",
    ),
    (
        "memory_limits_are_ordered",
        changed(linux__resources={"memory": {"reservation": -2}}),
        "/linux/resources/memory/reservation",
        "wanted bytes, or -1 for unlimited, found -2",
    ),
    (
        "swappiness_is_a_percentage",
        changed(linux__resources={"memory": {"swappiness": 101}}),
        "/linux/resources/memory/swappiness",
        "wanted a number from 0 to 100, found 101",
    ),
    (
        "cpu_burst_fits_quota",
        changed(linux__resources={"cpu": {"quota": 10, "burst": 11}}),
        "/linux/resources/cpu/burst",
        "wanted at most the quota 10, found 11",
    ),
    (
        "cpu_idle_is_a_switch",
        changed(linux__resources={"cpu": {"idle": 2}}),
        "/linux/resources/cpu/idle",
        "wanted 0 or 1, found 2",
    ),
    (
        "block_io_devices_have_a_weight",
        changed(linux__resources={"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}),
        "/linux/resources/blockIO/weightDevice/0",
        'wanted "weight" or "leafWeight", found neither',
    ),
    (
        "rdma_devices_have_a_limit",
        changed(linux__resources={"rdma": {"mlx5_1": {}}}),
        "/linux/resources/rdma/mlx5_1",
        'wanted "hcaHandles" or "hcaObjects", found neither',
    ),
    (
        "unified_names_are_files",
        changed(linux__resources={"unified": {"../memory.max": "1"}}),
        "/linux/resources/unified/..~1memory.max",
        'wanted the name of a file, found "../memory.max"',
    ),
]


@cases(CASES)
def test_a_broken_rule_is_named_and_alone(case: Case) -> None:
    assert_named_alone(case)


def test_every_rule_has_a_case() -> None:
    assert_complete(CASES, rules.RESOURCES_RULES, "rules_linux")
