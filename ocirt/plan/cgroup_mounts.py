"""Mounts of type ``cgroup``: how the container sees its control groups (config-linux.md#control-groups).

With a cgroup namespace of its own they are filesystems, whose root the kernel puts at the container's cgroup; without
one they are binds of the container's cgroup. A hierarchy in which it has none (rootless) shows the runtime's own,
read-only (CVE-2023-25809).
"""

from __future__ import annotations

from ocirt.plan import labels
from ocirt.plan.constants import MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY
from ocirt.plan.mount_options import pack_propagation
from ocirt.plan.op import Op, strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.mount_options import Options
    from ocirt.plan.op import CgroupMount, Compilation


def ops(c: Compilation, destination: str, options: Options, pointer: str) -> list[Op]:
    """One op on v2; a tmpfs with one mount per hierarchy on v1; nothing on a host without cgroups."""
    shown = c.host.cgroup_mounts
    if not shown:
        return []
    if len(shown) == 1 and shown[0].version == 2:
        return [_unified(c, shown[0], destination, options, pointer)]
    result = [
        Op(
            "MOUNT",
            f"mount tmpfs on {destination} for the cgroup hierarchies",
            pointer,
            path=destination,
            text="tmpfs",
            data=strings("tmpfs", "mode=755", *labels.context(c)),
            a=(options.attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC) & ~MOUNT_ATTR_RDONLY,
            c=pack_propagation(options.propagation),
        )
    ]
    for mount in shown:
        name = mount.mount_point.rpartition("/")[2]
        result.append(_hierarchy(c, mount, f"{destination}/{name}", options, pointer))
        if mount.version == 1 and len(mount.controllers) > 1:
            # "cpu" beside "cpu,cpuacct", as every tool expects.
            result += [
                Op(
                    "SYMLINK",
                    f"link {destination}/{controller} to {name}",
                    pointer,
                    path=f"{destination}/{controller}",
                    text=name,
                )
                for controller in mount.controllers
                if controller != name
            ]
    if options.attributes & MOUNT_ATTR_RDONLY:
        result.append(Op("MOUNT_READONLY", f"make {destination} read-only", pointer + "/options", path=destination))
    return result


def _hierarchy(c: Compilation, mount: CgroupMount, target: str, options: Options, pointer: str) -> Op:
    if not mount.is_own or "cgroup" not in c.create_namespaces:
        return _bind(c, mount, mount.path, target, options, pointer)
    words: tuple[str, ...] = ()
    if mount.version == 2:
        kind = "cgroup2"
    else:
        named = tuple(word for word in mount.controllers if word.startswith("name="))
        kind, words = "cgroup", ("none", *named) if named else mount.controllers
    step = f"mount {kind} {','.join(words)} on {target}" if words else f"mount {kind} on {target}"
    return Op(
        "MOUNT",
        step,
        pointer,
        path=target,
        text=kind,
        data=strings(kind, *words),
        a=options.attributes,
        c=pack_propagation(options.propagation),
    )


def _bind(c: Compilation, mount: CgroupMount, path: str, target: str, options: Options, pointer: str) -> Op:
    text, sources = c.host_tree(path, recursive=False)
    return Op(
        "BIND",
        f"bind cgroup {path} on {target}",
        pointer,
        path=target,
        text=text,
        a=options.attributes | (0 if mount.is_own else MOUNT_ATTR_RDONLY),
        c=pack_propagation([2, *options.propagation]),
        sources=sources,
    )


def _unified(c: Compilation, mount: CgroupMount, destination: str, options: Options, pointer: str) -> Op:
    owns = "cgroup" in c.create_namespaces or (c.has_namespace("cgroup") and not c.has_namespace("user"))
    if not mount.is_own or not owns:
        # A user namespace may mount cgroup2 only for a cgroup namespace that it owns: the host's is shown. So it is
        # without one, where to mount it anew would clear the options of the host's (nsdelegate, memory_recursiveprot).
        return _bind(c, mount, mount.mount_point, destination, options, pointer)
    return Op(
        "MOUNT",
        f"mount cgroup2 on {destination}",
        pointer,
        path=destination,
        text="cgroup2",
        data=strings("cgroup", *options.superblock, *options.data),
        a=options.attributes,
        c=pack_propagation(options.propagation),
    )
