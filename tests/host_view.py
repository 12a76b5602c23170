"""The host as tests see it: waiting for what happens there, its mounts, cgroups and processes, and what is left behind.

Nothing here sleeps. Every wait ends after ``PATIENCE`` seconds, which OCIRT_TEST_PATIENCE multiplies for slow machines.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import select
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support import Bundle, Runtime

#: Seconds that anything may take here. Emulated machines set OCIRT_TEST_PATIENCE to 10 or so.
PATIENCE = 20 * float(os.environ.get("OCIRT_TEST_PATIENCE", "1"))

#: capabilities(7), those that tests speak of.
CAPABILITY_NUMBERS = {
    "CAP_CHOWN": 0,
    "CAP_KILL": 5,
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
    "CAP_SYS_RESOURCE": 24,
    "CAP_MKNOD": 27,
}


# -- waiting -----------------------------------------------------------------------------------------------------------


def wait_readable(fd: int, what: str = "a descriptor") -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(PATIENCE * 1000), f"nothing comes: {what}"


def wait_for_exit(pid: int) -> None:
    """Waits until the process has ended; it may be a zombie then."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        wait_readable(pidfd, f"the end of process {pid}")
    finally:
        os.close(pidfd)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    state = _stat_fields(pid)
    return bool(state) and state[0] not in "ZX"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """For what the kernel does in the background and tells nobody of: asks again and again, and gives way in
    between."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"never came: {what}"
        os.sched_yield()


# -- what the host looks like ------------------------------------------------------------------------------------------


class Mount:
    """A line of mountinfo, proc_pid_mountinfo(5)."""

    def __init__(self, line: str) -> None:
        left, _, right = line.partition(" - ")
        fields = left.split()
        #: Mount point and the path within its filesystem that is mounted there.
        self.point = _unescape(fields[4])
        self.root = _unescape(fields[3])
        self.options = fields[5].split(",")
        #: "shared:N", "master:N", "propagate_from:N", "unbindable"; empty when it is private.
        self.propagation = fields[6:]
        self.type, source, super_options = right.split(" ")[:3]
        self.source = _unescape(source)
        self.super_options = super_options.split(",")

    @property
    def propagation_word(self) -> str:
        """private, shared, slave, "shared slave" or unbindable."""
        words = [
            {"shared": "shared", "master": "slave", "unbindable": "unbindable"}.get(word.partition(":")[0], "")
            for word in self.propagation
        ]
        return " ".join(filter(None, words)) or "private"

    def __repr__(self) -> str:
        return f"<{self.type} {self.source}{self.root} on {self.point} {','.join(self.options)} {self.propagation}>"


def _unescape(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def parse_mounts(text: str) -> dict[str, Mount]:
    """mountinfo's text as mount point -> the topmost mount there."""
    return {mount.point: mount for mount in map(Mount, text.splitlines())}


def mounts_of(runtime: Runtime, bundle: Bundle) -> dict[str, Mount]:
    """The mounts that the program of *bundle* has, by mount point."""
    return parse_mounts(runtime.probe(bundle, "cat", "/proc/self/mountinfo"))


def cgroup_mounts() -> list[tuple[Path, list[str]]]:
    """Every cgroup hierarchy that is mounted: mount point and controllers; of v2 there is one, whose list is empty."""
    found: list[tuple[Path, list[str]]] = []
    for mount in parse_mounts(Path("/proc/self/mountinfo").read_text()).values():
        if mount.type == "cgroup2" and mount.point.startswith("/sys/fs/cgroup"):
            found.append((Path(mount.point), []))
        elif mount.type == "cgroup" and mount.point.startswith("/sys/fs/cgroup"):
            names = [word for word in mount.super_options if word not in ("rw", "ro", "xattr", "clone_children", "all")]
            found.append((Path(mount.point), names))
    return found


def cgroups_named(token: str) -> list[str]:
    """All cgroups, in all hierarchies, with *token* in their names."""
    found = []
    pending = [str(point) for point, _ in cgroup_mounts()]
    while pending:
        # Not os.walk, which calls itself for each level, and cgroups may lie as deep as anybody likes.
        with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
            paths = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            found += [path for path in paths if token in path.rpartition("/")[2]]
            pending += paths
    return sorted(found)


def _stat_fields(pid: int) -> list[str]:
    """/proc/PID/stat from the state on; empty when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text[text.rfind(")") + 2 :].split()


class Orphans:
    """What becomes of processes whose parent has gone: containers, above all, once ``create`` has ended.

    They are adopted and, when they end, reaped by a process that exists for nothing else: see `under_reaper`. A host's
    init does the same. Were they never reaped, then the init of a PID namespace could not end before those who had
    entered it.
    """

    def __init__(self, reader_fd: int) -> None:
        self._reader_fd = reader_fd
        self._unread = b""
        self._statuses: dict[int, int] = {}
        os.set_blocking(reader_fd, False)

    def read(self) -> None:
        """Takes note of those that have been reaped meanwhile."""
        try:
            while chunk := os.read(self._reader_fd, 65536):
                self._unread += chunk
        except BlockingIOError:
            pass
        *lines, self._unread = self._unread.split(b"\n")
        self._statuses.update(tuple(map(int, line.split())) for line in lines)  # type: ignore[misc]  # pairs

    def wait(self, pid: int) -> int:
        """Waits for the end of an orphan; its exit status, negative: the signal."""
        self.read()
        while pid not in self._statuses:
            wait_readable(self._reader_fd, f"the end of process {pid}")
            self.read()
        return os.waitstatus_to_exitcode(self._statuses.pop(pid))

    def living(self) -> dict[int, str]:
        """Orphans, and children of this process, that have not ended: pid -> command line."""
        self.read()
        parents = {os.getpid(), os.getppid()}
        found = {}
        for name in os.listdir("/proc"):
            fields = _stat_fields(int(name)) if name.isdecimal() else []
            if fields and int(fields[1]) in parents and int(name) != os.getpid() and fields[0] not in "ZX":
                found[int(name)] = _command_line(int(name))
        return found


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return "?"


def under_reaper() -> Orphans:
    """Goes on in a child of this process, which itself stays behind to adopt and reap orphans, and ends as the child
    ends."""
    reader_fd, writer_fd = os.pipe()
    _libc_call("prctl", 36, *map(ctypes.c_ulong, (1, 0, 0, 0)))  # PR_SET_CHILD_SUBREAPER, which children do not inherit
    child = os.fork()
    if child == 0:
        os.close(writer_fd)
        return Orphans(reader_fd)
    os.close(reader_fd)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(child, number))
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            atexit._run_exitfuncs()
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
        with contextlib.suppress(BrokenPipeError):
            os.write(writer_fd, f"{pid} {status}\n".encode())


def _open_fds() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # that of the listing itself
    return found


class Leftovers:
    """What the host looks like now; ``found`` says in which ways it is different later."""

    def __init__(self, token: str, root: Path, orphans: Orphans) -> None:
        self._token = token
        self._orphans = orphans
        self._root = root
        self._mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        self._living = orphans.living()
        self._null = self._dev_null()
        self._fds = _open_fds()

    def _dev_null(self) -> tuple[int, ...]:
        status = os.stat("/dev/null")
        return status.st_mode, status.st_uid, status.st_gid, status.st_rdev

    def found(self) -> list[str]:
        """One line for each thing that is left, or is gone. Living processes are killed."""
        left = []
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        left += [f"mount: {line}" for line in mounts if line not in self._mounts]
        left += [f"mount is gone or changed: {line}" for line in self._mounts if line not in mounts]
        for pid, command in self._orphans.living().items():
            if pid not in self._living:
                left.append(f"process {pid}: {command}")
                os.kill(pid, signal.SIGKILL)
                wait_for_exit(pid)
        left += [f"cgroup: {path}" for path in cgroups_named(self._token)]
        if self._root.exists():
            left += [f"state: {path}" for path in sorted(self._root.iterdir()) if path.name != "@seccomp"]
        if self._dev_null() != self._null:
            left.append(f"/dev/null was {self._null}, is {self._dev_null()}")
        now = _open_fds()
        left += [f"descriptor {fd}: {target}" for fd, target in now.items() if self._fds.get(fd) != target]
        return left

    def remove(self) -> None:
        """Takes away what a failed test has left, as far as it goes, so that the next test starts clean."""
        # By their ids: one whose options have changed was there before, and is the host's.
        before = {line.split()[0] for line in self._mounts}
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if line.split()[0] not in before:
                with contextlib.suppress(OSError):
                    unmount(Mount(line).point)
        for path in sorted(cgroups_named(self._token), reverse=True):
            try:
                os.rmdir(path)
            except OSError:
                continue
        shutil.rmtree(self._root, ignore_errors=True)


# -- the place where the tests run
# ---------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
MS_BIND = 1 << 12
MS_REC = 1 << 14
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20


def _libc_call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}: {os.strerror(error)}")


def mount(
    source: str | Path | None, target: str | Path, type: str | None = None, flags: int = 0, data: str | None = None
) -> None:
    """mount(2)"""
    encoded = [None if word is None else os.fsencode(word) for word in (source, target, type, data)]
    _libc_call("mount", encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])


def unmount(target: str | Path) -> None:
    """umount2(2) with MNT_DETACH"""
    _libc_call("umount2", os.fsencode(target), 2)


def unshare(flags: int) -> None:
    """unshare(2); os.unshare is there from Python 3.12 on."""
    _libc_call("unshare", flags)


def enter_own_mount_namespace() -> None:
    """From now on this process sees no change of the host's mounts, and makes none. All mounts are shared, as on a host
    with systemd, so that what a container lets out is seen."""
    unshare(CLONE_NEWNS)
    mount(None, "/", None, MS_REC | MS_PRIVATE)
    mount(None, "/", None, MS_REC | MS_SHARED)
