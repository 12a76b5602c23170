"""The processes of a cgroup and of those below it: who they are, a signal to all, the wait for their end."""

from __future__ import annotations

import errno
import os
import time

from ocirt.cgroup import v1, v2
from ocirt.cgroup.directory import OPEN_DIRECTORY, below, read, write
from ocirt.cgroup.freezer import is_frozen
from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ocirt.cgroup.directory import Directory

# Rounds of `signal_all`, each of which finds the children of the one before: more than this is a fork bomb.
_ROUNDS = 100
# A task in an uninterruptible wait cannot be frozen; the others need not wait for it to be killed.
_KILL_FREEZE_DEADLINE_SEC = 1.0
SIGKILL = 9


def pids_below(path: str) -> list[int]:
    """The processes in the cgroup *path* and all cgroups below it; none when it is gone.

    A v2 cgroup that is threaded has no list of processes (EOPNOTSUPP): then they are the threads' ids.
    """
    try:
        top_fd = os.open(path, OPEN_DIRECTORY)
    except FileNotFoundError:
        return []
    try:
        pids = _pids(top_fd, "")
        for fd, name in below(top_fd):
            pids += _pids(fd, name + "/")
    finally:
        os.close(top_fd)
    return pids


def enter(directories: Iterable[Directory], pid: int) -> None:
    """Move the process *pid* into all of these cgroups. StepError."""
    for directory in directories:
        try:
            write(directory.path + "/cgroup.procs", str(pid))
        except OSError as error:
            step = "enter cgroup " + directory.path
            raise StepError(step, error.errno or 0, filename=directory.path) from error


def signal_all(path: str, signal: int, *, frozen: bool) -> None:
    """Send *signal* to every process in and below the cgroup *path*. OSError.

    When they are not *frozen*, rounds are made until one finds no new process, as any may fork meanwhile.
    """
    signalled: set[int] = set()
    for _ in range(1 if frozen else _ROUNDS):
        new = set(pids_below(path)) - signalled
        if not new:
            break
        for pid in new:
            try:
                os.kill(pid, signal)
            except ProcessLookupError:
                pass
        signalled |= new


def signal_held(directory: Directory, signal: int, *, freezer: bool) -> None:
    """Send *signal* to every process below *directory*, frozen meanwhile with a *freezer*, so none forks. OSError."""
    if not freezer:
        signal_all(directory.path, signal, frozen=False)
        return
    version = v1 if directory.version == 1 else v2
    paused = is_frozen(directory)
    frozen = paused or version.freeze(directory.path, _KILL_FREEZE_DEADLINE_SEC)
    try:
        signal_all(directory.path, signal, frozen=frozen)
    finally:
        if frozen and not (paused and signal != SIGKILL):
            version.thaw(directory.path)


def wait_gone(pids: Iterable[int], deadline: float) -> bool:
    """Wait until the processes *pids* have ended, or until *deadline* (time.monotonic()); true when they have.

    Ids of other threads than the first, which pidfd_open(2) refuses, are not waited for.
    """
    import select

    poll = select.poll()
    fds = []
    try:
        for pid in pids:
            try:
                fd = os.pidfd_open(pid)
            except OSError as error:
                if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
                    continue
                raise
            fds.append(fd)
            poll.register(fd, select.POLLIN)
        waiting = set(fds)
        while waiting:
            left_msec = (deadline - time.monotonic()) * 1000
            if left_msec <= 0:
                return False
            for fd, _ in poll.poll(left_msec):
                poll.unregister(fd)
                waiting.discard(fd)
        return True
    finally:
        for fd in fds:
            os.close(fd)


def _pids(dir_fd: int, prefix: str) -> list[int]:
    for name in ("cgroup.procs", "cgroup.threads"):
        try:
            return [int(pid) for pid in read(prefix + name, dir_fd=dir_fd).split()]
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENODEV):
                return []
            if error.errno != errno.EOPNOTSUPP:
                raise
    return []
