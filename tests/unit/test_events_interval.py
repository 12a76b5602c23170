"""The durations of ``ocirt events --interval``, in Go's words."""

from __future__ import annotations

import pytest

from ocirt.cli.events import parse_duration
from ocirt.cli.parser import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("100ms", 0.1),
        ("1m30s", 90),
        ("1.5h", 5400),
        ("2us", 2e-6),
        ("3µs", 3e-6),
        (".5s", 0.5),
        ("7ns", 7e-9),
    ],
)
def test_a_duration_is_a_sequence_of_numbers_with_units(text: str, seconds: float) -> None:
    assert parse_duration("interval", text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["0", "0s", "-0", "0.0", "0.1ns"])
def test_a_duration_is_more_than_nothing(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration("interval", text)
    assert str(caught.value) == "duration interval must be greater than 0"


@pytest.mark.parametrize("text", ["", "5", "s", "5x", "1s2", "1..5s", "five", "-5s", "9999999h", "1sm"])
def test_a_duration_that_is_none_is_named(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_duration("interval", text)
    assert str(caught.value) == f'invalid value "{text}" for flag -interval: parse error'
