"""Settings, device rules and annotations in, properties of a systemd unit out (systemd.resource-control(5)). PURE.

systemd writes the files of a unit's cgroup anew whenever it thinks of it (``systemctl daemon-reload``), so it is told
of all that it would overwrite. Files for which it has no property keep what was written to them.

A property is (name, (D-Bus signature, value)), as the methods of org.freedesktop.systemd1.Manager take it.
"""

from __future__ import annotations

from ocirt.cgroup.device_rules import Policy
from ocirt.cgroup.resources import Setting, io_weight
from ocirt.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    Property = tuple[str, tuple[str, Any]]

ANNOTATION_PREFIX = "org.systemd.property."
#: "infinity" of limits, and for a weight that there is none.
UNLIMITED = 2**64 - 1
#: The properties that systemd has since this release, or that mean the same since then. All others are in 244, which is
#: older than the kernel that ocirt needs.
SINCE = {"cpu.idle": 252, "memory.zswap.max": 253}

_LIMITS = {
    "memory.min": "MemoryMin",
    "memory.low": "MemoryLow",
    "memory.high": "MemoryHigh",
    "memory.max": "MemoryMax",
    "memory.swap.max": "MemorySwapMax",
    "memory.zswap.max": "MemoryZSwapMax",
    "memory.limit_in_bytes": "MemoryLimit",
    "pids.max": "TasksMax",
}
_WEIGHTS = {
    "cpu.weight": "CPUWeight",
    "cpu.shares": "CPUShares",
    "io.weight": "IOWeight",
    "blkio.weight": "BlockIOWeight",
}
_CPUSETS = {"cpuset.cpus": "AllowedCPUs", "cpuset.mems": "AllowedMemoryNodes"}
_UNITS = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
_DEFAULT_PERIOD_USEC = 100_000
# systemd keeps a quota in whole percents of a CPU: in microseconds per second
_PERCENT_USEC = 10_000
# More than the kernel has CPUs or nodes for.
_MASK_LIMIT = 1 << 16
_UNSET = ""


def resource_properties(settings: Sequence[Setting], *, version: int) -> list[Property]:
    """What a systemd of *version* has to know of *settings*. What it has no words for is left out."""
    values = {setting.file: setting for setting in settings}
    idle = _is_idle(values, version)
    properties: list[Property] = []
    for file, setting in values.items():
        if SINCE.get(file, 0) > version:
            continue
        if file in _LIMITS:
            # Of pids.max 0 systemd makes nothing at all, and 1 is what a container has in it at least.
            limit = _limit(setting.value)
            _add(properties, _LIMITS[file], max(limit, 1) if file == "pids.max" and limit is not None else limit)
        elif file in _WEIGHTS and not (idle and file == "cpu.weight"):
            _add(properties, _WEIGHTS[file], _limit(setting.value.removeprefix("default ")))
        elif file == "io.bfq.weight":
            # It has one property for both files, in terms of the other one.
            weight = _limit(setting.value.removeprefix("default "))
            _add(properties, "IOWeight", None if weight is None else io_weight(weight))
        elif file in _CPUSETS:
            mask = cpu_mask(setting.value)
            if mask:
                properties.append((_CPUSETS[file], ("ay", mask)))
    if idle:
        # The weight of an idle unit (CPUWeight=idle)
        _add(properties, "CPUWeight", 0)
    elif "cpu.idle" in values and "cpu.weight" not in values:
        _add(properties, "CPUWeight", UNLIMITED)
    return properties + _quota_properties(values)


def ignored(settings: Sequence[Setting], *, version: int) -> list[str]:
    """What a systemd of *version* cannot be told of *settings* because something else is asked for as well."""
    values = {setting.file: setting for setting in settings}
    if _is_idle(values, version) and "cpu.weight" in values:
        return ["unable to apply both cpu.weight and cpu.idle to systemd, ignoring cpu.weight"]
    return []


def round_quota(settings: Sequence[Setting]) -> list[Setting]:
    """*settings* with the CPU quota that systemd can keep: the next whole percent of a CPU, as runc rounds it up."""
    values = {setting.file: setting for setting in settings}
    quota_usec, period_usec = _quota(values)
    if quota_usec is None or quota_usec < 0:
        return list(settings)
    rounded_usec = _per_second(quota_usec, period_usec) * (period_usec or _DEFAULT_PERIOD_USEC) // 1_000_000
    rounded = []
    for setting in settings:
        if setting.file == "cpu.max":
            value = f"{rounded_usec} {period_usec}" if period_usec else str(rounded_usec)
            setting = Setting("cpu", "cpu.max", value, setting.pointer)
        elif setting.file == "cpu.cfs_quota_us":
            setting = Setting("cpu", "cpu.cfs_quota_us", str(rounded_usec), setting.pointer)
        rounded.append(setting)
    return rounded


def device_properties(rules: Sequence[Mapping[str, Any]], *, program: bool) -> list[Property]:
    """What a unit has to know of device *rules*, in place of what it knew.

    systemd has a list of what is allowed, and no more: no holes in it, no minor number of any driver. Where a *program*
    of ours decides too (v2), the unit allows more than the rules, since both have to agree; on v1, where it writes to
    the same files, it allows less, until they are written as they should be.
    """
    policy = Policy(rules, holes=program)
    allow_all = policy.allow and (program or not policy.entries)
    allowed = []
    for entry in () if policy.allow else policy.entries:
        kind, major, minor = entry.device
        if not entry.allow or (major < 0 <= minor and not program):
            continue
        word = "block" if kind == "b" else "char"
        if major < 0:
            path = f"{word}-*"
        elif minor < 0:
            path = f"{word}-{major}"
        else:
            path = f"/dev/{word}/{major}:{minor}"
        allowed.append((path, entry.access))
    properties: list[Property] = [
        # An empty list is what clears it, any other one adds to it.
        ("DeviceAllow", ("a(ss)", [])),
        ("DevicePolicy", ("s", "auto" if allow_all else "strict")),
    ]
    if allowed:
        properties.append(("DeviceAllow", ("a(ss)", allowed)))
    return properties


def annotation_properties(annotations: Mapping[str, str]) -> list[Property]:
    """The properties that annotations org.systemd.property.NAME ask for, in the text form of GVariant. ConfigError.

    systemd's manuals speak of TimeoutStopSec=, its D-Bus interface of TimeoutStopUSec: such a name is converted.
    """
    properties = []
    for key, text in annotations.items():
        if key.startswith(ANNOTATION_PREFIX):
            try:
                properties.append(_annotation_property(key.removeprefix(ANNOTATION_PREFIX), text))
            except ValueError as error:
                escaped = key.replace("~", "~0").replace("/", "~1")
                raise ConfigError(f"{key}={text}: {error}", pointer=f"/annotations/{escaped}") from None
    return properties


def _annotation_property(name: str, text: str) -> Property:
    from ocirt.cgroup import gvariant

    if len(name) < 3 or not (name.isascii() and name.isalpha()):
        raise ValueError(f"wanted the name of a property, three letters or more, found {name!r}")
    signature, value = gvariant.parse(text)
    stem = name.removesuffix("Sec")
    if stem != name and stem[-1:].islower():
        if signature not in ("y", "n", "q", "i", "u", "x", "t", "d") or not 0 <= value * 1_000_000 <= UNLIMITED:
            raise ValueError(f"wanted a number of seconds for {name}")
        return stem + "USec", ("t", int(value * 1_000_000))
    return name, (signature, value)


def cpu_mask(text: str) -> bytes:
    """The numbers of a list such as "0-3,8" as bits, the lowest in the first byte; empty when it is no such list."""
    bits = 0
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not part.strip():
            continue
        if not first.isdecimal() or (dash and not last.isdecimal()):
            return b""
        low, high = int(first), int(last or first)
        if not low <= high < _MASK_LIMIT:
            return b""
        bits |= (1 << high + 1) - (1 << low)
    return bits.to_bytes((bits.bit_length() + 7) // 8, "little")


def _is_idle(values: Mapping[str, Setting], version: int) -> bool:
    return version >= SINCE["cpu.idle"] and _value(values, "cpu.idle") == "1"


def _value(values: Mapping[str, Setting], file: str) -> str:
    return values[file].value.strip() if file in values else _UNSET


def _add(properties: list[Property], name: str, value: int | None) -> None:
    if value is not None:
        properties.append((name, ("t", value)))


def _limit(text: str) -> int | None:
    """The number in *text*, which may have a unit as the kernel takes it (memparse()); None when it is none."""
    text = text.strip()
    if text in ("max", "-1"):
        return UNLIMITED
    shift = _UNITS.get(text[-1:].upper(), 0)
    digits = text[:-1] if shift else text
    return int(digits) << shift if digits.isdecimal() else None


def _quota(values: Mapping[str, Setting]) -> tuple[int | None, int]:
    """The quota in microseconds, -1 for none, None when it is not set; the period, 0 when it is not set."""
    words = _value(values, "cpu.max").split()
    if words:
        quota, period = words[0], words[1] if len(words) > 1 else ""
    else:
        quota, period = _value(values, "cpu.cfs_quota_us"), _value(values, "cpu.cfs_period_us")
    number = -1 if quota in ("max", "-1") else int(quota) if quota.isdecimal() else None
    return number, int(period) if period.isdecimal() else 0


def _quota_properties(values: Mapping[str, Setting]) -> list[Property]:
    quota_usec, period_usec = _quota(values)
    properties: list[Property] = []
    if period_usec:
        _add(properties, "CPUQuotaPeriodUSec", period_usec)
    if quota_usec is not None or period_usec:
        unlimited = quota_usec is None or quota_usec < 0
        _add(properties, "CPUQuotaPerSecUSec", UNLIMITED if unlimited else _per_second(quota_usec or 0, period_usec))
    return properties


def _per_second(quota_usec: int, period_usec: int) -> int:
    per_second_usec = quota_usec * 1_000_000 // (period_usec or _DEFAULT_PERIOD_USEC)
    return -(-per_second_usec // _PERCENT_USEC) * _PERCENT_USEC
