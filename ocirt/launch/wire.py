"""A plan as the bytes that ocirt-init reads. The layout is csrc/plan.h's, through cffi: there is no second
definition."""

from __future__ import annotations

from ocirt._shim import ffi, lib
from ocirt.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Op, Plan

_LIMIT = 1 << 31  # offsets are 32 bit; nothing sensible comes near


def init_ops(plan: Plan) -> list[Op]:
    """The operations of the init; an op index on the channel counts these."""
    return [op for op in plan.ops if op.where == "init"]


def encode(ops: list[Op], preserve_fds: int) -> bytes:
    """Slots are numbered in the order of use, from 1 on: slot 0 is the clock."""
    header = ffi.new("struct ocirt_plan *")
    array = ffi.new("struct ocirt_op[]", len(ops))
    area = bytearray(1)  # offset 0 is the empty string
    slot = 1
    for wire, op in zip(array, ops, strict=True):
        wire.code = getattr(lib, "OCIRT_" + op.kind)
        for flag in op.flags:
            wire.flags |= getattr(lib, "OCIRT_" + flag)
        wire.slot = slot if op.sources else -1
        slot += len(op.sources)
        wire.mode, wire.a, wire.b, wire.c = op.mode, op.a, op.b, op.c
        if op.path:
            wire.path, wire.path_size = _add_text(area, op.path, op)
        if op.text:
            wire.text, wire.text_size = _add_text(area, op.text, op)
        if op.data:
            # The kernel reads some of it as numbers.
            area.extend(bytes(-len(area) % 8))
            wire.data, wire.data_size = len(area), len(op.data)
            area += op.data
    area.extend(bytes(-len(area) % 8))
    if len(area) > _LIMIT:
        raise ConfigError(f"the configuration makes a plan of {len(area)} bytes; {_LIMIT} is the limit")
    header.magic = lib.OCIRT_MAGIC
    header.version = lib.OCIRT_VERSION
    header.op_count = len(ops)
    header.slot_count = slot
    header.preserve_fds = preserve_fds
    header.data_size = len(area)
    return bytes(ffi.buffer(header)) + bytes(ffi.buffer(array)) + bytes(area)


def _add_text(area: bytearray, text: str | bytes, op: Op) -> tuple[int, int]:
    encoded = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if b"\0" in encoded:
        raise ConfigError("a string for the kernel holds a NUL byte", pointer=op.origin)
    offset = len(area)
    area += encoded
    area.append(0)
    return offset, len(encoded)
