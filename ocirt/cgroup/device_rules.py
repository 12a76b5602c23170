"""``linux.resources.devices`` for the v1 devices controller: rules in, writes to devices.deny and devices.allow out.

PURE. On v2, device rules are a program that is attached to the cgroup; see device_program.

The kernel keeps one default and the exceptions to it (devices.rst). A rule for all devices sets the default and
forgets the exceptions; a rule that agrees with the default removes one, a rule against it adds one. Played through
here, it leaves only what has to be written, and finds the one thing the kernel cannot do and would not tell.
"""

from __future__ import annotations

from ocirt.errors import ConfigError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

POINTER = "/linux/resources/devices"
# (type, major, minor, access), with -1 for all. What every container may use, whatever its rules say, as with runc and
# crun: making any node (using it is another matter), null, zero, full, random, urandom, tty, ptmx, pts/*, net/tun.
DEFAULT_ALLOWED = (
    ("c", -1, -1, "m"),
    ("b", -1, -1, "m"),
    ("c", 1, 3, "rwm"),
    ("c", 1, 5, "rwm"),
    ("c", 1, 7, "rwm"),
    ("c", 1, 8, "rwm"),
    ("c", 1, 9, "rwm"),
    ("c", 5, 0, "rwm"),
    ("c", 5, 2, "rwm"),
    ("c", 136, -1, "rwm"),
    ("c", 10, 200, "rwm"),
)


def device_writes(rules: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """*rules*, then `DEFAULT_ALLOWED`, as (file, value, pointer) in the order of writing; the default is to deny.

    ConfigError for a rule that is none, UnsupportedError for one that takes a part out of a wildcard.
    """
    policy = _Policy()
    for index, rule in enumerate(rules):
        pointer = f"{POINTER}/{index}"
        kind, major, minor, access = _parse(rule, pointer)
        allow = bool(rule["allow"])
        if kind != "a":
            policy.change(kind, major, minor, access, allow, pointer)
        elif major == -1 and minor == -1 and access == "rwm":
            policy.set_default(allow, pointer)
        else:
            # The kernel takes any "a" for everything.
            policy.change("c", major, minor, access, allow, pointer)
            policy.change("b", major, minor, access, allow, pointer)
    for kind, major, minor, access in DEFAULT_ALLOWED:
        policy.change(kind, major, minor, access, True, "")
    return policy.writes()


class _Policy:
    """What the kernel keeps: ``allow`` is the default, ``exceptions`` are access and pointer by device."""

    __slots__ = ("allow", "exceptions", "pointer")

    def __init__(self) -> None:
        self.allow = False
        self.pointer = ""
        self.exceptions: dict[tuple[str, int, int], tuple[str, str]] = {}

    def set_default(self, allow: bool, pointer: str) -> None:
        self.allow = allow
        self.pointer = pointer
        self.exceptions.clear()

    def change(self, kind: str, major: int, minor: int, access: str, allow: bool, pointer: str) -> None:
        """Apply one rule."""
        device = (kind, major, minor)
        old, old_pointer = self.exceptions.get(device, ("", pointer))
        if allow != self.allow:
            self.exceptions[device] = (_ordered(old + access), pointer or old_pointer)
            return
        for wider in ((kind, -1, minor), (kind, major, -1), (kind, -1, -1)):
            # The kernel ignores this silently, and whoever asked would feel safe.
            if wider != device and set(self.exceptions.get(wider, ("", ""))[0]) & set(access):
                verb = "allowing" if allow else "denying"
                raise UnsupportedError(
                    f"{verb} the device {_text(device, access)} after {_text(wider, access)}",
                    "cgroup v2",
                    pointer=pointer,
                )
        left = "".join([letter for letter in old if letter not in access])
        if left:
            self.exceptions[device] = (left, old_pointer)
        else:
            self.exceptions.pop(device, None)

    def writes(self) -> list[tuple[str, str, str]]:
        file, other = ("devices.allow", "devices.deny") if self.allow else ("devices.deny", "devices.allow")
        writes = [(file, "a", self.pointer)]
        for device, (access, pointer) in self.exceptions.items():
            writes.append((other, _text(device, access), pointer))
        return writes


def _parse(rule: Mapping[str, Any], pointer: str) -> tuple[str, int, int, str]:
    kind = rule.get("type") or "a"
    if kind not in ("a", "b", "c"):
        raise ConfigError(f"wanted a device type of 'a', 'b' or 'c', found {kind!r}", pointer=pointer + "/type")
    access = rule.get("access") or ""
    if not access or access.strip("rwm"):
        raise ConfigError(f"wanted a device access of 'r', 'w' and 'm', found {access!r}", pointer=pointer + "/access")
    return kind, _number(rule.get("major")), _number(rule.get("minor")), _ordered(access)


def _number(value: int | None) -> int:
    return -1 if value is None or value < 0 else value


def _ordered(access: str) -> str:
    return "".join([letter for letter in "rwm" if letter in access])


def _text(device: tuple[str, int, int], access: str) -> str:
    kind, major, minor = device
    return f"{kind} {'*' if major < 0 else major}:{'*' if minor < 0 else minor} {access}"
