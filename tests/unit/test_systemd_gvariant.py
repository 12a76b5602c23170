"""The text form of typed values: what runc and busctl take is taken, all else is an error that says why."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirt.cgroup.gvariant import parse

VALUES: list[tuple[str, str, Any]] = [
    ("true", "b", True),
    ("false", "b", False),
    ("'text'", "s", "text"),
    ('"text"', "s", "text"),
    (r"'a\n\'b\' \u00e9 \U0001f600'", "s", "a\n'b' é 😀"),
    ("5", "i", 5),
    ("-5", "i", -5),
    ("+5", "i", 5),
    ("0755", "i", 0o755),
    ("0x1F", "i", 31),
    ("1.5", "d", 1.5),
    ("1e3", "d", 1000.0),
    ("double 2", "d", 2.0),
    ("byte 255", "y", 255),
    ("int16 -32768", "n", -32768),
    ("uint16 65535", "q", 65535),
    ("int32 7", "i", 7),
    ("uint32 7", "u", 7),
    ("int64 -7", "x", -7),
    ("uint64 18446744073709551615", "t", 2**64 - 1),
    ("@t 7", "t", 7),
    ("string 'a'", "s", "a"),
    ("objectpath '/a/b'", "o", "/a/b"),
    ("signature 'as'", "g", "as"),
    ("  uint32   7  ", "u", 7),
    (r"b'ab\x01\007\n'", "ay", b"ab\x01\x07\n\0"),
    ("b'é'", "ay", "é".encode() + b"\0"),
    ("[byte 1, 2]", "ay", b"\x01\x02"),
    ("@ay []", "ay", b""),
    ("['a', 'b']", "as", ["a", "b"]),
    ("@as []", "as", []),
    ("[1, uint32 2]", "au", [1, 2]),
    ("[1, 2.5]", "ad", [1.0, 2.5]),
    ("[[1], []]", "aai", [[1], []]),
    ("[('/dev/null', 'rw')]", "a(ss)", [("/dev/null", "rw")]),
    ("@a(ss) []", "a(ss)", []),
    ("@(su)('a', 1)", "(su)", ("a", 1)),
    ("('a',)", "(s)", ("a",)),
    ("<uint64 7>", "v", ("t", 7)),
    ("{'a': <1>, 'b': <'c'>}", "a{sv}", {"a": ("i", 1), "b": ("s", "c")}),
    ("@a{sv} {}", "a{sv}", {}),
]


@pytest.mark.parametrize(("text", "signature", "value"), VALUES, ids=[text for text, _, _ in VALUES])
def test_a_text_is_a_typed_value(text: str, signature: str, value: Any) -> None:
    assert parse(text) == (signature, value)


ERRORS = [
    ("", "unexpected end"),
    ("uint32", "unexpected end"),
    ("'a", "unterminated string"),
    ("'a\\", "unterminated string"),
    ("b'a", "unterminated string"),
    (r"b'\xg0'", "invalid literal"),
    (r"b'\777'", "out of range"),
    (r"'\u12'", "short escape"),
    (r"'\UFFFFFFFF'", "out of range"),
    ("word", "unrecognized type 'word'"),
    ("uint32 'a'", "a string where a value of type 'u' is wanted"),
    ("uint32 uint32 5", "unexpected type annotation"),
    ("@u @u 5", "unexpected type annotation"),
    ("uint32 -1", "-1 is out of range for the type 'u', 0 to 4294967295"),
    ("2147483648", "out of range for the type 'i'"),
    ("byte 256", "out of range"),
    ("0x", "is no integer"),
    ("08", "is no integer"),
    ("5x", "is no integer"),
    ("1.2.3", "could not convert"),
    ("[]", "cannot tell the type of what is empty"),
    ("{}", "cannot tell the type"),
    ("()", "no empty tuple"),
    ("[1, 'a']", "a string where a value of type 'i' is wanted"),
    ("['a' 'b']", "wanted ',', found \"'\""),
    ("['a'", "wanted ',', found 'the end'"),
    ("{'a' 1}", "wanted ':'"),
    ("<1", "wanted '>'"),
    ("@ 1", "is no type"),
    ("@z 1", "'z' is no type"),
    ("@a{vs} {}", "the key of a dictionary is basic"),
    ("@a{ss {}", "is no type"),
    ("@(s ('a',)", "is no type"),
    ("@(ss)('a',)", "1 values where '(ss)' is wanted"),
    ("@(s)('a', 'b')", "2 values where '(s)' is wanted"),
    ("1 2", "unexpected '2'"),
    ("[" * 40, "levels of brackets"),
    ("@" + "a" * 80 + "s []", "too many levels"),
]


@pytest.mark.parametrize(("text", "message"), ERRORS, ids=[text or "nothing" for text, _ in ERRORS])
def test_what_is_no_value_is_an_error_that_says_why(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse(text)


@given(st.text(alphabet="[](){}<>@'\"\\ ,:abstuv019.-xe\n", max_size=30))
def test_no_text_does_more_than_fail(text: str) -> None:
    try:
        parse(text)
    except ValueError:
        pass


@given(st.recursive(st.integers(-(2**31), 2**31 - 1) | st.text("ab'\\\n", max_size=4), lambda inner: st.tuples(inner)))
def test_what_is_written_is_read(value: Any) -> None:
    def written(value: Any) -> str:
        if isinstance(value, tuple):
            return f"({written(value[0])},)"
        if isinstance(value, str):
            return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return str(value)

    assert parse(written(value))[1] == value
