"""How the program is scheduled: ``process.scheduler`` and ``ioPriority``, ``linux.memoryPolicy`` and ``personality``.

config.md#linux-process, config-linux.md#memory-policy. An exec has those of the container, but for what its own
document says.
"""

from __future__ import annotations

from ocirt.config.rules_linux import GREATEST_NODE
from ocirt.config.words import parse_list
from ocirt.errors import UnsupportedError
from ocirt.plan.constants import (
    IO_PRIORITY_CLASS_SHIFT,
    IO_PRIORITY_CLASSES,
    MEMORY_POLICY_FLAGS,
    MEMORY_POLICY_MODES,
    PERSONALITIES,
    SCHEDULER_FLAGS,
    SCHEDULER_POLICIES,
)
from ocirt.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.plan.op import Compilation

# The kernel calls it SCHED_NORMAL.
POLICIES = {"SCHED_OTHER": 0, **SCHEDULER_POLICIES}
# Linux 6.9; the headers that ocirt is built with may not have it.
MODES = {**MEMORY_POLICY_MODES, "MPOL_WEIGHTED_INTERLEAVE": 6}

_SCHED_ATTR_BYTES = 56  # SCHED_ATTR_SIZE_VER1, Linux 5.3


def ops(c: Compilation) -> list[Op]:
    return [*_personality(c), *_memory_policy(c), *_io_priority(c), *_scheduler(c)]


def _process(c: Compilation) -> Any:
    return c.process


def _personality(c: Compilation) -> list[Op]:
    persona = c.linux.get("personality")
    if not persona:
        return []
    domain = persona["domain"]
    return [Op("PERSONALITY", f"set personality {domain}", "/linux/personality", a=PERSONALITIES[domain])]


def _memory_policy(c: Compilation) -> list[Op]:
    policy = c.linux.get("memoryPolicy")
    if not policy:
        return []
    mode, nodes = policy["mode"], policy.get("nodes") or ""
    value = MODES[mode]
    for flag in policy.get("flags") or ():
        value |= MEMORY_POLICY_FLAGS[flag]
    mask = 0
    for first, last in parse_list(nodes, GREATEST_NODE):
        mask |= (1 << last + 1) - (1 << first)
    # One word more than needed: the kernel counts one bit less than it is told (set_mempolicy(2), get_nodes).
    data = mask.to_bytes((mask.bit_length() + 63) // 64 * 8 + 8, "little") if mask else b""
    said = " ".join([mode, *(policy.get("flags") or ())]) + (f" with nodes {nodes}" if nodes else "")
    return [Op("MEMORY_POLICY", f"set memory policy {said}", "/linux/memoryPolicy", a=value, data=data)]


def _io_priority(c: Compilation) -> list[Op]:
    io = _process(c).get("ioPriority")
    if not io:
        return []
    priority = io.get("priority", 0)
    value = IO_PRIORITY_CLASSES[io["class"]] << IO_PRIORITY_CLASS_SHIFT | priority
    step = f"set I/O priority {io['class']} {priority}"
    return [Op("IO_PRIORITY", step, c.process_pointer + "/ioPriority", a=value)]


def _scheduler(c: Compilation) -> list[Op]:
    scheduler = _process(c).get("scheduler")
    if not scheduler:
        return []
    policy = scheduler["policy"]
    if policy not in POLICIES:
        raise UnsupportedError(f"scheduler policy {policy}", "a kernel that has it", pointer=f"{_pointer(c)}/policy")
    flags = 0
    for flag in scheduler.get("flags") or ():
        flags |= SCHEDULER_FLAGS[flag]
    # struct sched_attr, sched_setattr(2): size, policy; flags; nice, priority; runtime, deadline, period; clamps
    fields = (
        (_SCHED_ATTR_BYTES, 4),
        (POLICIES[policy], 4),
        (flags, 8),
        (scheduler.get("nice", 0) & 0xFFFFFFFF, 4),
        (scheduler.get("priority", 0), 4),
        *((scheduler.get(name, 0), 8) for name in ("runtime", "deadline", "period")),
        (0, 8),
    )
    data = b"".join(value.to_bytes(size, "little") for value, size in fields)
    return [Op("SCHEDULER", f"set scheduler {policy}", _pointer(c), data=data)]


def _pointer(c: Compilation) -> str:
    return c.process_pointer + "/scheduler"
