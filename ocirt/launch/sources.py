"""Opens on the host what an operation of the init needs, once, and hands over the descriptor (never the path again)."""

from __future__ import annotations

import os

from ocirt._shim import ffi, lib
from ocirt.launch.channel import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Op, Source


def open_source(source: Source, op: Op, *, bundle_fd: int) -> int:
    """Opens a source that has a path; relative ones are the bundle's. Raises StepError with the operation's words and
    pointer."""
    path = source.path
    if source.kind == "tree":
        flags = lib.OPEN_TREE_CLONE | lib.OPEN_TREE_CLOEXEC | (lib.AT_RECURSIVE if source.recursive else 0)
        fd = lib.ocirt_open_tree(bundle_fd, ffi.from_buffer(os.fsencode(path) + b"\0"), flags)
    elif source.kind == "namespace":
        fd = _open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    else:
        raise AssertionError(source.kind)
    return check(fd, op.step, path, origin=op.origin)


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags)
    except OSError as error:
        return -(error.errno or 5)


def open_null() -> int:
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
