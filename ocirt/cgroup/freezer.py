"""Whether a container is frozen: all that its status needs of its cgroups, and so nothing else of them is imported."""

from __future__ import annotations

import errno
import os

from ocirt.cgroup.directory import READ, Directory
from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FILES = {1: "freezer.self_freezing", 2: "cgroup.freeze"}


def freezes(controllers: Sequence[str], version: int) -> bool:
    """Whether the cgroups of a hierarchy with these *controllers* freeze processes."""
    return version == 2 or "freezer" in controllers


def freezer(directories: Iterable[Directory]) -> Directory | None:
    """Of a container's cgroups the one that freezes it: that of the v1 freezer, else of v2."""
    for directory in directories:
        if freezes(directory.controllers, directory.version):
            return directory
    return None


def is_frozen(directory: Directory) -> bool:
    """Whether the cgroup itself was told to freeze; that one above it was does not count. OSError."""
    fd = os.open(f"{directory.path}/{_FILES[directory.version]}", READ)
    try:
        return os.read(fd, 2) == b"1\n"
    finally:
        os.close(fd)


def is_container_frozen(directories: Iterable[Directory]) -> bool:
    """Whether a container with these cgroups was frozen, by ocirt or another; false when they are gone. StepError."""
    directory = freezer(directories)
    try:
        return directory is not None and is_frozen(directory)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENODEV):
            return False
        assert directory is not None
        path = directory.path
        raise StepError(f"read the state of cgroup {path}", error.errno or 0, filename=path) from error
