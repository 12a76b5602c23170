"""The rules of the linux object, its resources excepted: ocirt/config/rules_linux.py."""

from __future__ import annotations

from config_cases import (
    MAPPING,
    SECCOMP,
    Case,
    assert_complete,
    assert_named_alone,
    cases,
    changed,
    mount,
    namespaces,
)

from ocirt.config import rules

CASES: list[Case] = [
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
        "memory_policy_flags_fit_its_mode",
        changed(
            linux__memoryPolicy={
                "mode": "MPOL_BIND",
                "nodes": "0",
                "flags": ["MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"],
            }
        ),
        "/linux/memoryPolicy/flags",
        "wanted one of MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES, found both",
    ),
    (
        "memory_policy_flags_fit_its_mode",
        changed(linux__memoryPolicy={"mode": "MPOL_PREFERRED", "nodes": " ,", "flags": ["MPOL_F_STATIC_NODES"]}),
        "/linux/memoryPolicy/flags",
        "wanted MPOL_F_STATIC_NODES beside nodes, found none with MPOL_PREFERRED",
    ),
    (
        "memory_policy_flags_fit_its_mode",
        changed(linux__memoryPolicy={"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_NUMA_BALANCING"]}),
        "/linux/memoryPolicy/flags",
        "wanted MPOL_F_NUMA_BALANCING with MPOL_BIND or MPOL_PREFERRED_MANY, found MPOL_INTERLEAVE",
    ),
    (
        "personality_has_no_flags",
        changed(linux__personality={"domain": "LINUX", "flags": ["X"]}),
        "/linux/personality/flags",
        "no flags",
    ),
]


@cases(CASES)
def test_a_broken_rule_is_named_and_alone(case: Case) -> None:
    assert_named_alone(case)


def test_every_rule_has_a_case() -> None:
    assert_complete(CASES, rules.CONFIG_RULES, "rules_linux")
