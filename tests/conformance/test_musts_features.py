"""features.md and features-linux.md: what the runtime says of itself holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime

from conformance.spec_text import VERSION

pytestmark = pytest.mark.needs_root


@pytest.fixture
def features(runtime: Runtime) -> Any:
    return json.loads(runtime("features").check().out)


def precedence(version: str) -> tuple[int, int, int]:
    major, minor, patch = version.partition("-")[0].split(".")
    return int(major), int(minor), int(patch)


def test_the_structure_has_known_properties_alone(features: Any) -> None:
    schema = json.loads((Path(__file__).parents[2] / "schemas/features.json").read_text())
    unknown = [
        f"{where}/{name}"
        for where, part, known in (("", features, schema), ("/linux", features["linux"], schema["properties"]["linux"]))
        for name in part
        if name not in known["properties"]
    ]
    assert unknown == []


def test_the_versions_are_there_and_the_least_is_not_above_the_greatest(features: Any) -> None:
    assert precedence(features["ociVersionMin"]) <= precedence(features["ociVersionMax"])
    assert features["ociVersionMax"] == VERSION


@pytest.mark.parametrize("name", ["ociVersionMin", "ociVersionMax"])
def test_both_versions_are_accepted(runtime: Runtime, bundle: Bundle, features: Any, name: str) -> None:
    bundle.config["ociVersion"] = features[name]
    assert runtime.run(bundle, "print", "ran").check().out == "ran\n"


def test_every_listed_kind_of_hook_is_called(runtime: Runtime, bundle: Bundle, features: Any) -> None:
    shared = bundle.path / "shared"
    shared.mkdir()
    bundle.mkdir("shared")
    bundle.add_mount("/shared", None, shared, "bind")
    bundle.config["hooks"] = {}
    for kind in features["hooks"]:
        inside = kind == "startContainer"
        init, folder = ("/init", Path("/shared")) if inside else (str(bundle.rootfs / "init"), shared)
        bundle.config["hooks"][kind] = [{"path": init, "args": ["init", "touch", str(folder / kind)]}]
    runtime.run(bundle, "id").check()
    assert sorted(path.name for path in shared.iterdir()) == sorted(features["hooks"])


def test_every_listed_namespace_can_be_made(runtime: Runtime, bundle: Bundle, features: Any) -> None:
    bundle.map_ids((0, 100000, 1000))
    bundle.linux["namespaces"] = [{"type": kind} for kind in features["linux"]["namespaces"]]
    assert runtime.run(bundle, "print", "ran").check().out == "ran\n"


def test_every_listed_capability_is_known(runtime: Runtime, bundle: Bundle, features: Any) -> None:
    bundle.process["capabilities"] = {"bounding": features["linux"]["capabilities"]}
    result = runtime.run(bundle, "print", "ran")
    assert (result.status, result.out) == (0, "ran\n")
    assert "unknown" not in result.err


#: Words that mean nothing alone. tests/integration/test_container_seccomp_notify.py runs containers with the rest.
WANTS_MORE = {
    "SCMP_ACT_NOTIFY": "seccomp listenerPath is not set",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": "wanted a rule with SCMP_ACT_NOTIFY beside it",
}


@pytest.mark.parametrize(("name", "place"), [("actions", "action"), ("operators", "op"), ("supportedFlags", "flags")])
def test_every_listed_word_of_seccomp_is_recognized(
    runtime: Runtime, bundle: Bundle, features: Any, name: str, place: str
) -> None:
    for word in features["linux"]["seccomp"][name]:
        argument = {"index": 0, "value": 1, "op": word if place == "op" else "SCMP_CMP_EQ"}
        rule = {"names": ["chdir"], "action": word if place == "action" else "SCMP_ACT_LOG", "args": [argument]}
        bundle.linux["seccomp"] = {
            "defaultAction": "SCMP_ACT_ALLOW",
            "flags": [word] if place == "flags" else [],
            "syscalls": [rule],
        }
        result = runtime.run(bundle, "print", word)
        missing = WANTS_MORE.get(word)
        if missing is None:
            assert result.check().out == f"{word}\n"
        else:
            result.fails(missing)  # the word is known: what it needs beside it is missed, not the word


def test_every_listed_architecture_is_recognized(runtime: Runtime, bundle: Bundle, features: Any) -> None:
    for word in features["linux"]["seccomp"]["archs"]:
        bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [word]}
        result = runtime.run(bundle, "print", word)
        # One whose byte order is the other one is known, but no filter of this machine can have it.
        assert result.out == f"{word}\n" or "byte order" in result.err


def test_the_words_of_a_memory_policy_are_recognized(runtime: Runtime, bundle: Bundle, features: Any) -> None:
    policy = features["linux"].get("memoryPolicy")
    if not policy or not policy.get("modes"):
        pytest.skip("this runtime supports no memory policy")
    for mode in policy["modes"]:
        nodes = {} if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") else {"nodes": "0"}
        bundle.linux["memoryPolicy"] = {"mode": mode, **nodes}
        assert runtime.run(bundle, "print", mode).check().out == f"{mode}\n"


def test_the_flags_of_a_memory_policy_are_recognized(runtime: Runtime, bundle: Bundle, features: Any) -> None:
    policy = features["linux"].get("memoryPolicy")
    if not policy or not policy.get("flags"):
        pytest.skip("this runtime supports no flag of a memory policy")
    for flag in policy["flags"]:
        bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]}
        assert runtime.run(bundle, "print", flag).check().out == f"{flag}\n"


def test_idmap_is_enabled_because_the_properties_of_mounts_are_known(features: Any) -> None:
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"] is True
