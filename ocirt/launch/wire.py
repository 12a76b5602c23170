"""A plan as the bytes that ocirt-init reads. The layout is csrc/plan.h's, through cffi: there is no second
definition."""

from __future__ import annotations

from ocirt._shim import ffi, lib
from ocirt.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Op, Plan

#: What csrc/plan.h calls OCIRT_*, by the rest of the name.
_NUMBERS: dict[str, int] = {name[6:]: getattr(lib, name) for name in dir(lib) if name.startswith("OCIRT_")}
_NOTHING = (0, 0)
_LIMIT = 1 << 31  # offsets are 32 bit; nothing sensible comes near


def init_ops(plan: Plan) -> list[Op]:
    """The operations of the init; an op index on the channel counts these."""
    return [op for op in plan.ops if op.where == "init"]


def encode(ops: list[Op], preserve_fds: int) -> bytes:
    """Slots are numbered in the order of use, from 1 on: slot 0 is the clock."""
    area = bytearray(1)  # offset 0 is the empty string
    slot = 1
    rows = []
    for op in ops:
        flags = 0
        for flag in op.flags:
            flags |= _NUMBERS[flag]
        path = _add_text(area, op.path, op) if op.path else _NOTHING
        text = _add_text(area, op.text, op) if op.text else _NOTHING
        data = _NOTHING
        if op.data:
            # The kernel reads some of it as numbers.
            area.extend(bytes(-len(area) % 8))
            data = len(area), len(op.data)
            area += op.data
        number = slot if op.sources else lib.OCIRT_NO_SLOT
        slot += len(op.sources)
        # The fields of struct ocirt_op.
        rows.append((_NUMBERS[op.kind], flags, number, op.mode, op.a, op.b, op.c, *path, *text, *data))
    area.extend(bytes(-len(area) % 8))
    if len(area) > _LIMIT:
        raise ConfigError(f"the configuration makes a plan of {len(area)} bytes; {_LIMIT} is the limit")
    # Those of struct ocirt_plan.
    header = (lib.OCIRT_MAGIC, lib.OCIRT_VERSION, len(ops), slot, preserve_fds, 0, len(area))
    parts = ffi.new("struct ocirt_plan *", header), ffi.new("struct ocirt_op[]", rows)
    return b"".join((*map(ffi.buffer, parts), area))


def _add_text(area: bytearray, text: str | bytes, op: Op) -> tuple[int, int]:
    encoded = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    if b"\0" in encoded:
        raise ConfigError("a string for the kernel holds a NUL byte", pointer=op.origin)
    offset = len(area)
    area += encoded
    area.append(0)
    return offset, len(encoded)
