"""Terminals as an engine has them: it listens on the console socket and is sent the master."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from host_view import wait_readable


def read_until(fd: int, end: bytes) -> bytes:
    """What can be read from a terminal up to and with *end*."""
    found = b""
    while end not in found:
        wait_readable(fd, f"{end!r} behind {found[-500:]!r}")
        try:
            chunk = os.read(fd, 65536)
        except OSError:  # EIO: the last one has closed the other side
            chunk = b""
        assert chunk, f"the end, behind {found[-500:]!r}"
        found += chunk
    return found


class Console:
    """The engine's end of a console socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._fds: list[int] = []

    def master(self) -> int:
        """The terminal that has been sent."""
        wait_readable(self._server.fileno(), "a connection to the console socket")
        connection, _ = self._server.accept()
        with connection:
            wait_readable(connection.fileno(), "the master of the terminal")
            data, fds, _, _ = socket.recv_fds(connection, 4096, 1)
        assert data
        self._fds += fds
        return fds[0]

    def close(self) -> None:
        self._server.close()
        for fd in self._fds:
            os.close(fd)
