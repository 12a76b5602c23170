"""``exec``: the way of another process into a container that is there already."""

from __future__ import annotations

from ocirt.plan.namespaces import NAMESPACES, early_kinds, is_born_in_cgroup, joins_cgroup_early
from ocirt.plan.op import Op, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation


def namespaces(c: Compilation) -> list[Op]:
    """All namespaces of the init but one in one setns(2) on its pidfd (Linux 5.8)."""
    flags = 0
    kinds = [kind for kind in early_kinds(c) if c.has_namespace(kind)]
    for kind in kinds:
        flags |= NAMESPACES[kind][0]
    if not flags:
        return []
    return [
        Op(
            "JOIN_NAMESPACE",
            f"join the container's {', '.join(kinds)} namespaces",
            "/linux/namespaces",
            a=flags,
            sources=(Source("init"),),
        )
    ]


def clone(c: Compilation) -> list[Op]:
    if c.host.cgroup2 is None or not is_born_in_cgroup(c):
        return [Op("CLONE", "clone the process")]
    return [Op("CLONE", f"enter cgroup {c.host.cgroup2[1]} with a new process", sources=(Source("cgroup"),))]


def root(c: Compilation) -> list[Op]:
    """Without a mount namespace of its own, or without pivot_root, the container's root is not the one of its
    namespace."""
    if not c.exec_join_root:
        return []
    return [Op("ENTER_ROOT", "enter the container's root filesystem", "/root/path", sources=(Source("init-root"),))]


def cgroup_namespace(c: Compilation) -> list[Op]:
    """Behind the cgroup, where it can be."""
    if not c.has_namespace("cgroup") or joins_cgroup_early(c):
        return []
    source = Source("init")
    flag = NAMESPACES["cgroup"][0]
    return [
        Op("JOIN_NAMESPACE", "join the container's cgroup namespace", "/linux/namespaces", a=flag, sources=(source,))
    ]
