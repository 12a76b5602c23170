"""New limits for a container that runs: those in force, changed by a ``linux.resources`` object, all of it or nothing.

``merge`` is pure: what the container had and what is asked for give what it has afterwards, which is what its saved
configuration says from then on. `update` writes only what differs or is asked for: a limit that somebody else has set
meanwhile, such as a plugin or an administrator, stays.
"""

from __future__ import annotations

from ocirt.cgroup import detect, resources
from ocirt.cgroup.resources import UNSET_SWAPPINESS
from ocirt.config.load import validate_resources
from ocirt.control import locked
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ocirt.cgroup import Cgroup
    from ocirt.cgroup.layout import Layout
    from ocirt.cgroup.resources import Setting
    from ocirt.container import Container

# Engines send 0 and "" for what they leave as it is (kubelet, docker update).
_ZERO_IS_UNSET = {
    "cpu": ("shares", "quota", "period", "realtimeRuntime", "realtimePeriod", "cpus", "mems"),
    "memory": ("limit", "reservation", "swap", "kernel", "kernelTCP"),
    "blockIO": ("weight", "leafWeight"),
    "network": ("classID",),
}
# Lists of which each entry is known by these of its properties; the last one counts.
_KEYS = {
    "weightDevice": ("major", "minor"),
    "throttleReadBpsDevice": ("major", "minor"),
    "throttleWriteBpsDevice": ("major", "minor"),
    "throttleReadIOPSDevice": ("major", "minor"),
    "throttleWriteIOPSDevice": ("major", "minor"),
    "hugepageLimits": ("pageSize",),
    "priorities": ("name",),
}
# One file of cgroup v2 holds both, or one is counted in the other.
_TOGETHER = (("quota", "period"), ("limit", "swap"))


def merge(current: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The resources *current* with *changes*, both ``linux.resources`` objects; neither is changed.

    A property that is absent stays, and so does one that is 0 where that means unset. Entries of lists replace those
    for the same device, page size or interface. Device rules are applied behind those that are there.
    """
    merged = dict(current)
    for name, change in changes.items():
        if name == "devices":
            merged[name] = _device_rules(current.get(name) or [], change)
        elif name in _KEYS:
            merged[name] = _entries(current.get(name) or [], change, _KEYS[name])
        elif isinstance(change, dict):
            merged[name] = _object(name, current.get(name) or {}, change)
    memory = changes.get("memory") or {}
    if memory.get("limit") == -1 and not memory.get("swap"):
        # Without a limit of memory, one of memory and swap together cannot be kept.
        merged["memory"].pop("swap", None)
    if _asks_for_weight(changes):
        _end_idle(merged)
    return merged


def _asks_for_weight(changes: Mapping[str, Any]) -> bool:
    """Whether *changes* ask for shares of the CPU, which an idle cgroup cannot have (EINVAL), and not for idle."""
    cpu, unified = changes.get("cpu") or {}, changes.get("unified") or {}
    return bool(cpu.get("shares") or "cpu.weight" in unified) and "idle" not in cpu and "cpu.idle" not in unified


def _end_idle(merged: dict[str, Any]) -> None:
    for name, key, no in (("cpu", "idle", 0), ("unified", "cpu.idle", "0")):
        if key in (merged.get(name) or {}):
            merged[name] = {**merged[name], key: no}


def _object(name: str, current: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(current)
    for key, value in change.items():
        if not value and key in _ZERO_IS_UNSET.get(name, ()):
            continue
        if key == "swappiness" and value in UNSET_SWAPPINESS:
            continue
        if key in _KEYS:
            merged[key] = _entries(current.get(key) or [], value, _KEYS[key])
        elif isinstance(value, dict):
            merged[key] = {**(current.get(key) or {}), **value}
        else:
            merged[key] = value
    return merged


def _entries(current: list[Any], change: list[Any], keys: tuple[str, ...]) -> list[Any]:
    merged: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in (*current, *change):
        key = tuple([entry[name] for name in keys])
        merged[key] = {**merged.get(key, {}), **entry}
    return list(merged.values())


def _device_rules(current: list[Any], change: list[Any]) -> list[Any]:
    rules = [*current, *change]
    for index in range(len(rules) - 1, 0, -1):
        if _is_for_all(rules[index]):
            # What came before has no effect any more.
            return rules[index:]
    return rules


def _is_for_all(rule: Mapping[str, Any]) -> bool:
    numbers = (rule.get("major"), rule.get("minor"))
    return (
        (rule.get("type") or "a") == "a"
        and all(number is None or number < 0 for number in numbers)
        and set("rwm") <= set(rule.get("access") or "")
    )


def update(container: Container, changes: Mapping[str, Any]) -> None:
    """See `Container.update`."""
    validate_resources(changes, filename="resources")
    entry = locked(container, "update", "container not running", ("created", "running", "paused"))
    try:
        config = container.config()
        linux = config.setdefault("linux", {})
        current = linux.get("resources") or {}
        merged = merge(current, changes)
        validate_resources(merged, filename="resources")
        if changes.get("memory", {}).get("kernel"):
            container.warn("Kernel memory settings are ignored and will be removed")

        layout = detect()
        settings = wanted_settings(current, merged, changes, layout)
        cgroup = container.cgroup()
        rules, new_rules = current.get("devices") or (), merged.get("devices") or ()
        program = b""
        if "devices" in changes:
            settings = resources.device_changes(rules, new_rules, layout) + settings
            program = resources.device_program(new_rules, layout)
        settings = cgroup.adapt(settings, new_rules if "devices" in changes else None)
        for warning in cgroup.warnings:
            container.warn(warning)

        def finish() -> None:
            if program:
                cgroup.set_devices(program)
            try:
                linux["resources"] = merged
                entry.write("config.json", dumps(config))
            except BaseException:
                if program:
                    cgroup.set_devices(resources.device_program(rules, layout))
                raise

        _apply(cgroup, settings, finish)
    finally:
        entry.close()


def _apply(cgroup: Cgroup, settings: Sequence[Setting], finish: Callable[[], None]) -> None:
    """Write *settings* and call *finish*, or leave all as it was.

    v1 can change the default of device rules in no way but to forget the exceptions, which have to be made again: no
    process may run meanwhile.
    """
    hold = any(setting.controller == "devices" and setting.value == "a" for setting in settings) and not cgroup.frozen
    if hold:
        cgroup.freeze()
    try:
        cgroup.apply(settings, then=finish)
    finally:
        if hold:
            cgroup.thaw()


def wanted_settings(
    current: Mapping[str, Any], merged: Mapping[str, Any], changes: Mapping[str, Any], layout: Layout
) -> list[Setting]:
    """Those settings of *merged* on a host of *layout* that *current* did not have or that *changes* ask for."""
    known = {(setting.file, setting.value) for setting in resources.compile(current, layout, devices=False)}
    settings = resources.compile(merged, layout, devices=False)
    asked = {name: _asked(name, change) for name, change in changes.items()}
    return [
        setting
        for setting in settings
        if (setting.file, setting.value) not in known or _is_asked(setting.pointer, asked)
    ]


def _asked(name: str, change: Any) -> set[str] | None:
    """The properties that *change*, of the property *name* of the resources, asks for; None for all."""
    if not isinstance(change, dict):
        return None
    asked = {key for key, value in change.items() if value or key not in _ZERO_IS_UNSET.get(name, ())}
    for group in _TOGETHER:
        if asked.intersection(group):
            asked.update(group)
    if name == "cpu" and change.get("idle") == 0:
        # A cgroup that is idle no more has the kernel's default shares.
        asked.add("shares")
    elif name == "cpu" and "shares" in asked:
        asked.add("idle")
    elif name == "unified" and "cpu.weight" in asked:
        asked.add("cpu.idle")
    return {key.replace("~", "~0").replace("/", "~1") for key in asked}


def _is_asked(pointer: str, asked: Mapping[str, set[str] | None]) -> bool:
    _, _, _, name, *rest = pointer.split("/")
    if name not in asked:
        return False
    keys = asked[name]
    return keys is None or rest[0] in keys
