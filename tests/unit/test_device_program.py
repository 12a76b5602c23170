"""Device rules as an eBPF program, run by a simulator: it decides as the v1 controller does, and can do more."""

from __future__ import annotations

from typing import Any

import pytest
from device_controller import ACCESSES, ALLOW_ALL, DENY_ALL, REQUESTS, RULES, Controller, writes_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ocirt.cgroup.device_program import ACCESS, TYPES, assemble
from ocirt.cgroup.device_rules import DEFAULT_ALLOWED, Policy
from ocirt.errors import UnsupportedError

KMSG = ("c", 1, 11)


def run(program: bytes, kind: str, major: int, minor: int, access: str) -> bool:
    """What *program* answers. Every jump must lead forward and inside, as the kernel's verifier wants it."""
    context = (sum(ACCESS[letter] for letter in access) << 16 | TYPES[kind], major, minor)
    registers: list[int | None] = [None] * 11
    at = 0
    while True:
        code, both = program[8 * at], program[8 * at + 1]
        offset = int.from_bytes(program[8 * at + 2 : 8 * at + 4], "little", signed=True)
        constant = int.from_bytes(program[8 * at + 4 : 8 * at + 8], "little")
        destination, source = both & 15, both >> 4
        value = registers[destination]
        at += 1
        assert offset >= 0
        if code == 0x61:
            assert source == 1
            registers[destination] = context[offset // 4]
        elif code == 0xBC:
            registers[destination] = registers[source]
        elif code == 0xB4:
            registers[destination] = constant
        elif code == 0x95:
            assert registers[0] in (0, 1)
            return registers[0] == 1
        elif code == 0x05:
            at += offset
        else:
            assert value is not None, "a register is read that has no value"
            if code == 0x54:
                registers[destination] = value & constant
            elif code == 0x74:
                registers[destination] = value >> constant
            elif code == 0x56:
                at += offset if value != constant else 0
            elif code == 0x46:
                at += offset if value & constant else 0
            else:
                raise AssertionError(f"instruction {code:#x} is unknown")


def allowed(rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: str) -> bool:
    return run(assemble(Policy(rules, holes=True)), kind, major, minor, access)


def rule(allow: bool, text: str) -> dict[str, Any]:
    """A rule from the form that devices.list has: "c 10:* rw"."""
    kind, numbers, access = text.split()
    result: dict[str, Any] = {"allow": allow, "type": kind, "access": access}
    for name, number in zip(("major", "minor"), numbers.split(":"), strict=True):
        if number != "*":
            result[name] = int(number)
    return result


@settings(max_examples=500, deadline=None)
@given(RULES, REQUESTS)
def test_the_program_decides_as_the_v1_controller(
    rules: list[dict[str, Any]], requests: list[tuple[str, int, int, str]]
) -> None:
    try:
        Policy(rules)
    except UnsupportedError:
        return
    controller = Controller()
    controller.write("devices.deny", "a")
    for file, value in writes_of(rules):
        controller.write(file, value)
    for kind, major, minor, access in DEFAULT_ALLOWED:
        controller.write("devices.allow", f"{kind} {major}:{minor} {access}".replace("-1", "*"))
    for request in requests:
        assert allowed(rules, *request) is controller.permits(*request), request


@settings(max_examples=300, deadline=None)
@given(RULES, st.sampled_from("bc"), st.sampled_from((0, 1, 3)), st.sampled_from((0, 1, 3)), ACCESSES)
def test_what_the_last_rule_denies_is_denied_whatever_was_allowed_before(
    rules: list[dict[str, Any]], kind: str, major: int, minor: int, access: str
) -> None:
    last = {"allow": False, "type": kind, "major": major, "minor": minor, "access": access}
    if (kind, major, minor) in {device[:3] for device in DEFAULT_ALLOWED} or "m" in access:
        return
    for letter in access:
        assert not allowed([*rules, last], kind, major, minor, letter)


def test_without_rules_nothing_but_the_default_devices_is_allowed() -> None:
    for kind, major, minor, access in DEFAULT_ALLOWED:
        assert allowed([], kind, max(major, 0), max(minor, 0), access)
    assert not allowed([], *KMSG, "r")
    assert not allowed([], "b", 8, 0, "r")
    assert not allowed([], "b", 1, 3, "rwm"), "the block device with the numbers of /dev/null"


def test_a_node_may_be_made_that_may_not_be_used() -> None:
    assert allowed([DENY_ALL], *KMSG, "m")
    assert not allowed([DENY_ALL], *KMSG, "rm")


def test_a_device_is_allowed_for_the_access_of_its_rule_alone() -> None:
    rules = [DENY_ALL, rule(True, "c 1:11 r")]
    assert allowed(rules, *KMSG, "r")
    assert not allowed(rules, *KMSG, "w")
    assert not allowed(rules, *KMSG, "rw")
    assert not allowed(rules, "c", 1, 12, "r")
    assert not allowed(rules, "c", 2, 11, "r")


def test_a_part_of_an_access_that_is_denied_is_enough() -> None:
    rules = [ALLOW_ALL, rule(False, "b 8:* w")]
    assert allowed(rules, "b", 8, 1, "r")
    assert not allowed(rules, "b", 8, 1, "rw")
    assert allowed(rules, "c", 8, 1, "rw")


def test_a_hole_in_a_wildcard_is_one_on_v2() -> None:
    rules = [DENY_ALL, rule(True, "c 10:* rw"), rule(False, "c 10:229 w"), rule(True, "c 11:* rw")]
    assert allowed(rules, "c", 10, 228, "rw")
    assert allowed(rules, "c", 10, 229, "r")
    assert not allowed(rules, "c", 10, 229, "rw")
    assert allowed(rules, "c", 11, 229, "rw")


def test_a_hole_can_be_closed_again() -> None:
    rules = [DENY_ALL, rule(True, "c 10:* rw"), rule(False, "c 10:229 rw"), rule(True, "c 10:229 r")]
    assert allowed(rules, "c", 10, 229, "r")
    assert not allowed(rules, "c", 10, 229, "w")


def test_two_holes_for_one_device_are_both_there() -> None:
    rules = [
        *(DENY_ALL, rule(True, "c 10:* rw"), rule(False, "c 10:229 r"), rule(True, "c 10:5 rw")),
        *(rule(False, "c 10:229 w"), rule(False, "c 10:5 rw")),
    ]
    for way in ("r", "w", "rw"):
        assert not allowed(rules, "c", 10, 229, way)
        assert not allowed(rules, "c", 10, 5, way)
        assert allowed(rules, "c", 10, 6, way)


def test_default_devices_stay_usable_whatever_is_denied() -> None:
    assert allowed([rule(True, "c 1:* r"), rule(False, "c 1:3 rwm")], "c", 1, 3, "rw")
    assert allowed([ALLOW_ALL, rule(False, "c *:* rwm")], "c", 1, 3, "rw")


def test_a_number_that_no_device_has_matches_none() -> None:
    assert not allowed([rule(True, "c 4294967294:1 rwm")], "c", 1, 1, "r")


def test_everything_allowed_is_a_program_of_two_instructions_behind_the_context() -> None:
    assert len(assemble(Policy([ALLOW_ALL]))) == 8 * (6 + 2)


def test_another_minor_number_of_a_device_is_four_instructions_more() -> None:
    rules = [DENY_ALL, *(rule(True, f"b 8:{minor} rw") for minor in range(500))]
    assert len(assemble(Policy(rules))) - len(assemble(Policy(rules[:-1]))) == 8 * 4


def test_more_rules_than_a_jump_can_skip_are_refused() -> None:
    rules = [DENY_ALL, *(rule(True, f"b 8:{minor} rw") for minor in range(9000))]
    with pytest.raises(UnsupportedError) as caught:
        assemble(Policy(rules, holes=True))
    assert str(caught.value) == (
        "a device program of more than 32767 instructions is not supported here: needs fewer rules"
        " (config.json#/linux/resources/devices)"
    )
