"""One directory of cgroupfs, and the walk over the cgroups below it.

Nothing here follows a symbolic link out of cgroupfs: there are none below a mount point of it (the kernel has no
operation that makes one), and files are opened, never created.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

READ = os.O_RDONLY | os.O_CLOEXEC
WRITE = os.O_WRONLY | os.O_CLOEXEC
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Directory:
    """The container's place in one hierarchy.

    ``controllers`` as in `Hierarchy` (v2: those that may be enabled), ``path`` the host path, ``version`` 1 or 2,
    ``mount`` the mount point above it, where every walk towards the root ends. ``above`` is what a container sees that
    goes without it: a cgroup that the runtime is in.
    """

    __slots__ = ("above", "controllers", "mount", "path", "version")

    def __init__(self, controllers: tuple[str, ...], path: str, version: int, mount: str, above: str = "") -> None:
        self.controllers = controllers
        self.path = path
        self.version = version
        self.mount = mount
        self.above = above or path.rpartition("/")[0]

    def __repr__(self) -> str:
        return f"Directory({self.controllers!r}, {self.path!r}, {self.version}, {self.mount!r})"


def read(path: str, *, dir_fd: int | None = None) -> str:
    """The whole content of the cgroup file *path*. OSError."""
    fd = os.open(path, READ, dir_fd=dir_fd)
    try:
        parts = []
        while part := os.read(fd, 16384):
            parts.append(part)
    finally:
        os.close(fd)
    return os.fsdecode(b"".join(parts))


def write(path: str, value: str) -> None:
    """Write *value* to the cgroup file *path* in one write(2), as the kernel wants it. OSError."""
    fd = os.open(path, WRITE)
    try:
        os.write(fd, os.fsencode(value))
    finally:
        os.close(fd)


def make(path: str, mount: str, made: list[str]) -> None:
    """Make the directory *path* and what is missing above it, below *mount*; each is added to *made*. OSError.

    A parent that vanishes meanwhile, because somebody removes empty ones as we do, is made again.
    """
    waiting = [path]
    while waiting:
        try:
            os.mkdir(waiting[-1], 0o755)
        except FileExistsError:
            pass
        except FileNotFoundError:
            parent = waiting[-1].rpartition("/")[0]
            if len(parent) <= len(mount):
                raise
            waiting.append(parent)
            continue
        else:
            made.append(waiting[-1])
        waiting.pop()


def missing(directory: Directory) -> list[str]:
    """What `make` would have to make, the first first."""
    paths: list[str] = []
    path = directory.path
    while path != directory.mount and not os.path.exists(path):
        paths.insert(0, path)
        path = path.rpartition("/")[0]
    return paths


def below(top_fd: int) -> Iterator[tuple[int, str]]:
    """Every cgroup below the directory *top_fd*, as (descriptor of its parent, name), children before parents.

    The tree may be the container's own work, so its depth bounds neither the descriptors (one is open at a time)
    nor the length of a path (there is none) nor the call stack. Cgroups that vanish meanwhile are left out. The
    descriptor is valid until the next step.
    """
    fd = os.dup(top_fd)
    path: list[str] = []
    waiting = [_children(fd)]
    try:
        while True:
            if waiting[-1]:
                name = waiting[-1].pop()
                try:
                    child_fd = os.open(name, OPEN_DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    continue
                os.close(fd)
                fd = child_fd
                path.append(name)
                waiting.append(_children(fd))
            else:
                waiting.pop()
                if not path:
                    return
                parent_fd = os.open("..", OPEN_DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = parent_fd
                yield fd, path.pop()
    finally:
        os.close(fd)


def _children(fd: int) -> list[str]:
    try:
        # kernfs counts the sub-directories in st_nlink, which saves reading the names of some thirty files.
        if os.fstat(fd).st_nlink == 2:
            return []
        with os.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
