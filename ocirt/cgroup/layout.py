"""What this host offers in cgroups: ``/proc/self/mountinfo`` and ``/proc/self/cgroup`` in, a `Layout` out.

A layout is plain data. `detect` reads the two files once; everything else, here and in the modules that use a
layout, works on the data alone, so a test can build the layout of any host.
"""

from __future__ import annotations

from ocirt.cgroup.directory import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# The place that every distribution, engine and workload expects; a cgroup2 mounted here is what makes a host "v2",
# whatever v1 hierarchies may be mounted elsewhere.
CGROUP_ROOT = "/sys/fs/cgroup"


class Hierarchy:
    """One mounted cgroup v1 hierarchy.

    ``controllers`` are its controllers, ("cpu", "cpuacct"), or its name, ("name=systemd",), as in /proc/self/cgroup;
    ``mount`` is the mount point, ``root`` the cgroup that is visible there (proc_pid_mountinfo(5), field 4) and ``own``
    the cgroup of the runtime, which is only comparable with ``root``.
    """

    __slots__ = ("controllers", "mount", "own", "root")

    def __init__(self, controllers: tuple[str, ...], mount: str, own: str = "/", root: str = "/") -> None:
        self.controllers = controllers
        self.mount = mount
        self.own = own
        self.root = root

    def __repr__(self) -> str:
        return f"Hierarchy({self.controllers!r}, {self.mount!r}, own={self.own!r}, root={self.root!r})"


class Layout:
    """The cgroup hierarchies of a host.

    ``mode`` is "v1" (hierarchies only), "hybrid" (hierarchies, and cgroup2 beside them), "v2" (cgroup2 only) or "none".
    ``v2_mount`` is where cgroup2 is mounted or None, ``v2_root`` and ``v2_own`` are for it what `Hierarchy` calls root
    and own, ``v2_controllers`` are the controllers that may be enabled below it. ``hierarchies`` are the v1 ones, in
    ascending order of their ids.
    """

    __slots__ = ("hierarchies", "mode", "v2_controllers", "v2_mount", "v2_own", "v2_root")

    def __init__(
        self,
        mode: str,
        *,
        v2_mount: str | None = None,
        v2_root: str = "/",
        v2_own: str = "/",
        v2_controllers: tuple[str, ...] = (),
        hierarchies: tuple[Hierarchy, ...] = (),
    ) -> None:
        self.mode = mode
        self.v2_mount = v2_mount
        self.v2_root = v2_root
        self.v2_own = v2_own
        self.v2_controllers = v2_controllers
        self.hierarchies = hierarchies

    def version_of(self, controller: str) -> int:
        """1 or 2, by the hierarchy that has *controller*; 0 when none has."""
        for hierarchy in self.hierarchies:
            if controller in hierarchy.controllers:
                return 1
        return 2 if controller in self.v2_controllers else 0


def detect(mountinfo: str | None = None, own: str | None = None, controllers: str | None = None) -> Layout:
    """The layout of this host, or that of the given texts.

    *mountinfo* and *own* are the contents of /proc/self/mountinfo and /proc/self/cgroup, *controllers* that of
    cgroup.controllers at the mount point of cgroup2. Each one that is None is read. OSError when that fails; a
    kernel without cgroups has no /proc/self/cgroup, and gives the mode "none".
    """
    if own is None:
        try:
            own = read("/proc/self/cgroup")
        except FileNotFoundError:
            return Layout("none")
    v1_mounts, v2 = cgroup_mounts(read("/proc/self/mountinfo") if mountinfo is None else mountinfo)
    hierarchies = []
    v2_own = "/"
    for line in reversed(own.splitlines()):
        # hierarchy-ID:controller-list:cgroup-path, of which only the path may have a colon in it (cgroups(7))
        _, names, path = line.split(":", 2)
        if not names:
            v2_own = path
            continue
        listed = tuple(names.split(","))
        for options, mount, root in v1_mounts:
            if listed[0] in options:
                hierarchies.append(Hierarchy(listed, mount, path, root))
                break
    if v2 is None:
        return Layout("v1" if hierarchies else "none", hierarchies=tuple(hierarchies))
    v2_mount, v2_root = v2
    if v2_mount == CGROUP_ROOT:
        hierarchies.clear()
    if controllers is None:
        controllers = read(v2_mount + "/cgroup.controllers")
    return Layout(
        "hybrid" if hierarchies else "v2",
        v2_mount=v2_mount,
        v2_root=v2_root,
        v2_own=v2_own,
        v2_controllers=tuple(controllers.split()),
        hierarchies=tuple(hierarchies),
    )


def place(mount: str, root: str, own: str) -> str:
    """The host path of the cgroup *own* in a hierarchy whose cgroup *root* is mounted at *mount*.

    In a container without a cgroup namespace of its own, /proc/self/cgroup has the host's path, and only the part from
    *root* on is visible. What lies outside *root* cannot be named at all: then it is the mount point, the nearest.
    """
    if root == "/":
        below = own
    elif own == root or own.startswith(root + "/"):
        below = own[len(root) :]
    else:
        below = ""
    # "/../x": the process sits outside the cgroup namespace it looks from (cgroup_namespaces(7))
    if below in ("", "/") or below.startswith("/.."):
        return mount
    return mount + below


def cgroup_mounts(
    mountinfo: str,
) -> tuple[Sequence[tuple[Sequence[str], str, str]], tuple[str, str] | None]:
    """The v1 mounts as (super options, mount point, root), and (mount point, root) of cgroup2, if mounted.

    Of several mounts of a hierarchy the first counts, and one below /sys/fs/cgroup before any other: the rest are
    binds into some root filesystem.
    """
    v1: list[tuple[Sequence[str], str, str]] = []
    v2: tuple[str, str] | None = None
    for line in mountinfo.splitlines():
        if " - cgroup" not in line:
            continue
        left, _, right = line.partition(" - ")
        left_fields = left.split(" ")
        right_fields = right.split(" ")
        root, mount = _unescape(left_fields[3]), _unescape(left_fields[4])
        standard = mount == CGROUP_ROOT or mount.startswith(CGROUP_ROOT + "/")
        if right_fields[0] == "cgroup2":
            if v2 is None or (standard and not v2[0].startswith(CGROUP_ROOT)):
                v2 = (mount, root)
        elif right_fields[0] == "cgroup":
            found = (right_fields[-1].split(","), mount, root)
            if standard:
                v1.insert(sum(1 for other in v1 if other[1].startswith(CGROUP_ROOT)), found)
            else:
                v1.append(found)
    return v1, v2


def _unescape(field: str) -> str:
    """A path of mountinfo without the octal escapes for space, tab, newline and backslash."""
    if "\\" not in field:
        return field
    return field.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
