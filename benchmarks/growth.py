"""How `run` grows with what the configuration asks for, with the containers there are, with the library's process."""

from __future__ import annotations

import time

from benchmarks.bundles import TRUE
from benchmarks.cases import MILLISECONDS, fill
from benchmarks.commands import BenchmarkError
from benchmarks.docker_like_profile import NAMES
from benchmarks.library import Library
from benchmarks.report import Results

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from benchmarks.bundles import Bundles
    from benchmarks.commands import Runtime

    Change = Callable[[dict[str, Any], int], None]

COUNTS: dict[str, tuple[int, ...]] = {
    "mounts": (10, 100, 1000),
    "devices": (10, 100, 1000),
    "rlimits": (1, 4, 15),
    "seccomp rules": (10, 100, 1000),
    "containers": (1, 100, 500),
    "library MiB": (1, 50, 200),
}
_RLIMITS = (
    *("AS", "CORE", "CPU", "DATA", "FSIZE", "LOCKS", "MEMLOCK", "MSGQUEUE"),
    *("NICE", "NPROC", "RSS", "RTPRIO", "RTTIME", "SIGPENDING", "STACK"),
)


def _add_mounts(config: dict[str, Any], count: int) -> None:
    config["root"]["readonly"] = False  # their targets are to be made
    config["process"]["rlimits"] = []  # crun has more files open than the default limit allows the program
    mounts = config["mounts"]
    mounts.append({"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"]})
    for index in range(count):
        mounts.append(
            {"destination": f"/tmp/{index}", "type": "bind", "source": "/sys/kernel", "options": ["bind", "ro"]}
        )


def _add_devices(config: dict[str, Any], count: int) -> None:
    config["linux"]["devices"] = [
        {"path": f"/dev/null-{index}", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 0}
        for index in range(count)
    ]


def _add_rlimits(config: dict[str, Any], count: int) -> None:
    # Not above what any limit of the caller's is, so that nobody needs a privilege for it.
    import resource

    config["process"]["rlimits"] = []
    for name in _RLIMITS[:count]:
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}", resource.RLIMIT_CORE))[1]
        value = (1 << 64) - 1 if hard == resource.RLIM_INFINITY else hard
        if hasattr(resource, f"RLIMIT_{name}"):
            config["process"]["rlimits"].append({"type": f"RLIMIT_{name}", "soft": value, "hard": value})


def _add_seccomp_rules(config: dict[str, Any], count: int) -> None:
    names = NAMES.split()
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {
                "names": [names[index % len(names)]],
                "action": "SCMP_ACT_ERRNO",
                "args": [{"index": 5, "value": 0xFFFF0000 + index, "op": "SCMP_CMP_EQ"}],
            }
            for index in range(count)
        ],
    }


CHANGES: dict[str, Change] = {
    "mounts": _add_mounts,
    "devices": _add_devices,
    "rlimits": _add_rlimits,
    "seccomp rules": _add_seccomp_rules,
}


def measure(
    name: str, runtimes: list[Runtime], bundles: Bundles, runs: int, gap: float, progress: Callable[[str], None]
) -> Results:
    """Medians of `run` for each count of *name*; each count is a case of the results."""
    results = Results([runtime.name for runtime in runtimes])
    for count in COUNTS[name]:
        progress(f"{name}: {count}")
        if name == "library MiB":
            _measure_library(results, runtimes, bundles, runs, gap, count)
            continue
        bundle = bundles.true
        if name == "containers":
            for runtime in runtimes:
                running = [size for size in COUNTS[name] if size < count]
                fill(runtime, bundles.sleep, count - max(running, default=0))
        else:
            config = bundles.config(TRUE)
            CHANGES[name](config, count)
            bundle = bundles.write(f"{name.replace(' ', '-')}-{count}", config)
        able = []
        for runtime in runtimes:
            try:
                runtime.measure("run", "--bundle", bundle, runtime.new_id())
            except BenchmarkError as error:
                print(f"{runtime.name} cannot: {error}")
                continue
            able.append(runtime)
        for _ in range(runs):
            for runtime in able:
                time.sleep(gap)
                found = runtime.measure("run", "--bundle", bundle, runtime.new_id())
                results.add(f"{count} {name}", MILLISECONDS, runtime.name, found)
    return results


def _measure_library(
    results: Results, runtimes: list[Runtime], bundles: Bundles, runs: int, gap: float, mebibytes: int
) -> None:
    for runtime in runtimes:
        interpreter = Library.interpreter_beside(runtime.path)
        if interpreter is None:
            continue
        library = Library(interpreter, runtime.root, bundles.true, mebibytes << 20)
        try:
            library.measure(runtime.new_id())
            for _ in range(runs):
                time.sleep(gap)
                results.add(f"{mebibytes} library MiB", MILLISECONDS, runtime.name, library.measure(runtime.new_id()))
        finally:
            library.close()
