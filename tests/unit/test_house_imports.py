"""The import arrow: who may import whom is a block of HACKING.md, and this keeps it."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path for path in (ROOT / "ocirt").rglob("*.py") if path.name != "_validator.py")
BAD_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}

every_module = pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


@cache
def arrow() -> dict[str, set[str]]:
    """The block below "The import arrow" of HACKING.md: name -> the names that it may import, some in parentheses."""
    section = (ROOT / "HACKING.md").read_text().partition("## The import arrow")[2]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block is not None
    rows = [line.split() for line in block[1].splitlines()]
    return {row[0]: set(row[1:]) for row in rows}


def name_of(module: Path) -> str:
    return ".".join(module.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def row_of(name: str) -> str:
    """The row of the arrow that a module belongs to: its own, or that of the package it is in."""
    parts = name.split(".")[1:]
    while ".".join(parts) not in arrow() and len(parts) > 1:
        parts.pop()
    return ".".join(parts)


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def modules_of(node: ast.ImportFrom) -> list[str]:
    """What ``from A import B`` imports: the module A.B where there is one, else A."""
    names = {name_of(module) for module in MODULES}
    targets = [f"{node.module}.{alias.name}" for alias in node.names]
    return [target if target in names or node.module == "ocirt" else node.module or "" for target in targets]


def imports(tree: ast.AST, *, in_functions: bool = True) -> list[str]:
    """The modules of ocirt that are imported at run time."""
    found: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += modules_of(node)
        elif is_for_type_checkers(node):
            continue
        elif in_functions or not isinstance(node, ast.FunctionDef):
            found += imports(node, in_functions=in_functions)
    return [name for name in found if name.startswith("ocirt.")]


@every_module
def test_a_module_imports_what_the_arrow_allows(module: Path) -> None:
    row = row_of(name_of(module))
    if not row or row == "_version":
        return  # ocirt/__init__.py loads names on demand
    assert row in arrow(), f"HACKING.md does not say what {row} may import"
    tree = ast.parse(module.read_text())
    always = imports(tree, in_functions=False)
    for name in imports(tree):
        target = row_of(name)
        allowed = target in arrow()[row] or (f"({target})" in arrow()[row] and name not in always)
        assert allowed or target == row or target.startswith(f"{row}."), f"{name_of(module)} imports {name}"


def test_the_arrow_has_no_circle() -> None:
    left = {row: names & arrow().keys() for row, names in arrow().items()}
    while left:
        done = {row for row, names in left.items() if not names}
        assert done, f"a circle among {sorted(left)}"
        left = {row: names - done for row, names in left.items() if row not in done}


def test_the_arrow_names_only_what_there_is() -> None:
    names = {name_of(module).removeprefix("ocirt.") for module in MODULES}
    for row, allowed in arrow().items():
        for name in {row, *allowed} - {"_shim", "_seccomp"}:
            assert name.strip("()") in names, f"HACKING.md speaks of {name}"


def test_modules_import_each_other_in_no_circle() -> None:
    graph = {name_of(module): set(imports(ast.parse(module.read_text()), in_functions=False)) for module in MODULES}
    left = {name: targets & graph.keys() - {name} for name, targets in graph.items()}
    while left:
        done = {name for name, targets in left.items() if not targets}
        assert done, f"a circle among {sorted(left)}"
        left = {name: targets - done for name, targets in left.items() if name not in done}


def test_nothing_imports_the_command_line() -> None:
    for module in MODULES:
        if module.parent.name != "cli" and module.name not in ("__main__.py", "preload.py"):
            assert not any(name.startswith("ocirt.cli") for name in imports(ast.parse(module.read_text()))), module


@every_module
def test_a_module_is_named_after_what_it_does(module: Path) -> None:
    assert not {module.stem, module.parent.name} & BAD_NAMES


@every_module
def test_the_library_neither_prints_nor_exits(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "exit", "quit", "sys.exit")
            assert called != "os._exit" or module.name == "__main__.py"


@every_module
def test_a_module_says_what_it_is(module: Path) -> None:
    assert ast.get_docstring(ast.parse(module.read_text()))
