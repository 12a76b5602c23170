"""sd_notify(3): a container says that it is ready, and the service manager of the host hears of it.

A container that is made with ``Options(notify_socket=True)`` finds a socket of its own at /run/notify/notify.sock. What
comes there is the container's word: of it nothing but READY= is passed on, and with it the pid that is to be watched.
"""

from __future__ import annotations

import array
import os
import select
import socket

from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: In the container's state directory.
DIRECTORY = "notify"
_NAME = "notify.sock"
INSIDE = f"/run/{DIRECTORY}/{_NAME}"
_DATAGRAM_BYTES = 4096
_BARRIER_MSEC = 30_000


def mount(entry_path: str) -> dict[str, object]:
    """What is mounted in the container: a directory, so that the socket can be made when there is somebody to hear."""
    options = ["bind", "nosuid", "noexec", "nodev", "ro"]
    return {"destination": f"/run/{DIRECTORY}", "source": f"{entry_path}/{DIRECTORY}", "options": options}


class NotifySocket:
    """The container's socket, and the way to the host's at *host*: a path, or "@" and a name of the abstract kind."""

    __slots__ = ("_host", "_pidfd", "_server")

    def __init__(self, entry_path: str, host: str) -> None:
        """Makes the socket; StepError."""
        self._host = f"\0{host[1:]}" if host.startswith("@") else host
        self._pidfd = -1
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        directory = f"{entry_path}/{DIRECTORY}"
        directory_fd = -1
        try:
            directory_fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.unlink(_NAME, dir_fd=directory_fd)
            except FileNotFoundError:
                pass
            self._server.bind(f"/proc/self/fd/{directory_fd}/{_NAME}")
            # Whoever the container's user is.
            os.chmod(_NAME, 0o777, dir_fd=directory_fd)
        except OSError as error:
            self._server.close()
            raise StepError(f"listen at {directory}/{_NAME}", error.errno or 0, filename=directory) from None
        finally:
            if directory_fd >= 0:
                os.close(directory_fd)

    def watch(self, pid: int) -> None:
        """Waits no longer than process *pid* lives. StepError when it is gone."""
        try:
            self._pidfd = os.pidfd_open(pid)
        except OSError as error:
            raise StepError(f"watch process {pid}", error.errno or 0) from None

    def wait(self, main_pid: int) -> None:
        """Waits until the container is ready or its process has ended, and passes on what it says, with *main_pid*.
        StepError when the host's socket does not take it."""
        poll = select.poll()
        poll.register(self._server, select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if self._server.fileno() in ready:
                for line in self._server.recv(_DATAGRAM_BYTES).split(b"\n"):
                    if line.startswith(b"READY="):
                        self._tell(line, main_pid)
                        return
            elif self._pidfd in ready:
                return

    def _tell(self, line: bytes, main_pid: int) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            try:
                client.connect(self._host)
                client.send(line + b"\n")
                client.send(f"MAINPID={main_pid}\n".encode())
                _barrier(client)
            except OSError as error:
                raise StepError("tell NOTIFY_SOCKET of the host", error.errno or 0) from None

    def close(self) -> None:
        self._server.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1


def _barrier(client: socket.socket) -> None:
    """Waits until the service manager has dealt with all that came before (sd_notify_barrier(3)), half a minute at
    most: one that does not know the word never closes the descriptor."""
    reader, writer = os.pipe()
    try:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))]
        client.sendmsg([b"BARRIER=1"], rights)
        os.close(writer)
        writer = -1
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.poll(_BARRIER_MSEC)
    finally:
        for fd in (reader, writer):
            if fd >= 0:
                os.close(fd)


def start_and_wait(
    start: Callable[[], None], entry_path: str, host: str, pid: int, warn: Callable[[str], None]
) -> None:
    """Starts the container of process *pid* by *start*, and returns when it is ready or has ended. A host that does not
    want to know of it is a warning."""
    notify = NotifySocket(entry_path, host)
    try:
        notify.watch(pid)
        start()
        try:
            notify.wait(pid)
        except StepError as error:
            warn(str(error))
    finally:
        notify.close()
