"""The template of `ocirt spec`: valid, and the same as runc's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocirt.config.load import validate_config
from ocirt.config.template import default_config
from ocirt.config.warnings import config_warnings

VARIANTS: list[dict[str, Any]] = [
    {},
    {"rootless": True, "uid": 1000, "gid": 100},
    {"cgroup2": True},
    {"rootless": True, "cgroup2": True},
]


def types(config: Any) -> list[str]:
    return [namespace["type"] for namespace in config["linux"]["namespaces"]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_template_is_a_valid_configuration(variant: dict[str, Any]) -> None:
    config = default_config(**variant)
    text = json.dumps(config).encode()
    validate_config(config, text=text)
    assert config_warnings(dict(config)) == []
    assert config["ociVersion"] == "1.3.0"


def test_two_templates_share_nothing() -> None:
    first = default_config()
    first["process"]["capabilities"]["bounding"].append("CAP_SYS_ADMIN")
    first["mounts"][0].setdefault("options", []).append("ro")
    first["linux"]["maskedPaths"].clear()
    assert default_config() == default_config()
    assert "CAP_SYS_ADMIN" not in default_config()["process"]["capabilities"]["bounding"]
    assert len(default_config()["linux"]["maskedPaths"]) == 10


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_capability_is_inheritable_or_ambient(variant: dict[str, Any]) -> None:
    assert set(default_config(**variant)["process"]["capabilities"]) == {"bounding", "effective", "permitted"}


def test_a_rootful_template_has_its_own_network_and_denies_devices() -> None:
    config = default_config()
    assert types(config) == ["pid", "network", "ipc", "uts", "mount"]
    assert config["linux"]["resources"] == {"devices": [{"allow": False, "access": "rwm"}]}
    assert "uidMappings" not in config["linux"]
    assert "gid=5" in config["mounts"][2]["options"]
    assert config["mounts"][5]["type"] == "sysfs"


def test_a_rootless_template_maps_the_caller_and_needs_no_privilege() -> None:
    config = default_config(rootless=True, uid=1000, gid=100)
    assert types(config) == ["pid", "ipc", "uts", "mount", "user"]
    assert config["linux"]["uidMappings"] == [{"containerID": 0, "hostID": 1000, "size": 1}]
    assert config["linux"]["gidMappings"] == [{"containerID": 0, "hostID": 100, "size": 1}]
    assert "resources" not in config["linux"]
    options = [option for mount in config["mounts"] for option in mount.get("options", ())]
    assert not [option for option in options if option.startswith(("gid=", "uid="))]
    assert config["mounts"][5] == {
        "destination": "/sys",
        "type": "none",
        "source": "/sys",
        "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
    }


def test_a_cgroup_namespace_is_for_hosts_with_the_unified_hierarchy() -> None:
    assert types(default_config(cgroup2=True)) == ["pid", "network", "ipc", "uts", "mount", "cgroup"]
    assert types(default_config(rootless=True, cgroup2=True)) == ["pid", "ipc", "uts", "mount", "cgroup", "user"]
