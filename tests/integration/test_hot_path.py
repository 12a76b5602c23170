"""The commands that engines call for every container import nothing that is not needed: each is run for real, in an
interpreter without `site` as the launcher starts one, and says at its end what it has imported."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import _cffi_backend
import pytest
from support import Bundle, Runtime

import ocirt

pytestmark = pytest.mark.needs_root

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = [str(Path(ocirt.__file__).parents[1]), str(Path(_cffi_backend.__file__).parent)]

#: What csrc/launcher does, and at the end a list of what was imported.
LAUNCHER = f"""
import os, sys
sys.path += {PACKAGES!r}
report, *sys.argv = sys.argv[1:]
exit_now = os._exit
def exit_with_report(status):
    fd = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.write(fd, " ".join(sys.modules).encode())
    exit_now(status)
os._exit = exit_with_report
from ocirt.__main__ import run
run()
"""


def forbidden() -> set[str]:
    """The list in HACKING.md."""
    page = (ROOT / "HACKING.md").read_text().replace("\n> ", " ")
    found = re.search(r"`create start state kill delete run exec` import none of: ([\w, ]+)\.", page)
    assert found is not None
    return set(found[1].split(", "))


def preloaded() -> set[str]:
    """What the snapshot that commands begin in has imported."""
    code = f"import sys; sys.path += {PACKAGES!r}; import ocirt.preload; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True).stdout.split())


class Caller:
    """Runs commands on one container and collects what they import."""

    def __init__(self, runtime: Runtime, bundle: Bundle, report: Path) -> None:
        self.runtime = runtime
        self.bundle = bundle
        self.report = report
        self.id = f"{runtime.token}-hot"
        bundle.save()

    def imported_by(self, *words: str) -> set[str]:
        command = [
            sys.executable,
            "-I",
            "-S",
            "-c",
            LAUNCHER,
            str(self.report),
            "ocirt",
            "--root",
            str(self.runtime.root),
        ]
        # Not pipes: the processes of the container keep them open.
        with open(self.report.with_suffix(".out"), "w+") as output:
            done = subprocess.run([*command, *words], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
            output.seek(0)
            assert done.returncode == 0, output.read()
        return set(self.report.read_text().split())


@pytest.fixture
def caller(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> Iterator[Caller]:
    caller = Caller(runtime, bundle, tmp_path / "imported")
    yield caller
    caller.imported_by("delete", "--force", caller.id)


def test_the_list_of_what_is_forbidden_is_found() -> None:
    assert {"json", "re", "typing", "subprocess", "jsonschema"} <= forbidden()


def test_no_hot_command_imports_what_is_forbidden(caller: Caller) -> None:
    bundle = str(caller.bundle.path)
    caller.bundle.set_program("pause")
    caller.bundle.save()
    imported = {
        "create": caller.imported_by("create", "--bundle", bundle, caller.id),
        "start": caller.imported_by("start", caller.id),
        "state": caller.imported_by("state", caller.id),
        "exec": caller.imported_by("exec", caller.id, "/init", "exit", "0"),
        "kill": caller.imported_by("kill", caller.id, "KILL"),
        "delete": caller.imported_by("delete", "--force", caller.id),
    }
    caller.bundle.set_program("exit", "0")
    caller.bundle.save()
    imported["run"] = caller.imported_by("run", "--bundle", bundle, caller.id)
    assert {command: modules & forbidden() for command, modules in imported.items()} == {
        command: set() for command in imported
    }
    needed = {module for modules in imported.values() for module in modules if module.startswith("ocirt.")}
    assert needed <= preloaded(), "ocirt/preload.py lacks what a hot command imports"


def test_a_filter_that_was_compiled_before_needs_no_compiler(caller: Caller) -> None:
    """Nor does it cost a hot command anything that is forbidden."""
    caller.bundle.set_program("exit", "0")
    caller.bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}],
    }
    caller.bundle.save()
    words = ("run", "--bundle", str(caller.bundle.path), caller.id)
    first, second = caller.imported_by(*words), caller.imported_by(*words)
    assert "ocirt.seccomp_compiler" in first
    assert not {"ocirt.seccomp_compiler", "ocirt._seccomp"} & second
    assert not second & forbidden()


def test_a_namespace_for_users_and_hooks_cost_no_forbidden_import(caller: Caller) -> None:
    caller.bundle.set_program("exit", "0")
    caller.bundle.add_namespace("user")
    caller.bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    caller.bundle.linux["gidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    os.chown(caller.bundle.rootfs, 100000, 100000)
    hook = {"path": "/bin/true", "timeout": 10}
    caller.bundle.config["hooks"] = {"createRuntime": [hook], "poststart": [hook], "poststop": [hook]}
    caller.bundle.save()
    assert os.access("/bin/true", os.X_OK)
    assert not caller.imported_by("run", "--bundle", str(caller.bundle.path), caller.id) & forbidden()
