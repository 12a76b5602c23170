"""Writes ``modules.archive``: the package as one file of bytecode, from which the command imports (ocirt/archive.py).

magic, version of Python, size of the index
    ``struct archive`` in csrc/launcher.c
index, marshalled
    the code of ocirt/archive.py; the modules of ocirt and those of the standard library, each a dict of name -> (offset
    and size of the code, path, size and mtime of the source); the extension modules of the standard library and of
    packages
code
    marshalled code objects, one after the other
"""

from __future__ import annotations
import __future__

import ast
import marshal
import os
import struct
import sys
import sysconfig
from pathlib import Path
from types import CodeType

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
    for source in sorted(package.rglob("*.py")):
        file = str(source.relative_to(package.parent))
        status = source.stat()
        stamp = (status.st_size, status.st_mtime_ns if keep_times else 0)
        modules[module_name(file)] = (*add(area, source, file), *stamp)
    offset, size, *_ = modules.pop(IMPORTER)
    importer = marshal.loads(area[offset : offset + size])
    stdlib = Path(sysconfig.get_path("stdlib"))
    stdlib_modules = {module_name(file): (*add(area, stdlib / file, file), 0, 0) for file in STDLIB_SOURCES}
    index = marshal.dumps((importer, modules, stdlib_modules, STDLIB_EXTENSIONS, EXTENSIONS))
    temporary = archive.with_suffix(".new")
    temporary.write_bytes(struct.pack("=8sII", MAGIC, sys.hexversion, len(index)) + index + area)
    os.replace(temporary, archive)


def module_name(file: str) -> str:
    return file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def add(area: bytearray, source: Path, file: str) -> tuple[int, int, str]:
    """Append the code of a module to *area*: its offset and size there, and *file*, which its tracebacks name."""
    code = marshal.dumps(compiled(source, file))
    area += code
    return len(area) - len(code), len(code), file


def compiled(source: Path, file: str) -> CodeType:
    """The code of a module without its documentation, and without the import of ``__future__``."""
    tree = ast.parse(source.read_bytes(), file)
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    flags = 0
    for future in futures:
        tree.body.remove(future)
        for feature in future.names:
            flags |= getattr(__future__, feature.name).compiler_flag
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node, clean=False):
            del node.body[0]
            if not node.body and not isinstance(node, ast.Module):
                node.body.append(ast.copy_location(ast.Pass(), node))
    code: CodeType = compile(tree, file, "exec", flags=flags, dont_inherit=True)
    return code
