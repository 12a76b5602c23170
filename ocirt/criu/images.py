"""The directories of criu's images and logs."""

from __future__ import annotations

import os
from stat import S_ISREG

from ocirt._shim import lib
from ocirt.errors import OcirtError, StepError
from ocirt.launch.channel import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


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


def open_mapped(directory_fd: int, uids: Sequence[Any]) -> int:
    """The directory as the restored processes of a user namespace with these mappings can read it: criu lets them read
    the images before they have become its root, and after it. Then the images are theirs, and until then their group
    is root's, which is why that may read them from now on. StepError where the filesystem cannot map ids."""
    _let_group_read(directory_fd)
    flags = lib.OPEN_TREE_CLONE | lib.OPEN_TREE_CLOEXEC | lib.AT_EMPTY_PATH
    step = "let the container's user namespace read the images"
    uid_map = "".join(f"{each['containerID']} {each['hostID']} {each['size']}\n" for each in uids)
    fd: int = check(lib.ocirt_open_tree(directory_fd, b"", flags), step)
    try:
        namespace_fd = check(lib.ocirt_user_namespace(uid_map.encode(), b"0 0 4294967295\n"), step)
        try:
            check(lib.ocirt_set_id_map(fd, namespace_fd, 0), step)
        finally:
            os.close(namespace_fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _let_group_read(directory_fd: int) -> None:
    os.fchmod(directory_fd, os.fstat(directory_fd).st_mode & 0o7777 | 0o050)
    for name in os.listdir(directory_fd):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
        except OSError:
            continue  # a link, to the images of a parent
        try:
            status = os.fstat(fd)
            if S_ISREG(status.st_mode) and status.st_gid == 0:
                os.fchmod(fd, status.st_mode & 0o7777 | 0o040)
        finally:
            os.close(fd)


def check_parent(image_path: str, path: str) -> None:
    """OcirtError unless *path* leads from the directory of images, which need not be there yet, to another one."""
    if path.startswith("/"):
        raise OcirtError(f"--parent-path must be relative, found {path}")
    target = os.path.normpath(f"{os.path.realpath(image_path)}/{path}")
    if not os.path.isdir(target):
        raise OcirtError(f"invalid --parent-path: {path}: {target} is no directory")
