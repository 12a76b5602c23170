"""What a plan consists of: operations, each with the words for it and the property that it comes from.

Pure data. launch.wire turns the operations of the init into bytes, launch.walk does those of the host, ``ocirt plan``
prints both.
"""

from __future__ import annotations

from ocirt.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class IdMap:
    """How the ids of a mount are mapped: ``uids`` and ``gids`` in the form of /proc/PID/uid_map, both empty for those
    of the container's user namespace; ``recursive``: the mounts below, too."""

    __slots__ = ("gids", "recursive", "uids")

    def __init__(self, uids: str, gids: str, recursive: bool) -> None:
        self.uids = uids
        self.gids = gids
        self.recursive = recursive


class Source:
    """A descriptor that the runtime opens for an op.

    ``kind`` is "descriptor" (what the caller has opened as ``index``), "tree" (a clone of the mounts at ``path``,
    open_tree(2)), "container-tree" (the same in the container's mounts as they are by then), "filesystem" (a new one of
    type ``path``, with the source and the options in ``data`` and the attributes ``index``), "path" (O_PATH),
    "namespace" (read-only), or a word for what only the launch knows: "console", "listener", "hook-input",
    "hook-stdout", "hook-stderr", "cgroup-entry", "cgroup2-entry", "delegated-cgroup", "cgroup", "init",
    "init-root". The first four may have an ``id_map``.
    A tree without ``follow`` is that of the symbolic link at the end of the path; of one that ``is_locked`` the op may
    take away no attribute that protects the host.
    """

    __slots__ = ("data", "follow", "id_map", "index", "is_locked", "kind", "path", "recursive")

    def __init__(
        self,
        kind: str,
        path: str = "",
        *,
        recursive: bool = False,
        index: int = 0,
        data: tuple[str, ...] = (),
        id_map: IdMap | None = None,
        follow: bool = True,
    ) -> None:
        self.kind = kind
        self.follow = follow
        self.path = path
        self.recursive = recursive
        self.index = index
        self.data = data
        self.id_map = id_map
        self.is_locked = False

    @property
    def needs_init(self) -> bool:
        """Whether it is reached by way of the container's process."""
        return self.kind == "container-tree" or (self.id_map is not None and not self.id_map.uids)

    def __repr__(self) -> str:
        return f"Source({self.kind!r}, {self.path!r})"


class Op:
    """One operation.

    ``kind`` is the name of an op code of csrc/plan.h without its prefix ("MOUNT"), or of a host operation
    ("create-cgroup"). ``step`` says what it does, in words that also stand behind "cannot" in an error. ``origin`` is
    the JSON pointer of the property that asks for it. The other fields are those of ``struct ocirt_op``; ``sources``
    are opened for its slots.
    """

    __slots__ = (
        "a",
        "b",
        "c",
        "data",
        "flags",
        "kind",
        "mode",
        "origin",
        "path",
        "sources",
        "step",
        "text",
        "value",
        "where",
    )

    def __init__(
        self,
        kind: str,
        step: str,
        origin: str = "",
        *,
        path: str = "",
        text: str | bytes = "",
        data: bytes = b"",
        flags: tuple[str, ...] = (),
        mode: int = 0,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        sources: tuple[Source, ...] = (),
        where: str = "init",
        value: object = None,
    ) -> None:
        self.kind = kind
        self.step = step
        self.origin = origin
        self.path = path
        self.text = text
        self.data = data
        self.flags = flags
        self.mode = mode
        self.a = a
        self.b = b
        self.c = c
        self.sources = sources
        self.where = where
        self.value = value

    def describe(self) -> str:
        """The step, and where it stands (host or init) is told by ``where``."""
        return self.step

    def __repr__(self) -> str:
        return f"Op({self.kind!r}, {self.step!r}, {self.origin!r})"


def host_op(kind: str, step: str, origin: str = "", value: object = None) -> Op:
    """An operation that the runtime does itself when it comes to it; ``value`` is what the doer needs."""
    return Op(kind, step, origin, where="host", value=value)


def strings(*values: str) -> bytes:
    """NUL-terminated strings one after the other, as the init takes argv, env and mount options."""
    return b"".join(value.encode("utf-8", "surrogateescape") + b"\0" for value in values)


class Plan:
    """A list of operations in the order in which they are done, and how many descriptors from 3 on the program
    keeps."""

    __slots__ = ("ops", "preserve_fds")

    def __init__(self, ops: list[Op], preserve_fds: int = 0) -> None:
        self.ops = ops
        self.preserve_fds = preserve_fds


class CgroupMount:
    """One hierarchy as a container is shown it: ``path`` is its own cgroup there, or without ``is_own`` the
    runtime's."""

    __slots__ = ("controllers", "is_own", "mount_point", "path", "version")

    def __init__(self, controllers: tuple[str, ...], mount_point: str, path: str, version: int, is_own: bool) -> None:
        self.controllers = controllers
        self.mount_point = mount_point
        self.path = path
        self.version = version
        self.is_own = is_own


class Host:
    """What a plan depends on beyond the configuration; ocirt.host reads it, tests make their own.

    ``privileged``: the runtime may clone mounts and raise limits on the host. ``hierarchies``: the v1 cgroup
    hierarchies as (controllers, mount point, path of the container's cgroup); ``cgroup2``: the unified tree as (mount
    point, path), or None. ``cgroup_mode``: "v1", "hybrid", "v2" or "none". ``cgroup_mounts``: what a cgroup mount
    shows, where that is more than the container's own. ``unit``: the systemd unit that takes the process into these
    cgroups, or "" where it enters them itself. ``capabilities`` is the mask of those that the runtime has.
    ``rootless``: it is not the host's root, and may be that of a user namespace; ``denies_groups``: setgroups(2) is
    denied there. ``has_kcore``: the kernel has /proc/kcore.
    """

    __slots__ = (
        "apparmor",
        "capabilities",
        "cgroup2",
        "cgroup_mode",
        "cgroup_mounts",
        "denies_groups",
        "euid",
        "has_kcore",
        "hierarchies",
        "privileged",
        "rootless",
        "selinux",
        "unit",
    )

    def __init__(
        self,
        *,
        privileged: bool = True,
        rootless: bool = False,
        denies_groups: bool = False,
        euid: int = 0,
        cgroup_mode: str = "none",
        hierarchies: tuple[tuple[tuple[str, ...], str, str], ...] = (),
        cgroup2: tuple[str, str] | None = None,
        cgroup_mounts: tuple[CgroupMount, ...] | None = None,
        unit: str = "",
        apparmor: bool = False,
        selinux: bool = False,
        has_kcore: bool = True,
        capabilities: int = (1 << 64) - 1,
    ) -> None:
        self.privileged = privileged
        self.rootless = rootless
        self.denies_groups = denies_groups
        self.euid = euid
        self.cgroup_mode = cgroup_mode
        self.hierarchies = hierarchies
        self.cgroup2 = cgroup2
        if cgroup_mounts is None:
            cgroup_mounts = tuple(CgroupMount(names, mount, path, 1, True) for names, mount, path in hierarchies)
            if cgroup2:
                cgroup_mounts += (CgroupMount((), *cgroup2, 2, True),)
        self.cgroup_mounts = cgroup_mounts
        self.unit = unit
        self.apparmor = apparmor
        self.selinux = selinux
        self.has_kcore = has_kcore
        self.capabilities = capabilities


class Compilation:
    """What every topic of a plan reads: the configuration, the process, the host and the options of the call."""

    __slots__ = (
        "annotations",
        "bundle",
        "config",
        "console",
        "create_namespaces",
        "detached",
        "device_program",
        "exec_join_root",
        "filter",
        "host",
        "id",
        "is_running",
        "is_traced",
        "join_namespaces",
        "linux",
        "mount_fds",
        "no_new_keyring",
        "no_pivot",
        "preserve_fds",
        "process",
        "process_pointer",
        "rootfs",
        "settings",
        "warnings",
    )  # fmt: skip

    def __init__(self, config: dict, host: Host, *, id: str, bundle: str = "", rootfs: str = "") -> None:  # type: ignore[type-arg]
        self.config = config
        self.bundle = bundle
        self.process = config.get("process")
        self.linux = config.get("linux") or {}
        self.annotations = config.get("annotations") or {}
        self.host = host
        self.id = id
        self.rootfs = rootfs
        self.no_pivot = False
        self.no_new_keyring = False
        self.preserve_fds = 0
        self.console = False
        self.detached = True
        self.filter = None
        self.settings: list = []  # type: ignore[type-arg]
        self.device_program = b""
        self.process_pointer = "/process"
        self.exec_join_root = False
        #: Destinations of bind mounts, and what the caller has opened to be mounted there.
        self.mount_fds: dict[str, int] = {}
        #: The container runs already: its mounts are those of the init, and the host is out of its reach.
        self.is_running = False
        #: What operations can tell about their outcome is wanted for the log.
        self.is_traced = False
        self.warnings: list[str] = []
        self.create_namespaces: dict[str, str] = {}
        self.join_namespaces: dict[str, tuple[str, str]] = {}
        for index, namespace in enumerate(self.linux.get("namespaces") or ()):
            pointer = f"/linux/namespaces/{index}"
            if namespace.get("path"):
                self.join_namespaces[namespace["type"]] = (namespace["path"], pointer)
            else:
                self.create_namespaces[namespace["type"]] = pointer

    def has_namespace(self, kind: str) -> bool:
        """Whether the container is in another namespace of this kind than the runtime."""
        return kind in self.create_namespaces or kind in self.join_namespaces

    def host_tree(
        self, path: str, *, recursive: bool, id_map: IdMap | None = None, follow: bool = True
    ) -> tuple[str, tuple[Source, ...]]:
        """How the init gets at mounts of the host: by a path, which it resolves in its copy of the host's mounts, or by
        a descriptor, with which the runtime has resolved it. Exactly one of the two looks it up.

        The descriptor reaches what the root of a user namespace may not, and is of the host's own mounts, which
        "shared" needs. The path saves both sides a call and keeps the kernel's list of mounts in the order of the
        configuration. A path into the root filesystem leads to what has been mounted there before, and so into the
        mounts of the init; an op with such a source comes after a meeting.
        """
        if self.is_running:
            if not self.host.privileged:
                needs = "a runtime that is root on the host"
                raise UnsupportedError(f"bringing {path} of the host into a running container", needs)
            return "", (Source("tree", path, recursive=recursive, id_map=id_map, follow=follow),)
        absolute = path if path.startswith("/") else f"{self.bundle}/{path}"
        shared = "shared" in (self.linux.get("rootfsPropagation") or "")
        # /proc/self and its like mean the runtime, not the init.
        in_reach = (
            "mount" in self.create_namespaces and not self.has_namespace("user") and not absolute.startswith("/proc/")
        )
        if id_map is None and (not self.host.privileged or (in_reach and not shared)):
            return absolute, ()
        is_inside = "mount" in self.create_namespaces and self._is_in_rootfs(absolute)
        kind = "container-tree" if is_inside else "tree"
        return "", (Source(kind, absolute, recursive=recursive, id_map=id_map, follow=follow),)

    def _is_in_rootfs(self, absolute: str) -> bool:
        """As the configuration names it, and as it is called without symbolic links."""
        named = self.config["root"]["path"]
        roots = (self.rootfs, named if named.startswith("/") else f"{self.bundle}/{named}")
        return any(absolute.startswith(root.rstrip("/") + "/") for root in roots)


if TYPE_CHECKING:
    Topic = Callable[[Compilation], list[Op]]
