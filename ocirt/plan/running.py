"""Mounts and devices that are put into a container that runs, and taken out of it: the way there.

The process that goes there is none of the container's: it stays outside of its PID namespace, where no program of the
container can see it, trace it or send it a signal (CVE-2016-9962), and ends without executing anything.
"""

from __future__ import annotations

from ocirt.plan.namespaces import NAMESPACES
from ocirt.plan.op import Op, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

# A tmpfs belongs to a user namespace, mqueue shows an IPC namespace, sysfs a network namespace.
_KINDS = ("user", "mount", "ipc", "network")


def enter(c: Compilation) -> list[Op]:
    kinds = [kind for kind in _KINDS if c.has_namespace(kind)]
    flags = 0
    for kind in kinds:
        flags |= NAMESPACES[kind][0]
    step = f"join the container's {', '.join(kinds)} namespaces"
    return [
        Op("CLONE", "clone the process"),
        Op("JOIN_NAMESPACE", step, "/linux/namespaces", a=flags, sources=(Source("init"),)),
    ]


def open_root(c: Compilation) -> list[Op]:
    return [Op("OPEN_ROOT", "open the container's root filesystem", "/root/path")]


def leave(c: Compilation) -> list[Op]:
    return [Op("EXIT", "leave the container")]
