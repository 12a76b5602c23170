"""A plan as text, every field of every operation, so that a change of any shows in a diff."""

from __future__ import annotations

from ocirt.plan import Op, Plan, Source

#: Of a settings object, what the doer of the host's operation reads.
_SHORT_BYTES = 96


def text_of(plan: Plan) -> str:
    lines = [f"preserve_fds={plan.preserve_fds}"] if plan.preserve_fds else []
    for op in plan.ops:
        lines.append(f"{op.where}  {op.kind:18} {op.step}" + (f"  [{op.origin}]" if op.origin else ""))
        fields = _fields(op)
        if fields:
            lines.append("      " + "  ".join(fields))
    return "".join(f"{line}\n" for line in lines)


def _fields(op: Op) -> list[str]:
    fields = []
    for name in ("path", "text"):
        if value := getattr(op, name):
            fields.append(f"{name}={value!r}")
    if op.data:
        fields.append(f"data={_bytes(op.data)}")
    if op.flags:
        fields.append("flags=" + "|".join(op.flags))
    if op.mode:
        fields.append(f"mode={op.mode:#o}")
    fields += [f"{name}={getattr(op, name):#x}" for name in "abc" if getattr(op, name)]
    for source in op.sources:
        fields.append(f"slot=<{_source(source)}>")
    return fields


def _source(source: Source) -> str:
    words = [source.kind, source.path, "recursive" if source.recursive else "", " ".join(source.data)]
    if source.id_map is not None:
        found = source.id_map
        ids = ", ".join((found.uids + found.gids).splitlines()) or "as in the user namespace"
        words.append(f"mapped{' recursively' if found.recursive else ''}: {ids}")
    return " ".join(word for word in words if word)


def _bytes(data: bytes) -> str:
    """Strings as a list of them; anything else as hexadecimal digits."""
    if data.endswith(b"\0") and data.replace(b"\0", b" ").decode("ascii", "replace").isprintable():
        return repr([part.decode() for part in data[:-1].split(b"\0")])
    return data.hex() if len(data) <= _SHORT_BYTES else f"{data[:16].hex()}... ({len(data)} bytes)"
