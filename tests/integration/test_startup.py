"""What a start costs, in what can be counted: modules that a command imports, system calls that a container takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import _cffi_backend
import pytest
from support import Bundle, Runtime

import ocirt
from ocirt.cgroup import detect

pytestmark = pytest.mark.needs_root

PACKAGES = [str(Path(ocirt.__file__).parents[1]), str(Path(_cffi_backend.__file__).parent)]

#: Runs a command in an interpreter without `site`, and writes at its end what of ocirt was imported.
REPORTER = f"""
import os, sys
sys.path += {PACKAGES!r}
report, *sys.argv = sys.argv[1:]
exit_now = os._exit
def exit_with_report(status):
    fd = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, " ".join(name for name in sys.modules if name.startswith("ocirt.")).encode())
    exit_now(status)
os._exit = exit_with_report
from ocirt.__main__ import run
run()
"""

#: Runs two containers in one process. The second one's calls are those between the two of access(2).
CALLER = f"""
import os, sys
sys.path += {PACKAGES!r}
from ocirt import Container, Options
root, bundle, id = sys.argv[1:]
def run():
    container = Container.create(id, bundle, Options(root=root, attached=True))
    container.start()
    container.wait()
    container.delete()
run()
os.access("/begin", os.F_OK)
run()
os.access("/end", os.F_OK)
"""

EVERY_COMMAND = {
    *("__main__", "cli", "cli.output", "cli.parser", "container", "errors", "host", "json_parse", "json_text"),
    *("record", "state"),
}
SHIM = {"_shim", "_shim.lib", "launch", "launch.channel"}
STATUS = {"cgroup", "cgroup.directory", "cgroup.freezer"}
CGROUP = STATUS | {
    *("cgroup.group", "cgroup.layout", "cgroup.paths", "cgroup.processes", "cgroup.removal", "cgroup.v1"),
    "cgroup.v2",
}
#: What no command needs for a container that is set up without a failure, and that has no hooks, filter or terminal.
SELDOM = {
    *("cgroup.device_filter", "cgroup.device_program", "cgroup.stats", "cgroup.systemd", "config.report", "events"),
    *("features", "hooks", "launch.failure", "launch.id_maps", "processes", "seccomp", "seccomp_compiler", "update"),
}

Imported = Callable[..., set[str]]


@pytest.fixture
def imported(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> Iterator[Imported]:
    """The modules of ocirt that a command imports, without the package's name and that of the command itself."""
    report = tmp_path / "imported"

    def call(command: str, *words: str) -> set[str]:
        interpreter = [sys.executable, "-I", "-S", "-c", REPORTER, str(report)]
        with open(tmp_path / "output", "w+") as output:
            done = subprocess.run(
                [*interpreter, "ocirt", "--root", str(runtime.root), command, *words],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            output.seek(0)
            assert done.returncode == 0, output.read()
        return {name.removeprefix("ocirt.") for name in report.read_text().split()} - {f"cli.{command}"}

    yield call
    call("delete", "--force", f"{runtime.token}-startup")


def test_a_short_command_imports_what_it_needs(imported: Imported, runtime: Runtime, bundle: Bundle) -> None:
    id = f"{runtime.token}-startup"
    bundle.set_program("pause")
    bundle.save()
    imported("create", "--bundle", str(bundle.path), id)
    assert imported("list") <= EVERY_COMMAND | STATUS | SHIM
    assert imported("state", id) <= EVERY_COMMAND | STATUS | SHIM
    assert imported("start", id) <= EVERY_COMMAND | STATUS | SHIM | {"launch.begin"}
    assert imported("state", id) <= EVERY_COMMAND | STATUS
    assert imported("kill", id, "KILL") <= EVERY_COMMAND | STATUS | SHIM
    assert imported("delete", "--force", id) <= EVERY_COMMAND | CGROUP | SHIM


def test_a_container_without_a_failure_needs_no_words_for_one(
    imported: Imported, runtime: Runtime, bundle: Bundle
) -> None:
    if detect().version_of("devices") != 1:
        pytest.skip("needs a hierarchy with the controller devices: a device program is made where there is none")
    id = f"{runtime.token}-startup"
    bundle.set_program("pause")
    bundle.save()
    assert not imported("create", "--bundle", str(bundle.path), id) & SELDOM
    imported("start", id)
    assert not imported("exec", id, "/init", "exit", "0") & SELDOM
    imported("delete", "--force", id)
    bundle.set_program("exit", "0")
    bundle.save()
    assert not imported("run", "--bundle", str(bundle.path), id) & SELDOM


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_container_takes_a_bounded_number_of_system_calls(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.set_program("exit", "0")
    bundle.save()
    trace = tmp_path / "trace"
    words = [str(runtime.root), str(bundle.path), f"{runtime.token}-calls"]
    strace = ["strace", "-f", "-o", str(trace)]
    subprocess.run([*strace, sys.executable, "-I", "-S", "-c", CALLER, *words], check=True, stdin=subprocess.DEVNULL)
    calls = trace.read_text().partition('access("/begin"')[2].partition('access("/end"')[0].splitlines()[1:]
    main = trace.read_text().partition(" ")[0]
    begun = [call for call in calls if "(" in call and " resumed>" not in call and "+++" not in call]
    own = [call for call in begun if call.startswith(f"{main} ")]
    hierarchies = len(detect().hierarchies)
    assert len(own) <= 170 + 14 * hierarchies, os.linesep.join(own)
    assert len(begun) - len(own) <= 900 + 14 * hierarchies
