"""``ocirt.cli.parser``: words to values, by the rules of Go's ``flag`` package."""

from __future__ import annotations

import pytest

from ocirt.cli.parser import Command, Flag, UsageError, Words, parse

FLAGS = (
    Flag("bundle", "", short="b"),
    Flag("detach", "", short="d", kind="bool"),
    Flag("preserve-fds", "", kind="count"),
    Flag("env", "", short="e", kind="texts"),
    Flag("gid", "", short="g", kind="numbers"),
    Flag("format", "", default="table"),
)


def words(*arguments: str, stops_early: bool = False) -> Words:
    return parse(FLAGS, arguments, stops_early=stops_early)


@pytest.mark.parametrize(
    "arguments", [("--bundle", "/b"), ("--bundle=/b",), ("-bundle", "/b"), ("-bundle=/b",), ("-b", "/b"), ("--b=/b",)]
)
def test_every_spelling_of_a_flag_with_a_value_is_read(arguments: tuple[str, ...]) -> None:
    found = words(*arguments, "id")
    assert found.text("bundle") == "/b"
    assert found.arguments == ["id"]


def test_a_value_may_look_like_a_flag() -> None:
    assert words("--bundle", "--detach").text("bundle") == "--detach"


def test_a_value_may_hold_an_equals_sign() -> None:
    assert words("--env=A=b=c", "-e", "D=").texts("env") == ["A=b=c", "D="]


def test_a_lone_minus_is_an_argument_and_a_value() -> None:
    assert words("-").arguments == ["-"]
    assert words("--bundle", "-").text("bundle") == "-"


def test_what_is_not_given_has_its_default() -> None:
    found = words()
    assert (found.text("bundle"), found.text("format"), found.flag("detach")) == (None, "table", False)
    assert (found.count("preserve-fds"), found.texts("env"), found.numbers("gid")) == (0, [], [])
    assert found.given == set()


def test_an_empty_text_counts_as_absent_but_is_known_as_given() -> None:
    found = words("--bundle=")
    assert found.text("bundle") is None
    assert found.given == {"bundle"}


def test_the_last_of_two_values_counts() -> None:
    assert words("-b", "1", "--bundle", "2").text("bundle") == "2"


def test_repeatable_flags_are_collected_in_order() -> None:
    found = words("-e", "A=1", "--env", "B=2", "-g", "5", "-g=-1")
    assert found.texts("env") == ["A=1", "B=2"]
    assert found.numbers("gid") == [5, -1]


@pytest.mark.parametrize(("text", "value"), [("true", True), ("T", True), ("1", True), ("false", False), ("0", False)])
def test_a_bool_may_have_its_value_behind_an_equals_sign(text: str, value: bool) -> None:
    assert words(f"--detach={text}").flag("detach") is value


def test_a_bool_does_not_take_the_next_word() -> None:
    found = words("--detach", "false")
    assert found.flag("detach") is True
    assert found.arguments == ["false"]


def test_flags_may_follow_arguments() -> None:
    found = words("id", "--detach", "9", "--bundle", "/b")
    assert found.arguments == ["id", "9"]
    assert found.flag("detach")
    assert found.text("bundle") == "/b"


def test_the_first_argument_may_end_the_flags() -> None:
    found = words("-d", "id", "sh", "-c", "exit 1", "--detach=false", stops_early=True)
    assert found.flag("detach")
    assert found.arguments == ["id", "sh", "-c", "exit 1", "--detach=false"]


def test_two_minus_end_the_flags() -> None:
    assert words("-d", "--", "--bundle", "--").arguments == ["--bundle", "--"]


def test_a_negative_number_behind_an_argument_is_an_argument() -> None:
    assert words("id", "-9").arguments == ["id", "-9"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--nope",), "flag provided but not defined: -nope"),
        (("-nope=1",), "flag provided but not defined: -nope"),
        (("-9",), "flag provided but not defined: -9"),
        (("id", "--nope"), "flag provided but not defined: -nope"),
        (("-db", "/b"), "flag provided but not defined: -db"),
        (("--bundle",), "flag needs an argument: -bundle"),
        (("-b",), "flag needs an argument: -b"),
        (("---bundle",), "bad flag syntax: ---bundle"),
        (("--=x",), "bad flag syntax: --=x"),
        (("--detach=maybe",), 'invalid boolean value "maybe" for -detach: parse error'),
        (("--preserve-fds", "two"), 'invalid value "two" for flag -preserve-fds: parse error'),
        (("--preserve-fds", "1 "), 'invalid value "1 " for flag -preserve-fds: parse error'),
        (("--preserve-fds", "\u0663"), 'invalid value "\u0663" for flag -preserve-fds: parse error'),
        (("--preserve-fds=-1",), 'invalid value "-1" for flag -preserve-fds: value out of range'),
        (("--preserve-fds=2147483648",), 'invalid value "2147483648" for flag -preserve-fds: value out of range'),
        (("-g", "0x1"), 'invalid value "0x1" for flag -g: parse error'),
    ],
)
def test_what_cannot_be_understood_is_told_as_go_tells_it(arguments: tuple[str, ...], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        words(*arguments)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("minimum", "maximum", "count", "text"),
    [
        (1, 1, 0, 'ocirt: "x" requires exactly 1 argument(s)'),
        (1, 1, 2, 'ocirt: "x" requires exactly 1 argument(s)'),
        (1, None, 0, 'ocirt: "x" requires a minimum of 1 argument(s)'),
        (1, 2, 0, 'ocirt: "x" requires a minimum of 1 argument(s)'),
        (1, 2, 3, 'ocirt: "x" requires a maximum of 2 argument(s)'),
        (0, 0, 1, 'ocirt: "x" requires exactly 0 argument(s)'),
    ],
)
def test_a_wrong_number_of_arguments_is_told_as_runc_tells_it(
    minimum: int, maximum: int | None, count: int, text: str
) -> None:
    command = Command("x", lambda call: 0, minimum=minimum, maximum=maximum)
    with pytest.raises(UsageError) as caught:
        command.check_count(["a"] * count, "ocirt")
    assert str(caught.value) == text


@pytest.mark.parametrize(("minimum", "maximum", "count"), [(1, 1, 1), (1, None, 9), (1, 2, 2), (0, 0, 0)])
def test_a_right_number_of_arguments_is_accepted(minimum: int, maximum: int | None, count: int) -> None:
    Command("x", lambda call: 0, minimum=minimum, maximum=maximum).check_count(["a"] * count, "ocirt")
