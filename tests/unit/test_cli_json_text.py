"""``ocirt.json_text`` against the ``json`` package of the standard library."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirt.json_text import dumps, quote

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


@given(VALUES)
def test_one_line_is_what_json_dumps_gives(value: object) -> None:
    assert dumps(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(VALUES, st.integers(min_value=0, max_value=8))
def test_indented_text_is_what_json_dumps_gives(value: object, indent: int) -> None:
    assert dumps(value, indent) == json.dumps(value, ensure_ascii=False, indent=indent)


@given(st.text())
def test_every_str_survives_the_way_through_utf8_and_back(text: str) -> None:
    as_utf16 = text.encode("utf-16", "surrogatepass")
    assert json.loads(quote(text).encode("utf-8")).encode("utf-16", "surrogatepass") == as_utf16


def test_a_byte_of_a_path_that_is_not_utf8_is_written_as_an_escape() -> None:
    assert quote(b"/a\xff".decode("utf-8", "surrogateescape")) == '"/a\\udcff"'


def test_a_tuple_is_an_array() -> None:
    assert dumps((1, (2,))) == "[1,[2]]"


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
def test_a_float_that_json_does_not_know_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="has no representation in JSON"):
        dumps([value])


def test_an_object_that_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no representation in JSON"):
        dumps({"a": {1}})


def test_a_key_that_is_not_a_str_is_refused() -> None:
    with pytest.raises(TypeError, match="keys of a JSON object must be str, not int"):
        dumps({1: 2}, indent=2)
