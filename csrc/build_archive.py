"""Writes ``modules.archive``: the package as one file of bytecode, from which the command imports (ocirt/archive.py).

magic, version of Python, size of the index
    ``struct archive`` in csrc/launcher/interpreter.c
index, marshalled
    the code of ocirt/archive.py; the modules of ocirt and those of the standard library, each a dict of name -> (offset
    and size of the code, path, size and mtime of the source); the extension modules of the standard library and of
    packages
code
    of every module, marshalled: the modules of ocirt that it imports at its top, packages before what is in them; its
    code
"""

from __future__ import annotations

import ast
import marshal
import os
import struct
import sys
import sysconfig
from pathlib import Path
from types import CodeType
from typing import Any

MAGIC = b"ocirt\0\0\1"
IMPORTER = "ocirt.archive"
#: What Python itself imports for the first error in a text, and cannot wait for.
STDLIB_SOURCES = ("encodings/__init__.py", "encodings/aliases.py", "encodings/utf_8.py")
#: What the commands import that is no Python. An interpreter that has one of these built in has no file of it.
STDLIB_EXTENSIONS = ("_blake2", "_json", "select")
EXTENSIONS = ("_cffi_backend", "ocirt._shim")

# As in ocirt/archive.py.
Entry = tuple[int, int, str, int, int]


def build(package: Path, archive: Path, *, keep_times: bool) -> None:
    """Compile the modules of *package* into *archive*.

    A module is used as long as its source has the same size and, with *keep_times*, the same time: an installer gives
    the files of a wheel other ones.
    """
    area = bytearray()
    modules: dict[str, Entry] = {}
    sources = sorted(package.rglob("*.py"))
    names = {module_name(str(source.relative_to(package.parent))) for source in sources}
    for source in sources:
        file = str(source.relative_to(package.parent))
        status = source.stat()
        stamp = (status.st_size, status.st_mtime_ns if keep_times else 0)
        modules[module_name(file)] = (*add(area, source, file, names), *stamp)
    offset, size, *_ = modules.pop(IMPORTER)
    _, importer = marshal.loads(area[offset : offset + size])
    stdlib = Path(sysconfig.get_path("stdlib"))
    stdlib_modules = {module_name(file): (*add(area, stdlib / file, file, set()), 0, 0) for file in STDLIB_SOURCES}
    index = marshal.dumps((importer, modules, stdlib_modules, STDLIB_EXTENSIONS, EXTENSIONS))
    temporary = archive.with_suffix(".new")
    temporary.write_bytes(struct.pack("=8sII", MAGIC, sys.hexversion, len(index)) + index + area)
    os.replace(temporary, archive)


def module_name(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def add(area: bytearray, source: Path, file: str, names: set[str]) -> tuple[int, int, str]:
    """Append a module to *area*: its offset and size there, and *file*, which its tracebacks name."""
    tree = ast.parse(source.read_bytes(), file)
    code = marshal.dumps((needed(tree, names), compiled(tree, file)))
    area += code
    return len(area) - len(code), len(code), file


def needed(tree: ast.Module, names: set[str]) -> tuple[str, ...]:
    """Those of the modules *names* that importing *tree* imports, each behind the packages that it is in."""
    found: dict[str, None] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom):
            parts = (node.module or "").split(".")
            for end in range(1, len(parts) + 1):
                found[".".join(parts[:end])] = None
            found.update({f"{node.module}.{alias.name}": None for alias in node.names})
    return tuple(name for name in found if name in names)


def compiled(tree: ast.Module, file: str) -> CodeType:
    """The code of a module without what nobody asks for at run time: documentation and annotations."""
    stripped = ast.fix_missing_locations(_Strip().visit(tree))
    code: CodeType = compile(stripped, file, "exec", dont_inherit=True)
    return code


class _Strip(ast.NodeTransformer):
    """Takes documentation and annotations out of a tree; with them goes the need for ``from __future__``."""

    def visit_body(self, node: Any) -> Any:
        if ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        self.generic_visit(node)
        if not node.body:
            node.body.append(ast.Pass())
        return node

    visit_Module = visit_ClassDef = visit_body  # noqa: N815

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        return self.visit_body(node)

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        return ast.Assign([node.target], self.visit(node.value)) if node.value is not None else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> Any:
        return None if node.module == "__future__" else node
