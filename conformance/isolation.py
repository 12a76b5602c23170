r"""Runs a command in mount, pid and cgroup namespaces of its own, and in cgroups that are removed when it has ended.

What the command leaves behind (processes, mounts, cgroups, containers in /run) ends with it, also when it is cut off.
Three layouts of /sys/fs/cgroup can be had: like the machine's (``same``), ``v2`` alone, the machine's own (``host``).
As a program::

    python3 conformance/isolation.py [--cgroup same|v2|host] [--v1-controller NAME]... [--network] [--timeout S] \
        -- COMMAND...

exits like the command, with 124 when its time was up, 125 when it could not be started. Must run as root.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import tempfile

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from conformance import kernel
from conformance.hierarchies import CGROUP_ROOT, Hierarchy, Subtree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

LAYOUTS = ("same", "v2", "host")
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_CANNOT_START = 125


class Settings:
    """How a command is isolated.

    The *layout* of /sys/fs/cgroup, the controllers that it shall find as v1 hierarchies of their own, whether its
    network is a new one, and the seconds it may take (None: as many as it likes).
    """

    __slots__ = ("layout", "network", "timeout", "v1_controllers")

    def __init__(
        self,
        layout: str = "same",
        v1_controllers: Sequence[str] = (),
        network: bool = False,
        timeout: float | None = None,
    ) -> None:
        self.layout = layout
        self.v1_controllers = v1_controllers
        self.network = network
        self.timeout = timeout


def run(
    command: Sequence[str],
    settings: Settings,
    env: Mapping[str, str] | None = None,
    output_fd: int | None = None,
) -> int:
    """Runs the command and returns its exit status, 128 and the signal's number when a signal ended it.

    Both of its outputs go to *output_fd*, where one is given. Raises OSError, and TimeoutError when all is cleaned up.
    """
    subtree = None if settings.layout == "host" else Subtree(f"isolated-{os.getpid()}", settings.v1_controllers)
    pid = 0
    try:
        own_pid_namespace_fd = os.open("/proc/self/ns/pid", os.O_RDONLY)
        kernel.unshare(kernel.CLONE_NEWPID)
        try:
            pid = os.fork()
            if pid == 0:
                _first_process(command, settings, subtree, env or os.environ, output_fd)
        finally:
            kernel.setns(own_pid_namespace_fd, kernel.CLONE_NEWPID)
            os.close(own_pid_namespace_fd)
        status = _wait(pid, settings.timeout)
        pid = 0
        return status
    finally:
        if subtree:
            subtree.thaw()
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for what in subtree.remove() if subtree else ():
            print(f"isolation: {what} is left behind", file=sys.stderr)


def _wait(pid: int, timeout: float | None) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(None if timeout is None else timeout * 1000):
            raise TimeoutError(f"not done after {timeout:g} seconds")
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _first_process(
    command: Sequence[str],
    settings: Settings,
    subtree: Subtree | None,
    env: Mapping[str, str],
    output_fd: int | None,
) -> NoReturn:
    """Process 1 of the new pid namespace: sets namespaces up, starts the command, reaps orphans until it has ended."""
    status = _CANNOT_START
    try:
        kernel.die_with_parent(signal.SIGKILL)
        if output_fd is not None:
            os.dup2(output_fd, 1)
            os.dup2(output_fd, 2)
        flags = kernel.CLONE_NEWNS | (kernel.CLONE_NEWNET if settings.network else 0)
        if subtree:
            subtree.enter()
            flags |= kernel.CLONE_NEWCGROUP
        kernel.unshare(flags)
        _mount_everything(settings.layout, subtree.hierarchies if subtree else [])
        # The keyboard's signals are for the command; process 1 has to see its end.
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        pid = os.posix_spawnp(command[0], list(command), env, setsigdef=[signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE])
        ended, wait_status = 0, 0
        while ended != pid:
            ended, wait_status = os.wait()
        code = os.waitstatus_to_exitcode(wait_status)
        status = 128 - code if code < 0 else code
    except OSError as error:
        print(f"isolation: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _mount_everything(layout: str, found: list[Hierarchy]) -> None:
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    _replace_devices()
    # The state roots of all runtimes lie in /run: an empty one belongs to this command alone.
    kernel.mount("tmpfs", "/run", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    if layout == "host":
        return
    while os.path.ismount(CGROUP_ROOT):
        kernel.unmount(CGROUP_ROOT)
    v1 = [hierarchy for hierarchy in found if not hierarchy.is_v2]
    if layout == "v2" or not v1:
        kernel.mount("cgroup2", CGROUP_ROOT, "cgroup2")
        if not v1:
            _leave_root_of_namespace()
        return
    kernel.mount("tmpfs", CGROUP_ROOT, "tmpfs", data="mode=755")
    for hierarchy in found:
        path = f"{CGROUP_ROOT}/{hierarchy.name}"
        os.mkdir(path)
        if hierarchy.is_v2:
            kernel.mount("cgroup2", path, "cgroup2")
        else:
            kernel.mount("cgroup", path, "cgroup", data=hierarchy.mount_data)
        for controller in hierarchy.controllers if len(hierarchy.controllers) > 1 else ():
            os.symlink(hierarchy.name, f"{CGROUP_ROOT}/{controller}")


def _replace_devices() -> None:
    """Puts copies over the device nodes that containers are given.

    A runtime that changes the owner of its standard input (crun does, in a user namespace) then changes no node of the
    machine.
    """
    folder = tempfile.mkdtemp()
    kernel.mount("tmpfs", folder, "tmpfs", data="mode=755")
    for name, numbers in _DEVICES.items():
        os.mknod(f"{folder}/{name}", 0o020666, os.makedev(*numbers))
        os.chmod(f"{folder}/{name}", 0o666)
        kernel.mount(f"{folder}/{name}", f"/dev/{name}", flags=kernel.MS_BIND)
    kernel.unmount(folder)
    os.rmdir(folder)
    host_null = os.makedev(*_DEVICES["null"])
    for fd in (0, 1, 2):
        if os.fstat(fd).st_rdev == host_null:
            new_fd = os.open("/dev/null", os.O_RDWR)
            os.dup2(new_fd, fd)
            os.close(new_fd)


def _leave_root_of_namespace() -> None:
    # cgroup v2: a cgroup with processes of its own hands no controller on
    os.mkdir(f"{CGROUP_ROOT}/programs")
    with open(f"{CGROUP_ROOT}/programs/cgroup.procs", "w") as file:
        file.write("0")


def main() -> int:
    import argparse

    parser = argparse.ArgumentParser(
        prog="isolation.py", description="Run a command in namespaces and cgroups of its own."
    )
    parser.add_argument("--cgroup", choices=LAYOUTS, default="same", help="layout of /sys/fs/cgroup (%(default)s)")
    parser.add_argument("--v1-controller", action="append", default=[], metavar="NAME", help="take it as v1 meanwhile")
    parser.add_argument("--network", action="store_true", help="a new network namespace too")
    parser.add_argument("--timeout", type=float, metavar="S")
    parser.add_argument("command", nargs="+", metavar="COMMAND")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        return run(options.command, Settings(options.cgroup, options.v1_controller, options.network, options.timeout))
    except TimeoutError as error:
        print(f"isolation: {error}", file=sys.stderr)
        return 124
    except OSError as error:
        print(f"isolation: {error}", file=sys.stderr)
        return _CANNOT_START


if __name__ == "__main__":
    sys.exit(main())
