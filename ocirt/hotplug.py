"""Mounts and devices of a container that runs: put into it and taken out of it, and noted in its saved configuration.

All of what a call asks for is there at return, or nothing is changed.
"""

from __future__ import annotations

import os

from ocirt.config.load import validate_config
from ocirt.control import locked
from ocirt.errors import OcirtError, UnsupportedError
from ocirt.json_text import dumps
from ocirt.launch.change import change
from ocirt.options import checked_descriptors
from ocirt.plan import ADD_DEVICES, ADD_MOUNTS, REMOVE_DEVICES, REMOVE_MOUNTS
from ocirt.plan.mounts import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from ocirt.container import Container
    from ocirt.plan.op import Op, Topic
    from ocirt.state import Entry

    Objects = Sequence[Mapping[str, Any]]

_STATUSES = ("created", "running", "paused")


class _Change:
    """One change of a container, which is locked meanwhile."""

    __slots__ = ("_container", "_document", "_entry", "_pidfd", "config")

    def __init__(self, container: Container, document: dict[str, Any], operation: str) -> None:
        self._container = container
        self._document = document
        self._entry: Entry = locked(container, operation, "container not running", _STATUSES)
        self._pidfd = -1
        try:
            self.config: Any = container.config()
            if not document["ownMountNamespace"]:
                raise UnsupportedError(operation, "a container with a mount namespace")
            self._pidfd = os.pidfd_open(document["pid"])
        except BaseException:
            self.close()
            raise

    def check(self, **changes: Any) -> dict[str, Any]:
        """The configuration with other properties, which have to be as the spec says."""
        changed = {**self.config, **changes}
        validate_config(changed)
        return changed

    def walk(
        self,
        order: tuple[Topic, ...],
        config: dict[str, Any],
        fds: dict[str, int] | None = None,
        undo: Callable[[list[Op]], None] = lambda done: None,
    ) -> None:
        change(order, config, self._document, self._container.cgroup(), self._pidfd, fds or {}, undo)

    def save(self) -> None:
        self._entry.write("config.json", dumps(self.config))

    def close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._entry.close()


def add_mounts(container: Container, document: dict[str, Any], mounts: Objects, fds: Mapping[str, int]) -> None:
    """See `Container.add_mounts`."""
    step = _Change(container, document, "adding mounts")
    try:
        config = step.check(mounts=list(mounts))

        def undo(done: list[Op]) -> None:
            count = _count(done, "MOUNT", "BIND")
            if count:
                step.walk(REMOVE_MOUNTS, {**config, "mounts": config["mounts"][:count]})

        step.walk(ADD_MOUNTS, config, checked_descriptors(fds, config), undo)
        step.config["mounts"] = [*(step.config.get("mounts") or ()), *mounts]
        step.save()
    finally:
        step.close()


def remove_mounts(container: Container, document: dict[str, Any], mounts: Objects) -> None:
    """See `Container.remove_mounts`."""
    step = _Change(container, document, "removing mounts")
    try:
        step.walk(REMOVE_MOUNTS, step.check(mounts=list(mounts)))
        gone = {clean(each["destination"]) for each in mounts}
        kept = [each for each in step.config.get("mounts") or () if clean(each["destination"]) not in gone]
        step.config["mounts"] = kept
        step.save()
    finally:
        step.close()


def add_devices(container: Container, document: dict[str, Any], devices: Objects) -> None:
    """See `Container.add_devices`."""
    step = _Change(container, document, "adding devices")
    try:
        config = step.check(linux={**step.config["linux"], "devices": list(devices)})

        def undo(done: list[Op]) -> None:
            count = _count(done, "DEVICE", "BIND")
            if count:
                step.walk(REMOVE_DEVICES, {**config, "linux": {**config["linux"], "devices": list(devices)[:count]}})

        step.walk(ADD_DEVICES, config, undo=undo)
        linux = step.config["linux"]
        linux["devices"] = [*(linux.get("devices") or ()), *devices]
        step.save()
    finally:
        step.close()
    # The node alone is of no use: without a rule the container cannot open it, and can be told so.
    try:
        container.update({"devices": [_rule(device, allow=True) for device in devices if device["type"] != "p"]})
    except OcirtError as error:
        try:
            _remove_nodes(container, document, devices)
        except OcirtError as failure:
            error.add_note(f"while undoing: {failure}")
        raise


def remove_devices(container: Container, document: dict[str, Any], devices: Objects) -> None:
    """See `Container.remove_devices`."""
    validate_config({**container.config(), "linux": {"devices": list(devices)}})
    # First what the container cannot hinder.
    container.update({"devices": [_rule(device, allow=False) for device in devices if device["type"] != "p"]})
    _remove_nodes(container, document, devices)


def _remove_nodes(container: Container, document: dict[str, Any], devices: Objects) -> None:
    step = _Change(container, document, "removing devices")
    try:
        step.walk(REMOVE_DEVICES, step.check(linux={**step.config["linux"], "devices": list(devices)}))
        gone = {clean(device["path"]) for device in devices}
        linux = step.config["linux"]
        linux["devices"] = [each for each in linux.get("devices") or () if clean(each["path"]) not in gone]
        step.save()
    finally:
        step.close()


def _count(done: list[Op], *kinds: str) -> int:
    return sum(op.kind in kinds for op in done)


def _rule(device: Mapping[str, Any], *, allow: bool) -> dict[str, Any]:
    kind = "c" if device["type"] == "u" else device["type"]
    numbers = {"major": device["major"], "minor": device["minor"]}
    return {"allow": allow, "type": kind, **numbers, "access": "rwm"}
