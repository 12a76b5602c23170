"""Sentences that demand something, found in the spec's Markdown."""

from __future__ import annotations

import pytest

from conformance.spec_text import demands, slug


def texts(markdown: str) -> list[str]:
    return [sentence.text for sentence in demands("config.md", markdown)]


def test_a_sentence_has_the_section_that_it_stands_in() -> None:
    (sentence,) = demands("config.md", '## <a name="configLinuxCgroupsPath" />Cgroups Path\n\nIt MUST be a path.\n')
    assert sentence.key == ("config.md", "cgroups-path", "It MUST be a path.")


@pytest.mark.parametrize(
    ("heading", "anchor"), [("Cgroups Path", "cgroups-path"), ("POSIX-platform Hooks", "posix-platform-hooks")]
)
def test_an_anchor_is_that_of_the_page(heading: str, anchor: str) -> None:
    assert slug(heading) == anchor


def test_sentences_of_one_paragraph_are_taken_apart() -> None:
    assert texts("It MAY rain. It MUST stop. It SHOULD be warm.\n") == ["It MUST stop."]


def test_an_abbreviation_ends_no_sentence() -> None:
    assert texts("A value, e.g. `x`, MUST be one, i.e. Not two.\n") == ["A value, e.g. `x`, MUST be one, i.e. Not two."]


def test_a_sentence_may_go_over_several_lines() -> None:
    assert texts("The runtime\n  MUST do\n  it.\n") == ["The runtime MUST do it."]


def test_items_of_a_list_are_blocks_of_their_own() -> None:
    markdown = "* **`id`** (string, REQUIRED) is the id\n* `name` (string, OPTIONAL).\n    This MUST be a name.\n"
    assert texts(markdown) == ["**`id`** (string, REQUIRED) is the id", "This MUST be a name."]


def test_code_is_left_out() -> None:
    assert texts("```json\n{ MUST }\n```\n    ```\n    MUST\n    ```\n") == []


def test_other_systems_are_left_out() -> None:
    markdown = (
        "* On Windows, this MUST be omitted.\n"
        "* Solaris: This value MUST be an absolute path.\n"
        "* **`windows`** (object, OPTIONAL)\n    This MUST be set.\n"
        "### Windows User\n\nIt MUST be a name.\n"
        "### Linux User\n\nIt MUST be a number.\n"
    )
    assert texts(markdown) == ["It MUST be a number."]


def test_of_a_table_the_descriptions_are_read() -> None:
    markdown = (
        "Name | Requirement | Description\n-----|------|-----\n`ro` | MUST | [^1]\n`x` | SHOULD | It MUST be x.\n"
    )
    assert texts(markdown) == ["It MUST be x."]


def test_a_sentence_that_a_section_repeats_is_there_once() -> None:
    assert texts("## A\n\nIt MUST be.\n\nIt MUST be.\n\n## B\n\nIt MUST be.\n") == ["It MUST be.", "It MUST be."]
