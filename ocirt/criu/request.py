"""What criu is asked for: configuration and options to fields of criu_opts (see rpc.py).

Pure: no system calls, no files.

What a container shows of the host by bind mounts cannot be in an image. At a checkpoint criu gets pairs (mount point
as the kernel names it, name), at a restore (name, path on the host); the name is the destination as the configuration
has it. So nothing that the root filesystem holds has a say in what is mounted at a restore.
"""

from __future__ import annotations

from ocirt.errors import ConfigError, UnsupportedError
from ocirt.plan import devices, mounts
from ocirt.plan.constants import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from ocirt.criu.options import CriuOptions
    from ocirt.plan import Compilation

CLONE_NEWNET = 0x40000000

#: criu's words for namespaces that it can join at a restore. It cannot join a cgroup namespace.
_JOINED = {"ipc": "ipc", "uts": "uts", "time": "time", "user": "user"}
#: Those that are left as they are, and are found again by a key.
_EXTERNAL = {"network": ("net", "extRootNetNS"), "pid": ("pid", "extRootPidNS")}

#: What makes a mount less than it would be without.
_RESTRICTIONS = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW

#: The name and the source of what covers masked files.
NULL = "/dev/null"


class External:
    """A mount of the host's: its ``destination`` in the configuration, the ``name`` that is put into the image, and
    the ``source`` on the host. ``attributes`` and ``tree_attributes`` are MOUNT_ATTR_* that it has, and that all below
    it have; ``origin`` is the pointer of who asked for it."""

    __slots__ = ("attributes", "destination", "name", "origin", "source", "tree_attributes")

    def __init__(self, destination: str, name: str, source: str, attributes: int, origin: str) -> None:
        self.destination = destination
        self.name = name
        self.source = source
        self.attributes = attributes & _RESTRICTIONS
        self.tree_attributes = attributes >> 32 & _RESTRICTIONS
        self.origin = origin


def refuse(compilation: Compilation) -> None:
    """UnsupportedError for a container that criu would not bring back as it was."""
    c = compilation
    for kind in ("pid", "mount"):
        if not c.has_namespace(kind):
            needs = f"a {kind} namespace: the container is in the host's"
            raise UnsupportedError("checkpoint and restore", needs, pointer="/linux/namespaces")
    for kind, (path, pointer) in c.join_namespaces.items():
        if kind not in _JOINED and kind not in _EXTERNAL:
            needs = f"a {kind} namespace of its own, found that of {path}, which criu cannot join"
            raise UnsupportedError("checkpoint and restore", needs, pointer=pointer)
    seccomp = c.linux.get("seccomp") or {}
    for index, rule in enumerate(seccomp.get("syscalls") or ()):
        if rule.get("action") == "SCMP_ACT_NOTIFY":
            needs = "a filter without SCMP_ACT_NOTIFY: criu cannot save the connection to the agent"
            raise UnsupportedError("checkpoint and restore", needs, pointer=f"/linux/seccomp/syscalls/{index}/action")


def externals(compilation: Compilation) -> list[External]:
    """The mounts of the host's that a container of the configuration has: binds, devices of a user namespace, and the
    null device over masked files, of which all have one name, as with runc."""
    found = []
    for op in [*mounts.ops(compilation), *devices.ops(compilation)]:
        if op.kind != "BIND":
            continue
        source = op.sources[0] if op.sources else None
        if source is not None and source.id_map is not None:
            needs = "mounts without id mappings, which criu does not save"
            raise UnsupportedError("checkpoint and restore", needs, pointer=op.origin)
        if "TARGET_LINK" in op.flags or ("SOURCE_LINK" in op.flags and "COPY_LINK" not in op.flags):
            needs = "mounts that follow symbolic links, as criu does"
            raise UnsupportedError("checkpoint and restore", needs, pointer=op.origin)
        if source is not None and source.kind == "descriptor":
            needs = "mounts of paths, which criu can find again, not of descriptors"
            raise UnsupportedError("checkpoint and restore", needs, pointer=op.origin)
        path = source.path if source is not None else str(op.text)
        found.append(External(op.path, op.path, path, op.a, op.origin))
    for index, path in enumerate(compilation.linux.get("maskedPaths") or ()):
        found.append(External(path, NULL, NULL, MOUNT_ATTR_RDONLY, f"/linux/maskedPaths/{index}"))
    return found


def dumped_mounts(found: Iterable[External], mount_point: Callable[[External], str | None]) -> list[dict[str, str]]:
    """The field ext_mnt of a checkpoint. *mount_point* gives the mount point that a destination leads to now, None
    where it leads to none."""
    pairs = {}
    for external in found:
        point = mount_point(external)
        if point is not None:
            pairs[_readable(point, external)] = _readable(external.name, external)
    return [{"key": point, "val": name} for point, name in pairs.items()]


def restored_mounts(found: Iterable[External], real: Callable[[str], str]) -> list[dict[str, str]]:
    """The field ext_mnt of a restore. *real* is realpath(3): criu 3.17 wants a name at the end of the path, where
    a source may have "." or ".."."""
    pairs = {_readable(each.name, each): _readable(real(each.source), each) for each in found}
    return [{"key": name, "val": source} for name, source in pairs.items()]


def _readable(path: str, external: External) -> str:
    """criu keeps a pair as the text "mnt[KEY]:VALUE" and looks for the end of the key in it. With the brackets in a
    key or a value it would find another pair, and at a restore mount another path of the host (CVE-2026-119101)."""
    if "]:" in path:
        needs = f"mounts without ']:' in their paths, found {path!r}, which criu would take for something else"
        raise UnsupportedError("checkpoint and restore", needs, pointer=external.origin)
    return path


def config_file(compilation: Compilation, exists: Callable[[str], bool]) -> str | None:
    """The configuration file of criu's that the annotation org.criu.config names, whose settings override all others;
    without it /etc/criu/ocirt.conf, or runc's where there is none. An empty annotation means none at all.

    It can name programs for criu to execute, so ConfigError where it is no absolute path; who owns it is for the caller
    to look at.
    """
    annotations = compilation.config.get("annotations") or {}
    path: str | None = annotations.get("org.criu.config")
    if path is None:
        return next((each for each in ("/etc/criu/ocirt.conf", "/etc/criu/runc.conf") if exists(each)), None)
    if path and not path.startswith("/"):
        raise ConfigError(f"wanted an absolute path, found {path!r}", pointer="/annotations/org.criu.config")
    return path or None


def common(options: CriuOptions) -> dict[str, Any]:
    """What checkpoint and restore have in common."""
    return {
        "log_level": 4,
        "notify_scripts": True,
        "orphan_pts_master": True,
        "manage_cgroups": True,
        "manage_cgroups_mode": options.cgroups_mode,
        # Network devices and addresses are for whoever has made them.
        "empty_ns": CLONE_NEWNET,
        "tcp_established": options.tcp_established,
        "ext_unix_sk": options.ext_unix_sk,
        "shell_job": options.shell_job,
        "file_locks": options.file_locks,
        "auto_dedup": options.auto_dedup,
        "lazy_pages": options.lazy_pages,
    }


def dump_options(options: CriuOptions) -> dict[str, Any]:
    """What a checkpoint adds."""
    fields: dict[str, Any] = {
        **common(options),
        "log_file": "dump.log",
        "leave_running": options.leave_running,
        "tcp_skip_in_flight": options.tcp_skip_in_flight,
        "link_remap": options.link_remap,
    }
    if options.parent_path is not None:
        fields["parent_img"] = options.parent_path
    if options.parent_path is not None or options.pre_dump:
        fields["track_mem"] = True
    if options.page_server is not None:
        address, port = options.page_server
        fields["ps"] = {"address": address, "port": port}
    return fields


def restore_options(options: CriuOptions) -> dict[str, Any]:
    """What a restore adds. The restored init is a child of criu's parent (rst_sibling), which waits for it."""
    fields: dict[str, Any] = {
        **common(options),
        "log_file": "restore.log",
        "evasive_devices": True,
        "rst_sibling": True,
    }
    if options.lsm_profile is not None:
        fields["lsm_profile"] = options.lsm_profile
    if options.lsm_mount_context is not None:
        fields["lsm_mount_context"] = options.lsm_mount_context
    return fields


def external_namespaces(compilation: Compilation, inode: Callable[[str], int]) -> list[str]:
    """The field external of a checkpoint: network and PID namespaces that were joined. *inode* gives that of the
    init's namespace by its file in /proc/PID/ns."""
    return [
        f"{word}[{inode(word)}]:{key}" for kind, (word, key) in _EXTERNAL.items() if kind in compilation.join_namespaces
    ]


def joined_namespaces(compilation: Compilation) -> tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]:
    """Which namespaces a restore has to be in: as (path, key, pointer) those that criu inherits, and as (path, criu's
    word, pointer) those that it joins."""
    inherited, joined = [], []
    for kind, (path, pointer) in compilation.join_namespaces.items():
        if kind in _EXTERNAL:
            inherited.append((path, _EXTERNAL[kind][1], pointer))
        elif kind in _JOINED:
            joined.append((path, _JOINED[kind], pointer))
    return inherited, joined
