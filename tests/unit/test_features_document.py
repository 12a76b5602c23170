"""``ocirt features`` holds to its schema, and to what a plan accepts."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing

import ocirt
from ocirt._version import __version__
from ocirt.config.template import default_config
from ocirt.errors import ConfigError, UnsupportedError
from ocirt.features import features
from ocirt.plan import CREATE, Compilation, Host, compile_plan
from ocirt.seccomp import compile_filter

ROOT = Path(__file__).parents[2]
SCHEMAS = {path.name: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.json")}


def accepts(**changes: Any) -> bool:
    """Whether a container with these properties of ``linux`` can be planned, on a host that has everything."""
    config: dict[str, Any] = dict(default_config())
    config["linux"] = {**config["linux"], **changes}
    compilation = Compilation(config, Host(apparmor=True, selinux=True), id="x", rootfs="/bundle/rootfs")
    if "seccomp" in changes:
        compilation.filter = compile_filter(changes["seccomp"], cache_directory=None)  # type: ignore[assignment]
    try:
        compile_plan(CREATE, compilation)
    except UnsupportedError:
        return False
    return True


def test_the_document_matches_its_schema() -> None:
    registry = referencing.Registry().with_resources(
        (name, referencing.Resource.from_contents(schema)) for name, schema in SCHEMAS.items()
    )
    validator = jsonschema.Draft7Validator(SCHEMAS["features.json"], registry=registry)
    assert [error.message for error in validator.iter_errors(features())] == []


def test_the_versions_are_those_of_the_spec_ocirt_and_libseccomp() -> None:
    document = features()
    assert (document["ociVersionMin"], document["ociVersionMax"]) == ("1.0.0", "1.3.0")
    assert document["annotations"]["dev.ocirt.version"] == __version__
    assert re.fullmatch(r"2\.\d+\.\d+", document["annotations"]["io.github.seccomp.libseccomp.version"])
    assert document["annotations"]["org.opencontainers.runc.checkpoint.enabled"] == "true"


def test_all_hooks_and_namespaces_of_the_spec_are_listed() -> None:
    document = features()
    hooks = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    assert document["hooks"] == hooks
    assert set(document["linux"]["namespaces"]) == set(SCHEMAS["config.json"]["definitions"]["NamespaceType"]["enum"])


def test_every_annotation_that_the_code_reads_is_named_as_unsafe() -> None:
    """An engine lets nobody else write what changes how a container is made."""
    named = features()["potentiallyUnsafeConfigAnnotations"]
    read = set()
    for path in Path(ocirt.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                read.update(re.findall(r"^(?:run\.oci|org\.criu)\.[\w.-]+$", node.value))
    assert read == {name for name in named if not name.endswith(".")}
    assert "org.systemd.property." in named


def test_every_listed_mount_option_can_be_planned() -> None:
    words = features()["mountOptions"]
    assert {"bind", "rbind", "ro", "rro", "rprivate", "nosymfollow"} <= set(words)
    for word in words:
        config: dict[str, Any] = dict(default_config())
        config["mounts"] = [{"destination": "/data", "type": "bind", "source": "/srv", "options": ["rbind", word]}]
        compile_plan(CREATE, Compilation(config, Host(), id="x", rootfs="/bundle/rootfs"))


def test_mount_options_with_a_value_belong_to_the_filesystem_and_are_not_listed() -> None:
    assert not {"size", "mode", "uid", "gid"} & set(features()["mountOptions"])


@pytest.mark.parametrize("action", SCHEMAS["config.json"]["definitions"]["SeccompAction"]["enum"])
def test_an_action_is_listed_when_a_plan_accepts_it(action: str) -> None:
    default = "SCMP_ACT_KILL" if action == "SCMP_ACT_ALLOW" else "SCMP_ACT_ALLOW"
    profile = {"defaultAction": default, "syscalls": [{"names": ["mkdirat"], "action": action}], "listenerPath": "/a"}
    assert (action in features()["linux"]["seccomp"]["actions"]) is accepts(seccomp=profile)


@pytest.mark.parametrize("flag", SCHEMAS["config.json"]["definitions"]["SeccompFlag"]["enum"])
def test_a_flag_is_listed_when_a_plan_accepts_it(flag: str) -> None:
    action = "SCMP_ACT_NOTIFY" if flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" else "SCMP_ACT_ERRNO"
    rules = [{"names": ["mkdirat"], "action": action}]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": rules, "listenerPath": "/a"}
    seccomp = features()["linux"]["seccomp"]
    assert (flag in seccomp["knownFlags"]) is accepts(seccomp=profile)
    assert (flag in seccomp["supportedFlags"]) is accepts(seccomp=profile)


def test_every_operator_of_the_spec_is_listed_and_compiles() -> None:
    operators = features()["linux"]["seccomp"]["operators"]
    assert set(operators) == set(SCHEMAS["config.json"]["definitions"]["SeccompOperator"]["enum"])
    arguments = [{"index": 0, "op": operator, "value": 1} for operator in operators]
    rules = [{"names": ["dup"], "action": "SCMP_ACT_ERRNO", "args": [argument]} for argument in arguments]
    assert accepts(seccomp={"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules})


@pytest.mark.parametrize("word", SCHEMAS["config.json"]["definitions"]["SeccompArchitecture"]["enum"])
def test_an_architecture_is_listed_when_libseccomp_knows_it(word: str) -> None:
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": [word]}
    listed = word in features()["linux"]["seccomp"]["archs"]
    try:
        compile_filter(profile, cache_directory=None)
    except UnsupportedError:
        assert not listed
    except ConfigError:  # of the other byte order, which is the machine's limit and not ocirt's
        assert listed
    else:
        assert listed


@pytest.mark.parametrize(("feature", "property"), [("apparmor", "apparmorProfile"), ("selinux", "selinuxLabel")])
def test_the_labels_of_an_enabled_security_module_are_planned(feature: str, property: str) -> None:
    assert features()["linux"][feature] == {"enabled": True}  # type: ignore[literal-required]
    config: dict[str, Any] = dict(default_config())
    config["process"] = {**config["process"], property: "label"}
    compilation = Compilation(config, Host(apparmor=True, selinux=True), id="x", rootfs="/bundle/rootfs")
    assert [op.kind for op in compile_plan(CREATE, compilation).ops].count("LSM_LABEL") == 1


@pytest.mark.parametrize(
    ("feature", "property", "value"),
    [
        ("intelRdt", "intelRdt", {"closID": "x"}),
        ("netDevices", "netDevices", {"eth0": {}}),
        ("memoryPolicy", "memoryPolicy", {"mode": "MPOL_DEFAULT"}),
    ],
)
def test_a_topic_is_enabled_when_a_plan_accepts_it(feature: str, property: str, value: Any) -> None:
    listed: Any = features()["linux"].get(feature)
    assert bool(listed and listed.get("enabled", True)) is accepts(**{property: value})


def test_idmapped_mounts_are_enabled_and_a_plan_accepts_them() -> None:
    config: dict[str, Any] = dict(default_config())
    mapping = [{"containerID": 0, "hostID": 1000, "size": 1}]
    mount = {"destination": "/data", "type": "bind", "source": "/srv", "options": ["bind"]}
    config["mounts"] = [{**mount, "uidMappings": mapping, "gidMappings": mapping}]
    plan = compile_plan(CREATE, Compilation(config, Host(), id="x", rootfs="/bundle/rootfs"))
    assert features()["linux"]["mountExtensions"] == {"idmap": {"enabled": True}}
    assert [source.id_map is not None for op in plan.ops for source in op.sources if op.kind == "BIND"] == [True]


def test_without_libseccomp_seccomp_is_disabled_and_has_no_version() -> None:
    program = """
import json, sys
sys.modules["ocirt._seccomp"] = None
from ocirt.features import features
document = features()
print(json.dumps([document["linux"]["seccomp"], sorted(document["annotations"])]))
"""
    command = [sys.executable, "-c", f"import sys; sys.path = {sys.path!r}\n{program}"]
    seccomp, annotations = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert seccomp == {"enabled": False}
    assert annotations == ["dev.ocirt.version", "org.opencontainers.runc.checkpoint.enabled"]
