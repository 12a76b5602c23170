"""``linux.intelRdt`` where there is no resctrl; tests/unit/test_resctrl.py shows the groups on a tree like it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def test_a_host_without_resctrl_refuses_and_leaves_nothing_behind(runtime: Runtime, bundle: Bundle) -> None:
    if " - resctrl " in Path("/proc/self/mountinfo").read_text():
        pytest.skip("needs a host without resctrl")
    bundle.linux["intelRdt"] = {"closID": "gold", "l3CacheSchema": "L3:0=f"}
    runtime.run(bundle, "pids").fails("intelRdt", "a mounted resctrl filesystem", "config.json#/linux/intelRdt")
    assert runtime.ids() == []
