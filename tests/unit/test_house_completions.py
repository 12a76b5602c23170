"""The completions for bash, zsh and fish say what the tables behind ``--help`` say, and are installed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ocirt.cli import COMMANDS, GLOBAL_FLAGS, load

ROOT = Path(__file__).resolve().parents[2]
COMPLETIONS = ROOT / "completions"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_completions", COMPLETIONS / "generate_completions.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()
GENERATED: dict[str, str] = GENERATOR.files()


@pytest.mark.parametrize("path", GENERATED)
def test_a_completion_is_what_the_tables_say(path: str) -> None:
    assert (COMPLETIONS / "share" / path).read_text() == GENERATED[path], "run: make completions"


def test_it_is_said_of_every_flag_what_follows_it_and_of_no_other() -> None:
    flags = [flag for flags in (GLOBAL_FLAGS, *(load(name).flags for name in COMMANDS)) for flag in flags]
    assert set(GENERATOR.VALUES) == {flag.name for flag in flags if flag.kind != "bool" and not flag.hidden}


def test_it_is_said_of_every_command_what_its_arguments_are_and_of_no_other() -> None:
    assert list(GENERATOR.ARGUMENTS) == sorted([*COMMANDS, "help"])


def test_completions_and_manual_pages_are_installed_where_shells_and_man_look(tmp_path: Path) -> None:
    words = [sys.executable, "setup.py", "--quiet", "install_data", "--install-dir", str(tmp_path)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    pages = {f"man/man8/{path.name}" for path in (ROOT / "docs/man").glob("*.8")}
    assert found == {f"share/{path}" for path in (*GENERATED, *pages)}
