"""Plans that have been changed by chance end in an error or in success, never in a crash or a hang."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from host_view import PATIENCE

COUNT = 1500


@pytest.mark.needs_root
@pytest.mark.needs_userns
@pytest.mark.parametrize("seed", [1, 2])
def test_no_plan_crashes_the_init(seed: int) -> None:
    words = [sys.executable, str(Path(__file__).with_name("mutate.py")), str(seed), str(COUNT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=10 * PATIENCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
