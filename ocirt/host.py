"""Facts about this machine and this process, read once where somebody asks for them."""

from __future__ import annotations

import os

from ocirt.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cgroup import Cgroup
    from ocirt.plan.op import Host

_MINIMUM = (5, 14)
_CAP_SYS_ADMIN = 21


def require_kernel() -> None:
    """UnsupportedError on a kernel that lacks what every container needs (openat2, clone3, mount_setattr,
    cgroup.kill)."""
    release = os.uname().release
    major, _, rest = release.partition(".")
    minor = ""
    for character in rest:
        if not character.isdigit():
            break
        minor += character
    if major.isdigit() and (int(major), int(minor or 0)) < _MINIMUM:
        raise UnsupportedError(f"Linux {release}", f"Linux {_MINIMUM[0]}.{_MINIMUM[1]} or newer")


def _read(path: str) -> str:
    """The file's content, "" when it cannot be had: one of a process may be open already when that ends (ESRCH)."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, 8192).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)
    except OSError:
        return ""


def capabilities() -> tuple[int, int]:
    """The permitted and the effective set of this process, from /proc/self/status."""
    text = _read("/proc/self/status")
    sets = []
    for name in ("CapPrm:", "CapEff:"):
        start = text.find(name)
        sets.append(int(text[start + len(name) :].split(None, 1)[0], 16) if start >= 0 else 0)
    return sets[0], sets[1]


def in_user_namespace() -> bool:
    """Whether this process is in another user namespace than the initial one (user_namespaces(7))."""
    return _read("/proc/self/uid_map").split() != ["0", "0", "4294967295"]


def is_rootless() -> bool:
    """Whether the runtime lacks the privileges of the host's root."""
    return os.geteuid() != 0 or in_user_namespace()


def facts(cgroup: Cgroup, *, unit: str = "") -> Host:
    """What a plan depends on, with the container's cgroups as they were resolved. Those that an ordinary user may not
    make are left out of *cgroup* here; a cgroup mount shows the runtime's own in their place, read-only
    (CVE-2023-25809). *unit* as in `Host`."""
    from ocirt.plan.op import CgroupMount, Host

    all_directories = cgroup.directories
    cgroup.leave_out_forbidden()
    shown = tuple(
        CgroupMount(d.controllers, d.mount, d.path, d.version, True)
        if d in cgroup.directories
        else CgroupMount(d.controllers, d.mount, d.above, d.version, False)
        for d in all_directories
    )
    hierarchies = tuple((d.controllers, d.mount, d.path) for d in cgroup.directories if d.version == 1)
    unified = [(d.mount, d.path) for d in cgroup.directories if d.version == 2]
    mode = "none"
    if unified:
        mode = "hybrid" if hierarchies else "v2"
    elif hierarchies:
        mode = "v1"
    permitted, effective = capabilities()
    rootless = is_rootless()
    return Host(
        privileged=bool(effective >> _CAP_SYS_ADMIN & 1),
        rootless=rootless,
        denies_groups=rootless and _read("/proc/self/setgroups").startswith("deny"),
        capabilities=permitted,
        euid=os.geteuid(),
        cgroup_mode=mode,
        cgroup_mounts=shown,
        hierarchies=hierarchies,
        cgroup2=unified[0] if unified else None,
        unit=unit,
        apparmor=_read("/sys/module/apparmor/parameters/enabled").startswith("Y"),
        selinux=os.path.exists("/sys/fs/selinux/enforce"),
        has_kcore=os.path.exists("/proc/kcore"),
    )


def is_own_namespace(path: str, kind: str) -> bool:
    """Whether the namespace at *path* is the one of *kind* ("net") that this process is in."""
    try:
        return os.path.samestat(os.stat(path), os.stat(f"/proc/self/ns/{kind}"))
    except OSError:
        return False


def pid_inside(pid: int) -> int:
    """The pid that a process has in its own PID namespace: the last of NSpid in /proc/PID/status (proc(5))."""
    text = _read(f"/proc/{pid}/status")
    start = text.find("NSpid:")
    return int(text[start + 6 : text.index("\n", start)].split()[-1]) if start >= 0 else pid


def standard_streams() -> list[str]:
    """What the standard streams of this process lead to, as /proc/self/fd names it: a pipe by its inode."""
    streams = []
    for fd in range(3):
        try:
            streams.append(os.readlink(f"/proc/self/fd/{fd}"))
        except OSError:
            streams.append("")
    return streams


class ProcessStat:
    """What /proc/PID/stat says: ``state`` (one letter) and ``start_time`` (clock ticks since boot), proc(5)."""

    __slots__ = ("start_time", "state")

    def __init__(self, state: str, start_time: int) -> None:
        self.state = state
        self.start_time = start_time


def process_stat(pid: int) -> ProcessStat | None:
    """None when there is no such process. The name in it may hold anything, so fields are counted from its last ")"."""
    text = _read(f"/proc/{pid}/stat")
    fields = text[text.rfind(")") + 2 :].split(" ", 20)
    if len(fields) < 20:
        return None
    return ProcessStat(fields[0], int(fields[19]))
