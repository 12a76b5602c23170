"""What a walk cannot know by itself: the descriptors that a plan only names, and the host's own operations."""

from __future__ import annotations

import os

from ocirt._shim import ffi, lib
from ocirt.errors import InternalError, StepError
from ocirt.launch.channel import check
from ocirt.launch.sources import HOST_KINDS, IdMapper, open_source
from ocirt.plan.constants import CLONE_NEWNS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirt.cgroup import Cgroup
    from ocirt.hooks import Output
    from ocirt.plan.op import Op, Source


class Doer:
    """What every walk needs. Descriptors that `open` returns belong to the caller."""

    __slots__ = (
        "_entry_fds",
        "_hook_outputs",
        "_id_mapper",
        "annotations",
        "bundle",
        "bundle_fd",
        "cgroup",
        "console",
        "state_text",
    )

    def __init__(
        self,
        *,
        bundle_fd: int,
        cgroup: Cgroup,
        console: Callable[[], int] | None,
        state_text: Callable[[bool], str],
    ) -> None:
        self.bundle_fd = bundle_fd
        self.cgroup = cgroup
        self.console = console
        self.state_text = state_text
        self.annotations: dict[str, str] = {}
        self.bundle = ""
        self._hook_outputs: dict[tuple[str, int], Output] = {}
        self._entry_fds: list[int] = []
        self._id_mapper = IdMapper()

    def open(self, source: Source, op: Op, pid: int) -> int:
        if source.kind in HOST_KINDS:
            source_fd = open_source(source, op, pid, bundle_fd=self.bundle_fd)
            if source.id_map is not None:
                self._id_mapper.map(source_fd, source.id_map, op, pid)
            return source_fd
        if source.kind == "console":
            assert self.console is not None
            return self.console()
        if source.kind == "cgroup":
            fd = self.cgroup.open_v2_fd()
            if fd is None:
                raise InternalError("a plan for a v2 cgroup met a container without one")
            # The new process has it for a moment too, when those in the container that may trace can use it already.
            isolated = lib.ocirt_isolate_directory(fd)
            if isolated < 0:
                return fd
            os.close(fd)
            return int(isolated)
        if source.kind == "cgroup-entry":
            if not self._entry_fds:
                self._entry_fds = self.cgroup.open_entry_fds()[::-1]
            return self._entry_fds.pop()
        if source.kind == "cgroup2-entry":
            return self.cgroup.open_entry_fds(2)[0]
        if source.kind == "hook-input":
            from ocirt import hooks

            return hooks.input_fd(self.state_text(True))
        if source.kind == "hook-stdout":
            from ocirt import hooks

            value: Any = op.value
            output = hooks.Output(*value, annotations=self.annotations, bundle=self.bundle)
            self._hook_outputs[source.path, source.index] = output
            return os.dup(output.stdout_fd)
        if source.kind == "hook-stderr":
            return os.dup(self._hook_outputs[source.path, source.index].stderr_fd)
        raise InternalError(f"a plan names a descriptor of kind {source.kind!r}")

    def do(self, op: Op, pid: Callable[[], int]) -> None:
        raise InternalError(f"a plan names a host operation {op.kind!r}")

    def while_init_works(self) -> None:
        """The init has all that it needs to get ready."""

    def hook_output(self, kind: str, index: int) -> bytes:
        """The end of what a hook of the container's namespaces has said."""
        output = self._hook_outputs.get((kind, index))
        return output.tail() if output is not None else b""

    def bring_listener(self, agent: Any, number: int, pid: int, pidfd: int) -> None:
        """The seccomp listener of the container's process, descriptor *number* there, goes to its agent."""
        from ocirt.launch import listener

        listener.bring(agent, number, pid, pidfd, self.state_text(False))

    def close(self) -> None:
        for output in self._hook_outputs.values():
            output.close()
        self._hook_outputs = {}
        for fd in self._entry_fds:
            os.close(fd)
        self._entry_fds = []
        self._id_mapper.close()


class Creator(Doer):
    """For create: the cgroup, the id maps, the network devices, the hooks of the runtime, the socket where the
    init waits for start."""

    __slots__ = (
        "cgroup_made",
        "listener",
        "make_resctrl",
        "mounts_joined",
        "move_net_devices",
        "privileged",
        "save_words",
        "settings",
    )

    listener: Callable[[], int]
    privileged: bool
    settings: list[Any]
    cgroup_made: Callable[[], None]
    make_resctrl: Callable[[Any, int], None]
    mounts_joined: Callable[[int], None]
    save_words: Callable[[], None]
    move_net_devices: Callable[[Any, int], None]

    def open(self, source: Source, op: Op, pid: int) -> int:
        if source.kind == "listener":
            return self.listener()
        if source.kind == "delegated-cgroup":
            from ocirt.cgroup import delegated

            return delegated.open_entry(self.cgroup.directories[0].path, source.path)
        fd = Doer.open(self, source, op, pid)
        if op.kind == "JOIN_NAMESPACE" and op.a == CLONE_NEWNS:
            self.mounts_joined(fd)
        return fd

    def while_init_works(self) -> None:
        self.save_words()

    def do(self, op: Op, pid: Callable[[], int]) -> None:
        value: Any = op.value
        if op.kind == "begin-cgroup":
            self.cgroup.begin()
        elif op.kind == "create-cgroup":
            self.cgroup.create(self.settings, pid() if self.cgroup.unit else 0)
            self.cgroup_made()
        elif op.kind == "make-delegated":
            from ocirt.cgroup import delegated

            delegated.make(self.cgroup.directories[0].path, *value)
        elif op.kind == "divide-cgroup":
            from ocirt.cgroup import delegated

            delegated.divide(self.cgroup.directories[0].path, value)
        elif op.kind == "limit":
            if value:
                self.cgroup.apply(value)
        elif op.kind == "delegate":
            self.cgroup.delegate(*value)
        elif op.kind == "create-resctrl":
            self.make_resctrl(value, pid())
        elif op.kind == "net-devices":
            self.move_net_devices(value, pid())
        elif op.kind == "devices":
            self.cgroup.set_devices(value)
        elif op.kind == "id-map":
            from ocirt.launch import id_maps

            id_maps.write(pid(), op, privileged=self.privileged)
        elif op.kind == "hook":
            from ocirt import hooks

            pid()  # the hook is told
            kind, index, hook = value
            # "created: the runtime has finished the create operation (after step 2 in the lifecycle)"; the hooks are
            # steps 3 to 5.
            hooks.run(kind, index, hook, self.state_text(False), self.annotations, self.bundle)
        else:
            Doer.do(self, op, pid)


class Joiner(Doer):
    """For exec, and for what is changed in a container that runs: its init and what that is in."""

    __slots__ = ("init_pid", "init_pidfd", "resctrl")

    init_pid: int
    init_pidfd: int
    resctrl: Any

    def open(self, source: Source, op: Op, pid: int) -> int:
        if source.kind == "init":
            return os.dup(self.init_pidfd)
        if source.kind == "init-root":
            path = f"/proc/{self.init_pid}/root"
            try:
                return os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError as error:
                raise StepError(op.step, error.errno or 0, filename=path, origin=op.origin) from None
        # A user namespace of which ids are mapped is that of the init.
        return Doer.open(self, source, op, self.init_pid)

    def do(self, op: Op, pid: Callable[[], int]) -> None:
        if op.kind == "attach":
            self.cgroup.attach(pid())
        elif op.kind == "join-resctrl":
            from ocirt.resctrl import Group

            Group.from_state(self.resctrl).join(pid())
        else:
            Doer.do(self, op, pid)


def connect_socket(path: str, step: str, origin: str = "") -> int:
    """Connects to a stream socket of an engine or an agent; the path may be longer than sun_path, so it is gone to by
    its directory."""
    directory, _, name = path.rpartition("/")
    try:
        directory_fd = os.open(
            directory or ("/" if path.startswith("/") else "."), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        )
    except OSError as error:
        raise StepError(step, error.errno or 0, filename=path, origin=origin) from None
    try:
        short = os.fsencode(f"/proc/self/fd/{directory_fd}/{name}") + b"\0"
        return check(lib.ocirt_connect_stream(ffi.from_buffer(short)), step, path, origin=origin)
    finally:
        os.close(directory_fd)


def connect_console(path: str) -> int:
    return connect_socket(path, f"connect to the socket {path}")


def send_pidfd(pidfd: int, path: str, origin: str = "") -> None:
    """Sends *pidfd*, the one message of a connection, to the socket *path*; StepError."""
    socket_fd = connect_socket(path, f"connect to the socket {path}", origin)
    try:
        result = lib.ocirt_send_fd(socket_fd, pidfd, ffi.from_buffer(b"pidfd\0"))
        check(result, f"send the pidfd to {path}", path, origin=origin)
    finally:
        os.close(socket_fd)
