"""Runs the programs of runtime-tools' `validation` folder against an OCI runtime and prints what each says::

    python3 conformance/run.py --programs runtime-tools/validation [--runtime PATH] [--timeout S] [--only NAME...]
        [--json FILE] [--logs DIR] [--cgroup same|v2|host] [--v1-controller NAME]... [--oci-version V]

The programs must be built where they lie (``make runtimetest validation-executables`` in a checkout of runtime-tools).
Each runs in namespaces and cgroups of its own (isolation.py), with an empty /run, so that none sees what another has
left. Exits 0 when every program passes, 1 when one does not, 2 when it could not begin. Must run as root.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import time

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from conformance import isolation, verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any, TextIO

DEFAULT_TIMEOUT_SECONDS = 90.0
REASON_WIDTH = 120

# For a runtime that is older than the programs and refuses the version of the spec that they write. What is no version
# (one program says so on purpose) stays as it is. The programs always name the bundle.
_OLD_VERSION_RUNTIME = """\
#!/bin/sh
bundle=.
previous=
for word in "$@"; do
    if [ "$previous" = --bundle ]; then bundle=$word; fi
    previous=$word
done
if [ "$1" = create ]; then
    sed -i -E 's/("ociVersion": *")1\\.[0-9][^"]*"/\\1{version}"/' "$bundle/config.json"
fi
exec {runtime} "$@"
"""


class CannotRunError(Exception):
    """The run cannot begin; the text says why."""


class Row:
    """What one program has said, and how long it took."""

    __slots__ = ("name", "seconds", "verdict")

    def __init__(self, name: str, found: verdict.Verdict, seconds: float) -> None:
        self.name = name
        self.verdict = found
        self.seconds = seconds

    def as_json(self) -> dict[str, Any]:
        return {
            "program": self.name,
            "result": self.verdict.result,
            "ok": self.verdict.ok,
            "not_ok": self.verdict.not_ok,
            "skipped": self.verdict.skipped,
            "seconds": round(self.seconds, 2),
            "reason": self.verdict.reason,
        }


class Table:
    """Prints rows as they come, below one header, in columns that fit all *names*."""

    __slots__ = ("_file", "_name_width", "_total")

    def __init__(self, names: list[str], file: TextIO) -> None:
        self._file = file
        self._name_width = max(len(name) for name in [*names, "program"])
        self._total = len(names)

    def _line(self, name: str, result: str, ok: object, not_ok: object, seconds: str, reason: str) -> None:
        text = f"{name:<{self._name_width}}  {result:<7}  {ok!s:>5}  {not_ok!s:>6}  {seconds:>7}  {reason}"
        print(text.rstrip(), file=self._file, flush=True)

    def header(self) -> None:
        self._line("program", "result", "ok", "not ok", "seconds", "reason")

    def row(self, row: Row) -> None:
        found = row.verdict
        reason = found.reason if len(found.reason) <= REASON_WIDTH else found.reason[: REASON_WIDTH - 1] + "…"
        self._line(row.name, found.result, found.ok, found.not_ok, f"{row.seconds:.1f}", reason)

    def totals(self, rows: list[Row]) -> None:
        counts = dict.fromkeys((verdict.PASS, verdict.FAIL, verdict.SKIP, verdict.TIMEOUT), 0)
        for row in rows:
            counts[row.verdict.result] += 1
        results = ", ".join(f"{count} {word}" for word, count in counts.items())
        ok, not_ok = sum(row.verdict.ok for row in rows), sum(row.verdict.not_ok for row in rows)
        seconds = sum(row.seconds for row in rows)
        print(f"\n{len(rows)} programs: {results}; {ok} points ok, {not_ok} not ok; {seconds:.0f} s", file=self._file)


def programs(folder: str) -> list[str]:
    """The names of the programs that lie built in runtime-tools' validation folder, sorted."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if os.path.exists(_program(folder, entry.name)))
    except OSError as error:
        raise CannotRunError(f"--programs: {error}") from error
    if not names:
        raise CannotRunError(
            f"--programs: no NAME/NAME.t in {folder}: run `make validation-executables` in its checkout"
        )
    if not os.access(f"{folder}/../runtimetest", os.X_OK):
        raise CannotRunError(f"--programs: no runtimetest beside {folder}: run `make runtimetest` in its checkout")
    return names


def _program(folder: str, name: str) -> str:
    return f"{folder}/{name}/{name}.t"


def find_runtime(word: str) -> str:
    path = shutil.which(word)
    if path is None:
        raise CannotRunError(f"--runtime: no program {word}")
    return os.path.abspath(path)


def run_program(folder: str, name: str, runtime: str, settings: isolation.Settings, work: str, log_path: str) -> Row:
    """Runs one program; its output is in *log_path* afterwards. *work* is a folder for its bundles."""
    bundles = f"{work}/bundles"
    os.mkdir(bundles, 0o755)  # a container's mapped root has to pass through it
    env = {**os.environ, "RUNTIME": runtime, "TMPDIR": bundles}
    status: int | None = None
    begin = time.monotonic()
    try:
        with open(log_path, "wb") as log:
            status = isolation.run([_program(folder, name)], settings, env, log.fileno())
    except TimeoutError:
        pass
    finally:
        seconds = time.monotonic() - begin
        shutil.rmtree(bundles)
    with open(log_path, encoding="utf-8", errors="replace") as log_text:
        return Row(name, verdict.Verdict(name, log_text.read(), status), seconds)


def run_all(options: argparse.Namespace, file: TextIO) -> list[Row]:
    """Runs the programs that the options name, printing to *file*; raises CannotRunError."""
    folder = os.path.abspath(options.programs)
    names = programs(folder)
    unknown = [name for name in options.only or () if name not in names]
    if unknown:
        raise CannotRunError(f"--only: no program {', '.join(unknown)} in {folder}")
    if options.only:
        names = options.only
    settings = isolation.Settings(options.cgroup, options.v1_controller, timeout=options.timeout)
    runtime = find_runtime(options.runtime)
    if os.geteuid() != 0:
        raise CannotRunError("only root can make the namespaces that the programs run in")
    table = Table(names, file)
    rows = []
    with tempfile.TemporaryDirectory(prefix="conformance-") as work:
        os.chmod(work, 0o755)
        logs = os.path.abspath(options.logs or work)
        os.makedirs(logs, exist_ok=True)
        if options.oci_version:
            runtime = _write_old_version_runtime(f"{work}/runtime", runtime, options.oci_version)
        os.chdir(os.path.dirname(folder))  # where the programs look for runtimetest and the root filesystem
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        table.header()
        for index, name in enumerate(names, 1):
            if sys.stderr.isatty():
                print(f"[{index}/{len(names)}] {name}\r", end="", file=sys.stderr, flush=True)
            rows.append(run_program(folder, name, runtime, settings, work, f"{logs}/{name}.log"))
            table.row(rows[-1])
    table.totals(rows)
    return rows


def _write_old_version_runtime(path: str, runtime: str, version: str) -> str:
    with open(path, "w") as file:
        file.write(_OLD_VERSION_RUNTIME.format(version=version, runtime=runtime))
    os.chmod(path, stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    return path


def parse(arguments: list[str]) -> argparse.Namespace:
    import argparse

    parser = argparse.ArgumentParser(prog="run.py", description="Run runtime-tools' validation programs on a runtime.")
    parser.add_argument("--programs", required=True, metavar="DIR", help="runtime-tools' validation folder, built")
    parser.add_argument("--runtime", default="ocirt", metavar="PATH", help="the runtime (%(default)s)")
    parser.add_argument(
        "--timeout", type=float, default=DEFAULT_TIMEOUT_SECONDS, metavar="S", help="for each (%(default)g)"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="run these programs alone")
    parser.add_argument("--json", metavar="FILE", help="write the rows there too")
    parser.add_argument("--logs", metavar="DIR", help="keep the output of each program there")
    parser.add_argument("--cgroup", choices=isolation.LAYOUTS, default="same", help="layout of /sys/fs/cgroup (same)")
    parser.add_argument(
        "--v1-controller",
        action="append",
        default=[],
        metavar="NAME",
        help="take this controller as a v1 hierarchy meanwhile: crun refuses a hybrid machine whose cgroup2 has one",
    )
    parser.add_argument("--oci-version", metavar="V", help="write this version into each bundle, for an old runtime")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        rows = run_all(options, sys.stdout)
        if options.json:
            with open(options.json, "w") as file:
                json.dump({"runtime": options.runtime, "programs": [row.as_json() for row in rows]}, file, indent=2)
                file.write("\n")
    except (CannotRunError, OSError) as error:
        print(f"conformance: {error}", file=sys.stderr)
        return 2
    return 0 if all(row.verdict.result == verdict.PASS for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
