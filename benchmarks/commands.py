"""OCI runtimes as programs, and the cost of one command: wall time, processor time, memory."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_SECONDS = 10.0


class BenchmarkError(Exception):
    """The benchmark cannot go on; the text says why."""


class Measurement:
    """``value`` in the unit of its case, and the processor time of the command.

    ``cpu_ms`` is the user and system time of the command and of the children that it waited for (wait4(2)), None where
    it is not known.
    """

    __slots__ = ("cpu_ms", "value")

    def __init__(self, value: float, cpu_ms: float | None = None) -> None:
        self.value = value
        self.cpu_ms = cpu_ms


class Runtime:
    """An OCI runtime: its command with a state root of its own below *work*."""

    __slots__ = ("_count", "_stderr_fd", "name", "path", "pid_file", "root", "version")

    def __init__(self, name: str, path: str, work: str) -> None:
        self.name = name
        self.path = path
        self.root = f"{work}/{name}-state"
        self.pid_file = f"{work}/{name}.pid"
        self.version = ""
        self._stderr_fd = os.memfd_create("stderr")
        self._count = 0

    def new_id(self) -> str:
        self._count += 1
        return f"benchmark-{self.name}-{self._count}"

    def words(self, *words: str) -> list[str]:
        return [self.path, "--root", self.root, *words]

    def ask_version(self) -> None:
        """Fills ``version`` in: the first line of --version that has a digit, without the program's name."""
        answer = subprocess.run([self.path, "--version"], capture_output=True, text=True, check=False)
        line = next((line for line in answer.stdout.splitlines() if any(map(str.isdigit, line))), "")
        self.version = line.split()[-1] if line else "unknown"

    def measure(self, *words: str) -> Measurement:
        """The cost of one command, in milliseconds. Raises BenchmarkError when it fails."""
        return self._measure(self.words(*words))

    def peak_memory(self, report_path: str, *words: str) -> Measurement:
        """The largest resident set of the command and its children, in MiB, pages of mapped files included.

        busybox starts it: ru_maxrss of a process keeps what its parent's memory was at the time of the exec. It takes
        the kilobytes for pages.
        """
        self._measure(["busybox", "time", "-f", "%M", "-o", report_path, *self.words(*words)])
        with open(report_path) as file:
            return Measurement(int(file.read().split()[-1]) / os.sysconf("SC_PAGE_SIZE"))

    def _measure(self, words: list[str]) -> Measurement:
        os.ftruncate(self._stderr_fd, 0)
        os.lseek(self._stderr_fd, 0, os.SEEK_SET)
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, self._stderr_fd, 2),
        ]
        begin = time.perf_counter()
        pid = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - begin
        if status != 0:
            lines = os.pread(self._stderr_fd, 1 << 20, 0).decode(errors="replace").splitlines()
            said = next((line for line in reversed(lines) if line), "it said nothing")
            raise BenchmarkError(f"{' '.join(words)}: exit status {os.waitstatus_to_exitcode(status)}: {said}")
        return Measurement(wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000)

    def init_pid(self) -> int:
        """The pid that the last command with --pid-file has written."""
        with open(self.pid_file) as file:
            return int(file.read())


def find_runtimes(words: Sequence[str], work: str) -> tuple[list[Runtime], list[str]]:
    """The runtimes that the words (names on the PATH or paths) mean, and a sentence about each that is not there."""
    found: list[Runtime] = []
    missing = []
    for word in words:
        path = shutil.which(word)
        if path is None:
            missing.append(f"{word} is left out: no such program")
            continue
        name = base = os.path.basename(word)
        same = sum(runtime.name.partition("#")[0] == base for runtime in found)
        if same:
            name = f"{base}#{same + 1}"
        found.append(Runtime(name, os.path.abspath(path), work))
    return found, missing


def wait_for_end(pid: int) -> None:
    """Waits until a process of which the caller need not be the parent is dead; one that is not there is."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(PATIENCE_SECONDS * 1000):
            raise BenchmarkError(f"process {pid} is still alive after {PATIENCE_SECONDS:g} s")
    finally:
        os.close(pidfd)
