"""A seccomp agent: answers the system calls that a filter notifies (seccomp_unotify(2), config-linux.md#seccomp).

    agent = SeccompAgent("/run/agent.sock")

    @agent.on("mkdir")
    def make(call):
        if call.read_string(call.args[0]) == b"/forbidden":
            raise PermissionError(errno.EPERM, "not here")
        return agent.CONTINUE

    agent.serve()

The path is ``linux.seccomp.listenerPath`` of any number of containers. Whoever makes a call may change the memory that
its arguments point to at any time, so CONTINUE is no means to forbid something: what has been read may not be what the
kernel reads next. To decide, do the call on behalf of the process, and return its result.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import struct

from ocirt.errors import OcirtError, StepError
from ocirt.json_parse import parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Final, Self

    Handler = Callable[["Call"], object]

# struct seccomp_notif, seccomp_notif_resp and seccomp_notif_addfd; _IOWR('!', ...) and _IOW('!', ...) of them.
_NOTIF = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_ADDFD = struct.Struct("=QIIII")
_NOTIF_RECV = 3 << 30 | _NOTIF.size << 16 | 0x2100
_NOTIF_SEND = 3 << 30 | _RESPONSE.size << 16 | 0x2101
_NOTIF_ID_VALID = 1 << 30 | 8 << 16 | 0x2102
_NOTIF_ADDFD = 1 << 30 | _ADDFD.size << 16 | 0x2103
_NOTIF_BYTES = 256  # more than a later kernel's struct
_FLAG_CONTINUE = 1
_ADDFD_SETFD = 1
_ADDFD_SEND = 2
_PAGE_BYTES = 4096
_STATE_BYTES = 1 << 20
_MAX_FDS = 16


class _Continue:
    def __repr__(self) -> str:
        return "CONTINUE"


class Call:
    """One notified system call, which waits for its answer.

    ``name`` is that of the handler, ``args`` the six arguments as unsigned numbers, ``pid`` the thread that calls, as
    seen here. ``process`` is the container process state: ``pid``, ``metadata``, and the container's ``state``.
    """

    __slots__ = ("_id", "_listener_fd", "_memory_fd", "answered", "arch", "args", "name", "number", "pid", "process")

    def __init__(self, listener_fd: int, notification: bytes, process: dict[str, Any]) -> None:
        self._id, self.pid, _, self.number, self.arch, _, *args = _NOTIF.unpack_from(notification)
        self.args: tuple[int, ...] = tuple(args)
        self.name = ""
        self.process = process
        self.answered = False
        self._listener_fd = listener_fd
        self._memory_fd = -1

    def __repr__(self) -> str:
        return f"Call({self.name or self.number!r}, pid={self.pid})"

    def is_valid(self) -> bool:
        """Whether the call still waits (SECCOMP_IOCTL_NOTIF_ID_VALID): if so, ``pid`` is no other process since it was
        looked at before."""
        try:
            fcntl.ioctl(self._listener_fd, _NOTIF_ID_VALID, struct.pack("=Q", self._id))
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def read(self, address: int, size: int) -> bytes:
        """*size* bytes of the process's memory. OSError with EFAULT where there is none, with ESRCH when the call has
        ended."""
        self._open_memory()
        try:
            data = os.pread(self._memory_fd, size, address) if address < 1 << 63 else b""
        except OSError:
            data = b""
        self._require_valid()
        if len(data) != size:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return data

    def read_string(self, address: int, limit: int = _PAGE_BYTES) -> bytes:
        """The bytes up to a NUL, such as a path. ENAMETOOLONG if there is none within *limit* bytes."""
        found = b""
        while len(found) < limit:
            size = min(_PAGE_BYTES - address % _PAGE_BYTES, limit - len(found))
            text, nul, _ = self.read(address, size).partition(b"\0")
            found += text
            if nul:
                return found
            address += size
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def add_fd(self, fd: int, number: int | None = None, *, close_on_exec: bool = False, answer: bool = False) -> int:
        """Gives the process a copy of the descriptor *fd*, in the place of *number* if it is given, and returns its
        number there. With *answer* (not with *number*) the number is the call's result as well, in one step: what the
        handler returns does not matter then."""
        if answer and number is not None:
            raise ValueError("a descriptor with a given number cannot be the answer")
        flags = (_ADDFD_SETFD if number is not None else 0) | (_ADDFD_SEND if answer else 0)
        packed = _ADDFD.pack(self._id, flags, fd, number or 0, os.O_CLOEXEC if close_on_exec else 0)
        remote: int = fcntl.ioctl(self._listener_fd, _NOTIF_ADDFD, bytearray(packed), True)
        self.answered = self.answered or answer
        return remote

    def _open_memory(self) -> None:
        """The id is checked behind the open: by then the descriptor is of the process that waits."""
        if self._memory_fd < 0:
            try:
                self._memory_fd = os.open(f"/proc/{self.pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                self._require_valid()
                raise
        self._require_valid()

    def _require_valid(self) -> None:
        if not self.is_valid():
            raise ProcessLookupError(errno.ESRCH, "the system call has ended")

    def _send(self, value: int, error: int, flags: int) -> None:
        if self.answered:
            return
        self.answered = True
        try:
            fcntl.ioctl(self._listener_fd, _NOTIF_SEND, bytearray(_RESPONSE.pack(self._id, value, -error, flags)), True)
        except OSError as failure:
            if failure.errno != errno.ENOENT:  # the process is gone, or a signal has ended the call
                raise

    def _close(self) -> None:
        if self._memory_fd >= 0:
            os.close(self._memory_fd)
            self._memory_fd = -1


class _Connection:
    """What has come from a runtime up to now."""

    __slots__ = ("data", "fds", "socket")

    def __init__(self, socket: socket.socket) -> None:
        self.socket = socket
        self.data = b""
        self.fds: list[int] = []

    def close(self) -> None:
        self.socket.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class SeccompAgent:
    """Listens at a socket for the filters of containers and answers what they notify, in the thread that calls
    `serve` (seccomp_unotify(2)). ``path`` of the socket is the ``linux.seccomp.listenerPath`` of any number of them.

        with SeccompAgent("/run/agent.sock") as agent:

            @agent.on("mkdir")
            def make(call):
                return agent.CONTINUE

            agent.serve()

    A handler gets a Call and returns the call's result, a number, or CONTINUE; an OSError that it raises is the errno.
    Whoever calls may change its memory meanwhile: CONTINUE is no means to forbid something.
    """

    __slots__ = (
        "_connections",
        "_fallback",
        "_handlers",
        "_listeners",
        "_numbers",
        "_on_error",
        "_poll",
        "_server",
        "_stop_fd",
        "path",
    )

    #: What a handler returns to let the kernel do the call.
    CONTINUE: Final = _Continue()

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        fallback: object = errno.ENOSYS,
        on_error: Callable[[Exception], object] | None = None,
    ) -> None:
        """Makes the socket, for its owner alone; StepError where that fails.

        *fallback* answers calls without a handler: an errno, CONTINUE, or a handler. *on_error* is told what `serve`
        otherwise raises: exceptions of handlers, and what a runtime sends that is no container process state.
        """
        self.path = os.fspath(path)
        self._fallback = fallback
        self._on_error = on_error
        self._handlers: dict[str, Handler] = {}
        self._numbers: dict[int, dict[int, str]] = {}
        self._connections: dict[int, _Connection] = {}
        self._listeners: dict[int, dict[str, Any]] = {}
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            self._server.bind(self.path)
            os.chmod(self.path, 0o600)  # nobody can connect before listen(2)
            self._server.listen()
        except OSError as error:
            self._server.close()
            raise StepError(f"listen at {self.path}", error.errno or 0, filename=self.path) from None
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._poll = select.poll()
        for fd in (self._server.fileno(), self._stop_fd):
            self._poll.register(fd, select.POLLIN)

    def on(self, *names: str) -> Callable[[Handler], Handler]:
        """Decorates the handler of these system calls.

        It returns the call's result, an int, or CONTINUE. An OSError that it raises is the call's errno. Anything else
        that it raises or returns is an error, and the call fails with EPERM. ValueError for a name that is none.
        """
        from ocirt.seccomp_compiler import is_syscall

        for name in names:
            if not is_syscall(name):
                raise ValueError(f"{name!r} is no system call")

        def enter(handler: Handler) -> Handler:
            self._handlers.update(dict.fromkeys(names, handler))
            self._numbers.clear()
            return handler

        return enter

    def serve(self) -> None:
        """Answers until `stop` is called."""
        while True:
            for fd, events in self._poll.poll():
                if fd == self._stop_fd:
                    os.eventfd_read(fd)
                    return
                try:
                    self._attend(fd, events)
                except Exception as error:
                    if self._on_error is None:
                        raise
                    self._on_error(error)

    def stop(self) -> None:
        """Ends `serve`, from whatever thread."""
        os.eventfd_write(self._stop_fd, 1)

    def close(self) -> None:
        """Removes the socket and lets go of all filters: what they notify fails with ENOSYS from now on. Not while
        `serve` runs."""
        if self._stop_fd < 0:
            return
        self._server.close()
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass
        for connection in self._connections.values():
            connection.close()
        for fd in (*self._listeners, self._stop_fd):
            os.close(fd)
        self._connections, self._listeners, self._stop_fd = {}, {}, -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- what poll(2) finds ------------------------------------------------------------------------------------------

    def _attend(self, fd: int, events: int) -> None:
        if fd == self._server.fileno():
            self._accept()
        elif fd in self._connections:
            self._hear(fd)
        elif events & select.POLLIN:
            self._answer(fd)
        else:  # nobody is left whom the filter binds
            self._poll.unregister(fd)
            del self._listeners[fd]
            os.close(fd)

    def _accept(self) -> None:
        try:
            accepted, _ = self._server.accept()
        except BlockingIOError:
            return
        accepted.setblocking(False)
        self._connections[accepted.fileno()] = _Connection(accepted)
        self._poll.register(accepted.fileno(), select.POLLIN)

    def _hear(self, fd: int) -> None:
        """A state is complete when its connection ends: there is exactly one on each."""
        connection = self._connections[fd]
        try:
            data, fds, flags, _ = socket.recv_fds(connection.socket, _PAGE_BYTES, _MAX_FDS)
            connection.fds += fds
            connection.data += data
            if flags & socket.MSG_CTRUNC or len(connection.data) > _STATE_BYTES or len(connection.fds) > _MAX_FDS:
                raise OcirtError("a runtime has sent more than a container process state")
            if data:
                return
        except BlockingIOError:
            return
        except Exception:
            self._forget(fd)
            raise
        try:
            self._add_listener(connection)
        finally:
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        self._poll.unregister(fd)
        self._connections.pop(fd).close()

    def _add_listener(self, connection: _Connection) -> None:
        process: Any = parse_json(connection.data, "the container process state")
        names = process.get("fds") if isinstance(process, dict) else None
        if not isinstance(names, list) or names.count("seccompFd") != 1 or len(names) != len(connection.fds):
            raise OcirtError("a container process state names other descriptors than have come with it")
        listener_fd = connection.fds.pop(names.index("seccompFd"))
        self._listeners[listener_fd] = process
        self._poll.register(listener_fd, select.POLLIN)

    def _answer(self, listener_fd: int) -> None:
        notification = bytearray(_NOTIF_BYTES)
        try:
            fcntl.ioctl(listener_fd, _NOTIF_RECV, notification, True)
        except OSError as error:
            if error.errno == errno.ENOENT:  # the process was killed meanwhile
                return
            raise
        call = Call(listener_fd, bytes(notification), self._listeners[listener_fd])
        try:
            self._decide(call)
        except OSError as error:
            call._send(0, error.errno or errno.EPERM, 0)
        finally:
            call._send(0, errno.EPERM, 0)
            call._close()

    def _decide(self, call: Call) -> None:
        call.name = self._names(call.arch).get(call.number, "")
        if call.name:
            result = self._handlers[call.name](call)
        elif isinstance(self._fallback, int):
            raise OSError(self._fallback, os.strerror(self._fallback))
        else:
            result = self._fallback(call) if callable(self._fallback) else self._fallback
        if call.answered:
            return
        if result is self.CONTINUE:
            call._send(0, 0, _FLAG_CONTINUE)
        elif isinstance(result, int):
            call._send(result, 0, 0)
        else:
            raise TypeError(f"the handler of {call.name} has returned {result!r}: wanted an int or CONTINUE")

    def _names(self, arch: int) -> dict[int, str]:
        """The numbers that the handlers' system calls have on an architecture."""
        if arch not in self._numbers:
            from ocirt.seccomp_compiler import syscall_number

            numbers = {syscall_number(arch, name): name for name in self._handlers}
            self._numbers[arch] = {number: name for number, name in numbers.items() if number >= 0}
        return self._numbers[arch]
