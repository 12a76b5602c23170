"""Writes ``modules.archive``: the package as one file of bytecode, from which the command imports (ocirt/archive.py).

magic, version of Python, size of the index    struct archive in csrc/launcher.c
index                                          marshalled: the code of ocirt/archive.py,
                                               module -> (offset and size of its code, path, size and mtime of its
                                               source), names of extension modules
code                                           marshalled code objects, one after the other
"""

from __future__ import annotations
import __future__

import ast
import marshal
import os
import struct
import sys
from pathlib import Path
from types import CodeType

MAGIC = b"ocirt\0\0\1"
IMPORTER = "ocirt.archive"
#: What the commands import that is no Python; where it is built into the interpreter, that is found first.
EXTENSIONS = ("_blake2", "_cffi_backend", "_json", "ocirt._seccomp", "ocirt._shim", "select", "termios")


def build(package: Path, archive: Path, *, keep_times: bool) -> None:
    """Compile the modules of *package* into *archive*.

    A module is used as long as its source has the same size and, with *keep_times*, the same time: an installer gives
    the files of a wheel other ones.
    """
    modules = {}
    area = bytearray()
    for source in sorted(package.rglob("*.py")):
        file = str(source.relative_to(package.parent))
        name = file.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        code = marshal.dumps(compiled(source, file))
        status = source.stat()
        modules[name] = (len(area), len(code), file, status.st_size, status.st_mtime_ns if keep_times else 0)
        area += code
    offset, size = modules.pop(IMPORTER)[:2]
    index = marshal.dumps((marshal.loads(area[offset : offset + size]), modules, EXTENSIONS))
    temporary = archive.with_suffix(".new")
    temporary.write_bytes(struct.pack("=8sII", MAGIC, sys.hexversion, len(index)) + index + area)
    os.replace(temporary, archive)


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
    return compile(tree, file, "exec", flags=flags, dont_inherit=True)
