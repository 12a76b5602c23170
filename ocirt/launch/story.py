"""A walk as ``--debug`` tells it: a line for each operation of the init, and lines that users of runc look for.

The words of runc stand where the same thing happens here. What there is not (stages that wait for each other, an
exec fifo) has no line.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ocirt.launch.walk import Walk
    from ocirt.plan.op import Op


def lines(walk: Walk, times: list[tuple[Op, int, int, int]], *, attached: bool) -> Iterator[str]:
    """The lines for *times*, which are those of *walk*. *attached*: the process that creates a container starts it."""
    is_exec = not any(op.kind == "WAIT_START" for op in walk.ops)
    # The channel ends where the init goes on by itself: execve(2) closes it, or it is closed to wait for `start`.
    last = "EXECVE" if attached else "WAIT_START"
    pid = walk.first_pid
    if times and times[0][0] is walk.ops[0]:
        yield f"nsexec[{pid}]: => nsexec container setup"
    for op, begin, end, left in times:
        if op.kind == "SECCOMP":
            yield f"seccomp filter flags: {op.a}"
        elif op.kind == "EXECVE" and is_exec:
            yield "setns_init: about to exec"
        elif op.kind == last:
            yield "init: closing the pipe to signal completion"
        origin = f" ({op.origin})" if op.origin else ""
        yield f"{op.describe()}{origin}: {(end - begin) / 1000:.0f} us"
        if op.kind == "CPU_AFFINITY":
            yield f"nsexec[{pid}]: affinity: {left:#x}"
        elif op.kind == "CLONE":
            pid = walk.pid
            yield "child process in init()"
