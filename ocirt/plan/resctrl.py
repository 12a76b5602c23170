"""``linux.intelRdt``: the runtime puts the process into its group of the resctrl filesystem."""

from __future__ import annotations

from ocirt.plan.op import Op, host_op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

_POINTER = "/linux/intelRdt"
_SYNC_CGROUP = 5


def create(c: Compilation) -> list[Op]:
    rdt = c.linux.get("intelRdt")
    # An empty object asks for a group of the container's own.
    if rdt is None:
        return []
    name = rdt.get("closID") or c.id
    return [host_op("create-resctrl", f"put the container into resctrl group {name}", _POINTER, value=rdt)]


def join(c: Compilation) -> list[Op]:
    """Groups are inherited, and the parent of an exec is the runtime."""
    if c.linux.get("intelRdt") is None:
        return []
    return [
        Op("SYNC", "wait for the resctrl group", _POINTER, a=_SYNC_CGROUP),
        host_op("join-resctrl", "put the process into the container's resctrl group", _POINTER),
    ]
