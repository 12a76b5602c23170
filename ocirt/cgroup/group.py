"""The container's cgroup: the directory it has in every hierarchy, from before `create` until after `delete`.

`Cgroup.resolve` says where the directories are and does nothing else. Limits are written by `Cgroup.apply`, from what
`ocirt.cgroup.resources.compile` made of ``linux.resources``. Processes enter through descriptors, see
`Cgroup.open_entry_fds` and `Cgroup.open_v2_fd`.
"""

from __future__ import annotations

import errno
import os
import time

from ocirt.cgroup import v1, v2
from ocirt.cgroup.directory import WRITE, Directory, make, missing, read, write
from ocirt.cgroup.freezer import freezer, is_container_frozen
from ocirt.cgroup.layout import detect, place
from ocirt.cgroup.paths import clean, descend
from ocirt.cgroup.processes import SIGKILL, pids_below, signal_held
from ocirt.cgroup.removal import remove
from ocirt.errors import (
    ConfigError,
    InternalError,
    InvalidContainerId,
    OcirtError,
    StepError,
    UnsupportedError,
    errno_text,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Self

    from ocirt.cgroup.layout import Layout
    from ocirt.cgroup.resources import Setting

POINTER = "/linux/cgroupsPath"
FREEZE_DEADLINE_SEC = 10.0
DELETE_DEADLINE_SEC = 5.0
# What mkdir of a cgroup says to those who may not.
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class Cgroup:
    """One container's place in every hierarchy.

    ``directories`` are the container's, ``skipped`` the hierarchies that it does without, as (controllers, reason);
    ``made`` are the host paths of the directories that `create` made, in the order in which it did. ``rootless`` is
    true when the runtime has no rights in the initial user namespace, ``named`` when the configuration has a path,
    ``created`` when `create` has succeeded, before which all processes in it are somebody else's. ``unit`` is the
    systemd unit whose cgroups they are, "" when they are ours. ``warnings`` is what `adapt` has to say to the user.
    """

    unit: str = ""
    warnings: Sequence[str] = ()

    __slots__ = ("_has_begun", "created", "directories", "made", "named", "rootless", "skipped")

    def __init__(self, directories: tuple[Directory, ...], *, rootless: bool = False, named: bool = False) -> None:
        self.directories = directories
        self.skipped: list[tuple[tuple[str, ...], str]] = []
        self.made: list[str] = []
        self.created = False
        self._has_begun = False
        self.rootless = rootless
        self.named = named

    @classmethod
    def resolve(
        cls,
        layout: Layout,
        cgroups_path: str | None,
        id: str,
        *,
        manager: str = "cgroupfs",
        rootless: bool = False,
        annotations: Mapping[str, str] | None = None,
    ) -> Cgroup:
        """Where the container's cgroups are on a host of *layout* (config-linux.md#cgroups-path). Changes nothing.

        An absolute *cgroups_path* is below the mount points. A relative one, or the id where there is none, is below
        the runtime's own cgroup; in v2 mode beside it, since a cgroup with processes, such as the runtime, cannot have
        controllers enabled for those below it. With the manager "disabled" there is none, with "systemd" it is that of
        a scope, which gets more properties by *annotations*.

        With *rootless* `create` goes without what it may not make, with a path without the v2 tree beside v1 at most.

        ConfigError when the path has ".." in it or names the root, InvalidContainerId when the id would do the same.
        """
        if manager == "disabled":
            return cls(())
        if manager == "systemd":
            from ocirt.cgroup.systemd import Scope

            return Scope.find(layout, cgroups_path, id, rootless=rootless, annotations=annotations)
        if manager != "cgroupfs":
            raise UnsupportedError(f"the cgroup manager {manager!r}", "'cgroupfs', 'systemd' or 'disabled'")
        relative = clean(cgroups_path or id)
        if not relative:
            if not cgroups_path:
                raise InvalidContainerId(id, "it cannot name a cgroup")
            raise ConfigError(
                f"wanted a path below the root of the cgroup hierarchies without '..', found {cgroups_path!r}",
                pointer=POINTER,
            )
        absolute = (cgroups_path or "").startswith("/")
        directories = []
        for hierarchy in layout.hierarchies:
            base = hierarchy.mount if absolute else place(hierarchy.mount, hierarchy.root, hierarchy.own)
            directories.append(Directory(hierarchy.controllers, f"{base}/{relative}", 1, hierarchy.mount))
        if layout.v2_mount is not None:
            own = layout.v2_own
            if layout.mode == "v2":
                own = own.rpartition("/")[0] or "/"
            above = place(layout.v2_mount, layout.v2_root, own)
            path = f"{layout.v2_mount if absolute else above}/{relative}"
            directories.append(Directory(layout.v2_controllers, path, 2, layout.v2_mount, above))
        return cls(tuple(directories), rootless=rootless, named=bool(cgroups_path))

    def below(self, paths: Mapping[str, str]) -> Cgroup:
        """The container's cgroups, or those below them, that *paths* name: controller -> path, with "" for all.

        OcirtError for a controller that the container has no cgroup of, and for a path that leads out of its cgroup.
        Changes nothing: what does not exist is found out by entering it.
        """
        directories = []
        left = dict(paths)
        for directory in self.directories:
            subs = {left.pop(controller) for controller in directory.controllers if controller in left}
            if len(subs) > 1:
                shared = ",".join(directory.controllers)
                raise OcirtError(f"controllers {shared} share one cgroup, found {sorted(subs)}")
            for sub in subs or {paths.get("", "")}:
                path = descend(directory.path, sub)
                directories.append(Directory(directory.controllers, path, directory.version, directory.mount))
        left.pop("", None)
        if left:
            raise OcirtError(f"unknown controller {min(left)} in SubCgroupPaths")
        return self._with(tuple(directories))

    def around(self, pid: int) -> Cgroup | None:
        """The container's cgroups, but with the v2 one in which the process *pid* is; None where that is the same.

        The container may have moved its init into a sub-cgroup to enable controllers for it: then no process can enter
        the cgroup above any more (EBUSY, "no internal processes" of cgroup-v2.rst).
        """
        directory = self._v2
        if directory is None or pid <= 0:
            return None
        try:
            layout = detect(own=read(f"/proc/{pid}/cgroup"))
        except OSError as error:
            raise _failed(f"read the cgroup of process {pid}", error, f"/proc/{pid}/cgroup") from error
        path = place(directory.mount, layout.v2_root, layout.v2_own)
        if path in (directory.path, directory.mount):
            return None
        inner = Directory(directory.controllers, path, 2, directory.mount)
        return self._with((*self.directories[:-1], inner))

    def without_v2(self) -> Cgroup:
        """The container's v1 cgroups alone."""
        return self._with(tuple([directory for directory in self.directories if directory.version == 1]))

    # -- life --------------------------------------------------------------------------------------------------------

    def adapt(self, settings: Sequence[Setting], devices: Sequence[Mapping[str, Any]] | None = None) -> list[Setting]:
        """*settings* as whoever manages the cgroup can keep them; with *devices*, all rules that are to be in force.
        Precedes `create` or `apply`, and changes nothing."""
        return list(settings)

    def create(self, settings: Sequence[Setting] = (), pid: int = 0) -> None:
        """Make the directories, with all that a process needs to enter them; `apply` sets the limits. *pid* is that of
        a process that exists already, for a manager that moves it.

        Of *settings*, those of a v1 cpuset are set at once instead of the parent's values, which an exclusive
        neighbour may forbid. In v2 mode all controllers are enabled; beside v1, `apply` enables those it needs.

        A directory that exists is joined, unless it has processes or is frozen: then, and when something cannot be
        made, StepError, and what was made is removed again.
        """
        if not self._has_begun:
            self.made = []
            self._refuse_occupied()
        self._make_all(settings, self.directories[:-1] if self._has_begun else self.directories)
        self.created = True

    def begin(self) -> None:
        """Make the v2 directory, for a process to be born in while `create` makes those of v1. StepError as there."""
        self.made = []
        self._refuse_occupied()
        self._make_all((), self.directories[-1:])
        self._has_begun = True

    def _make_all(self, settings: Sequence[Setting], directories: Iterable[Directory]) -> None:
        """Make the *directories*; what was made is removed again when that fails. StepError."""
        try:
            for directory in directories:
                try:
                    self._make(directory, settings)
                except StepError:
                    raise
                except OSError as error:
                    if not self._is_dispensable(directory) or error.errno not in _DENIED:
                        raise _failed("create cgroup " + directory.path, error, directory.path) from error
                    self._skip(directory, error)
            self._refuse_frozen()
        except BaseException:
            self._remove_made()
            raise

    def apply(self, settings: Sequence[Setting], *, then: Callable[[], None] | None = None) -> None:
        """Write *settings*, and call *then*. When either fails what was written is put back: StepError with the file,
        the errno and the pointer; UnsupportedError when the controller or the file is not there.

        Rootless, device rules are left out, for they need CAP_SYS_ADMIN in the initial user namespace, and a limit in
        a hierarchy that is skipped is a StepError.
        """
        if self.rootless:
            settings = [setting for setting in settings if setting.controller != "devices"]
            self.refuse_skipped(settings)
        from ocirt.cgroup.settings import write_settings

        write_settings(settings, self.directories, then)

    def set_devices(self, program: bytes) -> None:
        """Let *program*, of `ocirt.cgroup.device_program`, decide about devices, in place of an earlier one. StepError.

        Rootless nothing happens: it needs privileges of the host, without which no device node can be made either.
        """
        if self._v2 is not None and not self.rootless:
            from ocirt.cgroup import device_filter

            device_filter.attach(self._v2.path, program)

    def attach(self, pid: int) -> None:
        """Let the manager of the cgroup move the process *pid* into it."""
        raise InternalError("the cgroup has no manager")

    def delegate(self, uid: int, gid: int = -1) -> None:
        """Give the v2 cgroup to the host's *uid* and *gid*, so that the container can divide it. StepError.

        Outside v2 mode nothing happens: "cgroup delegation is not secure in cgroups v1"
        (config-linux.md#cgroup-ownership).
        """
        directory = self._v2
        if directory is not None and directory is self.directories[0]:
            try:
                v2.delegate(directory.path, uid, gid)
            except OSError as error:
                raise _failed(f"give cgroup {directory.path} to uid {uid}", error, directory.path) from error

    def delete(self) -> None:
        """Remove the directories that `create` made, with all cgroups below the container's.

        Processes that are about to end are waited for, up to `DELETE_DEADLINE_SEC`: StepError (EBUSY) when some
        remain. Parents go only if `create` made them and nothing else is in them. What exists without us stays ("not
        created by this container, MUST NOT be deleted", runtime.md#delete); what is gone already is fine.
        """
        deadline = time.monotonic() + DELETE_DEADLINE_SEC
        # v2 first: it has the event to wait for, and then the others find their cgroup empty.
        for directory in reversed(self.directories):
            if directory.path in self.made:
                remove(directory, deadline)
                self.made.remove(directory.path)
        self._remove_made()

    # -- processes ---------------------------------------------------------------------------------------------------

    def open_entry_fds(self, version: int = 1) -> list[int]:
        """Descriptors through which a single-threaded process that writes "0" to each enters. StepError.

        On v1 of ``tasks``: for ``cgroup.procs``, all that v2 has, the kernel waits for an RCU grace period, 7 to 15 ms
        on a quiet machine. Most are born in their v2 cgroup instead.
        """
        name = "/tasks" if version == 1 else "/cgroup.procs"
        fds: list[int] = []
        for directory in self.directories:
            if directory.version == version:
                try:
                    fds.append(os.open(directory.path + name, WRITE))
                except OSError as error:
                    for fd in fds:
                        os.close(fd)
                    raise _failed("enter cgroup " + directory.path, error, directory.path) from error
        return fds

    def open_v2_fd(self) -> int | None:
        """A descriptor of the v2 directory for CLONE_INTO_CGROUP (clone(2), Linux 5.7), None without one. StepError."""
        if (directory := self._v2) is None:
            return None
        try:
            return os.open(directory.path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _failed("enter cgroup " + directory.path, error, directory.path) from error

    def pids(self) -> list[int]:
        """The container's processes, those in sub-cgroups too; none when the cgroup is gone. StepError."""
        if (directory := self._counter) is None:
            return []
        try:
            return pids_below(directory.path)
        except OSError as error:
            raise _failed("read the processes of cgroup " + directory.path, error, directory.path) from error

    def kill(self, signal: int) -> None:
        """Send *signal* to every process of the container, also to those in sub-cgroups. StepError.

        SIGKILL ends frozen ones too; any other signal leaves a frozen container frozen. At return all have the signal;
        `delete` is what waits for their end. Nothing happens when the cgroup is gone, or is not ours yet.
        """
        counter = self._counter if self.created else None
        sentenced: set[int] = set()
        try:
            if counter is None:
                return
            if signal == SIGKILL and self._v2 is not None:
                # Also for those that are about to be forked (cgroup-v2.rst, Linux 5.14).
                write(self._v2.path + "/cgroup.kill", "1")
                if counter is self._v2:
                    return
                sentenced = set(pids_below(self._v2.path))
            if set(pids_below(counter.path)) - sentenced:
                signal_held(counter, signal, freezer=self._freezer is counter)
            elif sentenced and self._freezer is counter:
                # Frozen by v1, they have the signal of v2 and still wait.
                v1.thaw(counter.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _failed(f"send signal {signal} to the container's cgroup", error, None) from error

    def freeze(self) -> None:
        """Freeze all processes; they are frozen at return. StepError, UnsupportedError without a freezer."""
        directory = self._need_freezer()
        try:
            if (v1.freeze if directory.version == 1 else v2.freeze)(directory.path, FREEZE_DEADLINE_SEC):
                return
        except OSError as error:
            raise _failed("freeze cgroup " + directory.path, error, directory.path) from error
        raise StepError("freeze cgroup " + directory.path, errno.ETIMEDOUT, filename=directory.path)

    def thaw(self) -> None:
        """Let all processes run again; at return they do, or have ended. StepError, UnsupportedError as `freeze`."""
        directory = self._need_freezer()
        try:
            if (v1.thaw if directory.version == 1 else v2.thaw)(directory.path):
                return
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return
            raise _failed("thaw cgroup " + directory.path, error, directory.path) from error
        raise StepError(
            "thaw cgroup " + directory.path, errno.EBUSY, filename=directory.path, detail="a cgroup above it is frozen"
        )

    @property
    def frozen(self) -> bool:
        """Whether the container was frozen, by `freeze` or another hand; false when its cgroup is gone. StepError."""
        return is_container_frozen(self.directories)

    # -- state file --------------------------------------------------------------------------------------------------

    def plan_to_make(self) -> None:
        """Note in ``made`` what `create` will make, for the state file: were the runtime killed in the middle of it, a
        later `delete` would still know what to remove. `create` puts what it has really made in its place."""
        self.made = []
        for directory in self.directories:
            self.made += [path for path in missing(directory) if path not in self.made]

    def to_state(self) -> dict[str, Any]:
        """All of it, for the state file."""
        return {
            "directories": [[list(d.controllers), d.path, d.version, d.mount] for d in self.directories],
            "skipped": [[list(controllers), reason] for controllers, reason in self.skipped],
            "made": list(self.made),
            "created": self.created,
            "rootless": self.rootless,
        }

    @staticmethod
    def from_state(data: Mapping[str, Any]) -> Cgroup:
        """What `to_state` said. The directories may be gone meanwhile."""
        if "unit" in data:
            from ocirt.cgroup.systemd import Scope

            return Scope._from_state(data)
        return Cgroup._from_state(data)

    @classmethod
    def _from_state(cls, data: Mapping[str, Any]) -> Self:
        directories = [
            Directory(tuple(controllers), path, version, mount)
            for controllers, path, version, mount in data["directories"]
        ]
        cgroup = cls(tuple(directories), rootless=data.get("rootless", False))
        cgroup.skipped = [(tuple(controllers), reason) for controllers, reason in data.get("skipped", ())]
        cgroup.made = list(data.get("made", ()))
        cgroup.created = data.get("created", True)
        return cgroup

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _v2(self) -> Directory | None:
        return next((directory for directory in self.directories[-1:] if directory.version == 2), None)

    @property
    def _freezer(self) -> Directory | None:
        """Where the container is frozen: in the v1 freezer, else in v2."""
        return freezer(self.directories)

    @property
    def _counter(self) -> Directory | None:
        """Where the container's processes are counted: in the freezer's hierarchy, else in any."""
        return self._freezer or (self.directories[0] if self.directories else None)

    def _with(self, directories: tuple[Directory, ...]) -> Cgroup:
        return Cgroup(directories, rootless=self.rootless, named=True)

    def _need_freezer(self) -> Directory:
        if (directory := self._freezer) is None:
            raise UnsupportedError("freezing the container", "a cgroup of its own, v2 or with the freezer controller")
        return directory

    def _make(self, directory: Directory, settings: Sequence[Setting]) -> None:
        """Make *directory* and whatever is missing above it, ready to be joined. OSError, StepError."""
        path = directory.path
        make(path, directory.mount, self.made)
        if directory.version == 1:
            if "cpuset" in directory.controllers:
                own = {setting.file: setting for setting in settings if setting.controller == "cpuset"}
                v1.fill_cpuset(path, directory.mount, own)
            return
        if self.directories[0] is directory:
            v2.enable(path, directory.mount, directory.controllers)
        v2.make_joinable(path)

    def _refuse_occupied(self) -> None:
        """StepError when a cgroup that was there before us has processes."""
        for path in [directory.path for directory in self.directories]:
            try:
                count = len(pids_below(path))
            except OSError as error:
                raise _failed("create cgroup " + path, error, path) from error
            if count:
                detail = f"container's cgroup is not empty: {count} process(es) found"
                raise StepError("create cgroup " + path, errno.EBUSY, filename=path, origin=POINTER, detail=detail)

    def _refuse_frozen(self) -> None:
        """StepError when a process that enters would not run, be it because a cgroup above is frozen. That of the
        container need not be there yet."""
        if (directory := self._freezer) is None:
            return
        path = directory.path
        while path != directory.mount and not os.path.isdir(path):
            path = path.rpartition("/")[0]
        if path != directory.mount and (v1.is_held if directory.version == 1 else v2.is_held)(path):
            step, detail = "create cgroup " + directory.path, "container's cgroup unexpectedly frozen"
            raise StepError(step, errno.EBUSY, filename=directory.path, origin=POINTER, detail=detail)

    def leave_out_forbidden(self) -> None:
        """Rootless: skip every hierarchy in which nothing may be made, as far as there is no need of it."""
        for directory in filter(self._is_dispensable, self.directories):
            above = directory.path.rpartition("/")[0]
            while not os.path.isdir(above):
                above = above.rpartition("/")[0]
            if not os.access(above, os.W_OK | os.X_OK, effective_ids=True):
                self._skip(directory, OSError(errno.EACCES, ""))

    def _is_dispensable(self, directory: Directory) -> bool:
        """With a path on a hybrid host, a user was given the cgroup of that name in the v1 hierarchies, or nowhere."""
        return self.rootless and (not self.named or (directory.version == 2 and self.directories[0].version == 1))

    def _skip(self, directory: Directory, error: OSError) -> None:
        self.directories = tuple([other for other in self.directories if other is not directory])
        self.skipped.append((directory.controllers, errno_text(error.errno or 0)))

    def refuse_skipped(self, settings: Sequence[Setting]) -> None:
        """StepError when one of *settings* is for a hierarchy that is skipped; device rules are left out there."""
        for setting in settings:
            for controllers, reason in self.skipped:
                if setting.controller in controllers and setting.controller != "devices" and not setting.optional:
                    needs = "rootless needs no limits + no cgrouppath when no permission is granted for cgroups"
                    step, detail = f"set {setting.file}", f"{needs}: {reason}"
                    raise StepError(step, errno.EACCES, filename=setting.file, origin=setting.pointer, detail=detail)

    def _remove_made(self) -> None:
        """Remove what `create` made and nobody uses, the last first; what an init is in already is for `delete`."""
        for path in self.made[::-1]:
            try:
                os.rmdir(path)
                self.made.remove(path)
            except OSError:
                continue


def _failed(step: str, error: OSError, path: str | None) -> StepError:
    return StepError(step, error.errno or 0, filename=path)
