"""What a caller may say about one create or exec beyond the configuration."""

from __future__ import annotations

import os

from ocirt._shim import lib
from ocirt.errors import OcirtError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from ocirt.launch.walk import Walk
    from ocirt.plan.op import Compilation
    from ocirt.seccomp_recorder import SeccompRecorder
    from ocirt.timeline import Timeline


def _ignore(_: str) -> None:
    pass


def checked_descriptors(fds: Mapping[str, int], config: dict[str, Any]) -> dict[str, int]:
    """*fds* by the destination of a bind mount; OcirtError for one that no bind mount of *config* is there for."""
    for destination, fd in fds.items():
        binds = [
            mount
            for mount in config.get("mounts") or ()
            if mount["destination"] == destination
            and (mount.get("type") == "bind" or {"bind", "rbind"} & set(mount.get("options") or ()))
        ]
        if not binds:
            raise OcirtError(f"descriptor {fd} is the source of {destination}, but no bind mount has that destination")
    return dict(fds)


class Options:
    """Options of create, restore and exec. What is not said of exec is of create and restore.

    root: path of the directory of the state store, on a tmpfs; Container.default_root() where it is None.
    cgroup_manager: "cgroupfs", "systemd" (the cgroup is that of a scope), or "disabled" (the caller's cgroup).
    no_pivot: MS_MOVE and chroot(2) in place of pivot_root(2), for a root filesystem on a ramfs.
    no_new_keyring: the container keeps the caller's session keyring.
    preserve_fds: that many descriptors from 3 on are the program's; also of exec.
    console_socket: path of a socket, or console_fd: a descriptor of one, that gets the master of the terminal, as one
    SCM_RIGHTS message (unix(7)); needed where the process has a terminal; also of exec.
    pidfd_socket: path of a socket that gets a pidfd of the process in the same way; also of exec.
    pid_file: path of a file that gets its pid, digits only; also of exec.
    attached: the process that creates the container starts it, too, as `ocirt run` does.
    sub_cgroups: of exec, paths below the container's cgroup, by controller, "" for all others.
    ignore_paused: of exec, a paused container is no error.
    notify_socket: the container gets a socket at which it can say that it is ready, see ocirt.notify.
    mount_fds: descriptors of directories, files or detached mounts, by the destination of the bind mount whose source
    they are. They stay the caller's.
    recorder: a SeccompRecorder, which notes the system calls of the container, in place of ``linux.seccomp``.
    warn: called with one line of text for what is wrong and no error; also of exec.
    trace: called with one line of text for each operation, with the time that it took; also of exec.
    timeline: an ocirt.timeline.Timeline, which gets what was done and when; also of exec.
    """

    __slots__ = (
        "attached",
        "cgroup_manager",
        "console_fd",
        "console_socket",
        "ignore_paused",
        "mount_fds",
        "no_new_keyring",
        "no_pivot",
        "notify_socket",
        "pid_file",
        "pidfd_socket",
        "preserve_fds",
        "recorder",
        "root",
        "sub_cgroups",
        "timeline",
        "trace",
        "warn",
    )  # fmt: skip

    def __init__(
        self,
        *,
        root: str | None = None,
        cgroup_manager: str = "cgroupfs",
        no_pivot: bool = False,
        no_new_keyring: bool = False,
        preserve_fds: int = 0,
        console_socket: str | None = None,
        console_fd: int | None = None,
        pidfd_socket: str | None = None,
        pid_file: str | None = None,
        attached: bool = False,
        sub_cgroups: Mapping[str, str] | None = None,
        ignore_paused: bool = False,
        notify_socket: bool = False,
        mount_fds: Mapping[str, int] | None = None,
        recorder: SeccompRecorder | None = None,
        warn: Callable[[str], None] = _ignore,
        trace: Callable[[str], None] | None = None,
        timeline: Timeline | None = None,
    ) -> None:
        self.root = root
        self.cgroup_manager = cgroup_manager
        self.no_pivot = no_pivot
        self.no_new_keyring = no_new_keyring
        self.preserve_fds = preserve_fds
        self.console_socket = console_socket
        self.console_fd = console_fd
        self.pidfd_socket = pidfd_socket
        self.pid_file = pid_file
        self.attached = attached
        self.sub_cgroups = sub_cgroups
        self.ignore_paused = ignore_paused
        self.notify_socket = notify_socket
        self.mount_fds = mount_fds
        self.recorder = recorder
        self.warn = warn
        self.trace = trace
        self.timeline = timeline

    def _listen_fds(self) -> int:
        """Sockets of an activated service, sd_listen_fds(3)."""
        if os.getenv("LISTEN_PID") != str(os.getpid()):
            return 0  # meant for another process
        count = os.getenv("LISTEN_FDS", "")
        return int(count) if count.isascii() and count.isdecimal() and len(count) < 6 else 0

    def all_preserved_fds(self) -> int:
        """How many descriptors from 3 on are the program's: those of socket activation, then ``preserve_fds`` more."""
        return self._listen_fds() + self.preserve_fds

    def check(self) -> None:
        """Every descriptor that is to be preserved must have been handed to this process on purpose; a number that the
        runtime itself uses by chance is not (CVE-2024-21626). Raises OcirtError."""
        for fd in range(3, 3 + self.all_preserved_fds()):
            if not lib.ocirt_is_inherited(fd):
                raise OcirtError(
                    f"file descriptor {fd} is to be preserved (--preserve-fds, LISTEN_FDS), "
                    "but the caller has not passed it on"
                )

    def mount_descriptors(self, config: dict[str, Any]) -> dict[str, int]:
        """``mount_fds``; OcirtError for one that no bind mount of *config* is there for."""
        return checked_descriptors(self.mount_fds or {}, config)

    def pass_environment(self, compilation: Compilation) -> None:
        """Socket activation: the program learns how many sockets it has, and that they are its own (its pid is 1)."""
        count = self._listen_fds()
        if count and compilation.process:
            env = [*(compilation.process.get("env") or ()), f"LISTEN_FDS={count}", "LISTEN_PID=1"]
            names = os.getenv("LISTEN_FDNAMES")
            if names:
                env.append(f"LISTEN_FDNAMES={names}")
            compilation.process = {**compilation.process, "env": env}

    def send_pidfd(self, pidfd: int) -> None:
        """Sends *pidfd* to ``pidfd_socket`` if there is one; StepError."""
        if self.pidfd_socket is not None:
            from ocirt.launch.doers import send_pidfd

            send_pidfd(pidfd, self.pidfd_socket)

    def write_pid_file(self, pid: int) -> None:
        """Digits only, whole before it has its name: containerd parses the file strictly and reads it at once."""
        if self.pid_file is None:
            return
        directory, _, name = self.pid_file.rpartition("/")
        temporary = f"{directory}{'/' if directory or self.pid_file.startswith('/') else ''}.{name}.{os.getpid()}"
        try:
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
            try:
                os.write(fd, str(pid).encode())
            finally:
                os.close(fd)
            os.rename(temporary, self.pid_file)
        except OSError as error:
            raise StepError(f"write pid file {self.pid_file}", error.errno or 0, filename=self.pid_file) from None

    def trace_walk(self, walk: Walk) -> None:
        """Traces each operation of *walk* that has not been traced before, and the time that it took."""
        if self.trace is None and self.timeline is None:
            return
        times = walk.times()
        if self.timeline is not None:
            for op, begin, end, _ in times:
                self.timeline.init(op.describe(), begin, end, op.origin)
        if self.trace is not None:
            from ocirt.launch.story import lines

            for line in lines(walk, times, attached=self.attached):
                self.trace(line)
