"""The container's control groups: made by the runtime, entered by the init (config-linux.md#control-groups)."""

from __future__ import annotations

from ocirt.errors import UnsupportedError
from ocirt.plan.namespaces import joins_cgroup_early
from ocirt.plan.op import Op, Source, host_op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

_POINTER = "/linux/cgroupsPath"
_DEVICES_POINTER = "/linux/resources/devices"


def _origin(c: Compilation) -> str:
    return _POINTER if c.linux.get("cgroupsPath") else ""


def create_early(c: Compilation) -> list[Op]:
    """The process is born in its v2 cgroup (CLONE_INTO_CGROUP, Linux 5.7), so that must be there before."""
    if not c.host.cgroup2 or c.host.unit:
        return []
    if c.host.hierarchies:
        return [host_op("begin-cgroup", f"create cgroup {c.host.cgroup2[1]}", _origin(c))]
    return _create(c, [c.host.cgroup2[1]])


def create_late(c: Compilation) -> list[Op]:
    """Those of v1 are made while the kernel makes the namespaces; by systemd when the process is there."""
    paths = [path for _, _, path in c.host.hierarchies]
    if c.host.unit:
        return [_sync(c), *_create(c, paths + ([c.host.cgroup2[1]] if c.host.cgroup2 else []))]
    return _create(c, paths) if paths else []


def attach(c: Compilation) -> list[Op]:
    """systemd moves the process of an exec."""
    if not c.host.unit:
        return []
    return [_sync(c), host_op("attach", f"move the process into unit {c.host.unit}", _origin(c))]


def _sync(c: Compilation) -> Op:
    return Op("SYNC", f"wait for unit {c.host.unit}", _origin(c), a=5)


def _create(c: Compilation, paths: list[str]) -> list[Op]:
    more = f" and in {len(paths) - 1} more hierarchies" if len(paths) > 1 else ""
    start = f"start unit {c.host.unit}, and " if c.host.unit else ""
    return [
        host_op("create-cgroup", f"{start}create cgroup {paths[-1]}{more}", _origin(c)),
        *_limits(c),
        *_delegation(c),
    ]


def join(c: Compilation) -> list[Op]:
    ops = [
        Op("JOIN_CGROUP", f"join cgroup {path}", _origin(c), sources=(Source("cgroup-entry", index=index),))
        for index, (_, _, path) in enumerate(c.host.hierarchies)
    ]
    if c.host.cgroup2 and not c.host.unit and joins_cgroup_early(c):
        step = f"join cgroup {c.host.cgroup2[1]}"
        ops.append(Op("JOIN_CGROUP", step, _origin(c), sources=(Source("cgroup2-entry"),)))
    return ops


def _limits(c: Compilation) -> list[Op]:
    """Before anybody is in: between "deny all" and the rules that follow, a v1 cgroup would refuse the init its
    devices. All are written at the first operation, since the kernel may not take them in this order."""
    ops = [
        host_op("limit", f"write {setting.value!r} to {setting.file}", setting.pointer, value=())
        for setting in c.settings
    ]
    if ops:
        ops[0].value = c.settings
    return _devices(c) + ops


def _devices(c: Compilation) -> list[Op]:
    """On v2 a program decides about devices (Linux 4.15): written down here, attached to the container's cgroup.

    Before hooks and the user's program; the init itself uses no device that a container is not allowed anyway.
    """
    if not c.device_program or not c.host.cgroup2:
        return []
    step = f"attach a device program ({len(c.device_program) // 8} instructions) to cgroup {c.host.cgroup2[1]}"
    origin = _DEVICES_POINTER if (c.linux.get("resources") or {}).get("devices") is not None else ""
    return [host_op("devices", step, origin, value=c.device_program)]


def _delegation(c: Compilation) -> list[Op]:
    owner, pointer = _mount_owner(c)
    if owner is None or not c.host.cgroup2 or _subgroup(c):
        return []
    return [host_op("delegate", f"give cgroup {c.host.cgroup2[1]} to uid {owner[0]}", pointer, value=owner)]


def _mount_owner(c: Compilation) -> tuple[tuple[int, int] | None, str]:
    """The cgroup that the container sees is given to the user of its process where that is in a cgroup namespace of its
    own and may write to it (config-linux.md#cgroup-ownership), but not with v1, where that "is not secure".

    None for no such user; and the pointer of the mount that says so."""
    if not c.host.cgroup2 or c.host.hierarchies or "cgroup" not in c.create_namespaces:
        return None, ""
    for index, mount in enumerate(c.config.get("mounts") or ()):
        is_cgroup = mount.get("source") == "cgroup" and mount["destination"].rstrip("/") == "/sys/fs/cgroup"
        if is_cgroup and "ro" not in (mount.get("options") or ()):
            return _owner(c), f"/mounts/{index}"
    return None, ""


def subgroup(c: Compilation) -> list[Op]:
    """Before the cgroup namespace, whose root is then the cgroup below that of the unit (crun's annotation)."""
    sub = _subgroup(c)
    return _descend(c, "run.oci.systemd.subgroup", sub, _mount_owner(c)[0]) if sub else []


def delegated(c: Compilation) -> list[Op]:
    """Behind the cgroup namespace, whose root stays the container's cgroup: the process goes on into one below it."""
    name = "run.oci.delegate-cgroup"
    sub, above = c.annotations.get(name), _subgroup(c)
    return _descend(c, name, f"{above}/{sub}" if above else sub, _owner(c)) if sub else []


def _subgroup(c: Compilation) -> str:
    return str(c.annotations.get("run.oci.systemd.subgroup", "")).strip("/") if c.host.unit else ""


def _descend(c: Compilation, name: str, sub: str, owner: tuple[int, int] | None) -> list[Op]:
    """The process makes its way into the cgroup *sub* below that of the limits, which *owner* gets."""
    pointer = f"/annotations/{name}"
    if not c.host.cgroup2 or c.host.hierarchies:
        raise UnsupportedError("a cgroup below the container's", "cgroup v2 alone", pointer=pointer)
    path = f"{c.host.cgroup2[1]}/{sub}"
    return [
        host_op("make-delegated", f"create cgroup {path}", pointer, value=(sub, *(owner or (None, -1)))),
        Op("JOIN_CGROUP", f"join cgroup {path}", pointer, sources=(Source("delegated-cgroup", sub),)),
        Op("SYNC", f"wait for cgroup {path} to be divided", pointer, a=5),
        host_op("divide-cgroup", f"enable the controllers of cgroup {path}", pointer, value=sub),
    ]


def _owner(c: Compilation) -> tuple[int, int] | None:
    """The user of the process, as the host knows it, and a group that its user namespace maps; None for root, whose
    the cgroup is already, for a user that is not known, and where the runtime may give nothing away."""
    uid = _host_uid(c)
    if not uid or not c.host.privileged:
        return None
    mappings = c.linux.get("gidMappings") or () if c.has_namespace("user") else ()
    return uid, int(mappings[0]["hostID"]) if mappings else -1


def _host_uid(c: Compilation) -> int | None:
    """The user of the process, as the host knows it; None when that is not known."""
    uid: int = ((c.process or {}).get("user") or {}).get("uid", 0)
    if not c.has_namespace("user"):
        return uid
    for mapping in c.linux.get("uidMappings") or ():
        offset: int = uid - mapping["containerID"]
        if 0 <= offset < mapping["size"]:
            return int(mapping["hostID"]) + offset
    return None
