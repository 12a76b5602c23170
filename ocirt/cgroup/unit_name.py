"""``linux.cgroupsPath`` in, the name of a systemd unit and its place in the tree out. PURE.

With systemd the path is "slice:prefix:name": the scope PREFIX-NAME.scope in SLICE, as runc has it (docs/systemd.md).
"""

from __future__ import annotations

from ocirt.errors import ConfigError

POINTER = "/linux/cgroupsPath"
# unit_name_is_valid() of systemd, without "@", which makes a template of a name.
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:-_.\\")
_DEFAULT_PREFIX = "ocirt"


class UnitName:
    """``unit`` is the name of the scope, ``slice`` that of its slice, ``path`` the cgroup, "/a.slice/a-b.slice/UNIT",
    below that of the manager."""

    __slots__ = ("path", "slice", "unit")

    def __init__(self, unit: str, slice: str) -> None:
        self.unit = unit
        self.slice = slice
        self.path = f"{expand_slice(slice).rstrip('/')}/{unit}"


def unit_name(cgroups_path: str | None, id: str, default_slice: str) -> UnitName:
    """The unit of the container *id*: by default ocirt-ID.scope in *default_slice*, which also stands for an empty
    slice. ConfigError."""
    if not cgroups_path:
        return UnitName(f"{_DEFAULT_PREFIX}-{_escape(id)}.scope", default_slice)
    parts = cgroups_path.split(":")
    if len(parts) != 3:
        raise ConfigError(
            'expected cgroupsPath to be of format "slice:prefix:name" for systemd cgroups, '
            f'got "{cgroups_path}" instead',
            pointer=POINTER,
        )
    slice, prefix, name = parts
    if name.endswith(".slice"):
        raise ConfigError(f"wanted the name of a scope, found the slice {name!r}: it has no processes", pointer=POINTER)
    unit = f"{prefix}-{name}.scope"
    if not name or set(unit) - _ALLOWED:
        raise ConfigError(f"wanted the name of a systemd unit, found {unit!r}", pointer=POINTER)
    return UnitName(unit, slice or default_slice)


def expand_slice(slice: str) -> str:
    """The cgroup of *slice*, in which every "-" is a level: a-b.slice is /a.slice/a-b.slice (systemd.slice(5)).
    ConfigError when it is no name of a slice."""
    name = slice.removesuffix(".slice")
    if name == "-" and slice != name:
        return "/"
    components = name.split("-")
    if slice == name or set(name) - _ALLOWED or not all(components):
        raise ConfigError(f"invalid slice name: {slice}", pointer=POINTER)
    path = ""
    for count in range(1, len(components) + 1):
        path += f"/{'-'.join(components[:count])}.slice"
    return path


def _escape(id: str) -> str:
    """*id* with what a unit's name cannot have written \\xHH (systemd-escape(1))."""
    return "".join([character if character in _ALLOWED else f"\\x{ord(character):02x}" for character in id])
