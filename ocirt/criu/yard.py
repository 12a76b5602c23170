"""A cgroup yard: the directory where criu finds the hierarchies.

Without one criu mounts each hierarchy anew. Mounting cgroup2 takes the options of the host's, of which there is one for
all mounts, away unless they are given again (nsdelegate, memory_recursiveprot), and criu gives none.
"""

from __future__ import annotations

import os

from ocirt.cgroup.directory import read
from ocirt.cgroup.layout import cgroup_mounts
from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.state import Entry


def hierarchies(mountinfo: str, own: str) -> dict[str, str]:
    """criu's names of all hierarchies -> their mount points, from the contents of /proc/self/mountinfo and
    /proc/self/cgroup.

    Nothing where there is no cgroup2, and where a hierarchy cannot be shown: it is not mounted, or not from its root
    on.
    """
    v1_mounts, v2 = cgroup_mounts(mountinfo)
    found = {}
    for line in own.splitlines():
        _, names, _ = line.split(":", 2)
        if not names:
            mounts = [v2] if v2 is not None else []
        else:
            mounts = [(point, root) for words, point, root in v1_mounts if names.split(",")[0] in words]
        points = [point for point, root in mounts if root == "/"]
        if not points:
            return {}
        found[names.removeprefix("name=") or "unified"] = points[0]
    return found if "unified" in found else {}


class Yard:
    """A yard in the state directory of *entry*, there within the ``with`` block. ``fields`` are what a request to criu
    has of it, none where there is no yard.

    The links in it are relative, and it is named by a descriptor of ours: while criu restores, a mount namespace of its
    own has something else in the place of the state directory, and "/" can be the container's root.
    """

    __slots__ = ("_entry", "_fd", "_name", "fields")

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._fd = -1
        self._name = f"cgroups-{os.getpid()}"
        self.fields: dict[str, Any] = {}

    def __enter__(self) -> Yard:
        found = hierarchies(read("/proc/self/mountinfo"), read("/proc/self/cgroup"))
        if not found:
            return self
        self._entry.make_directory(self._name)
        directory = f"{self._entry.path}/{self._name}"
        try:
            self._fd = os.open(self._name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._entry.fd)
            start = os.path.realpath(directory)
            for name, point in found.items():
                os.symlink(os.path.relpath(point, start), name, dir_fd=self._fd)
        except OSError as error:
            self.__exit__()
            raise StepError(
                f"link the cgroup hierarchies in {directory}", error.errno or 0, filename=directory
            ) from None
        self.fields["cgroup_yard"] = f"/proc/{os.getpid()}/fd/{self._fd}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._entry.remove_directory(self._name)
