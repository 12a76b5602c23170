"""What the spec demands of the author of a config.json: a runtime that finds it broken says so, and starts nothing."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def set_property(config: Any, pointer: str, value: Any) -> None:
    """What is missing on the way is made: an object, in front of a number an array with one."""
    part = config
    steps = pointer.strip("/").split("/")
    for step, following in pairwise(steps):
        if isinstance(part, list):
            part = part[int(step)]
        else:
            part = part.setdefault(step, [{}] if following.isdecimal() else {})
    part[int(steps[-1]) if isinstance(part, list) else steps[-1]] = copy.deepcopy(value)


DEVICE = {"path": "/dev/some", "type": "c", "major": 1, "minor": 3}
HOOK = {"path": "/bin/true"}
MAPPING = {"containerID": 0, "hostID": 100000, "size": 1000}
RATE = {"major": 1, "minor": 3, "rate": 1}
RESOURCES = "/linux/resources"
ARGUMENT = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
RULE = {"names": ["chdir"], "action": "SCMP_ACT_ERRNO", "args": [ARGUMENT]}
SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [RULE]}

#: Name of the case -> the object that is in the configuration, where, and the property that it lacks.
REQUIRED: dict[str, tuple[str, Any, str]] = {
    "rlimit-type": ("/process/rlimits/0", {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, "type"),
    "rlimit-soft": ("/process/rlimits/0", {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, "soft"),
    "rlimit-hard": ("/process/rlimits/0", {"type": "RLIMIT_CORE", "soft": 1, "hard": 1}, "hard"),
    "mount-destination": ("/mounts/0", {"destination": "/x", "type": "tmpfs"}, "destination"),
    "console-height": ("/process/consoleSize", {"height": 25, "width": 80}, "height"),
    "console-width": ("/process/consoleSize", {"height": 25, "width": 80}, "width"),
    "scheduler-policy": ("/process/scheduler", {"policy": "SCHED_OTHER"}, "policy"),
    "io-class": ("/process/ioPriority", {"class": "IOPRIO_CLASS_BE", "priority": 4}, "class"),
    "hook-path": ("/hooks/createRuntime/0", HOOK, "path"),
    "namespace-type": ("/linux/namespaces/0", {"type": "pid"}, "type"),
    "mapping-container-id": ("/linux/uidMappings/0", MAPPING, "containerID"),
    "mapping-host-id": ("/linux/uidMappings/0", MAPPING, "hostID"),
    "mapping-size": ("/linux/uidMappings/0", MAPPING, "size"),
    "device-type": ("/linux/devices/0", DEVICE, "type"),
    "device-path": ("/linux/devices/0", DEVICE, "path"),
    "device-major": ("/linux/devices/0", DEVICE, "major"),
    "device-minor": ("/linux/devices/0", DEVICE, "minor"),
    "device-rule-allow": (f"{RESOURCES}/devices/0", {"allow": True, "access": "r"}, "allow"),
    "weight-device-major": (f"{RESOURCES}/blockIO/weightDevice/0", {"major": 1, "minor": 3, "weight": 10}, "major"),
    "weight-device-minor": (f"{RESOURCES}/blockIO/weightDevice/0", {"major": 1, "minor": 3, "weight": 10}, "minor"),
    "throttle-bytes-rate": (f"{RESOURCES}/blockIO/throttleReadBpsDevice/0", RATE, "rate"),
    "throttle-operations-rate": (f"{RESOURCES}/blockIO/throttleWriteIOPSDevice/0", RATE, "rate"),
    "hugepage-size": (f"{RESOURCES}/hugepageLimits/0", {"pageSize": "2MB", "limit": 1}, "pageSize"),
    "hugepage-limit": (f"{RESOURCES}/hugepageLimits/0", {"pageSize": "2MB", "limit": 1}, "limit"),
    "network-name": (f"{RESOURCES}/network/priorities/0", {"name": "lo", "priority": 1}, "name"),
    "network-priority": (f"{RESOURCES}/network/priorities/0", {"name": "lo", "priority": 1}, "priority"),
    "memory-policy-mode": ("/linux/memoryPolicy", {"mode": "MPOL_DEFAULT"}, "mode"),
    "seccomp-default-action": ("/linux/seccomp", SECCOMP, "defaultAction"),
    "seccomp-names": ("/linux/seccomp/syscalls/0", {"names": ["chdir"], "action": "SCMP_ACT_ERRNO"}, "names"),
    "seccomp-action": ("/linux/seccomp/syscalls/0", {"names": ["chdir"], "action": "SCMP_ACT_ERRNO"}, "action"),
    "seccomp-argument-index": ("/linux/seccomp/syscalls/0/args/0", ARGUMENT, "index"),
    "seccomp-argument-value": ("/linux/seccomp/syscalls/0/args/0", ARGUMENT, "value"),
    "seccomp-argument-op": ("/linux/seccomp/syscalls/0/args/0", ARGUMENT, "op"),
    "personality-domain": ("/linux/personality", {"domain": "LINUX"}, "domain"),
}


@pytest.mark.parametrize("case", REQUIRED)
def test_a_required_property_that_is_missing_is_named(runtime: Runtime, bundle: Bundle, case: str) -> None:
    pointer, whole, name = REQUIRED[case]
    if pointer.startswith("/linux/seccomp/"):
        set_property(bundle.config, "/linux/seccomp", SECCOMP)
    set_property(bundle.config, pointer, {key: value for key, value in whole.items() if key != name})
    runtime.run(bundle).fails(f'wanted the property "{name}"', pointer)


@pytest.mark.parametrize("name", ["ociVersion", "root"])
def test_a_required_property_of_the_configuration_is_named(runtime: Runtime, bundle: Bundle, name: str) -> None:
    del bundle.config[name]
    runtime.run(bundle).fails(f'wanted the property "{name}"')


def test_the_path_of_the_root_is_required(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.config["root"]["path"]
    runtime.run(bundle).fails('wanted the property "path"', "/root")


def test_a_root_that_is_not_there_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = "nowhere"
    runtime.run(bundle).fails("nowhere", "/root/path")


def test_the_working_directory_is_required(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.process["cwd"]
    runtime.run(bundle).fails('wanted the property "cwd"', "/process")


#: Name of the case -> where, a value that a MUST forbids there, and what the error says beside the place.
FORBIDDEN: dict[str, tuple[str, Any, str]] = {
    "version-not-semver": ("/ociVersion", "1.0", "SemVer"),
    "cwd-relative": ("/process/cwd", "tmp", "absolute"),
    "args-empty": ("/process/args", [], "/process/args"),
    "rlimit-unknown": ("/process/rlimits/0", {"type": "RLIMIT_TEA", "soft": 1, "hard": 1}, "RLIMIT_TEA"),
    "rlimit-twice": ("/process/rlimits", [{"type": "RLIMIT_CORE", "soft": 1, "hard": 1}] * 2, "RLIMIT_CORE"),
    "mount-gid-mappings-missing": (
        "/mounts/0",
        {"destination": "/x", "source": "/tmp", "options": ["bind", "idmap"], "uidMappings": [MAPPING]},
        "gidMappings",
    ),
    "mount-uid-mappings-missing": (
        "/mounts/0",
        {"destination": "/x", "source": "/tmp", "options": ["bind", "idmap"], "gidMappings": [MAPPING]},
        "uidMappings",
    ),
    "mount-idmap-without-mapping": (
        "/mounts/0",
        {"destination": "/x", "source": "/tmp", "options": ["bind", "idmap"]},
        "id-mapped mounts must have",
    ),
    "hook-path-relative": ("/hooks/createRuntime/0/path", "bin/true", "absolute"),
    "hook-timeout-zero": ("/hooks/createRuntime/0", {**HOOK, "timeout": 0}, "timeout"),
    "hook-timeout-negative": ("/hooks/createRuntime/0", {**HOOK, "timeout": -1}, "timeout"),
    "annotations-array": ("/annotations", ["a"], "object"),
    "annotation-key-empty": ("/annotations", {"": "value"}, "empty"),
    "annotation-value-number": ("/annotations", {"key": 1}, "string"),
    "namespace-unknown": ("/linux/namespaces/0/type", "tea", "tea"),
    "namespace-twice": ("/linux/namespaces", [{"type": "pid"}, {"type": "pid"}], "pid"),
    "namespace-path-relative": ("/linux/namespaces/0", {"type": "pid", "path": "proc/self/ns/pid"}, "absolute"),
    "masked-path-relative": ("/linux/maskedPaths", ["proc/kcore"], "absolute"),
    "readonly-path-relative": ("/linux/readonlyPaths", ["proc/sys"], "absolute"),
    "weight-device-without-weight": (f"{RESOURCES}/blockIO/weightDevice/0", {"major": 1, "minor": 3}, "leafWeight"),
    "rdma-empty": (f"{RESOURCES}/rdma", {"mlx5_1": {}}, "hcaObjects"),
    "memory-bandwidth-not-mb": ("/linux/intelRdt", {"memBwSchema": "L3:0=7"}, "memBwSchema"),
    "memory-bandwidth-newline": ("/linux/intelRdt", {"memBwSchema": "MB:0=20\nL3:0=7"}, "memBwSchema"),
    "schemata-newline": ("/linux/intelRdt", {"schemata": ["L3:0=7\nMB:0=20"]}, "schemata"),
    "listener-metadata-without-path": ("/linux/seccomp", {**SECCOMP, "listenerMetadata": "x"}, "listenerPath"),
    "seccomp-names-empty": ("/linux/seccomp/syscalls/0", {"names": [], "action": "SCMP_ACT_ERRNO"}, "names"),
    "default-errno-without-errno": (
        "/linux/seccomp",
        {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1},
        "defaultErrnoRet",
    ),
    "errno-without-errno": (
        "/linux/seccomp/syscalls/0",
        {"names": ["chdir"], "action": "SCMP_ACT_KILL", "errnoRet": 1},
        "errnoRet",
    ),
    "device-type-unknown": ("/linux/devices/0", {**DEVICE, "type": "x"}, "type"),
    "propagation-unknown": ("/linux/rootfsPropagation", "tea", "tea"),
    "cgroups-path-upwards": ("/linux/cgroupsPath", "/../../outside", ".."),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_value_that_must_not_be_is_refused(runtime: Runtime, bundle: Bundle, case: str) -> None:
    pointer, value, text = FORBIDDEN[case]
    if pointer.startswith("/linux/seccomp/"):
        set_property(bundle.config, "/linux/seccomp", SECCOMP)
    set_property(bundle.config, pointer, value)
    runtime.run(bundle).fails(text, "/".join(pointer.split("/")[:3]))


@pytest.mark.needs_controller("cpu")
def test_a_quota_below_the_burst_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"cpu": {"period": 100000, "quota": 20000, "burst": 30000}}
    runtime.run(bundle).fails("burst")


def test_the_error_of_a_default_errno_is_printed_and_no_program_runs(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}
    result = runtime.run(bundle, "print", "never").fails("defaultErrnoRet")
    assert result.out == ""


IOPRIO_CLASS_BE = 2

#: Name of the case -> where, the object there, and the number that it lacks.
TAKEN_AS_ZERO: dict[str, tuple[str, Any, str]] = {
    "user-uid": ("/process/user", {"gid": 0}, "uid"),
    "user-gid": ("/process/user", {"uid": 0}, "gid"),
    "io-priority": ("/process/ioPriority", {"class": "IOPRIO_CLASS_BE"}, "priority"),
}


@pytest.mark.parametrize("case", TAKEN_AS_ZERO)
def test_a_required_number_that_is_missing_is_warned_of(runtime: Runtime, bundle: Bundle, case: str) -> None:
    """The specification's own JSON Schema lets it be absent, and other runtimes take it as 0."""
    pointer, part, name = TAKEN_AS_ZERO[case]
    set_property(bundle.config, pointer, part)
    result = runtime.run(bundle, "id", ";", "scheduling")
    assert result.status == 0
    assert f'{pointer}: wanted the property \\"{name}\\", found none: it is taken as 0' in result.err
    ids, scheduling = result.values
    assert (ids["uid"], ids["gid"]) == (0, 0)
    if name == "priority":
        assert scheduling["ioPriority"] == IOPRIO_CLASS_BE << 13


IMAGE_ANNOTATIONS = ("os", "os.version", "os.features", "architecture", "variant", "author", "created", "stopSignal")


@pytest.mark.parametrize("name", IMAGE_ANNOTATIONS)
def test_the_value_of_an_images_annotation_is_a_string(runtime: Runtime, bundle: Bundle, name: str) -> None:
    """Of most the image specification wants no more. os.features is an array there, and a string here."""
    key = f"org.opencontainers.image.{name}"
    bundle.config["annotations"] = {key: ["linux"]}
    runtime.run(bundle, "print", "never").fails(f"config.json#/annotations/{key}", "wanted a string, found")


@pytest.mark.parametrize("name", ["image.created", "image.stopSignal", "tea"])
def test_an_annotation_that_the_image_specification_does_not_allow_is_warned_of(
    runtime: Runtime, bundle: Bundle, name: str
) -> None:
    """No more than that: "Runtimes MUST handle unknown annotation keys like any other unknown property"."""
    key = f"org.opencontainers.{name}"
    bundle.config["annotations"] = {key: "tea"}
    result = runtime.run(bundle, "print", "ran")
    assert (result.status, result.out) == (0, "ran\n")
    assert f"annotation {key}: wanted" in result.err


def test_unknown_properties_are_ignored(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["unknown"] = {"nested": [1]}
    bundle.process["unknown"] = True
    bundle.linux["unknown"] = "text"
    assert runtime.run(bundle, "print", "ran").check().out == "ran\n"


def test_unknown_annotations_are_taken_as_they_are(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.example.unknown": "value", "org.opencontainers.unknown": "x"}
    container = runtime.create(bundle, "print", "ran")
    assert container.state()["annotations"]["org.example.unknown"] == "value"
    container.start()
    assert container.read_line() == "ran"
