"""Style, types and sizes are tests: the tools of the extra "lint" find nothing, and nothing is too long to be read."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CC = shlex.split(os.environ.get("CC") or "cc")
WARNINGS = ["-Wall", "-Wextra", "-Werror"]

MODULE_LINES = 500
FUNCTION_LINES = 60
#: What may be longer, and why.
LONG = {
    "ocirt/config/_validator.py": "is made by schemas/build_validator.py",
}
#: Words that codespell takes for others: a property of linux.intelRdt; JSON that ends in the middle.
NOT_MISSPELT = "clos,stopp,tru"


def files() -> list[Path]:
    """The files of the repository, or of an unpacked source distribution."""
    if (ROOT / ".git").exists():
        words = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\0")
        return sorted(ROOT / name for name in names if name and (ROOT / name).is_file())
    folders = ("benchmarks", "conformance", "csrc", "demo", "docs", "ocirt", "schemas", "tests")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file())


FILES = files()
PYTHON = [path for path in FILES if path.suffix == ".py"]
C = [path for path in FILES if path.suffix in (".c", ".h")]
TEXT = [path for path in FILES if path.suffix not in (".png", ".svg", ".gz")]


def tool(name: str) -> str:
    """A program of the environment that the tests run in; skips the test where the extra "lint" is not installed."""
    path = shutil.which(name, path=os.path.dirname(sys.executable))
    if path is None:
        pytest.skip(f"needs {name} in this environment: pip install '.[lint]'")
    return path


def assert_silent(*words: str) -> None:
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout


def test_ruff_finds_nothing() -> None:
    assert_silent(tool("ruff"), "check", "--quiet")


def test_python_is_formatted() -> None:
    assert_silent(tool("ruff"), "format", "--diff", "--quiet")


def test_mypy_finds_nothing() -> None:
    assert_silent(tool("mypy"))


def test_c_is_formatted() -> None:
    assert_silent(tool("clang-format"), "--dry-run", "-Werror", *map(str, C))


def test_words_are_spelt_right() -> None:
    assert_silent(tool("codespell"), f"--ignore-words-list={NOT_MISSPELT}", *map(str, TEXT))


@pytest.mark.parametrize("source", sorted((ROOT / "csrc/init").glob("*.c")), ids=lambda path: path.name)
def test_the_init_compiles_without_a_warning(source: Path) -> None:
    assert_silent(*CC, "-std=c11", "-Os", "-ffreestanding", "-fsyntax-only", *WARNINGS, str(source))


@pytest.mark.parametrize("source", sorted((ROOT / "csrc/shim").glob("*.c")), ids=lambda path: path.name)
def test_the_shim_compiles_without_a_warning(source: Path) -> None:
    assert_silent(*CC, "-std=gnu11", "-O2", "-fsyntax-only", *WARNINGS, str(source))


@pytest.mark.parametrize("path", PYTHON + C, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short_enough_to_be_read(path: Path) -> None:
    name = str(path.relative_to(ROOT))
    if name in LONG or name.startswith("tests/"):
        return
    assert len(path.read_text().splitlines()) <= MODULE_LINES


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_function_is_short_enough_to_be_read(path: Path) -> None:
    if str(path.relative_to(ROOT)) in LONG:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", C, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_c_function_is_short_enough_to_be_read(path: Path) -> None:
    start = 0
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start:
            assert number - start <= FUNCTION_LINES, f"{path.name}:{start}"
            start = 0


@pytest.mark.parametrize("path", sorted((ROOT / "ocirt").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_class_has_slots(path: Path) -> None:
    """But for exceptions, to which Python gives a __dict__ anyway."""
    exceptions = {"Exception", "OcirtError", "OSError", "StepError", "ValueError"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and not exceptions & {ast.unparse(base) for base in node.bases}:
            names = [
                ast.unparse(target) for part in node.body if isinstance(part, ast.Assign) for target in part.targets
            ]
            has_instances = any(isinstance(part, ast.FunctionDef) and part.name == "__init__" for part in node.body)
            assert "__slots__" in names or not has_instances, node.name


#: A path of one machine, the host of a package registry, a mark of unfinished work.
FORBIDDEN = [
    r"/work/(?!tree\b)",
    r"/root/\.pyenv",
    r"/home/(?!app\b|user\b|box\b)\w",
    r"/opt/(pypi|wheels)",
    r"(pypi|pythonhosted)\.org",
    r"\b" + "TO" + r"DO\b",
    r"\b" + "FIX" + r"ME\b",
    r"\b" + "XX" + r"X\b",
]


@pytest.mark.parametrize("path", TEXT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_speaks_of_no_machine_and_of_no_unfinished_work(path: Path) -> None:
    if path == Path(__file__):
        return
    text = path.read_text()
    for pattern in FORBIDDEN:
        found = re.search(pattern, text)
        assert found is None, f"{found[0]!r} in line {text[: found.start()].count(chr(10)) + 1}"


@pytest.mark.parametrize("path", TEXT, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_ends_in_one_line_feed_and_no_line_in_a_blank(path: Path) -> None:
    text = path.read_text()
    if path.suffix not in (".json", ".patch") and text:
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert not re.search(r"[ \t]$", text, re.MULTILINE)
