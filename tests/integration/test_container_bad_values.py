"""Values that are refused where they meet the host or each other: the error names the place, and nothing is left.

What a configuration alone shows is in tests/unit/test_config_bad_values.py and test_config_rules*.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

MAPPING = [{"containerID": 0, "hostID": 100_000, "size": 1000}]
DEADLINE = {"policy": "SCHED_DEADLINE", "runtime": 1_000_000, "deadline": 100_000_000}


def mount(*options: str, **properties: Any) -> Callable[[Bundle], None]:
    mounted = {"destination": "/tmp", "options": list(options), **properties}
    return lambda bundle: bundle.config["mounts"].insert(0, mounted)


def linux(**properties: Any) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.linux.update(properties)


def process(**properties: Any) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.process.update(properties)


def hooks(**properties: Any) -> Callable[[Bundle], None]:
    return lambda bundle: bundle.config.update(hooks=properties)


def offsets(**clocks: Any) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        bundle.add_namespace("time")
        bundle.linux["timeOffsets"] = clocks

    return change


def namespace(type: str, path: str) -> Callable[[Bundle], None]:
    def change(bundle: Bundle) -> None:
        bundle.remove_namespace(type)
        bundle.linux["namespaces"].insert(0, {"type": type, "path": path})

    return change


def unmapped(bundle: Bundle) -> None:
    bundle.map_ids((0, 100_000, 1000))
    bundle.process["user"] = {"uid": 1000, "gid": 0}


#: Name of the case -> what breaks the configuration, where the error points, and what it says.
CASES: dict[str, tuple[Callable[[Bundle], None], str, str]] = {
    "bind-without-source": (mount("bind"), "/mounts/0/source", "a bind mount needs a source"),
    "mount-without-type": (mount(), "/mounts/0/type", "a mount needs a type unless it is a bind mount"),
    "copy-up-of-proc": (mount("tmpcopyup", type="proc"), "/mounts/0/options", "tmpcopyup is for a tmpfs, found 'proc'"),
    "id-map-of-no-ids": (mount("bind", "idmap=foo", source="/tmp"), "/mounts/0/options", 'wanted "uids=" or "gids="'),
    "option-of-no-value": (mount("mode=tea", type="tmpfs"), "/mounts/0", "invalid argument [tmpfs: Bad value for"),
    "mount-of-no-filesystem": (mount(type="tea"), "/mounts/0", "cannot mount tea on /tmp: no such device"),
    "device-on-the-root": (
        linux(devices=[{"type": "c", "path": "/", "major": 1, "minor": 3}]),
        "/linux/devices/0",
        "cannot make device /: invalid argument",
    ),
    "device-of-two-spellings": (
        linux(devices=[{"type": "c", "path": path, "major": 1, "minor": 3 + len(path)} for path in ("/d", "//d")]),
        "/linux/devices/1",
        "cannot make device /d: file exists",
    ),
    "mask-of-the-root": (linux(maskedPaths=["/"]), "/linux/maskedPaths/0", "cannot mask /"),
    "sysctl-of-no-value": (
        linux(sysctl={"net.ipv4.ip_forward": "tea"}),
        "/linux/sysctl/net.ipv4.ip_forward",
        "cannot set sysctl net.ipv4.ip_forward to tea: invalid argument",
    ),
    "sysctl-that-is-not-there": (
        linux(sysctl={"net.tea": "1"}),
        "/linux/sysctl/net.tea",
        "cannot set sysctl net.tea to 1: no such file or directory",
    ),
    "offset-before-the-boot": (
        offsets(boottime={"secs": -(10**12)}),
        "/linux/timeOffsets",
        "boottime -1000000000000 0: numerical result out of range",
    ),
    "namespace-of-another-type": (
        namespace("uts", "/proc/self/ns/ipc"),
        "/linux/namespaces/0",
        "cannot join uts namespace /proc/self/ns/ipc: invalid argument",
    ),
    "namespace-that-is-none": (
        namespace("ipc", "/proc/self/status"),
        "/linux/namespaces/0",
        "cannot join ipc namespace /proc/self/status: invalid argument",
    ),
    "listener-without-notification": (
        linux(
            seccomp={"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]},
        ),
        "/linux/seccomp/flags/0",
        "wanted a rule with SCMP_ACT_NOTIFY beside it, found none",
    ),
    "user-without-a-mapping": (unmapped, "/process/user", "become user 1000:0"),
    "policy-that-no-kernel-has": (
        process(scheduler={"policy": "SCHED_ISO"}),
        "/process/scheduler/policy",
        "SCHED_ISO is not supported here",
    ),
    "hook-timeout-beyond-numbers": (
        hooks(startContainer=[{"path": "/init", "timeout": 1 << 63}]),
        "/hooks/startContainer/0/timeout",
        f"wanted an integer from 1 to {(1 << 63) - 1}, found {1 << 63}",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_value_that_the_host_refuses_is_named_and_nothing_is_left(
    runtime: Runtime, bundle: Bundle, case: str
) -> None:
    change, pointer, text = CASES[case]
    change(bundle)
    result = runtime.run(bundle, "print", "never")
    result.fails(f"config.json#{pointer}", text)
    assert result.out == ""
    assert runtime.ids() == []


@pytest.mark.needs_controller("cpuset")
@pytest.mark.needs_capability("SYS_NICE")
def test_a_deadline_and_fewer_than_all_cpus_contradict(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["scheduler"] = DEADLINE
    bundle.linux["resources"] = {"cpu": {"cpus": "0"}}
    runtime.run(bundle, "print", "never").fails(
        "config.json#/process/scheduler", "operation not permitted", "SCHED_DEADLINE needs all CPUs of the system"
    )
    assert runtime.ids() == []


@pytest.mark.needs_capability("SYS_NICE")
def test_a_deadline_and_an_affinity_contradict_in_an_exec(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    container = runtime.start_paused_program(bundle)
    other = {**bundle.process, "args": ["/init", "print", "never"], "scheduler": DEADLINE}
    path = tmp_path / "process.json"
    path.write_text(json.dumps({**other, "execCPUAffinity": {"final": "0"}}))
    result = container.runtime("exec", "--process", str(path), container.id)
    hint = "SCHED_DEADLINE needs all CPUs of the system"
    result.fails("process.json#/scheduler", "operation not permitted", hint, status=255)
    assert (result.out, container.status) == ("", "running")


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_a_hook_may_take_as_long_as_can_be_said(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    program = "/init" if kind == "startContainer" else str(bundle.rootfs / "init")
    bundle.config["hooks"] = {kind: [{"path": program, "args": ["init", "exit", "0"], "timeout": (1 << 63) - 1}]}
    assert runtime.run(bundle, "print", "ran").check().out == "ran\n"


def test_options_that_a_bind_mount_has_not_are_warned_of(runtime: Runtime, bundle: Bundle) -> None:
    mount("bind", "ro", "tmpcopyup", "mode=755", "sync", source=str(bundle.path))(bundle)
    result = runtime.run(bundle, "print", "ran")
    assert (result.status, result.out) == (0, "ran\n")
    assert "/mounts/0/options: sync, mode=755, tmpcopyup: options of a filesystem, which a bind mount has" in result.err
