"""The bundles whose plans are kept in golden/: a configuration, the host that it meets, and how create or exec was
called.

Everything is made by hand: no case looks at the machine that it runs on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ocirt.cgroup import resources
from ocirt.cgroup.layout import Hierarchy, Layout
from ocirt.config.load import validate_config, validate_process
from ocirt.config.template import default_config
from ocirt.plan import CREATE, CREATE_WITHOUT_PROCESS, EXEC, Compilation, Host, Plan, compile_plan

V1_HIERARCHIES = (("cpu", "cpuacct"), ("memory",), ("devices",), ("pids",), ("name=systemd",))
V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma")
MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def _v1_mount(controllers: tuple[str, ...]) -> str:
    return "/sys/fs/cgroup/" + ",".join(controllers).removeprefix("name=")


LAYOUTS = {
    "none": Layout("none"),
    "v1": Layout("v1", hierarchies=tuple(Hierarchy(names, _v1_mount(names)) for names in V1_HIERARCHIES)),
    "hybrid": Layout(
        "hybrid",
        v2_mount="/sys/fs/cgroup/unified",
        hierarchies=tuple(Hierarchy(names, _v1_mount(names)) for names in V1_HIERARCHIES),
    ),
    "v2": Layout("v2", v2_mount="/sys/fs/cgroup", v2_controllers=V2_CONTROLLERS),
}


def host(mode: str, **facts: Any) -> Host:
    layout = LAYOUTS[mode]
    return Host(
        cgroup_mode=mode,
        hierarchies=tuple((h.controllers, h.mount, f"{h.mount}/box") for h in layout.hierarchies),
        cgroup2=(layout.v2_mount, f"{layout.v2_mount}/box") if layout.v2_mount else None,
        **facts,
    )


class Case:
    """One plan. ``change`` makes the configuration out of that of ``ocirt spec``; ``set_up`` says how it was called."""

    def __init__(
        self,
        name: str,
        change: Callable[[Any], None] = lambda config: None,
        *,
        mode: str = "v2",
        facts: dict[str, Any] | None = None,
        set_up: Callable[[Compilation], None] = lambda compilation: None,
        rootless: bool = False,
        process: dict[str, Any] | None = None,
    ) -> None:
        self.name = name
        self.config: Any = default_config(rootless=rootless, uid=1000, gid=1000, cgroup2=mode == "v2")
        self.config["process"]["terminal"] = False
        change(self.config)
        self.mode = mode
        self.host = host(mode, **(facts or {}))
        self.set_up = set_up
        self.process = process

    def compile(self) -> Plan:
        """The plan of create, or that of an exec where the case has a ``process``."""
        validate_config(self.config)
        compilation = Compilation(self.config, self.host, id="box", bundle="/bundle", rootfs="/bundle/rootfs")
        if self.mode != "none":
            asked = self.config.get("linux", {}).get("resources") or {}
            compilation.settings = resources.compile(asked, LAYOUTS[self.mode])
            compilation.device_program = resources.device_program(asked.get("devices") or (), LAYOUTS[self.mode])
        compilation.console = bool((self.process or self.config.get("process") or {}).get("terminal"))
        order = CREATE if "process" in self.config else CREATE_WITHOUT_PROCESS
        if self.process is not None:
            validate_process(self.process)
            compilation.process = self.process
            compilation.process_pointer = "process.json#"
            order = EXEC
        self.set_up(compilation)
        return compile_plan(order, compilation)

    def documents(self) -> tuple[Any, ...]:
        """What an origin of the plan may point into: the configuration, and before it an exec's process."""
        return (self.process, self.config) if self.process is not None else (self.config,)


def namespaces(config: Any, *types: str, **joined: str) -> None:
    config["linux"]["namespaces"] = [{"type": type} for type in types]
    config["linux"]["namespaces"] += [{"type": type, "path": path} for type, path in joined.items()]


def in_user_namespace(config: Any) -> None:
    config["linux"]["namespaces"].append({"type": "user"})
    config["linux"]["uidMappings"] = config["linux"]["gidMappings"] = MAPPINGS


def writable_cgroup_in_user_namespace(config: Any) -> None:
    in_user_namespace(config)
    config["process"]["user"]["uid"] = 1000
    next(mount for mount in config["mounts"] if mount["type"] == "cgroup")["options"].remove("ro")


def cgroups_below(config: Any) -> None:
    writable_cgroup_in_user_namespace(config)
    config["annotations"] = {"run.oci.systemd.subgroup": "inner", "run.oci.delegate-cgroup": "payload"}


def devices_in_user_namespace(config: Any) -> None:
    in_user_namespace(config)
    own_devices(config)


def bare(config: Any) -> None:
    """Nothing but a program, a root filesystem and the namespaces: what is left shows what every plan has."""
    process = config["process"]
    config.clear()
    config.update(
        ociVersion="1.3.0",
        root={"path": "rootfs"},
        process={"args": process["args"], "cwd": "/", "user": {"uid": 0, "gid": 0}},
        linux={"namespaces": [{"type": "mount"}]},
    )


def joined(config: Any) -> None:
    kinds = {"network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid", "cgroup": "cgroup", "user": "user"}
    namespaces(config, "mount", **{kind: f"/proc/4711/ns/{file}" for kind, file in kinds.items()})
    del config["hostname"]


def joined_mount_namespace(config: Any) -> None:
    bare(config)
    namespaces(config, mount="/proc/4711/ns/mnt")


def without_mount_namespace(config: Any) -> None:
    bare(config)
    namespaces(config, "pid")


def time_namespace(config: Any) -> None:
    bare(config)
    namespaces(config, "mount", "time")
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 3600, "nanosecs": 5}, "boottime": {"secs": -7}}


def time_namespace_of_a_user(config: Any) -> None:
    config["linux"]["namespaces"].append({"type": "time"})
    config["linux"]["timeOffsets"] = {"monotonic": {"secs": 3600}}


def add_mount(config: Any, destination: str, type: str, source: str, *options: str) -> None:
    mount = {"destination": destination, "source": source, "options": list(options)}
    config["mounts"].append({**mount, "type": type} if type else mount)


def every_bind(config: Any) -> None:
    bare(config)
    config["mounts"] = []
    add_mount(config, "/a", "bind", "/srv/a", "bind")
    add_mount(config, "/b", "", "/srv/b", "rbind", "ro")
    add_mount(config, "/c", "none", "relative/c", "bind", "rro", "nosuid", "noexec", "nodev")
    add_mount(config, "/d", "bind", "/srv/d", "rbind", "rshared", "rnoatime", "rnosymfollow")
    add_mount(config, "/e", "bind", "/srv/e", "bind", "private", "slave", "unbindable")
    add_mount(config, "/etc/hosts", "bind", "/srv/hosts", "bind", "ro", "rw", "strictatime", "nodiratime")
    add_mount(config, "/proc/cpuinfo", "bind", "/srv/cpuinfo", "bind", "ro")
    add_mount(config, "deprecated/../relative//destination/", "bind", "/srv/f", "bind", "norelatime")


def every_filesystem(config: Any) -> None:
    bare(config)
    config["mounts"] = []
    add_mount(config, "/proc", "proc", "proc", "hidepid=2")
    add_mount(config, "/sys", "sysfs", "sysfs", "ro", "nosuid")
    add_mount(config, "/dev", "tmpfs", "tmpfs", "mode=755", "size=64k", "ro")
    add_mount(config, "/dev/pts", "devpts", "devpts", "newinstance", "gid=5")
    add_mount(config, "/dev/mqueue", "mqueue", "mqueue", "nodev")
    add_mount(config, "/tmp", "tmpfs", "scratch", "size=1g", "noexec", "noatime")
    add_mount(config, "/var/cache", "tmpfs", "tmpfs", "ro", "defaults")
    add_mount(config, "/data", "ext4", "/dev/vdb1", "ro", "sync", "data=journal", "lazytime", "iversion")
    add_mount(config, "/merged", "overlay", "overlay", "lowerdir=/l", "upperdir=/u", "workdir=/w", "ro")
    add_mount(config, "/proc/meminfo", "tmpfs", "tmpfs", "shared")


def labelled_mounts(config: Any) -> None:
    every_filesystem(config)
    config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    config["linux"]["maskedPaths"] = ["/proc/acpi"]
    add_mount(config, "/sys/fs/cgroup", "cgroup", "cgroup")
    add_mount(config, "/own", "tmpfs", "tmpfs", 'context="system_u:object_r:tmp_t:s0:c3,c4"')
    add_mount(config, "/volume", "bind", "/srv/volume", "rbind")


def labelled_mount_roots(config: Any) -> None:
    bare(config)
    config["annotations"] = {"run.oci.mount_context_type": "rootcontext"}
    config["linux"]["mountLabel"] = "system_u:object_r:container_file_t:s0:c1,c2"
    config["mounts"] = []
    add_mount(config, "/tmp", "tmpfs", "tmpfs")


def copied_tmpfs(config: Any) -> None:
    bare(config)
    config["mounts"] = []
    add_mount(config, "/etc", "tmpfs", "tmpfs", "tmpcopyup", "ro", "mode=700")


def mapped_mounts(config: Any) -> None:
    bare(config)
    in_user_namespace(config)
    own = {"uidMappings": MAPPINGS, "gidMappings": MAPPINGS}
    other = {key: [{"containerID": 0, "hostID": 7000, "size": 10}] for key in own}
    bind = {"type": "bind", "source": "/srv/a"}
    config["mounts"] = [
        {"destination": "/own", "options": ["bind"], **bind, **own},
        {"destination": "/other", "options": ["rbind", "ridmap"], **bind, **other},
        {"destination": "/implied", "options": ["bind", "idmap"], **bind},
        {"destination": "/inline", "options": ["bind", "idmap=uids=0-1-10;gids=@0-5-10"], **bind},
    ]


def shared_root(config: Any) -> None:
    bare(config)
    config["linux"]["rootfsPropagation"] = "rshared"
    config["mounts"] = []
    add_mount(config, "/a", "bind", "/srv/a", "rbind", "rshared")


def private_root(config: Any) -> None:
    bare(config)
    config["linux"]["rootfsPropagation"] = "private"
    config["mounts"] = []
    add_mount(config, "/a", "bind", "/srv/a", "bind")


def own_devices(config: Any) -> None:
    config["linux"]["devices"] = [
        {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 0o660, "uid": 1000, "gid": 5},
        {"path": "/dev/vdb", "type": "b", "major": 254, "minor": 300},
        {"path": "/dev/null", "type": "u", "major": 1, "minor": 3, "fileMode": 0o20600},
        {"path": "/run/queue", "type": "p", "fileMode": 0o600},
    ]


def bound_dev(config: Any) -> None:
    bare(config)
    config["mounts"] = []
    add_mount(config, "/dev/", "bind", "/dev", "rbind")


def every_hook(config: Any) -> None:
    bare(config)
    config["hooks"] = {
        kind: [
            {"path": f"/usr/libexec/{kind}", "args": [kind, "first"], "env": ["A=b"], "timeout": 5},
            {"path": "/second"},
        ]
        for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    }


def every_process_property(config: Any) -> None:
    config["process"].update(
        terminal=True,
        consoleSize={"height": 24, "width": 80},
        args=["/bin/server", "--port", "80"],
        env=["PATH=/bin", "HOME=/old", "HOME=/home/app", "TZ=UTC"],
        cwd="/srv/app",
        user={"uid": 1000, "gid": 1001, "umask": 0o077, "additionalGids": [5, 6]},
        oomScoreAdj=-500,
        noNewPrivileges=False,
        rlimits=[
            {"type": "RLIMIT_CORE", "soft": 0, "hard": (1 << 64) - 1},
            {"type": "RLIMIT_NPROC", "soft": 10, "hard": 20},
        ],
        ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 4},
        apparmorProfile="container-default",
        selinuxLabel="system_u:system_r:container_t:s0:c1,c2",
    )
    config["process"]["capabilities"]["inheritable"] = ["CAP_KILL"]
    config["process"]["capabilities"]["ambient"] = ["CAP_KILL"]
    config["linux"]["personality"] = {"domain": "LINUX32"}
    config["domainname"] = "example.org"


def seccomp(config: Any) -> None:
    bare(config)
    config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW"}


def sysctls(config: Any) -> None:
    bare(config)
    namespaces(config, "mount", "network", "ipc")
    config["linux"]["sysctl"] = {
        "net.ipv4.ip_forward": "1",
        "net/ipv4/conf/eth0.100/forwarding": "1",
        "kernel.msgmax": "65536",
    }


def net_devices(config: Any) -> None:
    bare(config)
    namespaces(config, "mount", "network")
    config["linux"]["netDevices"] = {"eth0": {"name": "inside0"}, "eth1": {}}


def docker_like_limits(config: Any) -> None:
    config["linux"]["cgroupsPath"] = "/box"
    config["linux"]["resources"] = {
        "memory": {"limit": 512 << 20, "reservation": 256 << 20, "swap": 1 << 30},
        "cpu": {"shares": 512, "quota": 50000, "period": 100000},
        "pids": {"limit": 100},
    }


class Filter:
    """A compiled filter of one instruction: return SECCOMP_RET_ALLOW."""

    program = bytes.fromhex("06000000 0000ff7f")
    flags = 0
    notify = False


def _set(**attributes: Any) -> Callable[[Compilation], None]:
    def set_up(compilation: Compilation) -> None:
        for name, value in attributes.items():
            setattr(compilation, name, value)

    return set_up


_ROOTLESS = {"privileged": False, "euid": 1000, "capabilities": 0}
_SHELL = {
    "args": ["sh", "-c", "id"],
    "cwd": "/",
    "env": ["PATH=/bin"],
    "user": {"uid": 0, "gid": 0},
    "noNewPrivileges": True,
}

CASES = (
    Case("default"),
    Case("default-on-v1", mode="v1"),
    Case("default-on-hybrid", mode="hybrid"),
    Case("default-without-cgroups", mode="none"),
    Case("default-of-run", set_up=_set(detached=False)),
    Case("bare", bare),
    Case("without-process", lambda config: config.pop("process")),
    Case("user-namespace", in_user_namespace),
    Case("user-namespace-on-hybrid", in_user_namespace, mode="hybrid"),
    Case("rootless", rootless=True, facts=_ROOTLESS),
    Case("joined-namespaces", joined),
    Case("joined-namespaces-unprivileged", joined, facts=_ROOTLESS),
    Case("joined-mount-namespace", joined_mount_namespace),
    Case("without-mount-namespace", without_mount_namespace),
    Case("time-namespace", time_namespace),
    Case("time-namespace-rootless", time_namespace_of_a_user, rootless=True, facts=_ROOTLESS),
    Case("no-pivot", bare, set_up=_set(no_pivot=True)),
    Case("no-new-keyring", bare, set_up=_set(no_new_keyring=True)),
    Case("preserve-fds", bare, set_up=_set(preserve_fds=2)),
    Case("mounts-bind", every_bind),
    Case("mounts-bind-unprivileged", every_bind, facts=_ROOTLESS),
    Case("mounts-filesystem", every_filesystem),
    Case("mounts-labelled", labelled_mounts, facts={"selinux": True}, mode="v1"),
    Case("mounts-labelled-without-selinux", labelled_mounts),
    Case("mount-roots-labelled", labelled_mount_roots, facts={"selinux": True}),
    Case("mounts-copied-tmpfs", copied_tmpfs),
    Case("mounts-mapped", mapped_mounts),
    Case("shared-root", shared_root),
    Case("private-root", private_root),
    Case("devices", own_devices),
    Case("devices-in-user-namespace", devices_in_user_namespace),
    Case("devices-bound", bound_dev),
    Case("hooks", every_hook),
    Case("process", every_process_property, facts={"apparmor": True, "selinux": True}),
    Case("seccomp", seccomp, set_up=_set(filter=Filter)),
    Case("sysctl", sysctls),
    Case("net-devices", net_devices),
    Case("limits-on-v1", docker_like_limits, mode="v1"),
    Case("limits-on-v2", docker_like_limits),
    Case("limits-of-nothing", bare, mode="v1"),
    Case("cgroup-of-the-containers-user", writable_cgroup_in_user_namespace),
    Case("systemd-unit", facts={"unit": "ocirt-box.scope"}),
    Case("systemd-unit-with-cgroups-below", cgroups_below, facts={"unit": "ocirt-box.scope"}),
    Case("systemd-unit-on-hybrid", facts={"unit": "ocirt-box.scope"}, mode="hybrid"),
    Case("exec-into-systemd-unit", facts={"unit": "ocirt-box.scope"}, process=_SHELL),
    Case("exec", process=_SHELL),
    Case("exec-on-hybrid", mode="hybrid", process=_SHELL),
    Case("exec-in-user-namespace", in_user_namespace, process=_SHELL),
    Case("exec-with-terminal", process={**_SHELL, "terminal": True, "consoleSize": {"height": 50, "width": 132}}),
    Case("exec-without-pivot", process=_SHELL, set_up=_set(exec_join_root=True)),
    Case("exec-with-seccomp", seccomp, process=_SHELL, set_up=_set(filter=Filter)),
)
