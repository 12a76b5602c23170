"""Standard streams that come from outside of the container: what criu calls them, and what takes their place at a
restore. ``descriptors.json`` beside the images tells the one from the other.

A pipe is known by what the container was made with, since the program may have put one of its own in its place. A file
is one that is on no mount of the container: a log file, or the host's null device.

Images come from elsewhere, so nothing in their directory is believed, and no link in it is followed.
"""

from __future__ import annotations

import os
from stat import S_ISCHR, S_ISREG

from ocirt._shim import lib
from ocirt.errors import OcirtError, StepError
from ocirt.json_parse import parse_json
from ocirt.json_text import dumps
from ocirt.launch.channel import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_FILE = "descriptors.json"
_LIMIT = 64 << 10
_STREAMS = 3
_MEMORY_DEVICES = 1
_NULL_DEVICE = os.makedev(1, 3)


class Streams:
    """``names``: for each of the three streams what criu calls it, "" where that is nothing. ``more``: the same for
    further processes, as (descriptor, name)."""

    __slots__ = ("more", "names")

    def __init__(self, names: list[str], more: list[tuple[int, str]]) -> None:
        self.names = names
        self.more = more

    @classmethod
    def of(cls, init_pid: int, pids: Iterable[int], mount_ids: set[int], made_with: list[str]) -> Streams:
        """Those of the container with these processes, whose mounts have *mount_ids*. *made_with* is what its streams
        led to when it was made."""
        names = [_file_name(init_pid, fd, mount_ids) for fd in range(_STREAMS)]
        more = {(fd, _file_name(pid, fd, mount_ids)) for pid in pids if pid != init_pid for fd in range(_STREAMS)}
        for fd, made in enumerate(made_with[:_STREAMS]):
            names[fd] = names[fd] or made
        return cls(names, sorted((fd, name) for fd, name in more if name and name not in names))

    def files(self) -> list[str]:
        """Those that criu has to be told of at a checkpoint, in its field external."""
        names = [*self.names, *(name for _, name in self.more)]
        return sorted({name for name in names if name.startswith("file[")})

    def inherited(self) -> list[tuple[str, int]]:
        """What takes the place of which at a restore: (name, descriptor of this process)."""
        pairs = [*((name, fd) for fd, name in enumerate(self.names)), *((name, fd) for fd, name in self.more)]
        return [(name, fd) for name, fd in pairs if _is_pipe(name) or _is_file(name)]

    def write(self, image_fd: int) -> None:
        """Writes descriptors.json: a list of three names, as runc and crun have it, and of "FD:NAME". StepError."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        text = dumps([*self.names, *(f"{fd}:{name}" for fd, name in self.more)])
        try:
            fd = os.open(_FILE, flags, 0o600, dir_fd=image_fd)
            try:
                os.write(fd, text.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)
        except OSError as error:
            raise StepError(f"write {_FILE} beside the images", error.errno or 0, filename=_FILE) from None

    @classmethod
    def read(cls, image_fd: int) -> Streams:
        """What `write` wrote. StepError, OcirtError."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(_FILE, flags, dir_fd=image_fd)
        except OSError as error:
            step, hint = f"read {_FILE} beside the images", "is it the directory of a checkpoint's images?"
            raise StepError(step, error.errno or 0, filename=_FILE, hint=hint) from None
        try:
            text = os.read(fd, _LIMIT) if S_ISREG(os.fstat(fd).st_mode) else b""
        finally:
            os.close(fd)
        entries: Any = parse_json(text, _FILE)
        if not isinstance(entries, list) or not all(isinstance(each, str) for each in entries):
            raise OcirtError(f"{_FILE}: wanted a list of texts")
        split = [entry.partition(":") for entry in entries[_STREAMS:]]
        return cls(entries[:_STREAMS], [(int(fd), name) for fd, _, name in split if fd in ("0", "1", "2")])


def _file_name(pid: int, fd: int, mount_ids: set[int]) -> str:
    try:
        status = os.stat(f"/proc/{pid}/fd/{fd}")
        with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as file:
            (mount_id,) = (int(line.split()[1]) for line in file if line.startswith("mnt_id:"))
    except OSError:
        return ""  # closed, or the process has ended
    is_file = S_ISREG(status.st_mode) or (S_ISCHR(status.st_mode) and os.major(status.st_rdev) == _MEMORY_DEVICES)
    return f"file[{mount_id:x}:{status.st_ino:x}]" if is_file and mount_id not in mount_ids else ""


def _is_pipe(name: str) -> bool:
    return name.startswith("pipe:[") and name.endswith("]") and name[6:-1].isdecimal()


def _is_file(name: str) -> bool:
    numbers = name[5:-1].split(":")
    return name.startswith("file[") and name.endswith("]") and len(numbers) == 2 and all(map(_is_hexadecimal, numbers))


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and set(text) <= set("0123456789abcdef")


def open_own() -> list[int]:
    """Descriptors of this process's standard streams as a container may have them, the caller's to close: a null device
    is one through a mount that is read-only, where it can be written but not taken away from others. StepError."""
    fds: list[int] = []
    for fd in range(_STREAMS):
        try:
            is_null = os.fstat(fd).st_rdev == _NULL_DEVICE
        except OSError:
            is_null = True
        fds.append(_open_null() if is_null else os.dup(fd))
    return fds


def _open_null() -> int:
    directory_fd = os.open("/dev", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        isolated_fd = check(lib.ocirt_isolate_directory(directory_fd), "open the null device")
        try:
            return os.open("null", os.O_RDWR | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC, dir_fd=isolated_fd)
        finally:
            os.close(isolated_fd)
    finally:
        os.close(directory_fd)
