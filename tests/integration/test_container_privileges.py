"""``process``: capabilities, resource limits, no_new_privs, and the knobs of the schedulers and the OOM killer."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest
from host_view import CAPABILITY_NUMBERS
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

needs_sys_resource = pytest.mark.needs_capability("SYS_RESOURCE")

CHOWN, KILL, NET_RAW = (1 << CAPABILITY_NUMBERS[f"CAP_{name}"] for name in ("CHOWN", "KILL", "NET_RAW"))
SETS = ("bounding", "effective", "permitted", "inheritable", "ambient")
INFINITY = (1 << 64) - 1


def capabilities(runtime: Runtime, bundle: Bundle, **sets: list[str]) -> dict[str, int]:
    bundle.process["capabilities"] = {kind: ["CAP_" + name for name in names] for kind, names in sets.items()}
    found = runtime.probe(bundle, "caps")
    return {kind: int(found[kind], 16) for kind in SETS}


# -- capabilities ------------------------------------------------------------------------------------------------------


def test_without_capabilities_there_are_none(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.process["capabilities"]
    found = runtime.probe(bundle, "caps")
    assert [found[kind] for kind in SETS] == ["0"] * 5


def test_each_of_the_five_sets_is_what_the_configuration_says(runtime: Runtime, bundle: Bundle) -> None:
    """As a user who is not root: for root execve(2) makes the permitted set anew."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    found = capabilities(
        runtime,
        bundle,
        bounding=["CHOWN", "KILL", "NET_RAW"],
        permitted=["KILL", "NET_RAW"],
        inheritable=["KILL", "NET_RAW"],
        effective=["KILL"],
        ambient=["KILL"],
    )
    # Permitted and effective are made of the ambient set by execve(2), capabilities(7).
    assert found == {
        "bounding": CHOWN | KILL | NET_RAW,
        "permitted": KILL,
        "effective": KILL,
        "inheritable": KILL | NET_RAW,
        "ambient": KILL,
    }


def test_root_has_what_is_in_the_bounding_set(runtime: Runtime, bundle: Bundle) -> None:
    found = capabilities(
        runtime, bundle, bounding=["CHOWN", "KILL"], permitted=["CHOWN", "KILL"], effective=["CHOWN", "KILL"]
    )
    assert found == dict.fromkeys(("bounding", "permitted", "effective"), CHOWN | KILL) | {
        "inheritable": 0,
        "ambient": 0,
    }


def test_a_user_without_ambient_capabilities_has_none(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    found = capabilities(runtime, bundle, bounding=["KILL"], permitted=["KILL"], effective=["KILL"])
    assert (found["permitted"], found["effective"], found["bounding"]) == (0, 0, KILL)


def test_a_capability_that_the_kernel_lacks_is_a_warning(runtime: Runtime, bundle: Bundle) -> None:
    """config.md: "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted otherwise, MUST
    be logged as a warning by the runtime.\""""
    bundle.process["capabilities"]["bounding"] = ["CAP_KILL", "CAP_OF_TOMORROW"]
    result = runtime.run(bundle, "caps")
    assert result.status == 0
    assert "level=warning" in result.err
    assert "CAP_OF_TOMORROW" in result.err
    assert int(result.value["bounding"], 16) == KILL


def test_an_ambient_capability_that_cannot_be_raised_is_a_warning(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {kind: ["CAP_KILL"] for kind in ("bounding", "permitted", "effective")}
    bundle.process["capabilities"]["ambient"] = ["CAP_CHOWN"]
    result = runtime.run(bundle, "caps")
    assert result.status == 0
    assert "level=warning" in result.err
    assert "CAP_CHOWN" in result.err
    assert result.value["ambient"] == "0"


# -- no_new_privs, oom_score_adj ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", [True, False, None])
def test_no_new_privs_is_as_configured(runtime: Runtime, bundle: Bundle, wanted: bool | None) -> None:
    if wanted is not None:
        bundle.process["noNewPrivileges"] = wanted
    assert runtime.probe(bundle, "caps")["noNewPrivileges"] == int(wanted or False)


@pytest.mark.parametrize("value", [pytest.param(-999, marks=needs_sys_resource), 0, 500])
def test_oom_score_adj_is_as_configured(runtime: Runtime, bundle: Bundle, value: int) -> None:
    bundle.process["oomScoreAdj"] = value
    assert runtime.probe(bundle, "cat", "/proc/self/oom_score_adj") == f"{value}\n"


def test_without_oom_score_adj_it_is_the_callers(runtime: Runtime, bundle: Bundle) -> None:
    """config.md: "If oomScoreAdj is not set, the runtime MUST NOT change the value of oom_score_adj.\""""
    callers = Path("/proc/self/oom_score_adj")
    before = callers.read_text()
    callers.write_text("77")
    try:
        assert runtime.probe(bundle, "cat", "/proc/self/oom_score_adj") == "77\n"
    finally:
        callers.write_text(before)


# -- rlimits -----------------------------------------------------------------------------------------------------------


def rlimit(name: str, soft: int, hard: int) -> dict[str, Any]:
    return {"type": f"RLIMIT_{name}", "soft": soft, "hard": hard}


@needs_sys_resource
def test_every_kind_of_limit_can_be_set(runtime: Runtime, bundle: Bundle) -> None:
    names = (
        *("CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS"),
        *("SIGPENDING", "MSGQUEUE", "NICE", "RTPRIO", "RTTIME"),
    )
    wanted = {
        f"RLIMIT_{name}": [(1 << 30) + index, (1 << 30) + 100 + index]
        for index, name in enumerate(names)
        if name not in ("NOFILE", "NICE", "RTPRIO")
    }
    wanted |= {"RLIMIT_NOFILE": [123, 456], "RLIMIT_NICE": [3, 20], "RLIMIT_RTPRIO": [1, 2]}
    bundle.process["rlimits"] = [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in wanted.items()]
    assert runtime.probe(bundle, "rlimits") == wanted


@needs_sys_resource
def test_a_limit_may_be_above_the_callers(runtime: Runtime, bundle: Bundle) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    bundle.process["rlimits"] = [rlimit("NOFILE", hard + 5, hard + 10)]
    assert runtime.probe(bundle, "rlimits")["RLIMIT_NOFILE"] == [hard + 5, hard + 10]


def test_a_limit_may_be_infinite(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [rlimit("STACK", INFINITY, INFINITY)]
    assert runtime.probe(bundle, "rlimits")["RLIMIT_STACK"] == [INFINITY, INFINITY]


def test_every_kind_of_limit_can_be_lowered(runtime: Runtime, bundle: Bundle) -> None:
    wanted = {}
    for name in ("CPU", "FSIZE", "DATA", "STACK", "RSS", "NPROC", "AS"):
        hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name}"))[1] & INFINITY
        wanted[f"RLIMIT_{name}"] = [min(1 << 24, hard) - 1, min(1 << 24, hard)]
    wanted["RLIMIT_CORE"] = [0, 0]
    bundle.process["rlimits"] = [{"type": name, "soft": soft, "hard": hard} for name, (soft, hard) in wanted.items()]
    found = runtime.probe(bundle, "rlimits")
    assert {name: found[name] for name in wanted} == wanted


@pytest.mark.needs_program("setpriv")
def test_a_limit_above_the_callers_fails_create_without_cap_sys_resource(runtime: Runtime, bundle: Bundle) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    bundle.process["rlimits"] = [rlimit("NOFILE", hard + 1, hard + 1)]
    runtime.wrapper = ["setpriv", "--bounding-set", "-sys_resource", "--"]
    bundle.save()
    result = runtime("create", "--bundle", str(bundle.path), runtime.new_id())
    result.fails("create failed", "RLIMIT_NOFILE", "operation not permitted", "#/process/rlimits/0/hard")
    assert "hint: the limit is above the runtime's own hard limit, and raising it needs CAP_SYS_RESOURCE" in result.err


@pytest.mark.needs_program("setpriv")
def test_oom_score_adj_below_the_callers_is_refused_without_cap_sys_resource(runtime: Runtime, bundle: Bundle) -> None:
    """Not with "permission denied", as the kernel says it: engines take that for a program that may not be executed."""
    bundle.process["oomScoreAdj"] = -999
    runtime.wrapper = ["setpriv", "--bounding-set", "-sys_resource", "--"]
    words = "set oom_score_adj to -999: operation not permitted (config.json#/process/oomScoreAdj)"
    runtime.run(bundle, "id").fails(words, "hint: ", "CAP_SYS_RESOURCE")


def test_limits_that_are_not_named_are_the_callers(runtime: Runtime, bundle: Bundle) -> None:
    """Above all RLIMIT_NOFILE, which Go's runtime changes behind one's back."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert runtime.probe(bundle, "rlimits")["RLIMIT_NOFILE"] == [soft, hard]


def test_a_soft_limit_above_the_hard_one_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [rlimit("CORE", 2, 1)]
    runtime.run(bundle).fails("config.json#/process/rlimits/0")


def test_a_limit_that_is_named_twice_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """config.md: "If rlimits contains duplicated entries with same type, the runtime MUST generate an error.\""""
    bundle.process["rlimits"] = [rlimit("CORE", 1, 1), rlimit("CORE", 1, 1)]
    runtime.run(bundle).fails("config.json#/process/rlimits/1", "RLIMIT_CORE")


def test_a_limit_that_the_kernel_does_not_know_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["rlimits"] = [rlimit("LUCK", 1, 1)]
    runtime.run(bundle).fails("config.json#/process/rlimits/0/type", "RLIMIT_LUCK")


# -- schedulers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"class": "IOPRIO_CLASS_BE", "priority": 3}, 2 << 13 | 3),
        ({"class": "IOPRIO_CLASS_RT", "priority": 7}, 1 << 13 | 7),
        ({"class": "IOPRIO_CLASS_IDLE", "priority": 0}, 3 << 13),
    ],
)
def test_the_io_priority_is_as_configured(
    runtime: Runtime, bundle: Bundle, wanted: dict[str, object], found: int
) -> None:
    bundle.process["ioPriority"] = wanted
    assert runtime.probe(bundle, "scheduling")["ioPriority"] == found


@pytest.mark.parametrize(("domain", "found", "machine"), [("LINUX32", 8, "i686"), ("LINUX", 0, None)])
def test_the_personality_is_as_configured(
    runtime: Runtime, bundle: Bundle, domain: str, found: int, machine: str | None
) -> None:
    bundle.linux["personality"] = {"domain": domain}
    scheduling, uts = runtime.probe(bundle, "scheduling", ";", "uts")
    assert scheduling["personality"] == found
    if machine is not None and uts["machine"] != "x86_64":
        assert uts["machine"] == machine
