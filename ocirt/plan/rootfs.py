"""``root`` and ``linux.rootfsPropagation``: attaching the root filesystem, and making it the root (config.md#root)."""

from __future__ import annotations

from ocirt.plan.constants import MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE
from ocirt.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

PROPAGATIONS = {
    "shared": MS_SHARED,
    "rshared": MS_SHARED | MS_REC,
    "slave": MS_SLAVE,
    "rslave": MS_SLAVE | MS_REC,
    "private": MS_PRIVATE,
    "rprivate": MS_PRIVATE | MS_REC,
    "unbindable": MS_UNBINDABLE,
    "runbindable": MS_UNBINDABLE | MS_REC,
}


def propagation(c: Compilation) -> int:
    """MS_* flags of ``linux.rootfsPropagation``, 0 when absent."""
    return PROPAGATIONS.get(c.linux.get("rootfsPropagation") or "", 0)


def default_propagation(c: Compilation) -> int:
    """What the copies of the host's mounts become: slaves unless the configuration wants them private."""
    return MS_PRIVATE if propagation(c) & (MS_PRIVATE | MS_UNBINDABLE) else MS_SLAVE


def attach(c: Compilation) -> list[Op]:
    ops = []
    if c.has_namespace("mount"):
        # Nothing that is mounted here may reach the host, whatever the propagation of the container's root will be. A
        # namespace that is joined may hold peers of the host's mounts as well.
        joined = "mount" in c.join_namespaces
        pointer = c.join_namespaces["mount"][1] if joined else c.create_namespaces["mount"]
        ops.append(
            Op(
                "HOST_PROPAGATION",
                f"make the {'joined namespace' if joined else 'host'}'s mounts slaves",
                "/linux/rootfsPropagation" if propagation(c) else pointer,
                a=MS_SLAVE | MS_REC,
            )
        )
    # A peer of the host's mount would send every mount of the container there, so a shared root starts as a private
    # one. What engines mount in the root for themselves, as for "docker cp", is not for the container.
    wanted = propagation(c)
    tree = MS_SLAVE if not wanted or wanted & MS_SLAVE else MS_PRIVATE
    root = MS_SLAVE if wanted & MS_SLAVE else MS_PRIVATE
    _, sources = c.host_tree(c.rootfs, recursive=True)
    step = f"attach root filesystem {c.rootfs}"
    ops.append(Op("ROOTFS", step, "/root/path", path=c.rootfs, a=tree, b=root, sources=sources))
    return ops


def readonly(c: Compilation) -> list[Op]:
    if not c.config["root"].get("readonly"):
        return []
    return [Op("ROOT_READONLY", "make the root filesystem read-only", "/root/readonly")]


def enter(c: Compilation) -> list[Op]:
    if not c.has_namespace("mount"):
        return [Op("CHROOT", "change root", "/root/path")]
    if c.no_pivot:
        ops = [Op("MOVE_ROOT", "move the root filesystem to / and unmount the host's (--no-pivot)", "/root/path")]
    else:
        ops = [Op("PIVOT_ROOT", "pivot root and unmount the host's", "/root/path")]
    flags = propagation(c)
    if flags:
        word = c.linux["rootfsPropagation"]
        ops.append(Op("ROOT_PROPAGATION", f"make / {word}", "/linux/rootfsPropagation", a=flags))
    return ops
