"""What the spec demands of a configuration and a schema cannot say: named checks, each with the spec's sentence.

Input is a document that matches the schema. No rule looks at the host: what depends on the kernel, on files or on the
caller's privileges is decided where it is used. A rule is a generator of ``(JSON pointer, message)``, one pair for each
violation; ``CONFIG_RULES``, ``PROCESS_RULES`` and ``RESOURCES_RULES`` list them all, and the tests have one for each.

Not rules, on purpose:

* What ``ocirt.config.warnings`` says. A capability that nobody knows is one: "Any value which cannot be mapped to a
  relevant kernel interface, or cannot be granted otherwise MUST be logged as a warning by the runtime"
  (config.md#linux-process, since 1.1; in 1.0 it was an error, and runtime-tools' process_capabilities_fail still wants
  one). A missing `uid`, `gid` or `priority` is another: the spec's own JSON Schema allows it.
* A relative mount destination is a warning: "it MAY be a relative path, in which case it MUST be interpreted as
  relative to "/"" (config.md#mounts).
* A joined user namespace beside mappings: engines send both. Whoever opens the namespace compares its mappings with
  these.
* An unknown property: "MUST otherwise ignore them" (config.md#extensibility).
"""

from __future__ import annotations

from ocirt.config.rules_linux import (
    block_io_devices_have_a_weight,
    cgroups_path_stays_below,
    cpu_burst_fits_quota,
    cpu_idle_is_a_switch,
    device_rules_are_known,
    devices_are_complete,
    devices_have_one_meaning_per_path,
    id_mappings_are_usable,
    id_mappings_need_a_user_namespace,
    intel_rdt_names_are_plain,
    masked_and_readonly_paths_are_absolute,
    masked_and_readonly_paths_need_a_mount_namespace,
    memory_limits_are_ordered,
    memory_policy_fits_its_nodes,
    memory_policy_flags_fit_its_mode,
    namespace_paths_are_absolute,
    namespaces_are_unique,
    net_device_names_are_valid,
    net_devices_need_a_network_namespace,
    new_user_namespace_needs_mappings,
    personality_has_no_flags,
    rdma_devices_have_a_limit,
    seccomp_arguments_exist,
    seccomp_errno_fits_its_action,
    seccomp_listener_is_complete,
    swappiness_is_a_percentage,
    sysctls_belong_to_the_container,
    time_offsets_need_a_new_time_namespace,
    unified_names_are_files,
)
from ocirt.config.rules_process import (
    args_are_given,
    console_size_fits,
    cpu_affinity_is_a_list,
    cwd_is_absolute,
    cwd_is_short_enough,
    environment_has_names,
    io_priority_is_in_range,
    oom_score_adj_is_in_range,
    rlimits_are_known,
    rlimits_are_ordered,
    rlimits_are_unique,
    scheduler_fits_its_policy,
    user_ids_are_ids,
)
from ocirt.config.words import (
    CONTEXT_TYPES,
    HOOK_KINDS,
    PATH_ANNOTATIONS,
    PATH_BYTES,
    shown,
    strings_of,
    token,
)
from ocirt.errors import VALID_VALUES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    #: JSON pointer, what was wanted and found, the spec's sentence.
    Finding = tuple[str, str, str | None]
    #: JSON pointer below the rule's own object, what was wanted and found.
    Violations = Iterator[tuple[str, str]]
    Rule = tuple[Callable[[Any], Violations], str]

#: What sethostname(2) and setdomainname(2) take (__NEW_UTS_LEN).
UTS_NAME_BYTES = 64

#: Mount points below /proc that lxcfs and checkpointing need; everything else there could deceive the runtime or the
#: program.
PROC_MOUNTS = frozenset(
    (
        "/proc/cpuinfo",
        "/proc/diskstats",
        "/proc/loadavg",
        "/proc/meminfo",
        "/proc/slabinfo",
        "/proc/stat",
        "/proc/swaps",
        "/proc/sys/crypto/fips_enabled",
        "/proc/sys/kernel/ns_last_pid",
        "/proc/uptime",
    )
)


def is_bind(mount: dict[str, Any]) -> bool:
    """Whether *mount* has "either `bind` or `rbind` in the options"; engines also say it by the type."""
    options = mount.get("options", ())
    return "bind" in options or "rbind" in options or mount.get("type") == "bind"


def lexical_path(path: str) -> str:
    """*path*, read as relative to "/", without ".", ".." and repeated slashes; symbolic links are not looked at."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def _is_identifier(word: str) -> bool:
    return word.isascii() and word.replace("-", "0").isalnum()


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and (word == "0" or word[0] != "0")


def semver_major(version: str) -> int | None:
    """The major number of a version in the format of SemVer 2.0.0, None when it is not in that format."""
    rest, plus, build = version.partition("+")
    core, minus, pre_release = rest.partition("-")
    numbers = core.split(".")
    identifiers = pre_release.split(".") if minus else []
    builds = build.split(".") if plus else []
    if len(numbers) != 3 or not all(map(_is_number, numbers)) or len(numbers[0]) > 9:
        return None
    if not all(map(_is_identifier, identifiers + builds)):
        return None
    if not all(_is_number(word) for word in identifiers if word.isdigit()):
        return None
    return int(numbers[0])


def version_is_supported(config: dict[str, Any]) -> Violations:
    version = config["ociVersion"]
    major = semver_major(version)
    if major is None:
        yield "/ociVersion", f'wanted a version in the format of SemVer 2.0.0, like "1.3.0", found {shown(version)}'
    elif major != 1:
        yield "/ociVersion", f"wanted a version 1.x of the specification, found {shown(version)}"


def root_is_given(config: dict[str, Any]) -> Violations:
    root = config.get("root")
    if root is None:
        yield "", 'wanted the property "root", found none'
    elif not root["path"]:
        yield "/root/path", "wanted the path of a directory, found an empty string"


def uts_names_need_a_uts_namespace(config: dict[str, Any]) -> Violations:
    for name in ("hostname", "domainname"):
        value = config.get(name)
        if value and not any(namespace["type"] == "uts" for namespace in config.get("linux", {}).get("namespaces", ())):
            yield f"/{name}", f"unable to set {name} without a private UTS namespace"


def uts_names_fit(config: dict[str, Any]) -> Violations:
    for name in ("hostname", "domainname"):
        size = len(config.get(name, "").encode())
        if size > UTS_NAME_BYTES:
            yield f"/{name}", f"wanted at most {UTS_NAME_BYTES} bytes, found {size}"


def mount_destinations_are_given(config: dict[str, Any]) -> Violations:
    for index, mount in enumerate(config.get("mounts", ())):
        if not mount["destination"]:
            yield f"/mounts/{index}/destination", "wanted a path, found an empty string"


def mounts_leave_proc_alone(config: dict[str, Any]) -> Violations:
    for index, mount in enumerate(config.get("mounts", ())):
        destination = mount["destination"]
        if "proc" not in destination:
            continue
        path = lexical_path(destination)
        place = f"/mounts/{index}/destination"
        if path == "/proc" and mount.get("type") != "proc" and not is_bind(mount):
            yield place, f"{shown(destination)} cannot be mounted because it is not of type proc"
        elif path.startswith("/proc/") and path not in PROC_MOUNTS:
            yield place, f"{shown(destination)} cannot be mounted because it is inside /proc"


def mount_id_mappings_come_in_pairs(config: dict[str, Any]) -> Violations:
    for index, mount in enumerate(config.get("mounts", ())):
        for name, other in (("uidMappings", "gidMappings"), ("gidMappings", "uidMappings")):
            if mount.get(name) and not mount.get(other):
                yield f"/mounts/{index}", f'wanted "{other}" beside "{name}", found none'


def id_mapped_mounts_have_mappings(config: dict[str, Any]) -> Violations:
    for index, mount in enumerate(config.get("mounts", ())):
        options = mount.get("options", ())
        if ("idmap" in options or "ridmap" in options) and not mount.get("uidMappings"):
            namespaces = config.get("linux", {}).get("namespaces", ())
            if not any(namespace["type"] == "user" for namespace in namespaces):
                message = "id-mapped mounts must have both uid and gid mappings specified, or a user namespace of which"
                yield f"/mounts/{index}", f"{message} to take them"


def hooks_are_absolute(config: dict[str, Any]) -> Violations:
    hooks = config.get("hooks")
    if hooks:
        for kind in HOOK_KINDS:
            for index, hook in enumerate(hooks.get(kind, ())):
                if not hook["path"].startswith("/"):
                    yield f"/hooks/{kind}/{index}/path", f"wanted an absolute path, found {shown(hook['path'])}"


def hook_environment_has_names(config: dict[str, Any]) -> Violations:
    hooks = config.get("hooks")
    if hooks:
        for kind in HOOK_KINDS:
            for index, hook in enumerate(hooks.get(kind, ())):
                for pointer, message in environment_has_names(hook):
                    yield f"/hooks/{kind}/{index}{pointer}", message


def annotation_keys_are_given(config: dict[str, Any]) -> Violations:
    if "" in config.get("annotations", ()):
        yield "/annotations/", "wanted a key, found an empty string"


def annotated_paths_are_given(config: dict[str, Any]) -> Violations:
    annotations = config.get("annotations")
    if annotations:
        for name in PATH_ANNOTATIONS:
            path = annotations.get(name, "/")
            if not path or "\0" in path:
                yield f"/annotations/{name}", f"wanted a path, found {shown(path)}"


def delegated_cgroup_stays_below(config: dict[str, Any]) -> Violations:
    annotations = config.get("annotations")
    if annotations:
        for name in ("run.oci.delegate-cgroup", "run.oci.systemd.subgroup"):
            path = annotations.get(name, "")
            if ".." in path.split("/") or "\0" in path or (path and not path.strip("/.")):
                yield f"/annotations/{name}", f'wanted the path of a cgroup without "..", found {shown(path)}'


def mount_context_type_is_known(config: dict[str, Any]) -> Violations:
    name = "run.oci.mount_context_type"
    word = (config.get("annotations") or {}).get(name, "context")
    if word not in CONTEXT_TYPES:
        yield f"/annotations/{name}", f"wanted one of {', '.join(CONTEXT_TYPES)}, found {shown(word)}"


def paths_are_short_enough(config: dict[str, Any]) -> Violations:
    linux = config.get("linux", {})
    groups: list[tuple[str, Any]] = [
        ("/root/path", config.get("root", {}).get("path", "")),
        ("/linux/cgroupsPath", linux.get("cgroupsPath", "")),
    ]
    for name in ("maskedPaths", "readonlyPaths"):
        groups.extend((f"/linux/{name}/{index}", path) for index, path in enumerate(linux.get(name, ())))
    objects: list[tuple[str, Any]] = [("/mounts", config.get("mounts", ()))]
    objects.extend((f"/linux/{name}", linux.get(name, ())) for name in ("namespaces", "devices"))
    objects.extend((f"/hooks/{kind}", hooks) for kind, hooks in config.get("hooks", {}).items() if kind in HOOK_KINDS)
    for place, elements in objects:
        for index, element in enumerate(elements):
            for name in ("path", "destination", "source"):
                if name in element:
                    groups.append((f"{place}/{index}/{name}", element[name]))
    for place, path in groups:
        if len(path) * 4 > PATH_BYTES and len(path.encode()) > PATH_BYTES:
            yield place, f"wanted a path of at most {PATH_BYTES} bytes, found {len(path.encode())}"


#: The rules of a ``process`` object, whether in config.json or in the file of exec.
PROCESS_RULES: tuple[Rule, ...] = (
    (args_are_given, "at least one entry is REQUIRED"),
    (cwd_is_absolute, "This value MUST be an absolute path."),
    (cwd_is_short_enough, VALID_VALUES),
    (environment_has_names, "with the same semantics as IEEE Std 1003.1-2008's `environ`."),
    (user_ids_are_ids, VALID_VALUES),
    (console_size_fits, VALID_VALUES),
    (
        rlimits_are_known,
        "The runtime MUST generate an error for any values which cannot be mapped to a relevant kernel interface.",
    ),
    (
        rlimits_are_unique,
        "If `rlimits` contains duplicated entries with same `type`, the runtime MUST generate an error.",
    ),
    (rlimits_are_ordered, "the ceiling for the soft limit"),
    (oom_score_adj_is_in_range, "If `oomScoreAdj` is set, the runtime MUST set `oom_score_adj` to the given value."),
    (scheduler_fits_its_policy, VALID_VALUES),
    (io_priority_is_in_range, "The value should be an integer ranging from 0 (highest) to 7 (lowest)."),
    (cpu_affinity_is_a_list, "This is a a comma-separated list, with dashes to represent ranges."),
)

#: The rules of ``linux.resources``, whether in config.json or in the file of update.
RESOURCES_RULES: tuple[Rule, ...] = (
    (device_rules_are_known, "type of device: `a` (all), `c` (char), or `b` (block)"),
    (memory_limits_are_ordered, "sets limit of memory+Swap usage"),
    (swappiness_is_a_percentage, "The values are from 0 to 100."),
    (cpu_burst_fits_quota, "this value MUST be no larger than any positive `quota` (runtimes MAY generate an error)"),
    (cpu_idle_is_a_switch, "0: default behavior, 1: SCHED_IDLE"),
    (block_io_devices_have_a_weight, "You MUST specify at least one of `weight` or `leafWeight` in a given entry"),
    (rdma_devices_have_a_limit, "You MUST specify at least one of the `hcaHandles` or `hcaObjects` in a given entry"),
    (unified_names_are_files, "Each key in the map refers to a file in the cgroup unified hierarchy."),
)

#: The rules of config.json as a whole, the parts above excepted.
CONFIG_RULES: tuple[Rule, ...] = (
    (version_is_supported, "`ociVersion` (string, REQUIRED) MUST be in SemVer v2.0.0 format"),
    (root_is_given, "On all other platforms, this field is REQUIRED."),
    (uts_names_need_a_uts_namespace, "the container UTS namespace may be the runtime UTS namespace"),
    (uts_names_fit, VALID_VALUES),
    (
        mount_destinations_are_given,
        "`destination` (string, REQUIRED) Destination of mount point: path inside container.",
    ),
    (mounts_leave_proc_alone, VALID_VALUES),
    (mount_id_mappings_come_in_pairs, "If specified, it MUST be specified along with `gidMappings`."),
    (
        id_mapped_mounts_have_mappings,
        "If there are no `uidMappings` and `gidMappings` specified and the container isn't using user namespaces, "
        "an error MUST be returned.",
    ),
    (hooks_are_absolute, "`path` MUST be absolute."),
    (hook_environment_has_names, "with the same semantics as IEEE Std 1003.1-2008's `environ`."),
    (annotation_keys_are_given, "Keys MUST NOT be an empty string."),
    (annotated_paths_are_given, VALID_VALUES),
    (delegated_cgroup_stays_below, VALID_VALUES),
    (mount_context_type_is_known, VALID_VALUES),
    (paths_are_short_enough, VALID_VALUES),
    (
        namespaces_are_unique,
        "If a `namespaces` field contains duplicated namespaces with same `type`, the runtime MUST generate an error.",
    ),
    (namespace_paths_are_absolute, "This value MUST be an absolute path in the runtime mount namespace."),
    (id_mappings_need_a_user_namespace, "describes the user namespace uid mappings from the host to the container"),
    (new_user_namespace_needs_mappings, "describes the user namespace uid mappings from the host to the container"),
    (id_mappings_are_usable, "Note that the number of mapping entries MAY be limited by the kernel."),
    (time_offsets_need_a_new_time_namespace, "sets the offset for Time Namespace"),
    (devices_are_complete, "`major, minor` (int64, REQUIRED unless `type` is `p`)"),
    (
        devices_have_one_meaning_per_path,
        "If a file already exists at `path` that does not match the requested device, "
        "the runtime MUST generate an error.",
    ),
    (net_devices_need_a_network_namespace, "A set of network devices that MUST be made available in the container."),
    (
        net_device_names_are_valid,
        "The runtime MUST check if moving the network interface to the container namespace is possible.",
    ),
    (
        cgroups_path_stays_below,
        "Runtimes MAY consider certain `cgroupsPath` values to be invalid, "
        "and MUST generate an error if this is the case.",
    ),
    (sysctls_belong_to_the_container, "allows kernel parameters to be modified at runtime for the container"),
    (masked_and_readonly_paths_are_absolute, "The values MUST be absolute paths in the container namespace."),
    (masked_and_readonly_paths_need_a_mount_namespace, "will mask over the provided paths inside the container"),
    (
        seccomp_errno_fits_its_action,
        "When the action doesn't support an errno, the runtime MUST print and error and fail.",
    ),
    (seccomp_listener_is_complete, "This field MUST NOT be set if `listenerPath` is not set."),
    (seccomp_arguments_exist, VALID_VALUES),
    (intel_rdt_names_are_plain, "The value MUST NOT contain newlines."),
    (memory_policy_fits_its_nodes, "Some modes require that there are no nodes, e.g. `MPOL_DEFAULT` and `MPOL_LOCAL`."),
    (memory_policy_flags_fit_its_mode, VALID_VALUES),
    (personality_has_no_flags, "Currently no flag values are supported."),
)


def _broken(document: dict[str, Any], rules: tuple[Rule, ...], prefix: str, findings: list[Finding]) -> None:
    for check, sentence in rules:
        for pointer, message in check(document):
            findings.append((prefix + pointer, message, sentence))


def _nul_characters(document: dict[str, Any], text: bytes | None, findings: list[Finding]) -> None:
    """No system call takes a NUL within a string. In a file it can only stand as an escape, so most are never searched.

    Annotations do not reach the kernel, but for those that `annotated_paths_are_given` looks at.
    """
    if text is not None and b"\\u0000" not in text:
        return
    for name, member in document.items():
        if name != "annotations":
            for pointer, string in strings_of(member, f"/{token(name)}"):
                if "\0" in string:
                    findings.append(
                        (pointer, f"wanted a string without NUL characters, found {shown(string)}", VALID_VALUES)
                    )


def broken_config_rules(config: dict[str, Any], text: bytes | None = None) -> list[Finding]:
    """Every violation in a configuration that matches the schema; *text* is the file that it was read from."""
    findings: list[Finding] = []
    _broken(config, CONFIG_RULES, "", findings)
    process = config.get("process")
    if process is not None:
        _broken(process, PROCESS_RULES, "/process", findings)
    resources = config.get("linux", {}).get("resources")
    if resources is not None:
        _broken(resources, RESOURCES_RULES, "/linux/resources", findings)
    _nul_characters(config, text, findings)
    return findings


def broken_process_rules(process: dict[str, Any], text: bytes | None = None) -> list[Finding]:
    """The same for a ``process`` object alone."""
    findings: list[Finding] = []
    _broken(process, PROCESS_RULES, "", findings)
    _nul_characters(process, text, findings)
    return findings


def broken_resources_rules(resources: dict[str, Any], text: bytes | None = None) -> list[Finding]:
    """The same for a ``linux.resources`` object alone."""
    findings: list[Finding] = []
    _broken(resources, RESOURCES_RULES, "", findings)
    _nul_characters(resources, text, findings)
    return findings
