"""Building ocirt._seccomp where libseccomp is not what it takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "csrc/shim/seccomp.c"


def preprocess(*flags: str) -> str:
    """What the C compiler says about the source."""
    command = ["cc", "-E", "-o", "/dev/null", *flags, str(SOURCE)]
    finished = subprocess.run(command, capture_output=True, text=True)
    assert finished.returncode != 0
    return finished.stderr


def test_a_missing_header_is_named_with_the_package_that_has_it(tmp_path: Path) -> None:
    said = preprocess("-nostdinc", "-isystem", str(tmp_path))
    assert "seccomp.h is missing: install libseccomp-dev (Debian" in said


def test_a_libseccomp_that_is_too_old_is_named_with_the_version_it_takes(tmp_path: Path) -> None:
    (tmp_path / "seccomp.h").write_text("#define SCMP_VER_MAJOR 2\n#define SCMP_VER_MINOR 4\n")
    assert "libseccomp is too old: 2.5.0 or newer is needed" in preprocess("-isystem", str(tmp_path))
