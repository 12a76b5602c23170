"""Rules of a configuration: what breaks one, where the error points, what it says, and what is allowed.

Here are the cases of ocirt/config/rules.py, and what holds for the rules of all modules.
"""

from __future__ import annotations

from typing import Any

import pytest
from config_cases import (
    MAPPING,
    Case,
    assert_complete,
    assert_named_alone,
    cases,
    changed,
    mount,
    namespaces,
    without,
)

from ocirt.config import rules
from ocirt.config.load import validate_config, validate_process, validate_resources
from ocirt.config.rules_linux import sysctl_parts
from ocirt.config.words import CAPABILITIES, parse_list
from ocirt.errors import ConfigError

CASES: list[Case] = [
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
]


@cases(CASES)
def test_a_broken_rule_is_named_and_alone(case: Case) -> None:
    assert_named_alone(case)


def test_every_rule_has_a_case() -> None:
    assert_complete(CASES, rules.CONFIG_RULES, "rules")


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
