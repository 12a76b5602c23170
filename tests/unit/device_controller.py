"""The v1 devices controller of the kernel, and rules to try it with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}


class Controller:
    """One cgroup of it, from the kernel's source (security/device_cgroup.c)."""

    def __init__(self) -> None:
        self.allow = True
        self.exceptions: dict[tuple[str, str, str], set[str]] = {}

    def write(self, file: str, value: str) -> None:
        allow = file == "devices.allow"
        if value.startswith("a"):
            self.allow = allow
            self.exceptions.clear()
            return
        kind, numbers, access = value.split()
        major, minor = numbers.split(":")
        device = (kind, major, minor)
        if allow == self.allow:
            self.exceptions.get(device, set()).difference_update(access)
        else:
            self.exceptions.setdefault(device, set()).update(access)

    def permits(self, kind: str, major: int, minor: int, access: str) -> bool:
        matching = [
            letters
            for (other, *numbers), letters in self.exceptions.items()
            if other == kind
            and all(number in ("*", str(wanted)) for number, wanted in zip(numbers, (major, minor), strict=True))
        ]
        if self.allow:
            return not any(letters & set(access) for letters in matching)
        return any(set(access) <= letters for letters in matching)


def writes_of(rules: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """What a naive runtime would write for *rules*, one by one."""
    for rule in rules:
        file = "devices.allow" if rule["allow"] else "devices.deny"
        numbers = [str(rule.get(name, -1)).replace("-1", "*") for name in ("major", "minor")]
        yield file, f"{rule['type']} {':'.join(numbers)} {rule['access']}" if "type" in rule else "a"


NUMBERS = st.sampled_from((-1, 0, 1, 3, 5, 10))
ACCESSES = st.sampled_from(("r", "w", "m", "rw", "rm", "wm", "rwm"))
RULES = st.lists(
    st.one_of(
        st.builds(
            lambda allow, kind, major, minor, access: {
                "allow": allow,
                "type": kind,
                "major": major,
                "minor": minor,
                "access": access,
            },
            st.booleans(),
            st.sampled_from("bc"),
            NUMBERS,
            NUMBERS,
            ACCESSES,
        ),
        st.sampled_from((DENY_ALL, ALLOW_ALL)),
    ),
    max_size=8,
)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from("bc"), st.sampled_from((0, 1, 3, 5, 10, 136)), st.sampled_from((0, 1, 3, 5, 200)), ACCESSES
    ),
    min_size=1,
    max_size=20,
)
