"""class Container: the operations of runtime.md, and the statuses in which each is allowed.

    from ocirt import Container, Options

    container = Container.create("web", "/srv/bundle")
    container.start()
    container.kill(15)
    container.delete()

Nothing here prints. Every error is one of ocirt.errors. All of it may be called in a program with threads; one
container's operations wait for each other, also across processes.
"""

from __future__ import annotations

import os

from ocirt import host
from ocirt.errors import ConfigError, ContainerNotFound, HookError, OcirtError, StepError, WrongStatus
from ocirt.record import Record, find_state, read_state
from ocirt.state import CACHE_NAME, check_id, default_root, ids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from ocirt.cgroup import Cgroup
    from ocirt.criu.options import CriuOptions
    from ocirt.events import Events
    from ocirt.launch.walk import Walk
    from ocirt.options import Options
    from ocirt.plan import Plan
    from ocirt.timeline import Timeline

__all__ = ["Container", "Process"]

_SIGKILL = 9
_KILL_DEADLINE_MS = 10_000


class Process:
    """A process in a container that this process has started: ``pid`` on the host, and its end."""

    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        """Waits for the end of the process; returns its wait status (wait(2), os.waitstatus_to_exitcode).
        ChildProcessError when it is not a child of the caller (any more)."""
        return os.waitpid(self.pid, 0)[1]


class Container(Record):
    """A container, as far as this host knows it. Made by `create`, `restore`, `load` or `list`, never directly.

    ``id`` is its name, ``root`` the directory of the state store. ``warn`` is called with one line of text for what is
    wrong and no error, such as a poststop hook that fails. ``timeline``: see Options.
    """

    __slots__ = ("_options", "_walk", "timeline", "warn")

    def __init__(self, id: str, root: str, document: dict[str, Any]) -> None:
        super().__init__(id, root, document)
        self.warn: Callable[[str], None] = lambda text: None
        self.timeline: Timeline | None = None
        self._options: Options | None = None
        self._walk: Walk | None = None

    # -- where containers come from ----------------------------------------------------------------------------------

    @classmethod
    def create(cls, id: str, bundle: str, options: Options | None = None) -> Container:
        """Creates the container of a bundle: everything but the user's program, which waits for `start`
        (runtime.md#create). *id* is made of letters, digits and ``_+-.,``; *bundle* is the path of a directory.

        The program gets the caller's standard streams, descriptors 0 to 2, unless it has a terminal; its process is a
        child of the calling process. Raises InvalidContainerId, ConfigError, UnsupportedError, ContainerExists,
        StepError, ProgramError (the program cannot be found), HookError. After an error nothing is left.
        """
        from ocirt.config.load import load_bundle
        from ocirt.launch.create import Creation
        from ocirt.options import Options

        options = options or Options()
        host.require_kernel()
        check_id(id)
        root = os.path.abspath(options.root or default_root())
        creation = Creation(root, id, load_bundle(bundle), options)
        creation.run()
        container = cls(id, root, creation.document)
        container.warn = options.warn
        container._options = options
        assert creation.walk is not None
        if options.attached:
            container._walk = creation.walk
        else:
            creation.walk.close()
        creation.entry.close()
        return container

    @classmethod
    def restore(cls, id: str, bundle: str, criu: CriuOptions, options: Options | None = None) -> Container:
        """Makes the container of a bundle out of the images of a checkpoint: it runs at return, as a child of the
        calling process.

        Raises what `create` does, and OcirtError with criu's reason. After an error nothing is left.
        """
        from ocirt.config.load import load_bundle
        from ocirt.criu.restore import Restoration
        from ocirt.options import Options

        options = options or Options()
        host.require_kernel()
        check_id(id)
        root = os.path.abspath(options.root or default_root())
        restoration = Restoration(root, id, load_bundle(bundle), options, criu)
        restoration.run()
        container = cls(id, root, restoration.document)
        container.warn = options.warn
        restoration.entry.close()
        return container

    @classmethod
    def load(cls, id: str, root: str | None = None) -> Container:
        """The container called *id*, below *root* or `default_root`. Raises InvalidContainerId, ContainerNotFound."""
        root = os.path.abspath(root or default_root())
        return cls(id, root, find_state(root, id))

    @classmethod
    def list(cls, root: str | None = None) -> list[Container]:
        """All containers below the root, sorted by id, but for those that go away meanwhile or are damaged."""
        return [*cls.iterate(root)]

    @classmethod
    def iterate(cls, root: str | None = None, warn: Callable[[str], None] | None = None) -> Iterator[Container]:
        """What `list` has, each read when it is asked for; *warn* hears of those that are damaged."""
        root = os.path.abspath(root or default_root())
        try:
            names = ids(root)
        except FileNotFoundError:
            return
        for id in names:
            try:
                document = find_state(root, id)
            except OcirtError as error:
                if warn is not None and not isinstance(error, ContainerNotFound):
                    warn(f"load container {id}: {error}")
                continue
            yield cls(id, root, document)

    @staticmethod
    def default_root() -> str:
        """The directory of the state store where no other is given: /run/ocirt, or one below $XDG_RUNTIME_DIR."""
        return default_root()

    @staticmethod
    def plan(bundle: str, options: Options | None = None) -> Plan:
        """What creating and starting the bundle's container would do, without doing any of it: its ``ops`` have a
        ``step`` in words, ``where`` it happens ("init" or "host") and its ``origin``, a JSON pointer.

        ConfigError, UnsupportedError, StepError (the root filesystem is missing)."""
        from ocirt.config.load import load_bundle
        from ocirt.launch.create import prepare
        from ocirt.options import Options

        return prepare(load_bundle(bundle), "ID", options or Options())[0]

    # -- operations --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Runs the user's program (runtime.md#start). Returns when it has been executed and the poststart hooks have
        run.

        Raises WrongStatus, StepError, ProgramError, HookError. When a startContainer or poststart hook fails the
        container is stopped and deleted (runtime.md#lifecycle, steps 7 and 9).
        """
        if not self._document.get("hasProcess", True):
            raise ConfigError("wanted the process to run, found none: start needs it", pointer="/process")
        try:
            if self._walk is not None:
                self._start_attached(self._walk)
            else:
                self._start_created()
            self._run_poststart()
        except HookError:
            # "stop the container, and continue the lifecycle at step 12": destroy it and invoke the poststop hooks.
            self.delete(force=True)
            raise

    def _start_attached(self, walk: Walk) -> None:
        self._walk = None
        try:
            walk.commit(and_start=True)
            walk.run()
        except BaseException:
            walk.abort()
            raise
        finally:
            assert self._options is not None
            self._options.trace_walk(walk)
            walk.close()

    def _start_created(self) -> None:
        from ocirt.launch.begin import begin

        entry = self._entry()
        try:
            entry.lock()
            status = self.status(locked=True)
            if status != "created":
                text = (
                    "cannot start a container that has stopped"
                    if status == "stopped"
                    else "cannot start an already running container"
                )
                raise WrongStatus(text, status=status, operation="start", allowed=("created",))
            begin(entry, self, self._begin_state_text, self.timeline)
        finally:
            entry.close()

    def _begin_state_text(self, inside: bool) -> str:
        """With *inside* for hooks in the container's namespaces: with the pid as seen there."""
        from ocirt.json_text import dumps

        return dumps({**self.state("created"), "pid": host.pid_inside(self.pid) if inside else self.pid})

    def _state_text(self, status: str) -> str:
        from ocirt.json_text import dumps

        return dumps(self.state(status))

    def _run_poststart(self) -> None:
        if not self._document.get("poststart"):
            return
        from ocirt import hooks

        text = self._state_text("running")
        for index, hook in enumerate(self._document["poststart"]):
            hooks.run("poststart", index, hook, text, self.annotations, self.bundle)

    def wait(self) -> int:
        """Waits for the end of the init; its wait status (wait(2), os.waitstatus_to_exitcode). ChildProcessError unless
        the caller is the process that created the container, and for a second time."""
        return os.waitpid(self.pid, 0)[1]

    def kill(self, signal: int, all: bool = False) -> None:
        """Sends a signal, as signal.SIGTERM, to the init, with *all* to every process of the container
        (runtime.md#kill).

        SIGKILL also ends a paused container. Raises WrongStatus (stopped), StepError.
        """
        if all:
            self.cgroup().kill(signal)
            return
        pidfd = self._open_init()
        if pidfd is None and signal == _SIGKILL and not self._document.get("ownPidNamespace") and self.pids():
            # In a shared PID namespace the others outlive the init.
            self.cgroup().kill(signal)
            return
        from ocirt._shim import lib

        result = -3  # ESRCH
        if pidfd is not None:
            try:
                result = lib.ocirt_pidfd_signal(pidfd, signal)
            finally:
                os.close(pidfd)
        if result == -3:
            raise WrongStatus(
                "container not running", status="stopped", operation="kill", allowed=("created", "running", "paused")
            )
        if result < 0:
            raise StepError(f"send signal {signal} to process {self.pid}", -result)
        if signal == _SIGKILL:
            if not self._document.get("ownPidNamespace"):
                # Nobody else ends the other processes when the init of a shared PID namespace dies.
                self.cgroup().kill(signal)
            elif self._is_frozen():
                self.cgroup().thaw()

    def pause(self) -> None:
        """Suspends all processes; none runs at return. WrongStatus, StepError, UnsupportedError (nothing to freeze)."""
        from ocirt import control

        control.pause(self)

    def resume(self) -> None:
        """Lets all processes run again. WrongStatus, StepError."""
        from ocirt import control

        control.resume(self)

    def checkpoint(self, criu: CriuOptions) -> None:
        """Saves the processes with criu, from which `restore` makes a container again. They have ended at return, and
        the container is deleted, unless the options leave it running.

        Raises WrongStatus, UnsupportedError (with the reason, before anything is stopped), StepError, and OcirtError
        with criu's reason; then the container goes on.
        """
        from ocirt.criu.dump import checkpoint

        checkpoint(self, criu)
        if not criu.leave_running and not criu.pre_dump:
            self.delete(force=True)

    def update(self, resources: Mapping[str, Any]) -> None:
        """Changes limits and device rules by a ``linux.resources`` object, in its units: bytes, microseconds, -1 for
        unlimited (config-linux.md#control-groups). What it leaves out stays as it is.

        All of it is in force at return, or nothing is changed: ConfigError, UnsupportedError, WrongStatus, StepError.
        """
        from ocirt import update

        update.update(self, resources)

    def add_mounts(self, mounts: Sequence[Mapping[str, Any]], fds: Mapping[str, int] | None = None) -> None:
        """Mounts *mounts*, objects as those of ``mounts`` in config.json, in the container while it runs. *fds* as
        ``mount_fds`` of Options.

        All of them are there at return, or none: ConfigError, UnsupportedError, WrongStatus, StepError.
        """
        from ocirt import hotplug

        hotplug.add_mounts(self, self._document, mounts, fds or {})

    def remove_mounts(self, mounts: Sequence[Mapping[str, Any]]) -> None:
        """Unmounts what is at the destinations of *mounts*, the last first; a path with a symbolic link is refused.
        Errors as of `add_mounts`."""
        from ocirt import hotplug

        hotplug.remove_mounts(self, self._document, mounts)

    def add_devices(self, devices: Sequence[Mapping[str, Any]]) -> None:
        """Makes the nodes of *devices*, objects as those of ``linux.devices``, and allows the container to use them.
        Errors as of `add_mounts`."""
        from ocirt import hotplug

        hotplug.add_devices(self, self._document, devices)

    def remove_devices(self, devices: Sequence[Mapping[str, Any]]) -> None:
        """Forbids the container to use *devices*, and removes their nodes. Errors as of `add_mounts`."""
        from ocirt import hotplug

        hotplug.remove_devices(self, self._document, devices)

    def stats(self) -> dict[str, Any]:
        """What the container uses at this moment, as ``ocirt events --stats`` has it under ``data``: bytes,
        nanoseconds, counts; see ocirt.cgroup.stats. WrongStatus, StepError."""
        from ocirt import events

        return events.stats(self)

    def events(self, interval_sec: float | None = None) -> Events:
        """OOM notices, and stats every *interval_sec*, until the init ends: for ``for`` and for ``async for``.

        WrongStatus, StepError, OcirtError without a memory controller.
        """
        from ocirt.events import Events

        return Events(self, interval_sec)

    def _open_init(self) -> int | None:
        """A pidfd of the init, None when it is dead. The pid may belong to another process by now: the start time
        tells."""
        if not self.pid:
            return None
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return None
        if self._is_alive():
            return pidfd
        os.close(pidfd)
        return None

    def delete(self, force: bool = False) -> None:
        """Removes what create has made, then runs the poststop hooks (runtime.md#delete).

        With *force* a container that is not stopped is killed first. Raises WrongStatus, StepError; a failing poststop
        hook is a warning.
        """
        entry = self._entry()
        try:
            entry.lock()
            self._document = read_state(entry)
            status = self.status(locked=True)
            if not force and status != "stopped":
                raise WrongStatus(
                    f"cannot delete container {self.id} that is not stopped: {status}",
                    status=status,
                    operation="delete",
                    allowed=("stopped",),
                )
            cgroup = self.cgroup() if "cgroup" in self._document else None
            self._end(cgroup)
            if cgroup is not None:
                cgroup.delete()
            if "resctrl" in self._document:
                from ocirt.launch.create import remove_resctrl

                remove_resctrl(self._document)
            if self._document and not self._document.get("ownMountNamespace", True):
                from ocirt.launch.create import unmount_rootfs

                unmount_rootfs(self.rootfs)
            entry.remove()
        finally:
            entry.close()
        self._run_poststop()

    def _end(self, cgroup: Cgroup | None) -> None:
        """Kills what is left, and waits for the init's end."""
        pidfd = self._open_init()
        if pidfd is not None:
            from ocirt._shim import lib

            try:
                lib.ocirt_pidfd_signal(pidfd, _SIGKILL)
                if cgroup is not None and cgroup.frozen:
                    cgroup.thaw()
                if lib.ocirt_wait_readable(pidfd, _KILL_DEADLINE_MS) == 0:
                    raise StepError(
                        f"end process {self.pid}",
                        110,
                        hint="it does not die: perhaps it waits for a device or a filesystem",
                    )
            finally:
                os.close(pidfd)
        # With a PID namespace of its own the kernel has ended all others; those of a shared one are found by their
        # cgroup.
        if cgroup is not None and not self._document.get("ownPidNamespace"):
            cgroup.kill(_SIGKILL)

    def _run_poststop(self) -> None:
        if not self._document.get("poststop"):
            return
        from ocirt import hooks

        text = self._state_text("stopped")
        hooks.run_poststop(self._document["poststop"], text, self.annotations, self.bundle, self.warn)

    def exec(self, process: Mapping[str, Any], options: Options | None = None, *, detach: bool = False) -> Process:
        """Runs another process in the container; returns when its program has been executed.

        *process* is an object as ``process`` of the configuration; `process_template` is the container's own, of which
        to make another. What holds a process, as its capabilities, is the container's where it is absent.
        The process is a child of the caller, also with *detach*, which only says that nobody will wait for it here.
        Raises ConfigError, WrongStatus, StepError, ProgramError.
        """
        from ocirt.config.load import validate_process
        from ocirt.launch.join import join
        from ocirt.options import Options

        options = options or Options()
        validate_process(process)
        options.check()
        status = self.status()
        if status in ("stopped", "creating"):
            raise WrongStatus(
                f"cannot exec in a {status} container", status=status, operation="exec", allowed=("created", "running")
            )
        if status == "paused" and not options.ignore_paused:
            raise WrongStatus(
                "cannot exec in a paused container (use --ignore-paused to override)",
                status=status,
                operation="exec",
                allowed=("created", "running"),
            )
        if process.get("terminal") and options.console_socket is None and options.console_fd is None:
            raise OcirtError("cannot allocate tty without a console socket")
        pidfd = self._open_init()
        if pidfd is None:
            raise WrongStatus(
                "cannot exec in a stopped container", status="stopped", operation="exec", allowed=("created", "running")
            )
        try:
            config = self.config()
            cgroup = self.cgroup()
            if options.sub_cgroups:
                cgroup = cgroup.below(options.sub_cgroups)
            filter = self._filter(config)
            text = self._state_text
            walk = join(config, dict(process), self._document, cgroup, pidfd, options, filter, lambda: text(status))
        finally:
            os.close(pidfd)
        pid = walk.pid
        walk.close()
        return Process(pid)

    def _filter(self, config: dict[str, Any]) -> Any:
        from ocirt.config.words import has_filter

        if not has_filter(config):
            return None
        from ocirt.seccomp import container_filter

        return container_filter(config, cache_directory=f"{self.root}/{CACHE_NAME}")
