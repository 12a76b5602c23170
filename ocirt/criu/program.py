"""criu itself: where it is, whether it can work here, and what its log says of a failure."""

from __future__ import annotations

import os
from types import MappingProxyType

from ocirt.errors import OcirtError, StepError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: External namespaces, the freezer of cgroup v2, notifications and the profile of a restore are all there.
OLDEST = (3, 16)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LOG_LIMIT = 8 << 20
_ERRORS = 6
_FEATURE = "checkpoint and restore"
# A configuration of the host for checkpoints may name a log file, which would be made where the runtime is called.
_ALONE = "--no-default-config"


class Criu:
    """The installed criu: its ``path``, and its ``version`` as it says it."""

    __slots__ = ("path", "version")

    def __init__(self, path: str, version: str) -> None:
        self.path = path
        self.version = version

    @classmethod
    def find(cls, features: Mapping[str, str] = MappingProxyType({})) -> Criu:
        """The first on the PATH of the runtime. UnsupportedError, with criu's reason, when there is none, it is too old
        or cannot work on this kernel, or when it lacks one of *features*: what `criu check --feature` knows -> who
        needs it."""
        path = _look_up("criu")
        if path is None:
            raise UnsupportedError(_FEATURE, "the program criu, which is not on the PATH")
        # At the same time: each of them tries the kernel, which takes longer than it keeps a processor busy.
        asked = [_Run(path, "--version"), _Run(path, "check", _ALONE, "-v4", "-o", "-")]
        asked += [_Run(path, "check", _ALONE, "--feature", name) for name in features]
        (_, about), (status, output), *answers = [run.wait() for run in asked]
        version = _version(path, about)
        if status != 0:
            reasons = errors_of(output) or output.strip().splitlines()[-1:] or [f"exit status {status}"]
            needs = f"a criu that works on Linux {os.uname().release}, and {version} does not: {reasons[0]}"
            error = UnsupportedError(_FEATURE, needs)
            error.hint = f"what all it finds: {path} check -v4 -o -"
            raise error
        for (name, who), (status, _) in zip(features.items(), answers, strict=True):
            if status != 0:
                raise UnsupportedError(
                    who, f"a kernel and a criu with {name}, and `criu check --feature {name}` says no"
                )
        return cls(path, version)


def _version(path: str, output: str) -> str:
    words = output.partition("Version:")[2].split()
    if not words:
        raise UnsupportedError(_FEATURE, f"a criu that says its version: {path} says {output[:80]!r}")
    if _numbers(words[0]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise UnsupportedError(_FEATURE, f"criu {oldest} or newer, and {path} is {words[0]}")
    return words[0]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdecimal())


def _look_up(name: str) -> str | None:
    """By an absolute directory of the PATH: the working directory is often a bundle, which an image may have filled."""
    for directory in (os.getenv("PATH") or _PATH).split(":"):
        path = f"{directory}/{name}"
        if directory.startswith("/") and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


class _Run:
    """A program that runs, with nothing to read."""

    __slots__ = ("_output", "_pid")

    def __init__(self, *words: str) -> None:
        self._output = os.memfd_create("criu-output", os.MFD_CLOEXEC)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, self._output, 1),
            (os.POSIX_SPAWN_DUP2, self._output, 2),
        ]
        try:
            self._pid = os.posix_spawn(words[0], words, os.environ, file_actions=actions, setsigmask=())
        except OSError as error:
            os.close(self._output)
            raise StepError(f"execute {words[0]}", error.errno or 0, filename=words[0]) from None

    def wait(self) -> tuple[int, str]:
        """Its exit status, and what it has printed."""
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            return status, os.pread(self._output, _LOG_LIMIT, 0).decode("utf-8", "replace")
        finally:
            os.close(self._output)


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
