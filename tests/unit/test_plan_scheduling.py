"""Scheduler and memory policy as the bytes that the kernel takes."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from ocirt.errors import UnsupportedError
from ocirt.plan import Compilation, Host, Op, scheduling


def ops(process: dict[str, Any] | None = None, **linux: Any) -> list[Op]:
    return scheduling.ops(Compilation({"linux": linux, "process": process or {}}, Host(), id="box"))


def sched_attr(**scheduler: Any) -> tuple[int, ...]:
    (op,) = ops({"scheduler": scheduler})
    assert (op.kind, op.origin) == ("SCHEDULER", "/process/scheduler")
    return struct.unpack("=IIQiIQQQII", op.data)


def test_without_properties_nothing_is_set() -> None:
    assert ops() == []


def test_a_nice_value_is_signed() -> None:
    assert sched_attr(policy="SCHED_BATCH", nice=-5) == (56, 3, 0, -5, 0, 0, 0, 0, 0, 0)


def test_every_field_has_its_place() -> None:
    flags = ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"]
    times = {"runtime": 1 << 33, "deadline": 1 << 34, "period": 1 << 35}
    assert sched_attr(policy="SCHED_DEADLINE", flags=flags, **times) == (56, 6, 5, 0, 0, *times.values(), 0, 0)
    assert sched_attr(policy="SCHED_RR", priority=99) == (56, 2, 0, 0, 99, 0, 0, 0, 0, 0)
    assert sched_attr(policy="SCHED_OTHER", nice=19)[1:4] == (0, 0, 19)


def test_a_policy_that_no_kernel_has_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="SCHED_ISO") as raised:
        ops({"scheduler": {"policy": "SCHED_ISO"}})
    assert raised.value.pointer == "/process/scheduler/policy"


def test_a_memory_policy_is_a_mode_with_flags_and_a_mask_of_nodes() -> None:
    (op,) = ops(memoryPolicy={"mode": "MPOL_BIND", "nodes": "0-2,5,64", "flags": ["MPOL_F_STATIC_NODES"]})
    assert (op.kind, op.a) == ("MEMORY_POLICY", 2 | 1 << 15)
    assert op.data == (0b100111 | 1 << 64).to_bytes(24, "little")
    assert op.step == "set memory policy MPOL_BIND MPOL_F_STATIC_NODES with nodes 0-2,5,64"


def test_the_last_node_of_a_word_is_not_lost() -> None:
    """The kernel counts one bit less than it is told."""
    (op,) = ops(memoryPolicy={"mode": "MPOL_INTERLEAVE", "nodes": "63"})
    assert op.data == (1 << 63).to_bytes(16, "little")


def test_a_memory_policy_without_nodes_has_no_mask() -> None:
    (op,) = ops(memoryPolicy={"mode": "MPOL_LOCAL"})
    assert (op.a, op.data) == (4, b"")
