"""Measures ocirt beside the runtimes that this machine has, in one interleaved run, and prints a table::

    python3 benchmarks/run.py [--runtimes ocirt,runc,crun] [--runs N] [--gap-ms 80] [--only create,run,...] [--growth]
        [--cgroup same|v2|host] [--json FILE] [--svg FILE]

Everything happens in namespaces and cgroups of its own (conformance/isolation.py) and is removed afterwards. Every
runtime has its own state root and runs the same bundle, a static busybox. Each round takes every runtime once, in an
order that moves on from round to round. Must run as root.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import tempfile
import time

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from benchmarks import growth, plot
from benchmarks.bundles import Bundles
from benchmarks.cases import CASES, NOT_BY_DEFAULT, Case, InOneProcess, Listing
from benchmarks.commands import BenchmarkError, Runtime, find_runtimes
from benchmarks.report import Results
from conformance import isolation
from conformance.hierarchies import hierarchies

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from typing import Any

DEFAULT_RUNTIMES = "ocirt,runc,crun"
DEFAULT_RUNS = 30
DEFAULT_GAP_MS = 80.0
# Some cases take long and vary little.
_FEWER_ROUNDS = {"memory": 5, Listing.names[0]: 15}


def words_of(case: type[Case]) -> tuple[str, ...]:
    """What --only calls the case."""
    return (case.word,) if case.word else case.names


def parse(arguments: list[str]) -> argparse.Namespace:
    import argparse

    known = [word for case in CASES for word in words_of(case)]
    parser = argparse.ArgumentParser(prog="run.py", description="Measure ocirt beside other OCI runtimes.")
    parser.add_argument("--runtimes", default=DEFAULT_RUNTIMES, metavar="R,...", help="names or paths (%(default)s)")
    parser.add_argument("--runs", type=int, default=DEFAULT_RUNS, metavar="N", help="rounds of each (%(default)s)")
    parser.add_argument("--gap-ms", type=float, default=DEFAULT_GAP_MS, metavar="MS", help="pause before each (80)")
    parser.add_argument("--only", metavar="CASE,...", help=f"some of {', '.join(known)}")
    parser.add_argument("--growth", action="store_true", help=f"how `run` grows with {', '.join(growth.COUNTS)}")
    parser.add_argument("--cgroup", choices=isolation.LAYOUTS, default="same", help="layout of /sys/fs/cgroup (same)")
    parser.add_argument("--json", metavar="FILE", help="write every value there too")
    parser.add_argument("--svg", metavar="FILE", help="draw the medians there")
    parser.add_argument("--isolated", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.runs < 1:
        parser.error("--runs: wanted at least 1")
    options.only = options.only.split(",") if options.only else [word for word in known if word not in NOT_BY_DEFAULT]
    unknown = [word for word in options.only if word not in known]
    if unknown:
        parser.error(f"--only: wanted some of {', '.join(known)}, found {', '.join(unknown)}")
    return options


def run_isolated(options: argparse.Namespace, arguments: list[str]) -> int:
    """Runs this program again in namespaces of its own."""
    v1_controllers: list[str] = []
    if options.cgroup == "same" and any(os.path.basename(word) == "crun" for word in options.runtimes.split(",")):
        v1_controllers = _controllers_that_crun_refuses()
    command = [sys.executable, os.path.abspath(__file__), "--isolated", *arguments]
    while True:
        if v1_controllers:
            print(f"for crun, {', '.join(v1_controllers)} is to be a v1 hierarchy meanwhile")
        sys.stdout.flush()
        try:
            return isolation.run(command, isolation.Settings(options.cgroup, v1_controllers))
        except OSError as error:
            if not v1_controllers:
                raise
            print(f"but {error.strerror}")
            v1_controllers = []


def _controllers_that_crun_refuses() -> list[str]:
    """The controllers that the unified hierarchy of a hybrid machine has: crun 1.8 then does not start anything."""
    found = hierarchies()
    if all(hierarchy.is_v2 for hierarchy in found):
        return []
    controllers = []
    for hierarchy in found:
        if hierarchy.is_v2:
            with open(f"{hierarchy.own_path}/cgroup.controllers") as file:
                controllers += file.read().split()
    return controllers


def progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}\r", end="", file=sys.stderr, flush=True)


def try_out(runtimes: list[Runtime], bundles: Bundles) -> list[Runtime]:
    """The runtimes that can run the bundle; of the others, what they say."""
    usable = []
    for runtime in runtimes:
        runtime.ask_version()
        try:
            runtime.measure("run", "--bundle", bundles.true, runtime.new_id())
        except BenchmarkError as error:
            print(f"{runtime.name} {runtime.version} is left out: {error}")
            continue
        usable.append(runtime)
    return usable


def measure_cases(options: argparse.Namespace, runtimes: list[Runtime], bundles: Bundles, work: str) -> Results:
    results = Results([runtime.name for runtime in runtimes])
    for kind in CASES:
        wanted = [word for word in words_of(kind) if word in options.only]
        if wanted:
            measure_case(kind(bundles, options.gap_ms / 1000, work), wanted, options.runs, runtimes, results)
    progress("")
    return results


def measure_case(case: Case, wanted: list[str], runs: int, runtimes: list[Runtime], results: Results) -> None:
    """Adds the rounds of one case; a runtime that fails is left out of its rest."""
    able = list(runtimes)

    def attempt(runtime: Runtime, step: Callable[[Runtime], object]) -> Any:
        try:
            return step(runtime)
        except BenchmarkError as error:
            print(f"{runtime.name} cannot go on with {', '.join(wanted)}: {error}")
            able.remove(runtime)
            return None

    for runtime in runtimes:
        attempt(runtime, case.prepare)
    rounds = min(runs, _FEWER_ROUNDS.get(wanted[0], runs))
    for index in range(rounds):
        progress(f"{', '.join(wanted)}: {index + 1} of {rounds}")
        turn = index % len(runtimes)
        for runtime in [each for each in runtimes[turn:] + runtimes[:turn] if each in able]:
            for name, measurement in (attempt(runtime, case.round) or {}).items():
                if name in wanted or case.word:
                    results.add(name, case.unit, runtime.name, measurement)
    case.finish()


def machine() -> dict[str, Any]:
    with open("/proc/cpuinfo") as file:
        model = next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "")
    return {"kernel": platform.release(), "processors": os.cpu_count(), "model": model, "load": os.getloadavg()[0]}


def write_text(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def measure_all(options: argparse.Namespace, work: str) -> int:
    runtimes, missing = find_runtimes(options.runtimes.split(","), work)
    for sentence in missing:
        print(sentence)
    if not runtimes:
        raise BenchmarkError("no runtime to measure")
    bundles = Bundles(work, runtimes[0])
    runtimes = try_out(runtimes, bundles)
    if not runtimes:
        raise BenchmarkError("no runtime to measure")
    facts = machine()
    versions = ", ".join(f"{runtime.name} {runtime.version}" for runtime in runtimes)
    print(f"{versions}; Linux {facts['kernel']}, {facts['processors']} processors, load {facts['load']:.1f}")
    print(f"{options.runs} rounds, {options.gap_ms:g} ms apart, cgroups: {options.cgroup}\n")
    document: dict[str, Any] = {
        "machine": facts,
        "runtimes": [{"name": each.name, "path": each.path, "version": each.version} for each in runtimes],
        "settings": {"runs": options.runs, "gap_ms": options.gap_ms, "cgroup": options.cgroup},
    }
    if options.growth:
        document["growth"], drawing = measure_growth(options, runtimes, bundles)
    else:
        results = measure_cases(options, runtimes, bundles, work)
        results.print(sys.stdout)
        if InOneProcess.names[0] in results.cases:
            print(f"\n{InOneProcess.names[0]}: of a runtime that has no library, `run`")
        document["cases"] = results.as_json()
        drawing = plot.bars(results, versions)
    if options.json:
        write_text(options.json, json.dumps(document, indent=1) + "\n")
    if options.svg:
        write_text(options.svg, drawing)
    return 0


def measure_growth(
    options: argparse.Namespace, runtimes: list[Runtime], bundles: Bundles
) -> tuple[dict[str, Any], str]:
    document: dict[str, Any] = {}
    curves: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for name, counts in growth.COUNTS.items():
        results = growth.measure(name, runtimes, bundles, options.runs, options.gap_ms / 1000, progress)
        progress("")
        if not results.cases:
            continue
        results.print(sys.stdout)
        print(flush=True)
        document[name] = results.as_json()
        curves[name] = {}
        for count, case in zip(counts, results.cases, strict=True):
            for runtime, series in results.series(case).items():
                curves[name].setdefault(runtime, []).append((float(count), series.median))
    names = [runtime.name for runtime in runtimes]
    return document, plot.curves(curves, names, "ms", ", ".join(names))


def main() -> int:
    arguments = sys.argv[1:]
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        if os.geteuid() != 0:
            raise BenchmarkError("only root can make the namespaces that this runs in")
        if not options.isolated:
            return run_isolated(options, arguments)
        begin = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="benchmark-") as work:
            os.chmod(work, 0o755)
            status = measure_all(options, work)
        print(f"\n{time.monotonic() - begin:.0f} s")
        return status
    except (BenchmarkError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
