"""The plans of typical bundles, compared with golden/*.txt. After an intended change:

UPDATE_PLANS=1 pytest tests/plan && git diff tests/plan/golden
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cases import CASES, Case
from golden_text import text_of

GOLDEN = Path(__file__).with_name("golden")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plan_is_the_golden_one(case: Case) -> None:
    golden = GOLDEN / f"{case.name}.txt"
    text = text_of(case.compile())
    if os.environ.get("UPDATE_PLANS"):
        golden.write_text(text)
    assert text.splitlines() == golden.read_text().splitlines()


def test_every_golden_plan_belongs_to_a_case() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {case.name for case in CASES}
