"""A container whose cgroup belongs to systemd: a transient scope, of the host's manager or of the user's.

systemd makes the cgroup of a unit for processes that are there already, so the container's first process is cloned
outside and waits: `Scope.create` starts the scope with its pid and with all limits that systemd has words for. It
delegates the cgroup (Delegate=), and from then on the cgroup is used as any other: what systemd has no words for, and
what it would round, is written to the files.
"""

from __future__ import annotations

import os
import time

from ocirt.cgroup import unit_properties
from ocirt.cgroup.device_rules import Policy, device_writes
from ocirt.cgroup.directory import Directory
from ocirt.cgroup.group import DELETE_DEADLINE_SEC, Cgroup
from ocirt.cgroup.layout import place
from ocirt.cgroup.removal import remove
from ocirt.cgroup.resources import Setting
from ocirt.cgroup.unit_name import unit_name
from ocirt.errors import StepError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Self

    from ocirt.cgroup.layout import Layout
    from ocirt.cgroup.systemd_bus import Systemd
    from ocirt.cgroup.unit_properties import Property

# Its files say more than systemd's properties, or the properties are said less exactly.
_INEXACT = ("devices", "io", "blkio")
# Without a quota systemd puts its own period in the place of the one that it is told.
_CPU_TIME = ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us")
# The oldest that has what ocirt assumes, see unit_properties.SINCE.
_OLDEST_VERSION = 244


class Scope(Cgroup):
    """The cgroups of a scope. ``unit`` is its name, ``slice`` that of its slice, ``user`` says whether it is the user's
    manager's; ``untold`` are the properties that the manager has to be told of, set by `adapt`."""

    __slots__ = ("annotated", "description", "slice", "unit", "untold", "user", "warnings")

    def __init__(self, directories: tuple[Directory, ...], *, rootless: bool = False, named: bool = False) -> None:
        super().__init__(directories, rootless=rootless, named=named)
        self.unit = ""
        self.slice = ""
        self.description = ""
        self.user = False
        self.annotated: list[Property] = []
        self.untold: list[Property] = []
        self.warnings = ()

    @classmethod
    def find(
        cls,
        layout: Layout,
        cgroups_path: str | None,
        id: str,
        *,
        rootless: bool = False,
        annotations: Mapping[str, str] | None = None,
    ) -> Scope:
        """See `Cgroup.resolve`. *cgroups_path* is "slice:prefix:name", see unit_name.

        UnsupportedError without systemd, and for an ordinary user on cgroup v1.
        """
        if not os.path.isdir("/run/systemd/system"):
            raise UnsupportedError(
                "the cgroup manager 'systemd'",
                "a host booted by it (systemd not running on this host, cannot use systemd cgroups manager)",
            )
        user = rootless and not _is_own_systemd()
        if user and layout.mode != "v2":
            raise UnsupportedError("the systemd of a user", "cgroup v2 alone: the others cannot be delegated")
        name = unit_name(cgroups_path, id, "user.slice" if user else "system.slice")
        annotated = unit_properties.annotation_properties(annotations or {})
        above = ""
        if user:
            with _connect(user=True) as systemd:
                above = systemd.cgroup()
        directories = [
            Directory(hierarchy.controllers, hierarchy.mount + name.path, 1, hierarchy.mount)
            for hierarchy in layout.hierarchies
        ]
        if layout.v2_mount is not None:
            path = place(layout.v2_mount, layout.v2_root, above + name.path)
            directories.append(Directory(layout.v2_controllers, path, 2, layout.v2_mount))
        scope = cls(tuple(directories), rootless=rootless, named=bool(cgroups_path))
        scope.unit, scope.slice, scope.user = name.unit, name.slice, user
        scope.description = f"ocirt container {id}"
        scope.annotated = annotated
        return scope

    def adapt(self, settings: Sequence[Setting], devices: Sequence[Mapping[str, Any]] | None = None) -> list[Setting]:
        """See `Cgroup.adapt`: the CPU quota is rounded up to what systemd can keep. StepError."""
        adapted = unit_properties.round_quota(settings)
        version = _OLDEST_VERSION
        if any(setting.file in unit_properties.SINCE for setting in adapted):
            with _connect(user=self.user) as systemd:
                version = systemd.version()
        self.untold = unit_properties.resource_properties(adapted, version=version)
        self.warnings = unit_properties.ignored(adapted, version=version)
        if devices is not None and not self.user:
            self.untold += unit_properties.device_properties(devices, program=self._v2 is not None)
            adapted = self._all_devices(adapted, devices)
        return adapted

    def create(self, settings: Sequence[Setting] = (), pid: int = 0) -> None:
        """Start the scope with the process *pid* in it. Else as `Cgroup.create`; in hierarchies that systemd does not
        use there are only the directories, and the process has to enter."""
        self.made = []  # until something is: `delete` has to leave what is refused to whose it is
        self._refuse_occupied()
        # A frozen process would not even end when systemd stops the scope.
        self._refuse_frozen()
        accounting = ("CPUAccounting", "MemoryAccounting", "TasksAccounting")
        properties: list[Property] = [
            ("Description", ("s", self.description)),
            ("Slice", ("s", self.slice)),
            ("Delegate", ("b", True)),
            ("PIDs", ("au", [pid])),
            *[(name, ("b", True)) for name in accounting],
            ("IOAccounting" if self.directories[0].version == 2 else "BlockIOAccounting", ("b", True)),
            ("DefaultDependencies", ("b", False)),
            *self.untold,
            *self.annotated,
        ]
        with _connect(user=self.user) as systemd:
            systemd.start_scope(self.unit, properties)
            self.untold = []
            try:
                self._make_all(settings, self.directories)
            except BaseException as error:
                try:
                    systemd.stop(self.unit)
                except StepError as other:
                    error.add_note(f"while undoing: {other}")
                raise
        self.created = True

    def apply(self, settings: Sequence[Setting], *, then: Callable[[], None] | None = None) -> None:
        """As `Cgroup.apply`, and what `adapt` has found is told to systemd. When something fails all is put back."""
        if not self.untold:
            super().apply(settings, then=then)
            return
        untold, self.untold = self.untold, []
        inexact = [setting for setting in settings if setting.controller in _INEXACT or setting.file in _CPU_TIME]

        def tell() -> None:
            with _connect(user=self.user) as systemd:
                before = systemd.properties(self.unit, {name for name, _ in untold})
                systemd.set_properties(self.unit, untold)
                try:
                    # What systemd has just overwritten.
                    Cgroup.apply(self, inexact, then=then)
                except BaseException:
                    systemd.set_properties(self.unit, _in_place(before))
                    raise

        super().apply([setting for setting in settings if setting.controller != "devices"], then=tell)

    def attach(self, pid: int) -> None:
        """Let systemd move the process *pid* into the cgroup: an ordinary user may write to its cgroup.procs, but not
        to that of the cgroup above both, which the kernel wants too. StepError."""
        directory = self._v2
        below = directory.path.partition("/" + self.unit)[2] if directory is not None else ""
        with _connect(user=self.user) as systemd:
            systemd.attach(self.unit, below or "/", pid)

    def leave_out_forbidden(self) -> None:
        """Nothing: systemd makes the cgroup."""

    def delete(self) -> None:
        """Stop the scope, and remove what is left of its cgroups. StepError, also when systemd does not answer."""
        if not self.created and not any(directory.path in self.made for directory in self.directories):
            # Whose unit it is, if there is one, is not known.
            return
        with _connect(user=self.user) as systemd:
            systemd.stop(self.unit)
        deadline = time.monotonic() + DELETE_DEADLINE_SEC
        for directory in reversed(self.directories):
            remove(directory, deadline)
        self._remove_made()

    def to_state(self) -> dict[str, Any]:
        return {**super().to_state(), "unit": self.unit, "slice": self.slice, "user": self.user}

    @classmethod
    def _from_state(cls, data: Mapping[str, Any]) -> Self:
        scope = super()._from_state(data)
        scope.unit, scope.slice, scope.user = data["unit"], data["slice"], data["user"]
        return scope

    def _with(self, directories: tuple[Directory, ...]) -> Scope:
        scope = Scope(directories, rootless=self.rootless, named=True)
        scope.unit, scope.slice, scope.user = self.unit, self.slice, self.user
        return scope

    def _all_devices(self, settings: list[Setting], rules: Sequence[Mapping[str, Any]]) -> list[Setting]:
        """*settings* with all of the v1 device *rules*, as systemd sets a policy by forgetting the one that was."""
        changes = [setting for setting in settings if setting.controller == "devices"]
        if not changes:
            return settings
        writes = [Setting("devices", file, value, pointer) for file, value, pointer in device_writes(Policy(rules))]
        writes[0].undo = changes[0].undo
        return writes + [setting for setting in settings if setting.controller != "devices"]


def _connect(*, user: bool) -> Systemd:
    from ocirt.cgroup.systemd_bus import Systemd

    return Systemd.connect(user=user)


def _is_own_systemd() -> bool:
    """Whether process 1 is of our user namespace: then its systemd is the manager of all that we see, in a system
    container. That of another namespace does not let itself be looked at."""
    if os.geteuid() != 0:
        return False
    try:
        return os.readlink("/proc/1/ns/user") == os.readlink("/proc/self/ns/user")
    except OSError:
        return False


def _in_place(properties: Sequence[Property]) -> list[Property]:
    """*properties* such that lists replace those that are there, instead of being added to them."""
    placed: list[Property] = []
    for name, (signature, value) in properties:
        if signature == "a(ss)":
            placed.append((name, (signature, [])))
        if signature != "a(ss)" or value:
            placed.append((name, (signature, value)))
    return placed
