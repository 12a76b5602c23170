"""``mounts``: each becomes one op, a cgroup mount on v1 several (config.md#mounts)."""

from __future__ import annotations

from ocirt.config.rules import PROC_MOUNTS
from ocirt.errors import ConfigError, UnsupportedError
from ocirt.plan import cgroup_mounts, labels
from ocirt.plan.constants import MOUNT_ATTR_NOSYMFOLLOW, MOUNT_ATTR_RDONLY, MS_PRIVATE, MS_SHARED
from ocirt.plan.id_mapping import id_map
from ocirt.plan.mount_options import LINKS, Options, pack_propagation, split_data
from ocirt.plan.op import Op, Source, strings
from ocirt.plan.rootfs import default_propagation, propagation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.plan.op import Compilation

# Filesystems without a device: read-only is a matter of the mount, not of the superblock, which others may share.
_VIRTUAL = frozenset(("tmpfs", "proc", "sysfs", "devpts", "mqueue", "cgroup", "cgroup2", "overlay", "ramfs"))

# Words about a superblock that ask for what it does anyway.
_DEFAULTS = frozenset(("async", "nolazytime", "nomand"))

_SYNC_MOUNTS = 4


def clean(destination: str) -> str:
    """The destination as an absolute path without empty and ``.`` components; ``..`` at the root is the root.

    config.md: a relative destination is deprecated and means one relative to "/".
    """
    parts: list[str] = []
    for part in destination.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def ops(c: Compilation) -> list[Op]:
    result: list[Op] = []
    for index, mount in enumerate(c.config.get("mounts") or ()):
        pointer = f"/mounts/{index}"
        options = Options(mount.get("options") or [])
        kind = mount.get("type") or ""
        destination = _destination(c, mount["destination"])
        if options.bind is not None or kind == "bind":
            result += _bind(c, mount, destination, options, pointer)
        elif kind == "cgroup" or (kind == "cgroup2" and c.host.hierarchies):
            result += cgroup_mounts.ops(c, destination, options, pointer)
        else:
            result += _filesystem(c, mount, kind, destination, options, pointer)
    return result


def late(c: Compilation) -> list[Op]:
    """Mounts in which devices, and targets of other mounts, had to be made first."""
    result = []
    for index, mount in enumerate(c.config.get("mounts") or ()):
        options = Options(mount.get("options") or [])
        destination = _destination(c, mount["destination"])
        if _is_late(mount.get("type"), destination, options):
            result.append(
                Op("MOUNT_READONLY", f"make {destination} read-only", f"/mounts/{index}/options", path=destination)
            )
    return result


def remove(c: Compilation) -> list[Op]:
    """Takes what is mounted at the destinations out of a container that runs, the last first."""
    found = [(index, _destination(c, mount["destination"])) for index, mount in enumerate(c.config["mounts"])]
    return [
        Op("UNMOUNT", f"unmount {path}", f"/mounts/{index}/destination", path=path, flags=("NO_SYMLINKS",))
        for index, path in found[::-1]
    ]


def refuse_unfit(c: Compilation) -> list[Op]:
    """A process that is not in the container's PID and cgroup namespaces would show those of the host."""
    for index, mount in enumerate(c.config["mounts"]):
        kind = mount.get("type") or ""
        if kind in ("proc", "cgroup", "cgroup2") and Options(mount.get("options") or []).bind is None:
            needs = "a filesystem of another type, or a bind mount"
            raise UnsupportedError(f"mounting {kind} in a running container", needs, pointer=f"/mounts/{index}/type")
    return []


def _is_late(kind: str | None, destination: str, options: Options) -> bool:
    return (
        bool(options.attributes & MOUNT_ATTR_RDONLY)
        and options.bind is None
        and kind != "bind"
        and (kind == "tmpfs" or destination == "/dev")
    )


def _destination(c: Compilation, destination: str) -> str:
    """Inside of the container. A host path that leads into the root filesystem means the place there, as with runc."""
    if destination.startswith(c.rootfs + "/"):
        destination = destination[len(c.rootfs) :]
    return clean(destination)


def _attributes(options: Options) -> tuple[int, int]:
    """a and b of BIND: the mount's own attributes in the low half, those of the tree in the high half."""
    return options.set | options.tree_set << 32, options.clear | options.tree_clear << 32


def _proc_flags(destination: str) -> tuple[str, ...]:
    """Nothing but procfs covers /proc itself, and below it a few files alone are covered (CVE-2019-16884)."""
    if destination == "/proc":
        return ("ON_PROCFS", "FROM_PROCFS", "NO_SYMLINKS")
    return ("ON_PROCFS", "NO_SYMLINKS") if destination in PROC_MOUNTS else ()


def _bind(c: Compilation, mount: Any, destination: str, options: Options, pointer: str) -> list[Op]:
    fd = c.mount_fds.get(mount["destination"])
    source = mount.get("source") if fd is None else f"descriptor {fd}"
    if not source:
        raise ConfigError("a bind mount needs a source", pointer=pointer + "/source")
    # Engines pass on what a user has written, as in "-v /a:/b:async".
    ignored = [word for word in options.superblock if word not in _DEFAULTS] + options.data
    if options.copy_up:
        ignored.append("tmpcopyup")
    if ignored:
        words = ", ".join(ignored)
        c.warnings.append(f"{pointer}/options: {words}: options of a filesystem, which a bind mount has not: ignored")
    recursive = bool(options.bind) or options.bind is None
    # runc binds out of a copy of the host's mounts that are slaves (or private) by then; a clone of the host's own
    # mount is a peer, and would send what is mounted in the container to the host.
    first = [] if propagation(c) & MS_SHARED else [(1 if default_propagation(c) == MS_PRIVATE else 2) | 8]
    a, b = _attributes(options)
    flags = _proc_flags(destination) + (("RECURSIVE",) if recursive else ()) + _link_flags(options, pointer)
    if options.has_attributes:
        if c.has_namespace("user"):
            # The kernel would keep the others there, but for this one, which it never locks.
            b |= MOUNT_ATTR_NOSYMFOLLOW & ~options.set
        else:
            flags += ("CLEAR_OTHERS",)
    word = "rbind" if recursive else "bind"
    mapping = id_map(c, mount, options.id_map, pointer + "/options")
    follow = "SOURCE_LINK" not in flags
    text = ""
    sources: tuple[Source, ...] = ()
    if fd is not None:
        sources = (Source("descriptor", recursive=recursive, index=fd, id_map=mapping),)
    else:
        text, sources = c.host_tree(source, recursive=recursive, id_map=mapping, follow=follow)
        for each in sources if c.has_namespace("user") else ():
            each.is_locked = True
    bind = Op(
        "BIND",
        f"{word} {source} on {destination}{_said(mount)}",
        pointer,
        path=destination,
        text=text,
        flags=flags,
        a=a,
        b=b,
        c=pack_propagation(first + options.propagation),
        sources=sources,
    )
    if sources and sources[0].kind == "container-tree":
        return [Op("SYNC", f"wait for {source} to be opened", pointer + "/source", a=_SYNC_MOUNTS), bind]
    return [bind]


def _link_flags(options: Options, pointer: str) -> tuple[str, ...]:
    if "copy-symlink" in options.links and len(set(options.links)) > 1:
        text = f"wanted copy-symlink alone, found {' and '.join(options.links)}"
        raise ConfigError(text, pointer=pointer + "/options")
    return tuple({flag: None for word in options.links for flag in LINKS[word]})


def _said(mount: Any) -> str:
    words = [word for word in mount.get("options") or () if word not in ("bind", "rbind")]
    return f" ({','.join(words)})" if words else ""


def _filesystem(c: Compilation, mount: Any, kind: str, destination: str, options: Options, pointer: str) -> list[Op]:
    if not kind:
        raise ConfigError("a mount needs a type unless it is a bind mount", pointer=pointer + "/type")
    flags: tuple[str, ...] = ()
    attributes = options.attributes
    # A flag that mount(2) takes for every filesystem is an option that only some of those with a device know.
    data = [word for word in options.superblock if word != "iversion" or kind not in _VIRTUAL]
    data += [labels.unquoted(word) for words in options.data for word in split_data(words)]
    data += labels.options(c, kind, data)
    if attributes & MOUNT_ATTR_RDONLY:
        if _is_late(kind, destination, options):
            attributes &= ~MOUNT_ATTR_RDONLY
        elif kind not in _VIRTUAL:
            data.append("ro")
    if kind in ("proc", "sysfs"):
        flags = ("ON_PROCFS", "NO_SYMLINKS")
    elif kind == "tmpfs" and not any(word.startswith("mode=") for word in data):
        flags = ("INHERIT_MODE",)
    if options.links:
        text = f"{options.links[0]} is for a bind mount, found one of type {kind!r}"
        raise ConfigError(text, pointer=pointer + "/options")
    if options.copy_up:
        if kind != "tmpfs":
            raise ConfigError(f"tmpcopyup is for a tmpfs, found {kind!r}", pointer=pointer + "/options")
        flags += ("COPY_UP",)
    if destination in PROC_MOUNTS:
        flags += _proc_flags(destination)
    step = f"mount {kind} on {destination}{_said(mount)}"
    mapping = id_map(c, mount, options.id_map, pointer + "/options")
    if mapping is not None:
        if options.copy_up:
            raise ConfigError("tmpcopyup is not for an id-mapped mount", pointer=pointer + "/options")
        # Made by the runtime: the init has no rights over a mapping to ids that are not of its user namespace.
        made = Source("filesystem", kind, index=attributes, data=(mount.get("source") or kind, *data), id_map=mapping)
        return [Op("BIND", step, pointer, path=destination, c=pack_propagation(options.propagation), sources=(made,))]
    return [
        Op(
            "MOUNT",
            step,
            pointer,
            path=destination,
            text=kind,
            data=strings(mount.get("source") or kind, *data),
            flags=flags,
            a=attributes,
            c=pack_propagation(options.propagation),
        )
    ]
