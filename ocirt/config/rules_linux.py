"""Rules of ``linux`` and of ``linux.resources``. See ``rules`` for the list and the sentences.

Rules of ``linux`` take the whole configuration; those of ``resources`` take that object alone, and their pointers begin
there.
"""

from __future__ import annotations

from ocirt.config.words import parse_list, shown, token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.config.rules import Violations

#: UID_GID_MAP_MAX_EXTENTS, since Linux 4.15 (user_namespaces(7)).
MAX_ID_MAPPINGS = 340

#: Device numbers have 12 and 20 bits (linux/kdev_t.h).
_MAX_MAJOR, _MAX_MINOR = 0xFFF, 0xFFFFF

#: The largest CONFIG_NODES_SHIFT makes 1024 nodes.
GREATEST_NODE = 1023

#: What sockaddr_un takes, without the final NUL (unix(7)).
_SOCKET_PATH_BYTES = 107

#: The kernel parameters that belong to an IPC namespace, fs.mqueue.* beside them.
_IPC_SYSCTLS = frozenset(
    ("msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"),
)

_NO_NODES = ("MPOL_DEFAULT", "MPOL_LOCAL")


def _namespaces(config: dict[str, Any]) -> dict[str, str]:
    """Paths by type, "" for a namespace that is to be made."""
    return {entry["type"]: entry.get("path", "") for entry in config.get("linux", {}).get("namespaces", ())}


def namespaces_are_unique(config: dict[str, Any]) -> Violations:
    seen = set()
    for index, namespace in enumerate(config.get("linux", {}).get("namespaces", ())):
        if namespace["type"] in seen:
            yield f"/linux/namespaces/{index}", f"wanted each namespace once, found {shown(namespace['type'])} again"
        seen.add(namespace["type"])


def namespace_paths_are_absolute(config: dict[str, Any]) -> Violations:
    for index, namespace in enumerate(config.get("linux", {}).get("namespaces", ())):
        path = namespace.get("path")
        if path and not path.startswith("/"):
            yield f"/linux/namespaces/{index}/path", f"wanted an absolute path, found {shown(path)}"


def id_mappings_need_a_user_namespace(config: dict[str, Any]) -> Violations:
    linux = config.get("linux", {})
    for name in ("uidMappings", "gidMappings"):
        if linux.get(name) and "user" not in _namespaces(config):
            yield f"/linux/{name}", "user namespace mappings specified, but user namespace isn't enabled in the config"


def new_user_namespace_needs_mappings(config: dict[str, Any]) -> Violations:
    linux = config.get("linux", {})
    if _namespaces(config).get("user") == "":
        for name in ("uidMappings", "gidMappings"):
            if not linux.get(name):
                yield "/linux", f'wanted "{name}" for the new user namespace, found no mapping'


def _unusable_mappings(mappings: list[dict[str, int]]) -> Violations:
    """What uid_map and gid_map would refuse (user_namespaces(7))."""
    if len(mappings) > MAX_ID_MAPPINGS:
        yield "", f"wanted at most {MAX_ID_MAPPINGS} mappings, the kernel's limit, found {len(mappings)}"
        return
    for index, mapping in enumerate(mappings):
        if mapping["size"] == 0:
            yield f"/{index}/size", "wanted at least one id, found 0"
        for name in ("containerID", "hostID"):
            if mapping[name] + mapping["size"] > 0xFFFFFFFF:
                yield (
                    f"/{index}",
                    f"wanted ids below 4294967295, found {mapping['size']} of them from {name} {mapping[name]}",
                )
    for name in ("containerID", "hostID"):
        order = sorted(range(len(mappings)), key=lambda index: mappings[index][name])
        for place, index in enumerate(order[1:]):
            before = order[place]
            if mappings[before][name] + mappings[before]["size"] > mappings[index][name]:
                yield f"/{index}/{name}", f"wanted mappings that do not overlap, found ids that entry {before} maps too"


def id_mappings_are_usable(config: dict[str, Any]) -> Violations:
    linux = config.get("linux", {})
    owners = [("/linux", linux)]
    owners.extend((f"/mounts/{index}", mount) for index, mount in enumerate(config.get("mounts", ())))
    for place, owner in owners:
        for name in ("uidMappings", "gidMappings"):
            if name in owner:
                for pointer, message in _unusable_mappings(owner[name]):
                    yield f"{place}/{name}{pointer}", message


def time_offsets_need_a_new_time_namespace(config: dict[str, Any]) -> Violations:
    offsets = config.get("linux", {}).get("timeOffsets")
    if not offsets:
        return
    path = _namespaces(config).get("time")
    if path is None:
        yield "/linux/timeOffsets", "time namespace offsets specified, but time namespace isn't enabled in the config"
    elif path:
        yield "/linux/timeOffsets", "both a path of a time namespace and offsets specified: only a new one can be set"
    for clock, offset in offsets.items():
        place = f"/linux/timeOffsets/{token(clock)}"
        if clock not in ("boottime", "monotonic"):
            yield place, f'wanted the clock "boottime" or "monotonic", found {shown(clock)}'
        elif offset.get("nanosecs", 0) > 999_999_999:
            yield f"{place}/nanosecs", f"wanted a number up to 999999999, found {offset['nanosecs']}"


def devices_are_complete(config: dict[str, Any]) -> Violations:
    for index, device in enumerate(config.get("linux", {}).get("devices", ())):
        place = f"/linux/devices/{index}"
        if not device["path"].startswith("/"):
            yield f"{place}/path", f"wanted an absolute path, found {shown(device['path'])}"
        if device["type"] == "p":
            continue
        for name, greatest in (("major", _MAX_MAJOR), ("minor", _MAX_MINOR)):
            if name not in device:
                yield place, f'wanted the property "{name}" for a device of type {shown(device["type"])}, found none'
            elif not 0 <= device[name] <= greatest:
                yield f"{place}/{name}", f"wanted a number from 0 to {greatest}, found {device[name]}"


def devices_have_one_meaning_per_path(config: dict[str, Any]) -> Violations:
    seen: dict[str, tuple[Any, ...]] = {}
    for index, device in enumerate(config.get("linux", {}).get("devices", ())):
        kind = "c" if device["type"] == "u" else device["type"]
        meaning = (kind,) if kind == "p" else (kind, device.get("major"), device.get("minor"))
        if seen.setdefault(device["path"], meaning) != meaning:
            yield (
                f"/linux/devices/{index}/path",
                f"wanted one device at each path, found another at {shown(device['path'])}",
            )


def net_devices_need_a_network_namespace(config: dict[str, Any]) -> Violations:
    if config.get("linux", {}).get("netDevices") and "network" not in _namespaces(config):
        yield "/linux/netDevices", "unable to move network devices without a NET namespace"


def _is_net_device_name(name: str) -> bool:
    """As the kernel's dev_valid_name() has it: 1 to 15 bytes, no slash, colon or white space."""
    return (
        0 < len(name.encode()) < 16
        and name not in (".", "..")
        and not any(character in "/:" or character.isspace() for character in name)
    )


def net_device_names_are_valid(config: dict[str, Any]) -> Violations:
    seen: dict[str, str] = {}
    for name, device in config.get("linux", {}).get("netDevices", {}).items():
        inside = device.get("name") or name
        if "%d" not in inside and seen.setdefault(inside, name) != name:
            yield (
                f"/linux/netDevices/{token(name)}",
                f"wanted a name of its own in the container, found {shown(inside)}, that of {shown(seen[inside])}",
            )
        place = f"/linux/netDevices/{token(name)}"
        if not _is_net_device_name(name):
            yield place, f"invalid network device name {shown(name)}"
        if device.get("name") and "%" in device["name"].replace("%d", "", 1):
            yield f"{place}/name", f'wanted no "%" but that of one "%d", found {shown(device["name"])}'
        if device.get("name") and not _is_net_device_name(device["name"]):
            yield f"{place}/name", f"invalid network device name {shown(device['name'])}"


def cgroups_path_stays_below(config: dict[str, Any]) -> Violations:
    path = config.get("linux", {}).get("cgroupsPath", "")
    if ".." in path.split("/"):
        yield "/linux/cgroupsPath", f'wanted a path without "..", found {shown(path)}'


def sysctl_parts(key: str) -> list[str]:
    """The components below /proc/sys of the kernel parameter *key*.

    The first separator decides (sysctl(8)): after a dot, dots separate and a slash stands for a dot within a name;
    after a slash, slashes separate and dots are plain.
    """
    dot, slash = key.find("."), key.find("/")
    if slash >= 0 and (dot < 0 or slash < dot):
        return key.split("/")
    return [part.replace("/", ".") for part in key.split(".")]


def sysctls_belong_to_the_container(config: dict[str, Any]) -> Violations:
    sysctl = config.get("linux", {}).get("sysctl")
    if not sysctl:
        return
    namespaces = _namespaces(config)
    for key in sysctl:
        fault = _foreign_sysctl(sysctl_parts(key), namespaces)
        if fault:
            yield f"/linux/sysctl/{token(key)}", f"sysctl {shown(key)} {fault}"


def _foreign_sysctl(parts: list[str], namespaces: dict[str, str]) -> str:
    """Why the kernel parameter must not be set in these namespaces, "" when it may."""
    if any(part in ("", ".", "..") for part in parts):
        return "is not the name of a kernel parameter"
    family = parts[0]
    if (family == "kernel" and len(parts) == 2 and parts[1] in _IPC_SYSCTLS) or parts[:2] == ["fs", "mqueue"]:
        return "" if "ipc" in namespaces else "is not allowed in the hosts ipc namespace"
    if family == "net":
        return "" if "network" in namespaces else "not allowed in host network namespace"
    if family == "user":
        return "" if "user" in namespaces else "is not allowed without a user namespace"
    if parts == ["kernel", "domainname"] and "uts" in namespaces:
        return ""
    if parts == ["kernel", "hostname"] and "uts" in namespaces:
        return 'is not allowed as it conflicts with the OCI "hostname" field'
    return "is not in a separate kernel namespace"


def masked_and_readonly_paths_are_absolute(config: dict[str, Any]) -> Violations:
    linux = config.get("linux", {})
    for name in ("maskedPaths", "readonlyPaths"):
        for index, path in enumerate(linux.get(name, ())):
            if not path.startswith("/"):
                yield f"/linux/{name}/{index}", f"wanted an absolute path, found {shown(path)}"


def masked_and_readonly_paths_need_a_mount_namespace(config: dict[str, Any]) -> Violations:
    linux = config.get("linux", {})
    for name in ("maskedPaths", "readonlyPaths"):
        if linux.get(name) and "mount" not in _namespaces(config):
            yield f"/linux/{name}", "unable to restrict sys entries without a private MNT namespace"


def seccomp_errno_fits_its_action(config: dict[str, Any]) -> Violations:
    seccomp = config.get("linux", {}).get("seccomp")
    if not seccomp:
        return
    entries = [("/defaultErrnoRet", seccomp["defaultAction"], seccomp.get("defaultErrnoRet"))]
    for index, syscall in enumerate(seccomp.get("syscalls", ())):
        entries.append((f"/syscalls/{index}/errnoRet", syscall["action"], syscall.get("errnoRet")))
    for place, action, errno in entries:
        if errno is None:
            continue
        if action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
            yield f"/linux/seccomp{place}", f"wanted no errno with {action}, found {errno}"
        elif errno > 0xFFFF:
            yield f"/linux/seccomp{place}", f"wanted a number from 0 to 65535, found {errno}"


def seccomp_listener_is_complete(config: dict[str, Any]) -> Violations:
    seccomp = config.get("linux", {}).get("seccomp")
    if not seccomp:
        return
    path = seccomp.get("listenerPath", "")
    if seccomp.get("listenerMetadata") and not path:
        yield "/linux/seccomp/listenerMetadata", 'wanted "listenerPath" beside it, found none'
    if len(path.encode()) > _SOCKET_PATH_BYTES:
        yield "/linux/seccomp/listenerPath", f"wanted at most {_SOCKET_PATH_BYTES} bytes, found {len(path.encode())}"
    if seccomp["defaultAction"] == "SCMP_ACT_NOTIFY":
        yield "/linux/seccomp/defaultAction", "SCMP_ACT_NOTIFY cannot be used as default action"
    notified = False
    for index, syscall in enumerate(seccomp.get("syscalls", ())):
        if syscall["action"] == "SCMP_ACT_NOTIFY":
            notified = True
            # Under the filter the init still has to tell where the listener is; no agent could allow that yet.
            if "write" in syscall["names"]:
                yield f"/linux/seccomp/syscalls/{index}", "SCMP_ACT_NOTIFY cannot be used for the write syscall"
    if notified and not path:
        yield "/linux/seccomp", 'SCMP_ACT_NOTIFY is used: wanted "listenerPath", seccomp listenerPath is not set'
    elif notified and not path.startswith("/"):
        # create, start and exec may each run in another directory.
        yield "/linux/seccomp/listenerPath", f'wanted an absolute path, found "{path}"'


def seccomp_arguments_exist(config: dict[str, Any]) -> Violations:
    for index, syscall in enumerate(config.get("linux", {}).get("seccomp", {}).get("syscalls", ())):
        for number, argument in enumerate(syscall.get("args", ())):
            if argument["index"] > 5:
                place = f"/linux/seccomp/syscalls/{index}/args/{number}/index"
                yield place, f"wanted the number of an argument from 0 to 5, found {argument['index']}"


def intel_rdt_names_are_plain(config: dict[str, Any]) -> Violations:
    rdt = config.get("linux", {}).get("intelRdt")
    if not rdt:
        return
    clos = rdt.get("closID", "")
    if clos in (".", "..") or (len(clos) > 1 and "/" in clos):
        yield "/linux/intelRdt/closID", f"wanted the name of a directory, found {shown(clos)}"
    if clos in ("info", "mon_data", "mon_groups"):
        yield "/linux/intelRdt/closID", f"wanted the name of a group, found {shown(clos)}, which resctrl itself has"
    lines = [("/l3CacheSchema", rdt.get("l3CacheSchema", ""))]
    lines.extend((f"/schemata/{index}", line) for index, line in enumerate(rdt.get("schemata", ())))
    for place, line in lines:
        if "\n" in line:
            yield f"/linux/intelRdt{place}", f"wanted a single line, found {shown(line)}"


def memory_policy_fits_its_nodes(config: dict[str, Any]) -> Violations:
    policy = config.get("linux", {}).get("memoryPolicy")
    if policy is None:
        return
    try:
        ranges = parse_list(policy.get("nodes", ""), GREATEST_NODE)
    except ValueError as error:
        yield "/linux/memoryPolicy/nodes", f"invalid memory policy nodes {shown(policy['nodes'])}: {error}"
        return
    count = len({node for first, last in ranges for node in range(first, last + 1)})
    if policy["mode"] in _NO_NODES and count:
        yield "/linux/memoryPolicy/nodes", f"memory policy mode requires 0 nodes but got {count}: {policy['mode']}"
    elif policy["mode"] not in (*_NO_NODES, "MPOL_PREFERRED") and not count:
        yield "/linux/memoryPolicy", f"memory policy mode requires at least one node but got 0: {policy['mode']}"


def memory_policy_flags_fit_its_mode(config: dict[str, Any]) -> Violations:
    """As set_mempolicy(2) has it."""
    policy = config.get("linux", {}).get("memoryPolicy", {})
    flags = policy.get("flags")
    if not flags:
        return
    mode = policy["mode"]
    tied = [flag for flag in ("MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES") if flag in flags]
    if len(tied) > 1:
        yield "/linux/memoryPolicy/flags", f"wanted one of {tied[0]} and {tied[1]}, found both"
    elif tied and mode != "MPOL_DEFAULT" and not policy.get("nodes", "").strip(" ,"):
        yield "/linux/memoryPolicy/flags", f"wanted {tied[0]} beside nodes, found none with {mode}"
    if "MPOL_F_NUMA_BALANCING" in flags and mode not in ("MPOL_BIND", "MPOL_PREFERRED_MANY"):
        message = "wanted MPOL_F_NUMA_BALANCING with MPOL_BIND or MPOL_PREFERRED_MANY, found"
        yield "/linux/memoryPolicy/flags", f"{message} {mode}"


def personality_has_no_flags(config: dict[str, Any]) -> Violations:
    if config.get("linux", {}).get("personality", {}).get("flags"):
        yield "/linux/personality/flags", "wanted no flags, as none is defined"


def device_rules_are_known(resources: dict[str, Any]) -> Violations:
    for index, rule in enumerate(resources.get("devices", ())):
        if rule.get("type") not in (None, "", "a", "b", "c"):
            yield f"/devices/{index}/type", f'wanted "a", "b" or "c", found {shown(rule["type"])}'
        # In a rule that denies, a letter without a meaning denies nothing more: runc's users have some that way.
        if rule["allow"] and rule.get("access", "").strip("rwm"):
            yield f"/devices/{index}/access", f'wanted a composition of "r", "w" and "m", found {shown(rule["access"])}'
        for name in ("major", "minor"):
            if rule.get(name, 0) < -1:
                yield f"/devices/{index}/{name}", f"wanted a device number, or -1 for all, found {rule[name]}"


def memory_limits_are_ordered(resources: dict[str, Any]) -> Violations:
    memory = resources.get("memory")
    if not memory:
        return
    for name in ("limit", "reservation", "swap", "kernel", "kernelTCP"):
        if memory.get(name, 0) < -1:
            yield f"/memory/{name}", f"wanted bytes, or -1 for unlimited, found {memory[name]}"
    limit, swap = memory.get("limit", 0), memory.get("swap", 0)
    # 0 is what engines write for "not set".
    if 0 < swap < limit:
        yield (
            "/memory/swap",
            f"wanted at least the memory limit {limit}, as it counts memory and swap together, found {swap}",
        )
    elif limit == -1 and swap > 0:
        yield "/memory/swap", f"wanted -1, as memory is unlimited and counts too, found {swap}"


def swappiness_is_a_percentage(resources: dict[str, Any]) -> Violations:
    swappiness = resources.get("memory", {}).get("swappiness", 0)
    if swappiness > 100:
        yield "/memory/swappiness", f"wanted a number from 0 to 100, found {swappiness}"


def cpu_burst_fits_quota(resources: dict[str, Any]) -> Violations:
    cpu = resources.get("cpu", {})
    quota, burst = cpu.get("quota", 0), cpu.get("burst", 0)
    if 0 < quota < burst:
        yield "/cpu/burst", f"wanted at most the quota {quota}, found {burst}"


def cpu_idle_is_a_switch(resources: dict[str, Any]) -> Violations:
    idle = resources.get("cpu", {}).get("idle", 0)
    if idle not in (0, 1):
        yield "/cpu/idle", f"wanted 0 or 1, found {idle}"


def block_io_devices_have_a_weight(resources: dict[str, Any]) -> Violations:
    for index, device in enumerate(resources.get("blockIO", {}).get("weightDevice", ())):
        if "weight" not in device and "leafWeight" not in device:
            yield f"/blockIO/weightDevice/{index}", 'wanted "weight" or "leafWeight", found neither'


def rdma_devices_have_a_limit(resources: dict[str, Any]) -> Violations:
    for name, limits in resources.get("rdma", {}).items():
        if "hcaHandles" not in limits and "hcaObjects" not in limits:
            yield f"/rdma/{token(name)}", 'wanted "hcaHandles" or "hcaObjects", found neither'


def unified_names_are_files(resources: dict[str, Any]) -> Violations:
    for name in resources.get("unified", ()):
        if name in ("", ".", "..") or "/" in name:
            yield f"/unified/{token(name)}", f"wanted the name of a file, found {shown(name)}"
