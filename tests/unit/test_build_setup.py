"""setup.py: what stops a build is one sentence that names the Debian package."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocirt._version import __version__

pytest.importorskip("setuptools", minversion="61")
ROOT = Path(__file__).resolve().parents[2]


def build(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "setup.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def compiler_without(header: str, directory: Path) -> str:
    """A compiler that accepts everything but an include of *header*."""
    compiler = directory / "cc"
    compiler.write_text(f"#!/bin/sh\n! grep -q '<{header}>'\n")
    compiler.chmod(0o755)
    return str(compiler)


def test_the_version_is_that_of_the_package() -> None:
    assert build("--version").stdout.splitlines()[-1] == __version__


def test_a_missing_compiler_is_one_sentence(tmp_path: Path) -> None:
    done = build("build_scripts", "--build-dir", str(tmp_path), CC="/nonexistent/cc")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == (
        "ocirt cannot be built without a C compiler: /nonexistent/cc not found (on Debian: apt install gcc)"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("header", "what", "package"),
    [
        ("stdlib.h", "the headers of the C library", "libc6-dev"),
        ("linux/mount.h", "the headers of the Linux kernel", "linux-libc-dev"),
        ("Python.h", "Python.h", "python3-dev"),
        ("seccomp.h", "seccomp.h", "libseccomp-dev"),
    ],
)
def test_a_missing_header_is_one_sentence(header: str, what: str, package: str, tmp_path: Path) -> None:
    done = build("build_scripts", "--build-dir", str(tmp_path), CC=compiler_without(header, tmp_path))
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == f"ocirt cannot be built without {what} (on Debian: apt install {package})"
    assert "Traceback" not in done.stderr


def test_the_command_is_a_program_and_not_a_script(tmp_path: Path) -> None:
    done = build("build_scripts", "--build-dir", str(tmp_path))
    assert done.returncode == 0, done.stderr
    program = tmp_path / "ocirt"
    assert program.read_bytes().startswith(b"\x7fELF")
    assert os.access(program, os.X_OK)


def test_a_build_over_an_older_one_names_its_own_commit(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs the git repository")
    module = tmp_path / "ocirt/_version.py"
    module.parent.mkdir()
    module.write_text('commit = "of an older build"\n')
    newer = (ROOT / "ocirt/_version.py").stat().st_mtime + 1
    os.utime(module, (newer, newer))
    result = build("build_py", "--build-lib", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "of an older build" not in module.read_text()
    assert f'__version__ = "{__version__}"' in module.read_text()
