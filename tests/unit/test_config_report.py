"""Reports: all errors at once, in the order of the text, each with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ocirt.config import load, report
from ocirt.errors import ConfigError, InternalError
from ocirt.json_parse import parse_json

TEXT = b"""{
  "ociVersion": "1.3.0",
  "root": {"path": "rootfs"},
  "process": {
    "cwd": "/",
    "args": ["sh",
             7],
    "user": {"uid": 0, "uid":
      "root"}
  },
  "annotations": {"a/b": "x", "~c": 5},
  "linux": {"namespaces": [{"type": "pid"}, {"path": "/x"}]}
}
"""


def errors(text: bytes) -> list[ConfigError]:
    with pytest.raises(ConfigError) as caught:
        load.validate_config(parse_json(text, "config.json"), text=text)
    return [caught.value, *caught.value.others]


def test_every_error_is_reported_in_the_order_of_the_text() -> None:
    assert [(error.pointer, error.line, error.column, error.message) for error in errors(TEXT)] == [
        ("/process/args/1", 7, 14, "wanted a string, found 7"),
        ("/process/user/uid", 8, 24, 'wanted an integer, found "root"'),
        ("/annotations/~0c", 11, 31, "wanted a string, found 5"),
        ("/linux/namespaces/1", 12, 45, 'wanted the property "type", found none'),
    ]


def test_the_first_error_prints_as_one_line_and_counts_the_others() -> None:
    assert str(errors(TEXT)[0]) == (
        "config.json#/process/args/1 (line 7, column 14): wanted a string, found 7 (and 3 more)"
    )


def test_without_the_text_there_are_no_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        load.validate_config(json.loads(TEXT), filename="x.json")
    assert {error.line for error in (caught.value, *caught.value.others)} == {None}
    assert str(caught.value).startswith("x.json#/")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "wanted an object, found []"),
        ({}, 'wanted the property "ociVersion", found none'),
        ({"ociVersion": None}, "wanted a string, found null"),
        ({"ociVersion": "1.0.0", "hostname": ["y" * 100]}, f'wanted a string, found ["{"y" * 58}...'),
        ({"ociVersion": "1.0.0", "root": {"path": "x", "readonly": 0}}, "wanted true or false, found 0"),
        ({"ociVersion": "1.0.0", "process": {"cwd": "/", "oomScoreAdj": 2.0}}, "wanted an integer, found 2.0"),
        ({"ociVersion": "1.0.0", "process": {"cwd": "/", "oomScoreAdj": float("inf")}}, "wanted an integer, found inf"),
        ({"ociVersion": ("1",)}, 'wanted a string, found ["1"]'),
        ({"ociVersion": {1: 2}}, 'wanted a string, found {"1":2}'),
        ({"ociVersion": {"a": {2}}}, "wanted a string, found a dict"),
        (
            {"ociVersion": "1.0.0", "linux": {"personality": {"domain": 32}}},
            'wanted "LINUX" or "LINUX32", found 32',
        ),
    ],
)
def test_an_error_says_what_was_wanted_and_what_was_found(value: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load.validate_config(value)
    assert message in caught.value.message
    assert caught.value.others == ()


def test_a_value_of_the_wrong_type_is_one_error() -> None:
    document = {"ociVersion": "1.0.0", "process": {"cwd": "/", "rlimits": [{"type": 1, "soft": -0.5, "hard": "x"}]}}
    with pytest.raises(ConfigError) as caught:
        load.validate_config(document)
    assert len(caught.value.others) == 2


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        ("", (1, 1)),
        ("/ociVersion", (2, 3)),
        ("/process/args/0", (6, 14)),
        ("/process/user/uid", (8, 24)),
        ("/annotations/a~1b", (11, 19)),
        ("/linux/namespaces/1/path", (12, 46)),
        ("/linux/namespaces/7", (12, 13)),
        ("/hostname", (1, 1)),
        ("/ociVersion/deeper", (2, 3)),
    ],
)
def test_a_pointer_is_found_in_the_text(pointer: str, place: tuple[int, int]) -> None:
    assert report.place_of(TEXT.decode(), pointer) == place


def test_two_validators_that_disagree_are_a_bug_and_say_so() -> None:
    with pytest.raises(InternalError, match="the compiled schema refuses f and jsonschema does not"):
        report.raise_schema_errors({"ociVersion": "1.0.0"}, "config", "f", None)
