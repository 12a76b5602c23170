"""What only cgroup v2 needs: enabling controllers, and the states that ``cgroup.events`` tells of.

The kernel wakes whoever polls ``cgroup.events`` when "populated" or "frozen" changes (cgroup-v2.rst), so nothing here
asks twice in vain.
"""

from __future__ import annotations

import errno
import os
import time

from ocirt.cgroup.directory import READ, read, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# Tasks leave the frozen state by themselves, once they run.
_THAW_DEADLINE_SEC = 1.0


def enable(path: str, mount: str, controllers: Iterable[str]) -> None:
    """Enable *controllers* for the cgroup *path*, by the cgroup.subtree_control of every cgroup above it up to *mount*.

    What cannot be enabled is left out: a cgroup may lack it, be not ours to change, or have processes of its own
    ("no internal processes", EBUSY). Whoever needs one finds its files missing. OSError when *path* is gone.
    """
    wanted = set(controllers)
    missing = wanted - set(read(path + "/cgroup.controllers").split())
    if not missing:
        return
    above = []
    parent = path
    while parent != mount:
        parent = parent.rpartition("/")[0]
        above.append(parent)
    for directory in reversed(above):
        file = directory + "/cgroup.subtree_control"
        try:
            write(file, " ".join(["+" + controller for controller in sorted(missing)]))
        except OSError:
            # One that is refused makes the kernel refuse all.
            for controller in sorted(missing):
                try:
                    write(file, "+" + controller)
                except OSError:
                    continue


def make_joinable(path: str) -> None:
    """Make a cgroup that is "domain invalid" threaded, for nothing can join it otherwise (EOPNOTSUPP). OSError.

    A new cgroup is that below a threaded one (cgroup-v2.rst, "Threads"). Only the threaded controllers work there.
    """
    type_path = path + "/cgroup.type"
    if read(type_path).strip() == "domain invalid":
        write(type_path, "threaded")


def delegate(path: str, uid: int, gid: int = -1) -> None:
    """Give the cgroup *path* to *uid*, with the files that the kernel names for that (cgroups(7), "Delegation").

    A process that joins a user namespace has its rights over a file only where that maps the group, too: *gid*.
    config-linux.md#cgroup-ownership: no other file, or the container could lift its own limits. OSError.
    """
    try:
        names = read("/sys/kernel/cgroup/delegate").split()
    except FileNotFoundError:
        names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
    os.chown(path, uid, gid, follow_symlinks=False)
    for name in names:
        try:
            os.chown(f"{path}/{name}", uid, gid, follow_symlinks=False)
        except FileNotFoundError:
            continue


def freeze(path: str, deadline_sec: float) -> bool:
    """Freeze the cgroup *path*; true when it is frozen at return. It is thawed again when the deadline passes first."""
    write(path + "/cgroup.freeze", "1")
    if wait_event(path, "frozen 1", time.monotonic() + deadline_sec):
        return True
    write(path + "/cgroup.freeze", "0")
    return False


def thaw(path: str) -> bool:
    """Thaw the cgroup *path*; false when it stays frozen, because a cgroup above it is."""
    write(path + "/cgroup.freeze", "0")
    return wait_event(path, "frozen 0", time.monotonic() + _THAW_DEADLINE_SEC)


def is_held(path: str) -> bool:
    """Whether processes in the cgroup *path* do not run, be it by its own state or by that of one above it."""
    return "frozen 1" in read(path + "/cgroup.events")


def wait_event(path: str, line: str, deadline: float) -> bool:
    """Wait until cgroup.events of the cgroup *path* says *line*, or until *deadline* (time.monotonic()).

    True when it does, and when the cgroup is gone meanwhile: then there is nothing left to wait for.
    """
    import select

    fd = os.open(path + "/cgroup.events", READ)
    try:
        poll = select.poll()
        poll.register(fd, select.POLLPRI)
        while True:
            try:
                if line in os.pread(fd, 4096, 0).decode().splitlines():
                    return True
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return True
                raise
            left_msec = (deadline - time.monotonic()) * 1000
            if left_msec <= 0:
                return False
            poll.poll(left_msec)
    finally:
        os.close(fd)
