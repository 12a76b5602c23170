"""What the runtime remembers of a container: state.json, a document in each line."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocirt.errors import OcirtError, StepError
from ocirt.state import Entry


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Entry]:
    entry = Entry.reserve(str(tmp_path / "root"), "c")
    yield entry
    entry.close()


def test_nothing_is_remembered_before_something_is_written(entry: Entry) -> None:
    assert entry.read_state() is None


def test_the_document_that_was_written_last_counts(entry: Entry) -> None:
    for pid in (0, 1, 2):
        entry.write_state({"pid": pid, "words": "one\ntwo"})
        assert entry.read_state() == {"pid": pid, "words": "one\ntwo"}
    assert os.listdir(entry.path) == ["state.json"]
    assert os.stat(f"{entry.path}/state.json").st_mode & 0o777 == 0o600


def test_a_line_that_was_not_written_to_its_end_does_not_count(entry: Entry) -> None:
    entry.write_state({"pid": 1})
    with open(f"{entry.path}/state.json", "a") as file:
        file.write('{"pid": 2')
    assert entry.read_state() == {"pid": 1}


def test_one_document_without_an_end_of_line_is_read(entry: Entry) -> None:
    entry.write("state.json", '{"pid": 7}')
    assert entry.read_state() == {"pid": 7}


@pytest.mark.parametrize("content", ["", "\n", "{", '{"pid": 1}\n{\n'])
def test_a_damaged_line_is_told(entry: Entry, content: str) -> None:
    entry.write("state.json", content)
    with pytest.raises(OcirtError, match=r"/c/state\.json is damaged: "):
        entry.read_state()


def test_no_other_file_is_written_through_a_link(entry: Entry, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("")
    os.symlink(tmp_path / "victim", f"{entry.path}/state.json")
    with pytest.raises(StepError) as caught:
        entry.write_state({"pid": 1})
    assert caught.value.errno == errno.ELOOP
    assert (tmp_path / "victim").read_text() == ""
