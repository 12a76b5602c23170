"""``/dev``: the nodes and links that every container has, and those of ``linux.devices``
(config-linux.md#default-devices)."""

from __future__ import annotations

from ocirt.plan.constants import S_IFBLK, S_IFCHR, S_IFIFO, S_IFREG
from ocirt.plan.mounts import clean
from ocirt.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.plan.op import Compilation

DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)
# config-linux.md#dev-symbolic-links; /dev/core is what runc adds, where there is a /proc/kcore.
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/core", "/proc/kcore"),
)
_TYPES = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}


def makedev(major: int, minor: int) -> int:
    """dev_t as the kernel's system calls take it (new_encode_dev of <linux/kdev_t.h>)."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def is_bound(c: Compilation) -> bool:
    """Whether /dev is the host's, or another's, by a bind mount: then it is as it should be, and nothing is made in
    it."""
    for mount in c.config.get("mounts") or ():
        if clean(mount["destination"]) == "/dev":
            words = mount.get("options") or ()
            return mount.get("type") == "bind" or "bind" in words or "rbind" in words
    return False


def ops(c: Compilation) -> list[Op]:
    own = c.linux.get("devices") or ()
    result = []
    if not is_bound(c):
        taken = {clean(device["path"]) for device in own} | _mounted(c)
        result += [
            _node(c, path, S_IFCHR | 0o666, makedev(major, minor), 0, 0, "")
            for path, major, minor in DEFAULT_DEVICES
            if path not in taken
        ]
        result += [
            Op("SYMLINK", f"link {path} to {target}", path=path, text=target, flags=("NO_SYMLINKS",))
            for path, target in LINKS
            if path != "/dev/core" or c.host.has_kcore
        ]
        flags = ("NO_SYMLINKS", "REPLACE")
        result.append(Op("SYMLINK", "link /dev/ptmx to pts/ptmx", path="/dev/ptmx", text="pts/ptmx", flags=flags))
    return result + own_devices(c)


def _mounted(c: Compilation) -> set[str]:
    """Where the configuration mounts something: that is the device then, as with ``docker run -v
    /dev/urandom:/dev/random``. Not /dev/null, on which masks rely."""
    return {clean(mount["destination"]) for mount in c.config.get("mounts") or ()} - {"/dev/null"}


def own_devices(c: Compilation) -> list[Op]:
    return [
        _own(c, device, f"/linux/devices/{index}")
        for index, device in enumerate(c.linux.get("devices") or ())
        # The container's own, below /dev/pts; the host's would open terminals of the host.
        if clean(device["path"]) != "/dev/ptmx"
    ]


def remove(c: Compilation) -> list[Op]:
    """Takes the nodes of ``linux.devices`` out of a container that runs."""
    result = []
    flags = ("NO_SYMLINKS",)
    for index, device in enumerate(c.linux.get("devices") or ()):
        pointer, path = f"/linux/devices/{index}", clean(device["path"])
        mode, number = _type_and_number(device)
        if _is_bound_node(c, mode):
            result.append(Op("UNMOUNT", f"unmount device {path}", pointer, path=path, flags=flags))
            mode, number = S_IFREG, 0
        step = f"remove device {path}"
        result.append(Op("REMOVE_NODE", step, pointer, path=path, mode=mode, a=number, flags=flags))
    return result


def _type_and_number(device: Any) -> tuple[int, int]:
    number = 0 if device["type"] == "p" else makedev(device.get("major", 0), device.get("minor", 0))
    return _TYPES[device["type"]], number


def _is_bound_node(c: Compilation, mode: int) -> bool:
    """mknod(2) is refused in a user namespace but for FIFOs: the host's node is bound instead."""
    return not mode & S_IFIFO and (c.has_namespace("user") or c.host.rootless or not c.host.privileged)


def _own(c: Compilation, device: Any, pointer: str) -> Op:
    # Engines send file type bits in fileMode (podman --privileged): only the permissions count.
    kind, number = _type_and_number(device)
    mode = kind | (device.get("fileMode", 0o666) & 0o7777)
    return _node(c, clean(device["path"]), mode, number, device.get("uid") or 0, device.get("gid") or 0, pointer)


def _node(c: Compilation, path: str, mode: int, number: int, uid: int, gid: int, pointer: str) -> Op:
    # An image whose /dev is a link would have its nodes made in a volume, which is the host's.
    flags = ("NO_SYMLINKS",) if path.startswith("/dev/") else ()
    if _is_bound_node(c, mode):
        text, sources = c.host_tree(path, recursive=False)
        return Op("BIND", f"bind device {path}", pointer, path=path, text=text, flags=flags, c=1, sources=sources)
    step = f"make device {path}"
    return Op("DEVICE", step, pointer, path=path, mode=mode, flags=flags, a=number, b=uid, c=gid)
