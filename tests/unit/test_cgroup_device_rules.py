"""linux.resources.devices as writes to the v1 devices controller."""

from __future__ import annotations

from typing import Any

import pytest
from device_controller import ALLOW_ALL, REQUESTS, RULES, Controller
from hypothesis import given, settings

from ocirt.cgroup.device_rules import DEFAULT_ALLOWED, Policy, device_transition
from ocirt.cgroup.device_rules import device_writes as policy_writes
from ocirt.errors import ConfigError, UnsupportedError

DEFAULTS = [
    ("devices.allow", "c *:* m", ""),
    ("devices.allow", "b *:* m", ""),
    ("devices.allow", "c 1:3 rwm", ""),
    ("devices.allow", "c 1:5 rwm", ""),
    ("devices.allow", "c 1:7 rwm", ""),
    ("devices.allow", "c 1:8 rwm", ""),
    ("devices.allow", "c 1:9 rwm", ""),
    ("devices.allow", "c 5:0 rwm", ""),
    ("devices.allow", "c 5:2 rwm", ""),
    ("devices.allow", "c 136:* rwm", ""),
    ("devices.allow", "c 10:200 rwm", ""),
]
DENY_ALL = {"allow": False, "access": "rwm"}


def device_writes(rules: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return policy_writes(Policy(rules))


def at(index: int) -> str:
    return f"/linux/resources/devices/{index}"


def test_without_rules_everything_but_the_default_devices_is_denied() -> None:
    assert device_writes([]) == [("devices.deny", "a", ""), *DEFAULTS]


def test_the_console_of_the_host_is_no_default_device() -> None:
    assert ("c", 5, 1, "rwm") not in DEFAULT_ALLOWED


def test_a_rule_without_type_major_and_minor_is_for_all() -> None:
    assert device_writes([DENY_ALL]) == [("devices.deny", "a", at(0)), *DEFAULTS]


def test_allowed_devices_come_after_the_denied_rest() -> None:
    rules = [DENY_ALL, {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "wr"}]
    assert device_writes(rules) == [("devices.deny", "a", at(0)), ("devices.allow", "b 8:0 rw", at(1)), *DEFAULTS]


def test_an_absent_minor_is_a_wildcard() -> None:
    rules = [DENY_ALL, {"allow": True, "type": "c", "major": 116, "access": "rw"}]
    assert ("devices.allow", "c 116:* rw", at(1)) in device_writes(rules)


def test_minus_one_is_a_wildcard_too() -> None:
    rules = [DENY_ALL, {"allow": True, "type": "c", "major": 116, "minor": -1, "access": "rw"}]
    assert ("devices.allow", "c 116:* rw", at(1)) in device_writes(rules)


def test_a_privileged_container_may_use_all_devices() -> None:
    assert device_writes([DENY_ALL, {"allow": True, "access": "rwm"}]) == [("devices.allow", "a", at(1))]


def test_a_device_can_be_denied_to_a_privileged_container() -> None:
    rules = [{"allow": True, "type": "a", "access": "mrw"}, {"allow": False, "type": "b", "major": 8, "access": "w"}]
    assert device_writes(rules) == [("devices.allow", "a", at(0)), ("devices.deny", "b 8:* w", at(1))]


def test_the_order_of_rules_decides() -> None:
    allow = {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "rw"}
    deny = {"allow": False, "type": "b", "major": 8, "minor": 0, "access": "w"}
    assert ("devices.allow", "b 8:0 r", at(0)) in device_writes([allow, deny])
    assert ("devices.allow", "b 8:0 rw", at(1)) in device_writes([deny, allow])


def test_a_denied_exception_vanishes() -> None:
    allow = {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "rw"}
    assert device_writes([allow, {**allow, "allow": False}]) == [("devices.deny", "a", ""), *DEFAULTS]


def test_a_later_rule_for_all_forgets_what_was_before() -> None:
    allow = {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "rw"}
    assert device_writes([allow, DENY_ALL]) == [("devices.deny", "a", at(1)), *DEFAULTS]


def test_a_rule_for_all_types_with_a_number_is_not_widened_to_every_device() -> None:
    writes = device_writes([DENY_ALL, {"allow": True, "type": "a", "major": 10, "minor": 229, "access": "r"}])
    assert writes[:3] == [
        ("devices.deny", "a", at(0)),
        ("devices.allow", "c 10:229 r", at(1)),
        ("devices.allow", "b 10:229 r", at(1)),
    ]


def test_a_default_device_keeps_the_access_that_was_asked_for() -> None:
    writes = device_writes([{"allow": True, "type": "c", "major": 1, "minor": 3, "access": "r"}])
    assert ("devices.allow", "c 1:3 rwm", at(0)) in writes


def test_a_hole_in_a_wildcard_is_refused_as_the_kernel_would_ignore_it() -> None:
    rules = [
        {"allow": True, "type": "c", "major": 10, "access": "rw"},
        {"allow": False, "type": "c", "major": 10, "minor": 200, "access": "r"},
    ]
    with pytest.raises(UnsupportedError) as caught:
        device_writes(rules)
    assert str(caught.value) == (
        "denying the device c 10:200 r after c 10:* rw is not supported here: needs cgroup v2"
        " (config.json#/linux/resources/devices/1)"
    )


@pytest.mark.parametrize(
    ("rule", "pointer", "message"),
    [
        ({"allow": True, "type": "c"}, "/access", "wanted a device access of 'r', 'w' and 'm', found ''"),
        ({"allow": True, "access": "rx"}, "/access", "wanted a device access of 'r', 'w' and 'm', found 'rx'"),
        ({"allow": True, "type": "p", "access": "r"}, "/type", "wanted a device type of 'a', 'b' or 'c', found 'p'"),
    ],
)
def test_a_rule_that_is_none_is_named(rule: dict[str, Any], pointer: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        device_writes([rule])
    assert (caught.value.pointer, caught.value.message) == (at(0) + pointer, message)


def test_a_letter_without_a_meaning_denies_nothing_more() -> None:
    assert device_writes([DENY_ALL, {"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rwa"}]) == (
        device_writes([DENY_ALL])
    )


def test_a_number_beyond_those_of_the_kernel_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        device_writes([{"allow": True, "type": "c", "major": 1 << 32, "access": "r"}])
    assert (caught.value.pointer, caught.value.message) == (
        at(0) + "/major",
        "wanted a device number up to 4294967294, found 4294967296",
    )


def transition(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(file, value) for file, value, _ in device_transition(Policy(old), Policy(new))]


def test_an_update_that_changes_no_rule_writes_nothing() -> None:
    assert transition([DENY_ALL], [DENY_ALL]) == []


def test_an_update_writes_the_difference_alone() -> None:
    old = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}
    assert transition([DENY_ALL, old], [DENY_ALL, {**old, "access": "rm"}]) == [
        ("devices.allow", "c 10:229 m"),
        ("devices.deny", "c 10:229 w"),
    ]


def test_another_default_is_set_before_its_exceptions() -> None:
    rules = [ALLOW_ALL, {"allow": False, "type": "b", "major": 8, "access": "w"}]
    assert transition([DENY_ALL], rules) == [("devices.allow", "a"), ("devices.deny", "b 8:* w")]
    assert transition(rules, [DENY_ALL])[0] == ("devices.deny", "a")


@settings(max_examples=300, deadline=None)
@given(RULES, RULES, REQUESTS)
def test_an_update_leads_to_the_new_policy_and_refuses_nothing_on_the_way_that_both_allow(
    old: list[dict[str, Any]], new: list[dict[str, Any]], requests: list[tuple[str, int, int, str]]
) -> None:
    try:
        before, after = Policy(old), Policy(new)
    except UnsupportedError:
        return
    controller, wanted = Controller(), Controller()
    for file, value, _ in policy_writes(before):
        controller.write(file, value)
    for file, value, _ in policy_writes(after):
        wanted.write(file, value)
    kept = [one for one in requests if controller.permits(*one) and wanted.permits(*one)]
    for file, value, _ in device_transition(before, after):
        controller.write(file, value)
        if before.allow == after.allow:
            assert all(controller.permits(*one) for one in kept)
    for one in requests:
        assert controller.permits(*one) is wanted.permits(*one)
