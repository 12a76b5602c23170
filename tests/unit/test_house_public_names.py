"""The library's public names: there, documented, and loaded only when they are used."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import ocirt

ROOT = Path(__file__).resolve().parents[2]
INIT = ast.parse((ROOT / "ocirt/__init__.py").read_text())

every_name = pytest.mark.parametrize("name", ocirt.__all__)


@every_name
def test_a_public_name_is_that_of_its_module(name: str) -> None:
    assert getattr(ocirt, name) is getattr(importlib.import_module(ocirt._HOME[name]), name)


@every_name
def test_a_public_name_is_documented(name: str) -> None:
    value = getattr(ocirt, name)
    if inspect.isclass(value):
        assert inspect.getdoc(value)
        for member, what in inspect.getmembers(value):
            if not member.startswith("_") and (inspect.isroutine(what) or isinstance(what, property)):
                assert inspect.getdoc(what), f"{name}.{member}"


def test_help_shows_every_public_name() -> None:
    """In a new process, where nothing is loaded yet."""
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import pydoc, ocirt; print(pydoc.plaintext.document(ocirt))"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for name in set(ocirt.__all__) - {"__version__"}:
        assert f"    class {name}(" in text
        assert name in (ocirt.__doc__ or "")


def test_the_options_are_described_each() -> None:
    for options in (ocirt.Options, ocirt.CriuOptions):
        for name in options.__slots__:
            assert f"{name}:" in (options.__doc__ or "") or f"{name}," in (options.__doc__ or ""), name


def test_type_checkers_see_the_same_names() -> None:
    (block,) = (node for node in INIT.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.asname: node.module for node in imports for alias in node.names}
    assert seen == ocirt._HOME


def test_every_error_is_public() -> None:
    errors = importlib.import_module("ocirt.errors")
    classes = {name for name, value in vars(errors).items() if inspect.isclass(value) and issubclass(value, Exception)}
    assert classes <= set(ocirt.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ocirt' has no attribute 'Pod'"):
        _ = ocirt.Pod


def test_importing_the_library_imports_nothing_else() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); before = set(sys.modules); import ocirt; "
    code += "print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"ocirt", "__future__"}
