"""What an ordinary user's container has to do without, in lines for the log.

A user has those controllers that somebody has delegated: Delegate= of user@.service for a user's systemd
(systemd.resource-control(5)), the cgroup.subtree_control of a cgroup above for anybody else.
"""

from __future__ import annotations

from ocirt.cgroup.directory import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cgroup.directory import Directory
    from ocirt.cgroup.group import Cgroup


def losses(cgroup: Cgroup) -> list[str]:
    """A line for each reason why the container is without some controllers of the host. OSError."""
    lines = [_line(controllers, reason) for controllers, reason in cgroup.skipped]
    directory = cgroup.directories[0] if cgroup.directories else None
    if directory is not None and directory.version == 2:
        lines += [_line(names, f"{path} was not given them") for path, names in _lost_at(directory).items()]
    return lines


def _line(controllers: tuple[str, ...], reason: str) -> str:
    return f"the container is without the cgroup controllers {' '.join(controllers)}: {reason}"


def _lost_at(directory: Directory) -> dict[str, tuple[str, ...]]:
    """Cgroup -> the controllers that the one above it has and it has not, from the mount point down to *directory*."""
    lost: dict[str, tuple[str, ...]] = {}
    path = directory.mount
    left = directory.controllers
    for name in directory.path.removeprefix(directory.mount + "/").split("/"):
        path += "/" + name
        found = read(path + "/cgroup.controllers").split()
        missing = tuple([controller for controller in left if controller not in found])
        if missing:
            lost[path] = missing
        left = tuple([controller for controller in left if controller in found])
    return lost
