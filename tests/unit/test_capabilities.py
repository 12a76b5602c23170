from __future__ import annotations

import re
from pathlib import Path

import pytest

from ocirt.capabilities import last_cap, mask
from ocirt.config.words import CAPABILITIES

HEADER = Path("/usr/include/linux/capability.h")


def test_a_mask_has_one_bit_for_each_name() -> None:
    assert mask([]) == 0
    assert mask(["CAP_CHOWN"]) == 1
    assert mask(["CAP_CHECKPOINT_RESTORE", "CAP_CHOWN", "CAP_CHOWN"]) == 1 << 40 | 1
    assert mask(CAPABILITIES) == (1 << 41) - 1


@pytest.mark.parametrize("name", ["CAP_TELEPATHY", "cap_chown", "CHOWN", "CAP_ALL", ""])
def test_a_name_that_no_kernel_has_adds_no_bit(name: str) -> None:
    assert mask([name, "CAP_KILL"]) == 1 << 5


@pytest.mark.skipif(not HEADER.exists(), reason="needs the headers of the kernel")
def test_the_numbers_are_those_of_the_kernels_header() -> None:
    found = re.findall(r"^#define (CAP_[A-Z_]+)\s+(\d+)$", HEADER.read_text(), re.MULTILINE)
    assert found
    for name, number in found:
        assert mask([name]) == 1 << int(number), name


def test_last_cap_is_the_running_kernels() -> None:
    bounding = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapBnd"))
    assert int(bounding.split()[1], 16) < 2 << last_cap()
    assert last_cap() >= CAPABILITIES.index("CAP_CHECKPOINT_RESTORE"), "Linux 5.9"
