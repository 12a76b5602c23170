"""``linux.namespaces``, id mappings and time offsets: joining, cloning and what belongs to a namespace as a whole.

config-linux.md#namespaces, namespaces(7).
"""

from __future__ import annotations

from ocirt.capabilities import mask
from ocirt.plan.constants import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from ocirt.plan.op import Op, Source, host_op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

# The spec's word, the clone flag, and the file in /proc/PID/ns.
NAMESPACES = {
    "user": (CLONE_NEWUSER, "user"),
    "mount": (CLONE_NEWNS, "mnt"),
    "network": (CLONE_NEWNET, "net"),
    "ipc": (CLONE_NEWIPC, "ipc"),
    "uts": (CLONE_NEWUTS, "uts"),
    "cgroup": (CLONE_NEWCGROUP, "cgroup"),
    "time": (CLONE_NEWTIME, "time"),
    "pid": (CLONE_NEWPID, "pid"),
}

# The cgroup namespace is made later, by the process that is in its cgroups already; the time namespace by its parent
# or, in a user namespace, by itself.
_CLONED = ("user", "mount", "network", "ipc", "uts", "pid")


def join(c: Compilation) -> list[Op]:
    """setns(2) for namespaces given by path, in an order in which each is allowed.

    Root joins the user namespace last, since it may enter the others only with the privileges it loses there; an
    ordinary user joins it first, since only there has it any.
    """
    kinds = [kind for kind in early_kinds(c) if kind in c.join_namespaces and kind != "user"]
    # A mount namespace that is joined hides the host's files, so it comes after everything that has a path; nothing has
    # one here (the runtime opens all), but the order is the one that people expect to read.
    kinds.sort(key=lambda kind: kind == "mount")
    if "user" in c.join_namespaces:
        kinds.insert(len(kinds) if c.host.privileged else 0, "user")
    return [_join(c, kind) for kind in kinds]


def joins_cgroup_early(c: Compilation) -> bool:
    """Whether a cgroup namespace is joined before the v2 cgroup: in a user namespace no privilege would be left for it.

    With the mount option nsdelegate, nobody in a cgroup namespace can move a process into it that comes from outside,
    by clone(2) neither (ENOENT, cgroup-v2.rst, "Delegation Containment"); but whoever is given a descriptor of
    cgroup.procs from outside can.
    """
    return "cgroup" in c.join_namespaces and c.has_namespace("user")


def is_born_in_cgroup(c: Compilation) -> bool:
    """Whether clone(2) puts the process into its v2 cgroup (CLONE_INTO_CGROUP); else systemd does, or itself."""
    return c.host.cgroup2 is not None and not c.host.unit and not joins_cgroup_early(c)


def early_kinds(c: Compilation) -> list[str]:
    """The kinds of namespaces that are joined before the clone, where they are."""
    return [kind for kind in NAMESPACES if kind != "cgroup" or joins_cgroup_early(c)]


def _join(c: Compilation, kind: str) -> Op:
    path, pointer = c.join_namespaces[kind]
    source = Source("namespace", path)
    return Op("JOIN_NAMESPACE", f"join {kind} namespace {path}", pointer, a=NAMESPACES[kind][0], sources=(source,))


def time(c: Compilation) -> list[Op]:
    return [] if _is_time_late(c) else _time(c)


def late_time(c: Compilation) -> list[Op]:
    """By root of the container's user namespace, where the runtime may not."""
    return _time(c, enter=1) if _is_time_late(c) else []


def _is_time_late(c: Compilation) -> bool:
    needed = mask(("CAP_SYS_ADMIN", "CAP_SYS_TIME"))
    return "user" in c.create_namespaces and c.host.capabilities & needed != needed


def _time(c: Compilation, enter: int = 0) -> list[Op]:
    if "time" not in c.create_namespaces:
        return []
    offsets = c.linux.get("timeOffsets") or {}
    lines = "".join(
        f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n"
        for clock, offset in sorted(offsets.items())
        if offset is not None
    )
    said = ", ".join(lines.splitlines())
    step = "create time namespace" + (f" with offsets {said}" if said else "")
    origin = "/linux/timeOffsets" if lines else c.create_namespaces["time"]
    return [Op("TIME_NAMESPACE", step, origin, text=lines, a=enter)]


def clone(c: Compilation) -> list[Op]:
    kinds = [kind for kind in _CLONED if kind in c.create_namespaces]
    flags = 0
    for kind in kinds:
        flags |= NAMESPACES[kind][0]
    sources = (Source("cgroup"),) if is_born_in_cgroup(c) else ()
    with_namespaces = f" with new {', '.join(kinds)} namespaces" if kinds else ""
    into = " into its cgroup" if sources else ""
    return [
        Op(
            "CLONE",
            f"clone the container's process{with_namespaces}{into}",
            "/linux/namespaces" if kinds else "",
            a=flags,
            sources=sources,
        )
    ]


def id_maps(c: Compilation) -> list[Op]:
    if "user" not in c.create_namespaces:
        return []
    ops = [Op("SYNC", "wait for the id maps", c.create_namespaces["user"], a=1)]
    for key, file in (("uidMappings", "uid_map"), ("gidMappings", "gid_map")):
        mappings = c.linux.get(key) or []
        said = ", ".join(f"{m['containerID']} {m['hostID']} {m['size']}" for m in mappings[:4]) + (
            ", ..." if len(mappings) > 4 else ""
        )
        ops.append(host_op("id-map", f"write {file}: {said}", f"/linux/{key}", value=(file, mappings)))
    # The user namespace must be mapped from gid to uid, setgroups first; launch.id_maps does that in one go.
    return ops


def become_root(c: Compilation) -> list[Op]:
    if not c.has_namespace("user"):
        return []
    pointer = c.create_namespaces.get("user") or c.join_namespaces["user"][1]
    flags = ("KEEP_GROUPS",) if keeps_groups(c) else ()
    return [Op("BECOME_ROOT", "become root of the user namespace", pointer, flags=flags)]


def keeps_groups(c: Compilation) -> bool:
    """Whether the container's processes are to have the supplementary groups of the runtime, as crun has it."""
    return bool(c.annotations.get("run.oci.keep_original_groups", "0") != "0")


def cgroup(c: Compilation) -> list[Op]:
    if "cgroup" in c.join_namespaces:
        return [] if joins_cgroup_early(c) else [_join(c, "cgroup")]
    if "cgroup" not in c.create_namespaces:
        return []
    return [Op("CGROUP_NAMESPACE", "create cgroup namespace", c.create_namespaces["cgroup"])]


def loopback(c: Compilation) -> list[Op]:
    if "network" not in c.create_namespaces:
        return []
    return [Op("LOOPBACK_UP", "set the loopback interface up", c.create_namespaces["network"])]


def names(c: Compilation) -> list[Op]:
    ops = []
    if c.config.get("hostname"):
        ops.append(Op("HOSTNAME", f"set hostname {c.config['hostname']}", "/hostname", text=c.config["hostname"]))
    if c.config.get("domainname"):
        ops.append(
            Op("DOMAINNAME", f"set domainname {c.config['domainname']}", "/domainname", text=c.config["domainname"])
        )
    return ops
