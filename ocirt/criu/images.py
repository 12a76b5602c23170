"""The directories of criu's images and logs."""

from __future__ import annotations

import os

from ocirt.errors import OcirtError, StepError


def open_directory(path: str, *, make: bool) -> int:
    """A descriptor of the directory; with *make* it is made, for its owner alone, where it is missing. StepError."""
    try:
        if make:
            os.makedirs(path, 0o700, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StepError(f"open the directory {path}", error.errno or 0, filename=path) from None


def open_as(pid: int, directory_fd: int) -> int:
    """The directory as the process *pid*, of another mount namespace, has it. StepError."""
    path = os.readlink(f"/proc/self/fd/{directory_fd}")
    try:
        fd = os.open(f"/proc/{pid}/root{path}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StepError(f"open the directory {path}", error.errno or 0, filename=path) from None
    if not os.path.samestat(os.fstat(fd), os.fstat(directory_fd)):
        os.close(fd)
        raise StepError(f"open the directory {path}", 116, filename=path)
    return fd


def check_parent(image_path: str, path: str) -> None:
    """OcirtError unless *path* leads from the directory of images, which need not be there yet, to another one."""
    if path.startswith("/"):
        raise OcirtError(f"--parent-path must be relative, found {path}")
    target = os.path.normpath(f"{os.path.realpath(image_path)}/{path}")
    if not os.path.isdir(target):
        raise OcirtError(f"invalid --parent-path: {path}: {target} is no directory")
