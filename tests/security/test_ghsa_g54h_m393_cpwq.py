"""GHSA-g54h-m393-cpwq (runc before 1.0.0-rc91): a list of devices without "deny all" in front allows everything."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_capability("MKNOD"), pytest.mark.needs_controller("devices")]

RULES: dict[str, Any] = {
    "one-device": [{"allow": True, "type": "c", "major": 1, "minor": 5, "access": "rwm"}],
    "none": [],
    "absent": None,
    "denied-one": [{"allow": False, "type": "c", "major": 1, "minor": 5, "access": "rwm"}],
}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("node", [("c", "1", "1"), ("c", "10", "229"), ("b", "254", "0"), ("b", "8", "0")])
def test_a_device_that_nothing_allows_cannot_be_used(
    runtime: Runtime, bundle: Bundle, rules: str, node: tuple[str, str, str]
) -> None:
    if RULES[rules] is not None:
        bundle.linux["resources"] = {"devices": RULES[rules]}
    made, opened = runtime.probe(bundle, "mknod", "/node", *node, ";", "open", "/node", "rw")
    assert opened["errno"] in ((errno.EPERM,) if made["result"] == 0 else (errno.ENOENT,))
    assert runtime.probe(bundle, "open", "/dev/null", "rw")["result"] == 0
