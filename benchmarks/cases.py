"""What is measured: each case takes one round of one runtime and gives a measurement for each of its names.

A case leaves nothing that a later one could feel, but for Listing, which must come last.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from benchmarks.commands import BenchmarkError, Measurement, wait_for_end
from benchmarks.library import Library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from benchmarks.bundles import Bundles
    from benchmarks.commands import Runtime

MILLISECONDS = "ms"
MEBIBYTES = "MiB"

LISTED_CONTAINERS = 500
PARALLEL_PROCESSES = 2
RUNS_OF_EACH_PROCESS = 5
_SIGNAL = "KILL"


class Case:
    """*gap* seconds are waited before everything that is measured.

    A tight loop hides what the kernel does later, such as the grace periods of cgroups. ``names`` are those of the
    measurements that a round gives, ``word`` what the options call the case where that is not one of them.
    """

    names: tuple[str, ...] = ()
    word = ""
    unit = MILLISECONDS

    def __init__(self, bundles: Bundles, gap: float, work: str) -> None:
        self.bundles = bundles
        self.gap = gap
        self.work = work

    def prepare(self, runtime: Runtime) -> None:
        """Done once for each runtime before the first round."""

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        raise NotImplementedError

    def finish(self) -> None:
        """Done once after the last round."""

    def measure(self, runtime: Runtime, *words: str) -> Measurement:
        time.sleep(self.gap)
        return runtime.measure(*words)


class Lifecycle(Case):
    """One container's life, command by command; its program sleeps until it is killed."""

    names = ("create", "start", "state", "exec", "kill", "delete")

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        id = runtime.new_id()
        found = {
            "create": self.measure(
                runtime, "create", "--bundle", self.bundles.sleep, "--pid-file", runtime.pid_file, id
            ),
            "start": self.measure(runtime, "start", id),
            "state": self.measure(runtime, "state", id),
            "exec": self.measure(runtime, "exec", id, "true"),
            "kill": self.measure(runtime, "kill", id, _SIGNAL),
        }
        wait_for_end(runtime.init_pid())
        found["delete"] = self.measure(runtime, "delete", id)
        return found


class Run(Case):
    """`run` of `true`, in the foreground."""

    names = ("run",)

    @property
    def bundle(self) -> str:
        return self.bundles.true

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        return {self.names[0]: self.measure(runtime, "run", "--bundle", self.bundle, runtime.new_id())}


class RunWithSeccomp(Run):
    """The same with a filter such as engines ask for."""

    names = ("run-seccomp",)

    @property
    def bundle(self) -> str:
        return self.bundles.seccomp


class RunFromDisk(Run):
    """The same when the machine has forgotten its page cache (/proc/sys/vm/drop_caches), as on the first run of all."""

    names = ("run-cold",)

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")
        return super().round(runtime)


class DeleteRunning(Case):
    """`delete --force` of a running container."""

    names = ("delete-force",)

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        id = runtime.new_id()
        runtime.measure("run", "--detach", "--bundle", self.bundles.sleep, id)
        return {"delete-force": self.measure(runtime, "delete", "--force", id)}


class Parallel(Case):
    """Milliseconds for each container when several processes run containers at the same time."""

    names = ("parallel",)

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        failures: list[BenchmarkError] = []
        ids = [[runtime.new_id() for _ in range(RUNS_OF_EACH_PROCESS)] for _ in range(PARALLEL_PROCESSES)]

        def work(own_ids: list[str]) -> None:
            try:
                for id in own_ids:
                    runtime.measure("run", "--bundle", self.bundles.true, id)
            except BenchmarkError as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(own_ids,)) for own_ids in ids]
        time.sleep(self.gap)
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall = time.perf_counter() - begin
        if failures:
            raise failures[0]
        return {"parallel": Measurement(wall * 1000 / (PARALLEL_PROCESSES * RUNS_OF_EACH_PROCESS))}


class InOneProcess(Case):
    """create, start, wait and delete by ocirt's library in one process that lives on; of other runtimes, `run`."""

    names = ("library",)

    def __init__(self, bundles: Bundles, gap: float, work: str) -> None:
        super().__init__(bundles, gap, work)
        self._libraries: dict[str, Library] = {}

    def prepare(self, runtime: Runtime) -> None:
        interpreter = Library.interpreter_beside(runtime.path)
        if interpreter:
            self._libraries[runtime.name] = Library(interpreter, runtime.root, self.bundles.true)

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        library = self._libraries.get(runtime.name)
        if library is None:
            return {"library": self.measure(runtime, "run", "--bundle", self.bundles.true, runtime.new_id())}
        time.sleep(self.gap)
        return {"library": library.measure(runtime.new_id())}

    def finish(self) -> None:
        for library in self._libraries.values():
            library.close()


class Memory(Case):
    """Memory of `run`, `create` and `exec` at their largest, and what a created container's init has for itself."""

    names = ("run-memory", "create-memory", "exec-memory", "init-private")
    word = "memory"
    unit = MEBIBYTES

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        report = f"{self.work}/time"
        id = runtime.new_id()
        found = {
            "run-memory": runtime.peak_memory(report, "run", "--bundle", self.bundles.true, runtime.new_id()),
            "create-memory": runtime.peak_memory(
                report, "create", "--bundle", self.bundles.sleep, "--pid-file", runtime.pid_file, id
            ),
            "init-private": Measurement(_private_memory(runtime.init_pid()) / 1024),
        }
        runtime.measure("start", id)
        found["exec-memory"] = runtime.peak_memory(report, "exec", id, "true")
        runtime.measure("delete", "--force", id)
        return found


class Listing(Case):
    """`list` with many containers that run. They are left running; with the namespaces of the benchmark they end."""

    names = (f"list-{LISTED_CONTAINERS}",)

    def prepare(self, runtime: Runtime) -> None:
        fill(runtime, self.bundles.sleep, LISTED_CONTAINERS)

    def round(self, runtime: Runtime) -> dict[str, Measurement]:
        return {self.names[0]: self.measure(runtime, "list")}


CASES: tuple[type[Case], ...] = (
    Lifecycle,
    Run,
    RunWithSeccomp,
    RunFromDisk,
    DeleteRunning,
    Parallel,
    InOneProcess,
    Memory,
    Listing,
)
# Slows down everything else on the machine: measured only when asked for.
NOT_BY_DEFAULT = frozenset(RunFromDisk.names)


def fill(runtime: Runtime, bundle: str, count: int) -> None:
    """Runs *count* containers in the background."""
    for done in range(count):
        if sys.stderr.isatty():
            print(f"\r{runtime.name}: {done} of {count} containers \r", end="", file=sys.stderr, flush=True)
        runtime.measure("run", "--detach", "--bundle", bundle, runtime.new_id())


def _private_memory(pid: int) -> int:
    """KiB that belong to this process alone: Private_Clean and Private_Dirty, proc_pid_smaps_rollup(5)."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup") as file:
        for line in file:
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total
