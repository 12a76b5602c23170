"""Configurations with one thing changed, and what a test of a rule asks of each: see test_config_rules*.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from ocirt.config import rules
from ocirt.config.load import validate_config
from ocirt.config.template import default_config
from ocirt.errors import ConfigError

#: The rule that is broken, a configuration that breaks it, where the error points, and a part of what it says.
Case = tuple[str, dict[str, Any], str, str]

LINUX = "/linux"
RESOURCES = "/linux/resources"
SECCOMP: dict[str, Any] = {"defaultAction": "SCMP_ACT_ALLOW"}
MAPPING = {"containerID": 0, "hostID": 1000, "size": 10}


def changed(**changes: Any) -> dict[str, Any]:
    """The default configuration with properties set: ``process__cwd="x"``; what is missing on the way is made."""
    config: Any = default_config()
    for name, value in changes.items():
        *way, last = name.split("__")
        part = config
        for step in way:
            part = part.setdefault(step, {})
        part[last] = value
    return dict(config)


def namespaces(*types: str) -> list[dict[str, str]]:
    """Entries for ``type`` or ``type=path``."""
    return [dict(zip(("type", "path"), entry.split("="), strict=False)) for entry in types]


def without(name: str) -> dict[str, Any]:
    config = changed()
    del config[name]
    return config


def mount(**properties: Any) -> dict[str, Any]:
    return changed(mounts=[{"destination": "/data", **properties}])


def broken(config: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(rule, pointer, message) of everything that is wrong with *config*."""
    found = []
    process = config.get("process", {})
    resources = config.get("linux", {}).get("resources", {})
    for prefix, part, checks in (
        ("", config, rules.CONFIG_RULES),
        ("/process", process, rules.PROCESS_RULES if process else ()),
        (RESOURCES, resources, rules.RESOURCES_RULES),
    ):
        for check, _ in checks:
            found += [(check.__name__, prefix + pointer, message) for pointer, message in check(part)]
    return found


def cases(broken_rules: Iterable[Case]) -> pytest.MarkDecorator:
    """Parametrizes a test with ``case``."""
    return pytest.mark.parametrize("case", [pytest.param(case, id=f"{case[0]}-{case[2]}") for case in broken_rules])


def assert_named_alone(case: Case) -> None:
    """No other rule is broken at that place, and the ConfigError carries the sentence of the spec."""
    rule, config, pointer, message = case
    found = [finding for finding in broken(config) if finding[1] == pointer]
    assert [finding[0] for finding in found] == [rule]
    assert message in found[0][2]
    with pytest.raises(ConfigError) as caught:
        validate_config(config)
    error = next(error for error in (caught.value, *caught.value.others) if error.pointer == pointer)
    listed = rules.CONFIG_RULES + rules.PROCESS_RULES + rules.RESOURCES_RULES
    assert error.rule == next(sentence for check, sentence in listed if check.__name__ == rule)
    assert message in error.message


def assert_complete(broken_rules: Iterable[Case], listed: Iterable[rules.Rule], module: str) -> None:
    """Every rule of *listed* that *module* defines has a case, and no other."""
    names = [check.__name__ for check, _ in listed if check.__module__ == f"ocirt.config.{module}"]
    assert set(names) == {case[0] for case in broken_rules}
    assert len(names) == len(set(names))
