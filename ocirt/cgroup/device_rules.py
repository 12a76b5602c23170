"""``linux.resources.devices`` as what the kernel's devices controller makes of it. PURE.

The v1 kernel keeps one default and the exceptions to it (devices.rst). A rule for all devices sets the default and
forgets the exceptions; a rule that agrees with the default removes one, a rule against it adds one. Played through
here by `Policy`, that leaves only what has to be written, and finds the one thing v1 cannot do and would not tell: to
take a part out of a wildcard. A program, which decides on v2, can; see device_program.
"""

from __future__ import annotations

from ocirt.errors import ConfigError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

POINTER = "/linux/resources/devices"
# What both the controller and a program take; the kernel's own are smaller (MINORBITS of linux/kdev_t.h).
GREATEST_NUMBER = (1 << 32) - 2
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


class Entry:
    """One decision: ``access`` to the devices ``device`` (type, major, minor; -1 for all) is allowed or not."""

    __slots__ = ("access", "allow", "device", "pointer")

    def __init__(self, device: tuple[str, int, int], access: str, allow: bool, pointer: str) -> None:
        self.device = device
        self.access = access
        self.allow = allow
        self.pointer = pointer

    def __repr__(self) -> str:
        return f"Entry({self.device!r}, {self.access!r}, {self.allow!r})"


class Policy:
    """What rules come to, read one after the other.

    ``allow`` is the default, ``entries`` are what differs from it; of two that concern one device the later counts.
    Unless ``holes`` are wanted, all of them are exceptions to the default, as v1 has it: whatever their order.
    """

    __slots__ = ("allow", "entries", "holes", "pointer")

    def __init__(self, rules: Sequence[Mapping[str, Any]], *, holes: bool = False) -> None:
        """*rules*, then `DEFAULT_ALLOWED`; the default is to deny.

        ConfigError for a rule that is none. Without *holes*, UnsupportedError for a rule that takes a part out of a
        wildcard.
        """
        self.allow = False
        self.pointer = ""
        self.entries: list[Entry] = []
        self.holes = holes
        for index, rule in enumerate(rules):
            self._apply(rule, f"{POINTER}/{index}")
        for kind, major, minor, access in DEFAULT_ALLOWED:
            self._change((kind, major, minor), access, True, "")

    def _apply(self, rule: Mapping[str, Any], pointer: str) -> None:
        kind, major, minor, access = _parse(rule, pointer)
        allow = bool(rule["allow"])
        if kind != "a":
            self._change((kind, major, minor), access, allow, pointer)
        elif major == -1 and minor == -1 and access == "rwm":
            self.allow = allow
            self.pointer = pointer
            self.entries.clear()
        else:
            # The kernel takes any "a" for everything.
            self._change(("c", major, minor), access, allow, pointer)
            self._change(("b", major, minor), access, allow, pointer)

    def _change(self, device: tuple[str, int, int], access: str, allow: bool, pointer: str) -> None:
        if allow != self.allow:
            self._add(device, access, allow, pointer)
            return
        for entry in self.entries:
            if entry.device == device and entry.allow != allow:
                entry.access = "".join([letter for letter in entry.access if letter not in access])
        self.entries = [entry for entry in self.entries if entry.access]
        kind, major, minor = device
        for wider in ((kind, -1, minor), (kind, major, -1), (kind, -1, -1)):
            for entry in self.entries:
                if wider == device or entry.device != wider or entry.allow == allow:
                    continue
                if set(entry.access) & set(access):
                    if not self.holes:
                        # v1 ignores this silently, and whoever asked would feel safe.
                        verb = "allowing" if allow else "denying"
                        raise UnsupportedError(
                            f"{verb} the device {_text(device, access)} after {_text(wider, entry.access)}",
                            "cgroup v2",
                            pointer=pointer,
                        )
                    self._add(device, access, allow, pointer)
                    return

    def _add(self, device: tuple[str, int, int], access: str, allow: bool, pointer: str) -> None:
        for entry in reversed(self.entries):
            if entry.allow != allow:
                # What is older may be overruled in part.
                break
            if entry.device == device:
                entry.access = _ordered(entry.access + access)
                entry.pointer = pointer or entry.pointer
                return
        self.entries.append(Entry(device, access, allow, pointer))


def device_writes(policy: Policy) -> list[tuple[str, str, str]]:
    """What makes *policy* (without holes) that of a v1 cgroup, whatever it was: (file, value, pointer) in order."""
    return [(_file(policy.allow), "a", policy.pointer), *_exceptions(policy.entries)]


def device_transition(old: Policy, new: Policy) -> list[tuple[str, str, str]]:
    """The same for a cgroup whose policy is *old*: nothing that both allow is refused meanwhile.

    With another default there is no such way, and the first write is that of the default, whose value is "a".
    """
    if old.allow != new.allow:
        return device_writes(new)
    gained = [(_file(not new.allow), text, pointer) for text, pointer in _difference(new, old)]
    return gained + [(_file(new.allow), text, pointer) for text, pointer in _difference(old, new)]


def _difference(one: Policy, other: Policy) -> list[tuple[str, str]]:
    """The exceptions of *one* that *other* has not, as (device and access, pointer)."""
    known = {entry.device: entry.access for entry in other.entries}
    found = []
    for entry in one.entries:
        access = "".join([letter for letter in entry.access if letter not in known.get(entry.device, "")])
        if access:
            found.append((_text(entry.device, access), entry.pointer))
    return found


def _exceptions(entries: Sequence[Entry]) -> list[tuple[str, str, str]]:
    return [(_file(entry.allow), _text(entry.device, entry.access), entry.pointer) for entry in entries]


def _file(allow: bool) -> str:
    return "devices.allow" if allow else "devices.deny"


def _parse(rule: Mapping[str, Any], pointer: str) -> tuple[str, int, int, str]:
    kind = rule.get("type") or "a"
    if kind not in ("a", "b", "c"):
        raise ConfigError(f"wanted a device type of 'a', 'b' or 'c', found {kind!r}", pointer=pointer + "/type")
    access = rule.get("access") or ""
    # A letter without a meaning denies nothing more, and runc's users have some that way.
    if not access or (rule["allow"] and access.strip("rwm")):
        raise ConfigError(f"wanted a device access of 'r', 'w' and 'm', found {access!r}", pointer=pointer + "/access")
    return kind, _number(rule, "major", pointer), _number(rule, "minor", pointer), _ordered(access)


def _number(rule: Mapping[str, Any], name: str, pointer: str) -> int:
    value = rule.get(name)
    if value is None or value < 0:
        return -1
    if value > GREATEST_NUMBER:
        raise ConfigError(f"wanted a device number up to {GREATEST_NUMBER}, found {value}", pointer=f"{pointer}/{name}")
    return int(value)


def _ordered(access: str) -> str:
    return "".join([letter for letter in "rwm" if letter in access])


def _text(device: tuple[str, int, int], access: str) -> str:
    kind, major, minor = device
    return f"{kind} {'*' if major < 0 else major}:{'*' if minor < 0 else minor} {access}"
