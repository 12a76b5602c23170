"""``linux.netDevices``: devices of the host that move into the container (config-linux.md#network-devices)."""

from __future__ import annotations

from ocirt.config.words import token
from ocirt.plan.op import Op, host_op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

_POINTER = "/linux/netDevices"
_SYNC_NET_DEVICES = 6


def ops(c: Compilation) -> list[Op]:
    """One meeting for all: none is moved before all are known to be there and to have a name that is free."""
    moves = [
        (name, device.get("name") or name, f"{_POINTER}/{token(name)}")
        for name, device in (c.linux.get("netDevices") or {}).items()
    ]
    if not moves:
        return []
    said = ", ".join(name if name == inside else f"{name} as {inside}" for name, inside, _ in moves)
    return [
        Op("SYNC", "wait for the network devices", _POINTER, a=_SYNC_NET_DEVICES),
        host_op("net-devices", f"move network devices into the container: {said}", _POINTER, value=moves),
    ]
