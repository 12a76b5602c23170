"""What a valid configuration is warned of: ocirt/config/warnings.py."""

from __future__ import annotations

from typing import Any

import pytest

from ocirt.config.load import validate_config
from ocirt.config.template import default_config
from ocirt.config.warnings import config_warnings, process_warnings


def warnings_of(**members: Any) -> list[str]:
    """Of the default configuration with these members, which has to be a valid one."""
    config: Any = {**default_config(), **members}
    validate_config(config)
    return config_warnings(config)


def of_process(**members: Any) -> list[str]:
    return warnings_of(process={**default_config()["process"], **members})


def test_the_default_configuration_is_as_it_should_be() -> None:
    assert warnings_of() == []


def test_unknown_capabilities_are_named() -> None:
    assert of_process(capabilities={"bounding": ["CAP_TEST", "CAP_KILL"], "effective": ["ALL"]}) == [
        "ignoring unknown capabilities: ALL, CAP_TEST"
    ]


def test_an_ambient_capability_that_the_kernel_would_refuse_is_named() -> None:
    sets = {"permitted": ["CAP_KILL", "CAP_CHOWN"], "inheritable": ["CAP_KILL"], "ambient": ["CAP_KILL", "CAP_CHOWN"]}
    assert of_process(capabilities=sets) == [
        "can't raise ambient capability CAP_CHOWN: it is not both permitted and inheritable"
    ]


def test_a_relative_mount_destination_is_named() -> None:
    assert warnings_of(mounts=[{"destination": "data", "type": "tmpfs"}]) == [
        'mount destination "data": a relative path is deprecated, it is used as relative to /'
    ]


@pytest.mark.parametrize(
    ("members", "missing"),
    [
        ({"user": {"gid": 5}}, ["/user: uid"]),
        ({"user": {"uid": 5}}, ["/user: gid"]),
        ({"user": {}}, ["/user: uid", "/user: gid"]),
        ({"ioPriority": {"class": "IOPRIO_CLASS_BE"}}, ["/ioPriority: priority"]),
        ({"ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 0}}, []),
    ],
)
def test_a_required_number_that_is_missing_is_named(members: dict[str, Any], missing: list[str]) -> None:
    wanted = []
    for line in missing:
        pointer, _, name = line.partition(": ")
        wanted.append(f'{pointer}: wanted the property "{name}", found none: it is taken as 0')
    assert of_process(**members) == ["/process" + sentence for sentence in wanted]
    assert process_warnings({"cwd": "/", "user": {"uid": 0, "gid": 0}, **members}) == wanted


def test_a_process_without_a_user_lacks_both_ids() -> None:
    assert len(process_warnings({"cwd": "/"})) == 2


IMAGE = "org.opencontainers.image."


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T23:59:59Z",
        "2024-02-29t00:00:00.123456789+05:30",
        "2016-12-31T23:59:60z",
        "1985-04-12T23:20:50-08:00",
    ],
)
def test_a_date_and_time_is_one(value: str) -> None:
    assert warnings_of(annotations={IMAGE + "created": value}) == []


@pytest.mark.parametrize(
    "value",
    ["", "yesterday", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T24:01:00Z", "2026-01-31T23:59:59",
     "2026-01-31 23:59:59Z", "2026-01-31T23:59:59.Z", "2026-01-31T23:59:59+0530", "٢026-01-31T23:59:59Z"],
)  # fmt: skip
def test_what_is_no_date_and_time_is_named(value: str) -> None:
    (sentence,) = warnings_of(annotations={IMAGE + "created": value})
    assert sentence.startswith(f"annotation {IMAGE}created: wanted a date and time of RFC 3339")


@pytest.mark.parametrize("value", ["SIGTERM", "SIGRTMIN+3", "SIGUSR1", "15"])
def test_a_signal_is_one(value: str) -> None:
    assert warnings_of(annotations={IMAGE + "stopSignal": value}) == []


@pytest.mark.parametrize("value", ["", "TERM", "SIG", "SIGTERM+3", "SIGRTMIN+", "SIGRTMIN+x", "sigterm", "-15"])
def test_what_is_no_signal_is_named(value: str) -> None:
    (sentence,) = warnings_of(annotations={IMAGE + "stopSignal": value})
    assert sentence.startswith(f"annotation {IMAGE}stopSignal: wanted a signal")
    assert sentence.endswith(f'found "{value}"')


@pytest.mark.parametrize(
    "name", ["os", "os.version", "os.features", "architecture", "variant", "author", "title", "base.name"]
)
def test_any_string_is_a_value_of_the_others(name: str) -> None:
    assert warnings_of(annotations={IMAGE + name: "any string"}) == []


def test_keys_that_are_reserved_are_named() -> None:
    assert warnings_of(annotations={"org.opencontainers.tea": "green", "org.opencontainersx": "", "org.a": ""}) == [
        'annotation org.opencontainers.tea: wanted none of the keys below "org.opencontainers.", '
        "which are reserved for specifications"
    ]
