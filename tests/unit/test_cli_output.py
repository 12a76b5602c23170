"""``ocirt.cli.output``: the forms of a log line, and what goes where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocirt.cli.output import Log, json_line, os_error_text, printable, text_line

WHEN = "2026-11-24T03:26:18Z"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


def test_a_text_line_has_the_form_of_logrus() -> None:
    assert text_line("error", 'exec: "nope": not found', WHEN) == (
        'time="2026-11-24T03:26:18Z" level=error msg="exec: \\"nope\\": not found"'
    )


def test_a_json_line_has_the_keys_that_engines_read() -> None:
    assert json_line("error", 'a "b"', WHEN) == '{"level":"error","msg":"a \\"b\\"","time":"2026-11-24T03:26:18Z"}'


@pytest.mark.parametrize("form", [text_line, json_line])
def test_a_message_of_several_lines_stays_one_line(form: object) -> None:
    assert "\n" not in form("error", "one\ntwo\r\n\x1b[2J", WHEN)  # type: ignore[operator]


@given(st.text())
def test_a_json_line_gives_the_message_back(message: str) -> None:
    line = json_line("error", message, WHEN).encode("utf-8")
    assert json.loads(line)["msg"].encode("utf-16", "surrogatepass") == message.encode("utf-16", "surrogatepass")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 字", "plain é 字"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\tb\n", "a\\tb\\n"),
        ("\u202e", "\\u202e"),
        ("\U000e0001", "\\U000e0001"),
        (b"\xff".decode("utf-8", "surrogateescape"), "\\xff"),
    ],
)
def test_characters_that_do_not_print_are_shown_as_go_shows_them(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_without_a_log_file_the_error_is_a_log_line_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    Log().error("container does not exist")
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(f'time="{TIME}" level=error msg="container does not exist"\n', err)


def test_with_a_log_file_the_bare_text_stands_on_stderr_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.format = "json"
    log.open(str(tmp_path / "log.json"))
    log.error("container does not exist", ["hint: look at ocirt list"])
    assert capfd.readouterr() == ("", "container does not exist\nhint: look at ocirt list\n")
    lines = (tmp_path / "log.json").read_text().splitlines()
    assert [json.loads(line)["msg"] for line in lines] == ["container does not exist"]


def test_the_log_file_is_appended_to(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("before\n")
    log = Log()
    log.open(str(tmp_path / "log"))
    log.error("one")
    log.error("two")
    assert [line.rpartition("msg=")[2] for line in (tmp_path / "log").read_text().splitlines()] == [
        "before",
        '"one"',
        '"two"',
    ]
    capfd.readouterr()


def test_a_warning_leaves_stderr_to_the_container_when_there_is_a_log_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    log = Log()
    log.open(str(tmp_path / "log"))
    log.warning("unknown capability CAP_X")
    assert capfd.readouterr() == ("", "")
    assert 'level=warning msg="unknown capability CAP_X"' in (tmp_path / "log").read_text()


def test_a_warning_without_a_log_file_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    Log().warning("unknown capability CAP_X")
    assert 'level=warning msg="unknown capability CAP_X"' in capfd.readouterr().err


def test_steps_are_logged_only_with_debug(capfd: pytest.CaptureFixture[str]) -> None:
    log = Log()
    log.trace("mount proc")
    assert capfd.readouterr().err == ""
    log.debug = True
    log.trace("mount proc")
    assert 'level=debug msg="mount proc"' in capfd.readouterr().err


def test_a_log_file_that_vanished_is_told_beside_the_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dir").mkdir()
    log = Log()
    log.open(str(tmp_path / "dir/log"))
    (tmp_path / "dir/log").unlink()
    (tmp_path / "dir").rmdir()
    log.error("first")
    err = capfd.readouterr().err
    assert 'msg="first"' in err
    assert f"error: cannot write the log: {tmp_path}/dir/log: no such file or directory\n" in err


def test_a_log_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Log().open(str(tmp_path / "missing/log"))


def test_a_system_error_is_worded_in_lower_case_with_its_file() -> None:
    assert os_error_text(FileNotFoundError(2, "No such file or directory", "/x")) == "/x: no such file or directory"
    assert os_error_text(OSError(28, "No space left on device")) == "no space left on device"
