"""Fixtures of the tests of attacks; what they are made of is in attack.py."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path

import pytest
from host_view import PATIENCE, wait_readable
from support import open_path

from security.attack import ConsoleSocket, Victim

_SOURCES = Path(__file__).parent / "programs"


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[Victim]:
    # Everybody may get there: it is not the modes of directories that keep a container out.
    victim = Victim(tmp_path / "host")
    open_path(victim.path)
    yield victim
    victim.assert_unharmed()


@cache
def compiler() -> str | None:
    return shutil.which(os.environ.get("CC", "cc"))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Builds a program of tests/security/programs, statically, once."""
    directory = tmp_path_factory.mktemp("programs")

    def build(name: str) -> Path:
        target = directory / name
        if not target.exists():
            found = compiler()
            if found is None:
                pytest.skip("needs a C compiler")
            flags = ["-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror"]
            subprocess.run([found, *flags, "-o", str(target), str(_SOURCES / f"{name}.c")], check=True)
        return target

    return build


@pytest.fixture
def exchanging(program: Callable[[str], Path]) -> Callable[[Path, Path], AbstractContextManager[None]]:
    """``with exchanging(a, b):`` two names of the host are exchanged all the time. It fails where hardly anything
    was."""

    @contextmanager
    def exchange(a: Path, b: Path) -> Iterator[None]:
        process = subprocess.Popen([program("exchange"), a, b], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        try:
            wait_readable(process.stdout.fileno())
            assert process.stdout.readline() == "ready\n"
            yield
            assert process.poll() is None
        finally:
            process.send_signal(signal.SIGTERM)
            out, _ = process.communicate(timeout=PATIENCE)
        assert int(out) > 0

    return exchange


@pytest.fixture
def console_socket(tmp_path: Path) -> Iterator[ConsoleSocket]:
    console = ConsoleSocket(tmp_path)
    yield console
    console.close()
