"""The configuration that ``ocirt spec`` writes: runc's, so that what was written for one works with the other.

Pure: the ids of a rootless configuration are the caller's to give.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.config.types import Config, Mount

#: The version of the specification that the template follows.
OCI_VERSION = "1.3.0"

_CAPABILITIES = ("CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE")

_MASKED_PATHS = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
)

_READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def _mount(destination: str, type: str, source: str, *options: str) -> Mount:
    mount: Mount = {"destination": destination, "type": type, "source": source}
    if options:
        mount["options"] = list(options)
    return mount


def default_config(*, rootless: bool = False, uid: int = 0, gid: int = 0, cgroup2: bool = False) -> Config:
    """A new configuration that runs ``sh`` in ``rootfs``.

    With *rootless* it has a user namespace in which root is the host's *uid* and *gid*, and what an unprivileged user
    cannot do is left out: a network namespace, limits, a fresh sysfs, and mount options with a gid that is not mapped.
    With *cgroup2* it has a cgroup namespace, for hosts with the unified hierarchy.

    No set is inheritable or ambient: file capabilities must not bring back what the process gave up (CVE-2022-29162).
    """
    devpts_options = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    if rootless:
        sys = _mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")
    else:
        devpts_options.append("gid=5")
        sys = _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro")
    config: Config = {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": list(_CAPABILITIES),
                "effective": list(_CAPABILITIES),
                "permitted": list(_CAPABILITIES),
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "ocirt",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount("/dev/pts", "devpts", "devpts", *devpts_options),
            _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            sys,
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
            "maskedPaths": list(_MASKED_PATHS),
            "readonlyPaths": list(_READONLY_PATHS),
        },
    }
    linux = config["linux"]
    if cgroup2:
        linux["namespaces"].append({"type": "cgroup"})
    if rootless:
        linux["uidMappings"] = [{"containerID": 0, "hostID": uid, "size": 1}]
        linux["gidMappings"] = [{"containerID": 0, "hostID": gid, "size": 1}]
        linux["namespaces"].append({"type": "user"})
    else:
        linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
        linux["namespaces"].insert(1, {"type": "network"})
    return config
