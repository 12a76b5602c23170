"""The processes of a container as the host's procfs describes them (proc_pid_status(5))."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class ProcessInfo:
    """One process at one moment.

    ``pid`` and ``parent_pid`` are the host's, ``container_pid`` is its id in its innermost PID namespace; ``uid`` and
    ``gid`` are the host's effective ones; ``state`` is a letter (R, S, D, T, t, Z, X, I); ``name`` is the kernel's,
    ``command`` its arguments, empty when it is a zombie.
    """

    __slots__ = ("command", "container_pid", "gid", "name", "parent_pid", "pid", "state", "uid")

    def __init__(self, pid: int, status: dict[str, str], command: tuple[str, ...]) -> None:
        self.pid = pid
        self.parent_pid = int(status["PPid"])
        self.container_pid = int(status.get("NSpid", str(pid)).split()[-1])
        self.uid = int(status["Uid"].split()[1])
        self.gid = int(status["Gid"].split()[1])
        self.state = status["State"][:1]
        self.name = status["Name"]
        self.command = command

    def __repr__(self) -> str:
        return f"ProcessInfo({self.pid}, {self.name!r})"


def describe(pids: Iterable[int]) -> list[ProcessInfo]:
    """The processes *pids*, in that order. One that ends meanwhile is left out."""
    found = []
    for pid in pids:
        try:
            status = _read(f"/proc/{pid}/status")
            command = _read(f"/proc/{pid}/cmdline")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = {name: value.strip() for name, _, value in [line.partition(":") for line in status.splitlines()]}
        found.append(ProcessInfo(pid, fields, tuple(command.split("\0")[:-1])))
    return found


def _read(path: str) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
    finally:
        os.close(fd)
    return os.fsdecode(b"".join(parts))
