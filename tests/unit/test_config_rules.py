"""Every rule of ocirt/config/rules.py: what breaks it, where the error points, what it says, and what is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from ocirt.config import rules
from ocirt.config.load import validate_config, validate_process, validate_resources
from ocirt.config.rules_linux import sysctl_parts
from ocirt.config.template import default_config
from ocirt.config.words import CAPABILITIES, parse_list
from ocirt.errors import ConfigError

LINUX = "/linux"
RESOURCES = "/linux/resources"
SECCOMP: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW"}
MAPPING = {"containerID": 0, "hostID": 1000, "size": 10}


def changed(**changes: Any) -> dict[str, Any]:
    """The default configuration with properties set: ``process__cwd="x"``; what is missing on the way is made."""
    config: Any = default_config()
    for name, value in changes.items():
        *way, last = name.split("__")
        part = config
        for step in way:
            part = part.setdefault(step, {})
        part[last] = value
    return dict(config)


def namespaces(*types: str) -> list[dict[str, str]]:
    """Entries for ``type`` or ``type=path``."""
    return [dict(zip(("type", "path"), entry.split("="), strict=False)) for entry in types]


def without(name: str) -> dict[str, Any]:
    config = changed()
    del config[name]
    return config


def mount(**properties: Any) -> dict[str, Any]:
    return changed(mounts=[{"destination": "/data", **properties}])


def broken(config: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(rule, pointer, message) of everything that is wrong with *config*."""
    found = []
    process = config.get("process", {})
    resources = config.get("linux", {}).get("resources", {})
    for prefix, part, checks in (
        ("", config, rules.CONFIG_RULES),
        ("/process", process, rules.PROCESS_RULES if process else ()),
        (RESOURCES, resources, rules.RESOURCES_RULES),
    ):
        for check, _ in checks:
            found += [(check.__name__, prefix + pointer, message) for pointer, message in check(part)]
    return found


CASES: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "version_is_supported",
        changed(ociVersion="2.0.0"),
        "/ociVersion",
        'wanted a version 1.x of the specification, found "2.0.0"',
    ),
    ("version_is_supported", changed(ociVersion="0.5.0-dev"), "/ociVersion", 'found "0.5.0-dev"'),
    ("version_is_supported", changed(ociVersion="invalid"), "/ociVersion", "in the format of SemVer 2.0.0"),
    ("version_is_supported", changed(ociVersion="1.0"), "/ociVersion", "in the format of SemVer 2.0.0"),
    ("version_is_supported", changed(ociVersion="1.00.0"), "/ociVersion", "in the format of SemVer 2.0.0"),
    ("version_is_supported", changed(ociVersion="1.0.0-"), "/ociVersion", "in the format of SemVer 2.0.0"),
    ("version_is_supported", changed(ociVersion="1.0.0-01"), "/ociVersion", "in the format of SemVer 2.0.0"),
    ("version_is_supported", changed(ociVersion="1.0.0+a..b"), "/ociVersion", "in the format of SemVer 2.0.0"),
    ("version_is_supported", changed(ociVersion="\u0661.0.0"), "/ociVersion", "in the format of SemVer 2.0.0"),
    ("root_is_given", without("root"), "", 'wanted the property "root", found none'),
    ("root_is_given", changed(root__path=""), "/root/path", "found an empty string"),
    (
        "uts_names_need_a_uts_namespace",
        changed(linux__namespaces=namespaces("pid", "mount")),
        "/hostname",
        "unable to set hostname without a private UTS namespace",
    ),
    (
        "uts_names_need_a_uts_namespace",
        {**without("linux"), "hostname": "", "domainname": "example.org"},
        "/domainname",
        "unable to set domainname without a private UTS namespace",
    ),
    ("uts_names_fit", changed(hostname="ä" * 33), "/hostname", "wanted at most 64 bytes, found 66"),
    ("uts_names_fit", changed(domainname="x" * 65), "/domainname", "wanted at most 64 bytes, found 65"),
    ("mount_destinations_are_given", mount(destination=""), "/mounts/0/destination", "found an empty string"),
    (
        "mounts_leave_proc_alone",
        mount(destination="/proc", type="tmpfs"),
        "/mounts/0/destination",
        '"/proc" cannot be mounted because it is not of type proc',
    ),
    (
        "mounts_leave_proc_alone",
        mount(destination="/tmp/..//proc/./sys", type="bind"),
        "/mounts/0/destination",
        "cannot be mounted because it is inside /proc",
    ),
    (
        "mounts_leave_proc_alone",
        mount(destination="proc/self/attr", type="proc"),
        "/mounts/0/destination",
        "inside /proc",
    ),
    (
        "mount_id_mappings_come_in_pairs",
        mount(uidMappings=[MAPPING]),
        "/mounts/0",
        'wanted "gidMappings" beside "uidMappings", found none',
    ),
    (
        "id_mapped_mounts_have_mappings",
        mount(options=["bind", "idmap"]),
        "/mounts/0",
        "id-mapped mounts must have both uid and gid mappings specified",
    ),
    (
        "hooks_are_absolute",
        changed(hooks__poststop=[{"path": "/a"}, {"path": "b"}]),
        "/hooks/poststop/1/path",
        'wanted an absolute path, found "b"',
    ),
    (
        "hook_environment_has_names",
        changed(hooks__prestart=[{"path": "/a", "env": ["A=", "B"]}]),
        "/hooks/prestart/0/env/1",
        "missing '='",
    ),
    (
        "annotated_paths_are_given",
        changed(annotations={"run.oci.hooks.stdout": ""}),
        "/annotations/run.oci.hooks.stdout",
        'wanted a path, found ""',
    ),
    (
        "annotated_paths_are_given",
        changed(annotations={"run.oci.pidfd_receiver": "a\0b"}),
        "/annotations/run.oci.pidfd_receiver",
        "wanted a path, found",
    ),
    (
        "delegated_cgroup_stays_below",
        changed(annotations={"run.oci.delegate-cgroup": "a/../.."}),
        "/annotations/run.oci.delegate-cgroup",
        'wanted the path of a cgroup without "..", found "a/../.."',
    ),
    (
        "delegated_cgroup_stays_below",
        changed(annotations={"run.oci.systemd.subgroup": "/"}),
        "/annotations/run.oci.systemd.subgroup",
        'wanted the path of a cgroup without "..", found "/"',
    ),
    (
        "mount_context_type_is_known",
        changed(annotations={"run.oci.mount_context_type": "label"}),
        "/annotations/run.oci.mount_context_type",
        'wanted one of context, defcontext, fscontext, rootcontext, found "label"',
    ),
    ("annotation_keys_are_given", changed(annotations={"": "x"}), "/annotations/", "wanted a key"),
    (
        "paths_are_short_enough",
        changed(linux__namespaces=[*namespaces("pid", "uts", "mount"), {"type": "network", "path": "/" + "x" * 70000}]),
        "/linux/namespaces/3/path",
        "wanted a path of at most 4095 bytes, found 70001",
    ),
    ("paths_are_short_enough", changed(root__path="ä" * 2048), "/root/path", "found 4096"),
    ("paths_are_short_enough", changed(linux__maskedPaths=["/" * 4096]), "/linux/maskedPaths/0", "found 4096"),
    ("paths_are_short_enough", mount(source="/" * 4096), "/mounts/0/source", "found 4096"),
    (
        "paths_are_short_enough",
        changed(hooks__poststart=[{"path": "/" * 4096}]),
        "/hooks/poststart/0/path",
        "found 4096",
    ),
    (
        "namespaces_are_unique",
        changed(linux__namespaces=namespaces("uts", "mount", "pid", "pid=/proc/1/ns/pid")),
        "/linux/namespaces/3",
        'wanted each namespace once, found "pid" again',
    ),
    (
        "namespace_paths_are_absolute",
        changed(linux__namespaces=namespaces("uts", "mount", "pid=ns/pid")),
        "/linux/namespaces/2/path",
        'wanted an absolute path, found "ns/pid"',
    ),
    (
        "id_mappings_need_a_user_namespace",
        changed(linux__uidMappings=[MAPPING]),
        "/linux/uidMappings",
        "user namespace mappings specified, but user namespace isn't enabled in the config",
    ),
    (
        "new_user_namespace_needs_mappings",
        changed(
            linux__namespaces=namespaces("uts", "mount", "user"), linux__uidMappings=[MAPPING], linux__gidMappings=[]
        ),
        "/linux",
        'wanted "gidMappings" for the new user namespace, found no mapping',
    ),
    (
        "id_mappings_are_usable",
        mount(uidMappings=[{**MAPPING, "size": 0}], gidMappings=[MAPPING]),
        "/mounts/0/uidMappings/0/size",
        "wanted at least one id, found 0",
    ),
    (
        "id_mappings_are_usable",
        mount(uidMappings=[MAPPING], gidMappings=[{**MAPPING, "hostID": 4294967290}]),
        "/mounts/0/gidMappings/0",
        "found 10 of them from hostID 4294967290",
    ),
    (
        "id_mappings_are_usable",
        mount(uidMappings=[MAPPING, {"containerID": 9, "hostID": 5000, "size": 1}], gidMappings=[MAPPING]),
        "/mounts/0/uidMappings/1/containerID",
        "wanted mappings that do not overlap, found ids that entry 0 maps too",
    ),
    (
        "id_mappings_are_usable",
        mount(uidMappings=[{"containerID": n, "hostID": n, "size": 1} for n in range(20000)], gidMappings=[MAPPING]),
        "/mounts/0/uidMappings",
        "wanted at most 340 mappings, the kernel's limit, found 20000",
    ),
    (
        "time_offsets_need_a_new_time_namespace",
        changed(linux__timeOffsets={"boottime": {"secs": 1}}),
        "/linux/timeOffsets",
        "time namespace offsets specified, but time namespace isn't enabled in the config",
    ),
    (
        "time_offsets_need_a_new_time_namespace",
        changed(
            linux__timeOffsets={"boottime": {}}, linux__namespaces=namespaces("uts", "mount", "time=/proc/1/ns/time")
        ),
        "/linux/timeOffsets",
        "both a path of a time namespace and offsets specified",
    ),
    (
        "time_offsets_need_a_new_time_namespace",
        changed(linux__timeOffsets={"realtime": {}}, linux__namespaces=namespaces("uts", "mount", "time")),
        "/linux/timeOffsets/realtime",
        'wanted the clock "boottime" or "monotonic", found "realtime"',
    ),
    (
        "time_offsets_need_a_new_time_namespace",
        changed(
            linux__timeOffsets={"monotonic": {"nanosecs": 1000000000}},
            linux__namespaces=namespaces("uts", "mount", "time"),
        ),
        "/linux/timeOffsets/monotonic/nanosecs",
        "wanted a number up to 999999999, found 1000000000",
    ),
    (
        "devices_are_complete",
        changed(linux__devices=[{"type": "p", "path": "fifo"}]),
        "/linux/devices/0/path",
        'wanted an absolute path, found "fifo"',
    ),
    (
        "devices_are_complete",
        changed(linux__devices=[{"type": "u", "path": "/dev/x", "major": 1}]),
        "/linux/devices/0",
        'wanted the property "minor" for a device of type "u", found none',
    ),
    (
        "devices_are_complete",
        changed(linux__devices=[{"type": "b", "path": "/dev/x", "major": 4096, "minor": 0}]),
        "/linux/devices/0/major",
        "wanted a number from 0 to 4095, found 4096",
    ),
    (
        "devices_have_one_meaning_per_path",
        changed(linux__devices=[{"type": t, "path": "/dev/x", "major": 1, "minor": 3} for t in "cub"]),
        "/linux/devices/2/path",
        'wanted one device at each path, found another at "/dev/x"',
    ),
    (
        "net_devices_need_a_network_namespace",
        changed(linux__netDevices={"eth0": {}}, linux__namespaces=namespaces("uts", "mount")),
        "/linux/netDevices",
        "unable to move network devices without a NET namespace",
    ),
    (
        "net_device_names_are_valid",
        changed(linux__netDevices={"a/b": {}}),
        "/linux/netDevices/a~1b",
        'invalid network device name "a/b"',
    ),
    (
        "net_device_names_are_valid",
        changed(linux__netDevices={"eth0": {"name": "x" * 16}}),
        "/linux/netDevices/eth0/name",
        "invalid network device name",
    ),
    (
        "net_device_names_are_valid",
        changed(linux__netDevices={"eth0": {"name": "a%d%s"}}),
        "/linux/netDevices/eth0/name",
        'wanted no "%" but that of one "%d", found "a%d%s"',
    ),
    (
        "net_device_names_are_valid",
        changed(linux__netDevices={"eth0": {"name": "x"}, "eth1": {"name": "x"}}),
        "/linux/netDevices/eth1",
        'wanted a name of its own in the container, found "x", that of "eth0"',
    ),
    (
        "cgroups_path_stays_below",
        changed(linux__cgroupsPath="/a/../../b"),
        "/linux/cgroupsPath",
        'wanted a path without "..", found "/a/../../b"',
    ),
    (
        "sysctls_belong_to_the_container",
        changed(linux__sysctl={"kernel.shmmax": "1"}, linux__namespaces=namespaces("uts", "mount")),
        "/linux/sysctl/kernel.shmmax",
        'sysctl "kernel.shmmax" is not allowed in the hosts ipc namespace',
    ),
    (
        "sysctls_belong_to_the_container",
        changed(linux__sysctl={"net/core/somaxconn": "1"}, linux__namespaces=namespaces("uts", "mount")),
        "/linux/sysctl/net~1core~1somaxconn",
        'sysctl "net/core/somaxconn" not allowed in host network namespace',
    ),
    (
        "sysctls_belong_to_the_container",
        changed(linux__sysctl={"kernel.hostname": "x"}),
        "/linux/sysctl/kernel.hostname",
        'sysctl "kernel.hostname" is not allowed as it conflicts with the OCI "hostname" field',
    ),
    (
        "sysctls_belong_to_the_container",
        changed(linux__sysctl={"user.max_user_namespaces": "1"}),
        "/linux/sysctl/user.max_user_namespaces",
        "is not allowed without a user namespace",
    ),
    (
        "sysctls_belong_to_the_container",
        changed(linux__sysctl={"kernel.core_pattern": "|/x"}),
        "/linux/sysctl/kernel.core_pattern",
        'sysctl "kernel.core_pattern" is not in a separate kernel namespace',
    ),
    (
        "sysctls_belong_to_the_container",
        changed(linux__sysctl={"net/../kernel/core_pattern": "|/x"}),
        "/linux/sysctl/net~1..~1kernel~1core_pattern",
        "is not the name of a kernel parameter",
    ),
    (
        "sysctls_belong_to_the_container",
        changed(linux__sysctl={"net.//.kernel": "x"}),
        "/linux/sysctl/net.~1~1.kernel",
        "is not the name of a kernel parameter",
    ),
    (
        "masked_and_readonly_paths_are_absolute",
        changed(linux__readonlyPaths=["/proc/sys", "proc/fs"]),
        "/linux/readonlyPaths/1",
        'wanted an absolute path, found "proc/fs"',
    ),
    (
        "masked_and_readonly_paths_need_a_mount_namespace",
        changed(linux__namespaces=namespaces("uts")),
        "/linux/maskedPaths",
        "unable to restrict sys entries without a private MNT namespace",
    ),
    (
        "seccomp_errno_fits_its_action",
        changed(linux__seccomp={**SECCOMP, "defaultErrnoRet": 1}),
        "/linux/seccomp/defaultErrnoRet",
        "wanted no errno with SCMP_ACT_ALLOW, found 1",
    ),
    (
        "seccomp_errno_fits_its_action",
        changed(
            linux__seccomp={**SECCOMP, "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", "errnoRet": 65536}]}
        ),
        "/linux/seccomp/syscalls/0/errnoRet",
        "wanted a number from 0 to 65535, found 65536",
    ),
    (
        "seccomp_listener_is_complete",
        changed(linux__seccomp={**SECCOMP, "listenerMetadata": "x"}),
        "/linux/seccomp/listenerMetadata",
        'wanted "listenerPath" beside it, found none',
    ),
    (
        "seccomp_listener_is_complete",
        changed(linux__seccomp={**SECCOMP, "listenerPath": "/" * 108}),
        "/linux/seccomp/listenerPath",
        "wanted at most 107 bytes, found 108",
    ),
    (
        "seccomp_listener_is_complete",
        changed(linux__seccomp={"defaultAction": "SCMP_ACT_NOTIFY", "listenerPath": "/run/agent"}),
        "/linux/seccomp/defaultAction",
        "SCMP_ACT_NOTIFY cannot be used as default action",
    ),
    (
        "seccomp_listener_is_complete",
        changed(
            linux__seccomp={
                **SECCOMP,
                "listenerPath": "/run/agent",
                "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}],
            }
        ),
        "/linux/seccomp/syscalls/0",
        "SCMP_ACT_NOTIFY cannot be used for the write syscall",
    ),
    (
        "seccomp_listener_is_complete",
        changed(linux__seccomp={**SECCOMP, "syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}]}),
        "/linux/seccomp",
        "seccomp listenerPath is not set",
    ),
    (
        "seccomp_listener_is_complete",
        changed(
            linux__seccomp={
                **SECCOMP,
                "listenerPath": "agent.sock",
                "syscalls": [{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}],
            }
        ),
        "/linux/seccomp/listenerPath",
        'wanted an absolute path, found "agent.sock"',
    ),
    (
        "seccomp_arguments_exist",
        changed(
            linux__seccomp={
                **SECCOMP,
                "syscalls": [
                    {"names": ["a"], "action": "SCMP_ACT_LOG", "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}
                ],
            }
        ),
        "/linux/seccomp/syscalls/0/args/0/index",
        "wanted the number of an argument from 0 to 5, found 6",
    ),
    (
        "intel_rdt_names_are_plain",
        changed(linux__intelRdt={"closID": "a/b"}),
        "/linux/intelRdt/closID",
        'wanted the name of a directory, found "a/b"',
    ),
    (
        "intel_rdt_names_are_plain",
        changed(linux__intelRdt={"closID": "mon_groups"}),
        "/linux/intelRdt/closID",
        'wanted the name of a group, found "mon_groups"',
    ),
    (
        "intel_rdt_names_are_plain",
        changed(linux__intelRdt={"schemata": ["L2:0=f", "L3:0=f\nMB:0=1"]}),
        "/linux/intelRdt/schemata/1",
        "wanted a single line",
    ),
    (
        "memory_policy_fits_its_nodes",
        changed(linux__memoryPolicy={"mode": "MPOL_DEFAULT", "nodes": "0-7"}),
        "/linux/memoryPolicy/nodes",
        "memory policy mode requires 0 nodes but got 8",
    ),
    (
        "memory_policy_fits_its_nodes",
        changed(linux__memoryPolicy={"mode": "MPOL_BIND"}),
        "/linux/memoryPolicy",
        "memory policy mode requires at least one node but got 0",
    ),
    (
        "memory_policy_fits_its_nodes",
        changed(linux__memoryPolicy={"mode": "MPOL_BIND", "nodes": "0-9876543210"}),
        "/linux/memoryPolicy/nodes",
        'invalid memory policy nodes "0-9876543210": wanted numbers up to 1023',
    ),
    (
        "personality_has_no_flags",
        changed(linux__personality={"domain": "LINUX", "flags": ["X"]}),
        "/linux/personality/flags",
        "no flags",
    ),
    ("args_are_given", changed(process__args=[]), "/process/args", "args must not be empty"),
    ("args_are_given", changed(process={"cwd": "/"}), "/process", "args must not be empty"),
    ("cwd_is_absolute", changed(process__cwd="tmp"), "/process/cwd", 'wanted an absolute path, found "tmp"'),
    ("cwd_is_absolute", changed(process__cwd=""), "/process/cwd", 'wanted an absolute path, found ""'),
    ("cwd_is_short_enough", changed(process__cwd="/" * 4096), "/process/cwd", "at most 4095 bytes, found 4096"),
    (
        "environment_has_names",
        changed(process__env=["A=b", "novalue"]),
        "/process/env/1",
        "invalid environment variable: missing '=': wanted NAME=value, found \"novalue\"",
    ),
    ("environment_has_names", changed(process__env=["=b"]), "/process/env/0", "name cannot be empty"),
    (
        "user_ids_are_ids",
        changed(process__user={"uid": 4294967295}),
        "/process/user/uid",
        "found 4294967295, which means none",
    ),
    (
        "user_ids_are_ids",
        changed(process__user={"additionalGids": [5, 4294967295]}),
        "/process/user/additionalGids/1",
        "which means none",
    ),
    (
        "user_ids_are_ids",
        changed(process__user={"umask": 512}),
        "/process/user/umask",
        "wanted a number from 0 to 511 (0777), found 512",
    ),
    (
        "console_size_fits",
        changed(process__consoleSize={"height": 65536, "width": 80}),
        "/process/consoleSize/height",
        "wanted a number from 0 to 65535, found 65536",
    ),
    (
        "rlimits_are_known",
        changed(process__rlimits=[{"type": "RLIMIT_TEST", "soft": 0, "hard": 0}]),
        "/process/rlimits/0/type",
        'wanted the name of a limit of getrlimit(2), found "RLIMIT_TEST"',
    ),
    (
        "rlimits_are_unique",
        changed(process__rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2),
        "/process/rlimits/1/type",
        'wanted each limit once, found "RLIMIT_CORE" again',
    ),
    (
        "rlimits_are_ordered",
        changed(process__rlimits=[{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]),
        "/process/rlimits/0/soft",
        "wanted at most the hard limit 1, found 2",
    ),
    (
        "oom_score_adj_is_in_range",
        changed(process__oomScoreAdj=1001),
        "/process/oomScoreAdj",
        "from -1000 to 1000, found 1001",
    ),
    ("oom_score_adj_is_in_range", changed(process__oomScoreAdj=-1001), "/process/oomScoreAdj", "found -1001"),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_BATCH", "nice": 20}),
        "/process/scheduler/nice",
        "wanted a number from -20 to 19 with SCHED_BATCH, found 20",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_FIFO"}),
        "/process/scheduler/priority",
        "wanted a number from 1 to 99 with SCHED_FIFO, found 0",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_OTHER", "priority": 1}),
        "/process/scheduler/priority",
        "scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR, found SCHED_OTHER",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_IDLE", "period": 1}),
        "/process/scheduler/period",
        "scheduler.period can only be specified for SCHED_DEADLINE, found SCHED_IDLE",
    ),
    (
        "io_priority_is_in_range",
        changed(process__ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}),
        "/process/ioPriority/priority",
        "wanted a number from 0 to 7, found 8",
    ),
    (
        "cpu_affinity_is_a_list",
        changed(process__execCPUAffinity={"initial": "0", "final": "3-1"}),
        "/process/execCPUAffinity/final",
        'wanted the smaller number first, found "3-1"',
    ),
    (
        "device_rules_are_known",
        changed(linux__resources={"devices": [{"allow": True, "type": "p"}]}),
        "/linux/resources/devices/0/type",
        'wanted "a", "b" or "c", found "p"',
    ),
    (
        "device_rules_are_known",
        changed(linux__resources={"devices": [{"allow": True, "access": "rx"}]}),
        "/linux/resources/devices/0/access",
        'wanted a composition of "r", "w" and "m", found "rx"',
    ),
    (
        "memory_limits_are_ordered",
        changed(linux__resources={"memory": {"limit": 100, "swap": 99}}),
        "/linux/resources/memory/swap",
        "wanted at least the memory limit 100, as it counts memory and swap together, found 99",
    ),
    (
        "memory_limits_are_ordered",
        changed(linux__resources={"memory": {"limit": -1, "swap": 99}}),
        "/linux/resources/memory/swap",
        "wanted -1, as memory is unlimited and counts too, found 99",
    ),
    (
        "memory_limits_are_ordered",
        changed(linux__resources={"memory": {"reservation": -2}}),
        "/linux/resources/memory/reservation",
        "wanted bytes, or -1 for unlimited, found -2",
    ),
    (
        "swappiness_is_a_percentage",
        changed(linux__resources={"memory": {"swappiness": 101}}),
        "/linux/resources/memory/swappiness",
        "wanted a number from 0 to 100, found 101",
    ),
    (
        "cpu_burst_fits_quota",
        changed(linux__resources={"cpu": {"quota": 10, "burst": 11}}),
        "/linux/resources/cpu/burst",
        "wanted at most the quota 10, found 11",
    ),
    (
        "cpu_idle_is_a_switch",
        changed(linux__resources={"cpu": {"idle": 2}}),
        "/linux/resources/cpu/idle",
        "wanted 0 or 1, found 2",
    ),
    (
        "block_io_devices_have_a_weight",
        changed(linux__resources={"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}}),
        "/linux/resources/blockIO/weightDevice/0",
        'wanted "weight" or "leafWeight", found neither',
    ),
    (
        "rdma_devices_have_a_limit",
        changed(linux__resources={"rdma": {"mlx5_1": {}}}),
        "/linux/resources/rdma/mlx5_1",
        'wanted "hcaHandles" or "hcaObjects", found neither',
    ),
    (
        "unified_names_are_files",
        changed(linux__resources={"unified": {"../memory.max": "1"}}),
        "/linux/resources/unified/..~1memory.max",
        'wanted the name of a file, found "../memory.max"',
    ),
]


@pytest.mark.parametrize(
    ("rule", "config", "pointer", "message"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES]
)
def test_a_broken_rule_is_named_and_alone(rule: str, config: dict[str, Any], pointer: str, message: str) -> None:
    found = [finding for finding in broken(config) if finding[1] == pointer]
    assert [finding[0] for finding in found] == [rule]
    assert message in found[0][2]


@pytest.mark.parametrize(
    ("rule", "config", "pointer", "message"), CASES, ids=[f"{case[0]}-{case[2]}" for case in CASES]
)
def test_the_error_of_a_rule_carries_the_sentence_of_the_spec(
    rule: str, config: dict[str, Any], pointer: str, message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        validate_config(config)
    error = next(error for error in (caught.value, *caught.value.others) if error.pointer == pointer)
    sentences = dict(rules.CONFIG_RULES + rules.PROCESS_RULES + rules.RESOURCES_RULES)
    assert error.rule == next(sentence for check, sentence in sentences.items() if check.__name__ == rule)
    assert message in error.message


def test_every_rule_has_a_case() -> None:
    listed = [check.__name__ for check, _ in rules.CONFIG_RULES + rules.PROCESS_RULES + rules.RESOURCES_RULES]
    assert set(listed) == {case[0] for case in CASES}
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize(
    "config",
    [
        changed(),
        changed(ociVersion="1.0.2-dev"),
        changed(ociVersion="1.99.0-rc.1+build.007"),
        changed(hostname="x" * 64),
        without("process"),
        mount(destination="relative", type="tmpfs"),
        mount(destination="/proc", type="bind", source="/proc"),
        mount(destination="/proc/uptime", options=["bind"], source="/x"),
        mount(destination="/procfs/x", type="tmpfs"),
        mount(options=["rbind", "ridmap"], uidMappings=[MAPPING], gidMappings=[MAPPING]),
        changed(linux__namespaces=namespaces("uts", "mount", "user=/proc/1/ns/user")),
        changed(
            linux__namespaces=namespaces("uts", "mount", "user=/proc/1/ns/user"),
            linux__uidMappings=[MAPPING],
            linux__gidMappings=[MAPPING],
        ),
        changed(linux__namespaces=namespaces("uts", "mount", "time=/proc/1/ns/time"), linux__timeOffsets={}),
        changed(linux__devices=[{"type": "c", "path": "/dev/x", "major": 1, "minor": 3}] * 2),
        changed(linux__netDevices={"eth0": {"name": "eth%d"}, "eth1": {"name": "eth%d"}}),
        changed(linux__cgroupsPath="system.slice:ocirt:a..b"),
        changed(linux__sysctl={"fs.mqueue.msg_max": "1", "kernel/sem": "1", "kernel.domainname": "x"}),
        changed(linux__memoryPolicy={"mode": "MPOL_PREFERRED", "nodes": ""}),
        changed(process__user={"uid": 4294967294}),
        changed(process__terminal=False, process__consoleSize={"height": 70000, "width": 1}),
        changed(process__env=["A==", "B="]),
        changed(process__execCPUAffinity={"initial": "", "final": " 0-3, ,7,"}),
        changed(process__scheduler={"policy": "SCHED_RR", "priority": 99, "nice": 50}),
        changed(linux__resources={"memory": {"limit": 100, "reservation": 200, "swap": 0}}),
        changed(
            linux__resources={"devices": [{"allow": False, "type": "c", "major": 1, "minor": 11, "access": "rwa"}]}
        ),
        changed(linux__resources={"memory": {"limit": 0, "swap": -1}, "cpu": {"quota": -1, "burst": 5}}),
    ],
)
def test_what_the_spec_and_engines_allow_breaks_no_rule(config: dict[str, Any]) -> None:
    validate_config(config)


def test_a_null_character_is_found_wherever_it_would_reach_the_kernel() -> None:
    config = changed(process__args=["sh", "-c\0"], linux__sysctl={"net.a\0b": "1"}, annotations={"free": "\0"})
    with pytest.raises(ConfigError) as caught:
        validate_config(config)
    errors = (caught.value, *caught.value.others)
    assert sorted(error.pointer for error in errors) == ["/linux/sysctl/net.a\0b", "/process/args/1"]
    assert 'wanted a string without NUL characters, found "-c\\u0000"' in {error.message for error in errors}


def test_all_broken_rules_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        validate_config(changed(process__cwd="x", ociVersion="3.0.0", linux__cgroupsPath=".."))
    assert [error.pointer for error in (caught.value, *caught.value.others)] == [
        "/ociVersion",
        "/linux/cgroupsPath",
        "/process/cwd",
    ]
    assert str(caught.value).endswith('found "3.0.0" (and 2 more)')


def test_a_process_alone_is_checked_by_its_own_rules() -> None:
    validate_process({"cwd": "/", "args": ["ps"]})
    with pytest.raises(ConfigError) as caught:
        validate_process({"cwd": "tmp", "args": []})
    assert str(caught.value) == "process.json#/args: args must not be empty (and 1 more)"


def test_resources_alone_are_checked_by_their_own_rules() -> None:
    validate_resources({"memory": {"limit": 1}})
    with pytest.raises(ConfigError) as caught:
        validate_resources({"cpu": {"idle": 5}}, filename="-")
    assert str(caught.value) == "-#/cpu/idle: wanted 0 or 1, found 5"


def test_capabilities_stand_at_their_numbers() -> None:
    assert (CAPABILITIES.index("CAP_CHOWN"), CAPABILITIES.index("CAP_SYS_ADMIN"), len(CAPABILITIES)) == (0, 21, 41)
    assert CAPABILITIES[-1] == "CAP_CHECKPOINT_RESTORE"


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("net.ipv4.ip_forward", ["net", "ipv4", "ip_forward"]),
        ("net/ipv4/ip_forward", ["net", "ipv4", "ip_forward"]),
        ("net.ipv4.conf.eno2/100.rp_filter", ["net", "ipv4", "conf", "eno2.100", "rp_filter"]),
        ("net/ipv4/conf/eno2.100/rp_filter", ["net", "ipv4", "conf", "eno2.100", "rp_filter"]),
        ("kernel", ["kernel"]),
    ],
)
def test_the_first_separator_of_a_sysctl_decides(key: str, parts: list[str]) -> None:
    assert sysctl_parts(key) == parts


@pytest.mark.parametrize("text", ["x", "1-", "-1", "1-2-3", "²", "1 2", "99", "9999999999"])
def test_a_list_of_cpus_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="wanted "):
        parse_list(text, 63)


def test_a_list_of_cpus_gives_its_ranges() -> None:
    assert parse_list("0-3, 7,,", 7) == [(0, 3), (7, 7)]
    assert parse_list("", 7) == []


@pytest.mark.parametrize(
    ("path", "lexical"),
    [("/proc/", "/proc"), ("proc", "/proc"), ("/../proc", "/proc"), ("/a/b/../../proc//x/.", "/proc/x"), ("", "/")],
)
def test_a_mount_destination_is_read_lexically(path: str, lexical: str) -> None:
    assert rules.lexical_path(path) == lexical
