"""A process that drives containers by ocirt's library, and the benchmark's end of its pipes.

As a program (``library.py ROOT BUNDLE BALLAST_BYTES``) it reads ids, runs a container for each, and answers with the
nanoseconds of wall and processor time. It imports nothing of the benchmark: the interpreter is ocirt's.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.commands import Measurement

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Library:
    """The helper process, for one runtime's state root and one bundle."""

    __slots__ = ("_process",)

    def __init__(self, interpreter: str, root: str, bundle: str, ballast_bytes: int = 0) -> None:
        """With *ballast_bytes* the process holds that much memory of its own, as a large program would."""
        self._process = subprocess.Popen(
            [interpreter, os.path.abspath(__file__), root, bundle, str(ballast_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    @staticmethod
    def interpreter_beside(path: str) -> str | None:
        """The interpreter of the environment that the ocirt command *path* lies in; None when it is no ocirt's."""
        interpreter = os.path.join(os.path.dirname(path), "python3")
        if os.path.basename(path) != "ocirt" or not os.access(interpreter, os.X_OK):
            return None
        asked = subprocess.run([interpreter, "-c", "import ocirt"], cwd="/", capture_output=True, check=False)
        return interpreter if asked.returncode == 0 else None

    def measure(self, id: str) -> Measurement:
        """The cost of one container: create, start, wait, delete."""
        from benchmarks.commands import BenchmarkError, Measurement

        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(id, file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline().split()
        if len(answer) != 2:
            raise BenchmarkError("the library's process has ended; what it said is above")
        return Measurement(int(answer[0]) / 1e6, int(answer[1]) / 1e6)

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _processor_time() -> int:
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return int(total * 1e9)


def main() -> None:
    from ocirt import Container, Options

    root, bundle, ballast_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    ballast = bytearray(ballast_bytes)
    ballast[:: resource.getpagesize()] = b"x" * len(ballast[:: resource.getpagesize()])  # every page is there
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)  # what the containers are given
    for line in sys.stdin:
        begin, begin_processor = time.perf_counter_ns(), _processor_time()
        container = Container.create(line.strip(), bundle, Options(root=root))
        container.start()
        status = container.wait()
        container.delete()
        wall, processor = time.perf_counter_ns() - begin, _processor_time() - begin_processor
        if status != 0:
            sys.exit(f"library: the container ended with status {status}")
        print(wall, processor, file=answers)


if __name__ == "__main__":
    main()
