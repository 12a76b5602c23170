"""criu itself: where it is, whether it can work here, and what its log says of a failure."""

from __future__ import annotations

import os

from ocirt.errors import OcirtError, StepError, UnsupportedError

#: External namespaces, the freezer of cgroup v2, notifications and the profile of a restore are all there.
OLDEST = (3, 16)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG_LIMIT = 8 << 20
_ERRORS = 6


class Criu:
    """The installed criu: its ``path``, and its ``version`` as it says it."""

    __slots__ = ("path", "version")

    def __init__(self, path: str, version: str) -> None:
        self.path = path
        self.version = version

    @classmethod
    def find(cls) -> Criu:
        """The first on the PATH of the runtime. UnsupportedError when there is none, or when it is too old."""
        path = _look_up("criu")
        if path is None:
            raise UnsupportedError("checkpoint and restore", "the program criu, which is not on the PATH")
        output = _run(path, "--version")[1]
        version = output.partition("Version:")[2].split()
        if not version:
            raise UnsupportedError(
                "checkpoint and restore", f"a criu that says its version: {path} says {output[:80]!r}"
            )
        if _numbers(version[0]) < OLDEST:
            oldest = ".".join(map(str, OLDEST))
            raise UnsupportedError("checkpoint and restore", f"criu {oldest} or newer, and {path} is {version[0]}")
        return cls(path, version[0])

    def check(self) -> None:
        """UnsupportedError when criu cannot work on this kernel, with criu's reason."""
        status, output = _run(self.path, "check", "-v4", "-o", "-")
        if status != 0:
            reasons = errors_of(output) or output.strip().splitlines()[-1:] or [f"exit status {status}"]
            needs = f"a criu that works on Linux {os.uname().release}, and {self.version} does not: {reasons[0]}"
            error = UnsupportedError("checkpoint and restore", needs)
            error.hint = f"what all it finds: {self.path} check -v4 -o -"
            raise error

    def require_feature(self, name: str, who: str) -> None:
        """UnsupportedError when criu or this kernel lacks what `criu check --feature` knows as *name*, for *who*."""
        if _run(self.path, "check", "--feature", name)[0] != 0:
            raise UnsupportedError(who, f"a kernel and a criu with {name}, and `criu check --feature {name}` says no")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _look_up(name: str) -> str | None:
    """By an absolute directory of the PATH: the working directory is often a bundle, which an image may have filled."""
    for directory in (os.getenv("PATH") or _PATH).split(":"):
        path = f"{directory}/{name}"
        if directory.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def _run(*words: str) -> tuple[int, str]:
    """Runs a program, with nothing to read; its exit status, and what it has printed."""
    output = os.memfd_create("criu-output", os.MFD_CLOEXEC)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, output, 1),
            (os.POSIX_SPAWN_DUP2, output, 2),
        ]
        try:
            pid = os.posix_spawn(words[0], words, os.environ, file_actions=actions, setsigmask=())
        except OSError as error:
            raise StepError(f"execute {words[0]}", error.errno or 0, filename=words[0]) from None
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return status, os.pread(output, _LOG_LIMIT, 0).decode("utf-8", "replace")
    finally:
        os.close(output)


def errors_of(log: str) -> list[str]:
    """The errors in criu's log, the first of which is most often the cause, without time and with their place last."""
    found: list[str] = []
    for line in log.splitlines():
        place, bracket, text = line.partition("Error (")[2].partition("): ")
        if not bracket:
            continue
        words = f"{text.strip()} ({place})"
        # That a sandbox does not let criu raise its own limits is no failure.
        if text.strip() and words not in found and "RLIMIT_NOFILE" not in text:
            found.append(words)
    return found[:_ERRORS]


def failure(operation: str, reason: str, log: str, path: str) -> OcirtError:
    """What to say when criu has failed: the first error of its *log*, the others as notes, and where the log is."""
    lines = errors_of(log)
    error = OcirtError(f"criu cannot {operation} the container: {lines[0] if lines else reason} (log: {path})")
    for line in lines[1:]:
        error.add_note(f"criu: {line}")
    return error


def read_log(directory_fd: int, name: str) -> str:
    """The end of criu's log, "" where there is none: a configuration file of criu's may name another."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory_fd)
    except OSError:
        return ""
    try:
        size = os.fstat(fd).st_size
        return os.pread(fd, _LOG_LIMIT, max(0, size - _LOG_LIMIT)).decode("utf-8", "replace")
    finally:
        os.close(fd)
