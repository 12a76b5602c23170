"""conformance/musts.toml: every entry is whole, and every test that it names is there."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from conformance import coverage
from conformance.spec_text import FILES

PROJECT = Path(__file__).parents[2]
MUSTS = coverage.load()


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """Ids of all tests in the files that musts.toml names, of their functions without a case, and of the files."""
    files = sorted({test.partition("::")[0] for must in MUSTS for test in must.tests})
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-o", "addopts=", *files],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    ids = {line for line in answer.stdout.splitlines() if "::" in line}
    return ids | {id.partition("[")[0] for id in ids} | set(files)


def test_every_named_test_is_there(collected: set[str]) -> None:
    missing = {test for must in MUSTS for test in must.tests if test not in collected}
    assert sorted(missing) == []


def test_every_must_has_either_tests_or_a_reason() -> None:
    wrong = [must.id for must in MUSTS if bool(must.tests) == bool(must.unproved)]
    assert wrong == []


def test_an_id_stands_once() -> None:
    assert [id for id, count in Counter(must.id for must in MUSTS).items() if count > 1] == []


def test_an_id_is_words_with_hyphens() -> None:
    assert [must.id for must in MUSTS if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", must.id)] == []


def test_a_sentence_of_a_section_stands_once() -> None:
    assert [key for key, count in Counter(must.sentence.key for must in MUSTS).items() if count > 1] == []


def test_every_entry_is_about_somebody_and_from_a_known_file() -> None:
    assert {must.about for must in MUSTS} == set(coverage.ABOUT)
    assert {must.sentence.file for must in MUSTS} == set(FILES)


def test_every_sentence_demands_something() -> None:
    assert [must.id for must in MUSTS if not re.search(r"MUST|REQUIRED|SHALL", must.sentence.text)] == []


def test_the_table_adds_up() -> None:
    last = coverage.table(MUSTS)[-1].split()
    proved = sum(bool(must.tests) for must in MUSTS)
    assert last[-3:] == [str(proved), "of", str(len(MUSTS))]


def test_a_sentence_that_the_spec_has_and_we_lack_is_a_difference(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("")
    (tmp_path / "runtime.md").write_text("## Tea\n\nThe runtime MUST make tea.\n")
    found = coverage.differences(MUSTS, str(tmp_path))
    assert found[0] == "not in musts.toml: runtime.md#tea: The runtime MUST make tea."
    assert len(found) == len(MUSTS) + 1
