"""csrc/command and csrc/launcher, compiled into a directory of their own, before a package that tells what it sees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
X_Y = f"python{sys.version_info[0]}.{sys.version_info[1]}"
LIBPYTHON = f"{sysconfig.get_config_var('LIBDIR')}/{sysconfig.get_config_var('INSTSONAME')}"

MAIN = """
import _signal, json, os, sys

def run():
    told = {
        "argv": sys.argv,
        "path": sys.path,
        "file": __file__,
        "has_site": "site" in sys.modules,
        "pipe": _signal.getsignal(_signal.SIGPIPE) == _signal.SIG_IGN,
        "utf8": sys.flags.utf8_mode,
        "fds": [os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)],
        "open": len(os.listdir("/proc/self/fd")) - 1,
    }
    os.write(1, json.dumps(told).encode())
    os.write(2, json.dumps(told).encode())
    os._exit(7)
"""

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

Told = dict[str, object]


class Environment:
    """``bin/ocirt`` and ``lib/pythonX.Y/site-packages/ocirt`` below one directory."""

    def __init__(self, directory: Path) -> None:
        self.prefix = directory
        self.command = directory / "bin/ocirt"
        self.packages = directory / f"lib/{X_Y}/site-packages"
        self.command.parent.mkdir(parents=True)
        self.packages.mkdir(parents=True)

    def compile(self, **recorded: str) -> None:
        facts = {
            "PREFIX": sys.base_prefix,
            "STDLIB": sysconfig.get_path("stdlib"),
            "DYNLOAD": sysconfig.get_config_var("DESTSHARED"),
            "LIBPYTHON": LIBPYTHON,
            "EXECUTABLE": os.path.realpath(sys.executable),
            "SITES": "",
            "SNAPSHOTS": "",
            "SOURCE": "",
            **recorded,
        }
        macros = [f'-DRECORDED_{name}="{value}"' for name, value in facts.items()]
        flags = ["-Wall", "-Wextra", "-Werror", f"-I{sysconfig.get_path('include')}", *macros]
        launcher = Path(facts["SOURCE"] or self.packages) / "ocirt/ocirt-python"
        launcher.parent.mkdir(parents=True, exist_ok=True)
        sources = list(ROOT.glob("csrc/launcher/*.c"))
        subprocess.run(["cc", *flags, "-o", launcher, *sources, "-ldl"], check=True)
        sources = [*ROOT.glob("csrc/command/*.c"), ROOT / "csrc/init/string.c"]
        freestanding = ["-ffreestanding", "-fno-stack-protector", "-nostdlib", "-static", "-no-pie", "-fno-pie"]
        subprocess.run(["cc", *flags, *freestanding, "-o", self.command, *sources], check=True)

    def install(self, packages: Path) -> None:
        (packages / "ocirt").mkdir(parents=True, exist_ok=True)
        (packages / "ocirt/__init__.py").touch()
        (packages / "ocirt/__main__.py").write_text(MAIN)

    def call(self, *arguments: str, **options: object) -> Told:
        done = subprocess.run([self.command, *arguments], capture_output=True, env={}, **options)  # type: ignore[call-overload]
        assert done.returncode == 7, done.stderr.decode()
        told: Told = json.loads(done.stdout)
        return told

    def fail(self) -> str:
        done = subprocess.run([self.command], capture_output=True, text=True, env={})
        assert (done.returncode, done.stdout) == (1, "")
        return done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    made = Environment(tmp_path / "env")
    made.install(made.packages)
    return made


Compile = Callable[..., None]

embedded_or_executed = pytest.mark.parametrize(
    "libpython",
    [
        pytest.param(
            LIBPYTHON,
            id="embedded",
            marks=pytest.mark.skipif(
                not os.path.exists(LIBPYTHON), reason="needs an interpreter with a shared library"
            ),
        ),
        pytest.param("/nonexistent/libpython.so", id="executed"),
    ],
)


@embedded_or_executed
def test_the_package_beside_the_command_runs_isolated(environment: Environment, libpython: str) -> None:
    environment.compile(LIBPYTHON=libpython)
    told = environment.call("état", "-x", "")
    assert told["argv"] == [str(environment.command), "état", "-x", ""]
    assert told["file"] == str(environment.packages / "ocirt/__main__.py")
    assert told["path"][-1] == str(environment.packages)  # type: ignore[index]
    assert told["has_site"] is False
    assert told["utf8"] == 1
    assert told["pipe"] is True
    assert told["open"] == 3


def test_the_interpreter_is_embedded_where_it_has_a_shared_library(environment: Environment) -> None:
    if not os.path.exists(LIBPYTHON):
        pytest.skip("needs an interpreter with a shared library")
    environment.compile(EXECUTABLE="/nonexistent/python3")
    environment.call()


def test_the_standard_library_cannot_be_shadowed_by_a_package(environment: Environment) -> None:
    environment.compile()
    (environment.packages / "json.py").write_text("raise SystemExit(3)")
    environment.call()


@embedded_or_executed
def test_missing_standard_streams_become_dev_null(environment: Environment, libpython: str) -> None:
    environment.compile(LIBPYTHON=libpython)
    done = subprocess.run(["sh", "-c", f"{environment.command} <&- >&-"], stderr=subprocess.PIPE)
    fds = json.loads(done.stderr)["fds"]
    assert fds[:2] == ["/dev/null", "/dev/null"]
    assert fds[2].startswith("pipe:")


def test_the_command_may_be_called_by_an_empty_name(environment: Environment) -> None:
    environment.compile()
    done = subprocess.run([""], executable=environment.command, capture_output=True, env={})
    assert (done.returncode, json.loads(done.stdout)["argv"]) == (7, [""])


def test_the_command_may_be_reached_through_a_link(environment: Environment, tmp_path: Path) -> None:
    environment.compile()
    (tmp_path / "link").symlink_to(environment.command)
    done = subprocess.run([tmp_path / "link"], capture_output=True, env={})
    assert json.loads(done.stdout)["file"] == str(environment.packages / "ocirt/__main__.py")


def test_neither_the_environment_nor_the_directory_changes_what_runs(environment: Environment, tmp_path: Path) -> None:
    environment.compile()
    environment.install(tmp_path / "other")
    hostile = {"PYTHONPATH": str(tmp_path / "other"), "PYTHONHOME": "/nonexistent", "LC_ALL": "C"}
    done = subprocess.run([environment.command], capture_output=True, env=hostile, cwd=tmp_path / "other")
    assert json.loads(done.stdout)["file"] == str(environment.packages / "ocirt/__main__.py")


def test_an_editable_installation_runs_from_its_source_tree(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "env")
    environment.install(tmp_path / "source")
    environment.compile(SOURCE=str(tmp_path / "source"))
    told = environment.call()
    assert told["file"] == str(tmp_path / "source/ocirt/__main__.py")
    assert told["path"][-2:] == [str(tmp_path / "source"), str(environment.packages)]  # type: ignore[index]


def test_a_virtual_environment_sees_system_packages_only_if_it_wants_to(environment: Environment) -> None:
    environment.compile(SITES="/system/one:/system/two")
    config = environment.prefix / "pyvenv.cfg"
    home = f"home = {sys.base_prefix}/bin\n"
    assert environment.call()["path"][-2:] == ["/system/one", "/system/two"]  # type: ignore[index]
    config.write_text(home + "include-system-site-packages = false\n")
    assert environment.call()["path"][-1] == str(environment.packages)  # type: ignore[index]
    config.write_text(home + "include-system-site-packages = true\n")
    assert environment.call()["path"][-2:] == ["/system/one", "/system/two"]  # type: ignore[index]


def test_a_virtual_environment_of_another_interpreter_is_run_by_that_one(environment: Environment) -> None:
    environment.compile(
        PREFIX="/nonexistent",
        STDLIB="/nonexistent/lib",
        DYNLOAD="/nonexistent/lib",
        LIBPYTHON="/nonexistent/libpython.so",
        EXECUTABLE="/nonexistent/bin/python",
    )
    (environment.prefix / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    environment.call()


def test_a_missing_package_is_one_sentence(tmp_path: Path) -> None:
    environment = Environment(tmp_path / "env")
    environment.compile()
    assert environment.fail() == (
        "ocirt: the Python package ocirt is not installed beside this command "
        f"(in {environment.prefix}/lib/{X_Y}/site-packages)\n"
    )


def test_a_missing_interpreter_is_one_sentence(environment: Environment) -> None:
    environment.compile(LIBPYTHON="", EXECUTABLE="/nonexistent/python3")
    assert environment.fail() == "ocirt: cannot execute /nonexistent/python3: No such file or directory\n"
