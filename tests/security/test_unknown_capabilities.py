"""A capability that is unknown, or written otherwise, gives more than was asked for."""

from __future__ import annotations

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

KINDS = ("bounding", "effective", "permitted")
NAMES = [
    "CAP_NONSENSE",
    "CAP_",
    "",
    "ALL",
    "CAP_ALL",
    "all",
    "cap_sys_admin ",
    "SYS_ADMIN",
    "21",
    "CAP_21",
    "CAP_LAST_CAP",
    "CAP_SYS_ADMIN\x00",
    "CAP_63",
    "CAP_64",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_capability_gives_none(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.process["capabilities"] = {kind: [name, "CAP_KILL"] for kind in KINDS}
    result = runtime.run(bundle, "caps")
    assert "Traceback" not in result.err
    if result.status == 0:
        sets = result.value
        assert all(int(sets[kind], 16) | 1 << 5 == 1 << 5 for kind in (*KINDS, "inheritable", "ambient"))
    else:
        result.fails()


@pytest.mark.parametrize("name", NAMES)
def test_exec_with_what_is_no_capability_gives_none(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.process["capabilities"] = {}
    container = runtime.start_paused_program(bundle)
    result = container.exec("/init", "caps", flags=[f"--cap={name}"]) if "\0" not in name else None
    if result is not None and result.status == 0:
        assert all(int(result.value[kind], 16) == 0 for kind in (*KINDS, "inheritable", "ambient"))


@pytest.mark.parametrize("kind", ["effective", "permitted", "inheritable", "ambient"])
def test_no_set_is_more_than_the_bounding_one(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    bundle.process["capabilities"] = {"bounding": ["CAP_KILL"], kind: ["CAP_KILL", "CAP_CHOWN"]}
    result = runtime.run(bundle, "caps")
    if result.status == 0:
        assert int(result.value["bounding"], 16) == 1 << 5
    else:
        result.fails("capabilit")


def test_without_capabilities_root_has_none(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.process["capabilities"]
    sets = runtime.probe(bundle, "caps")
    assert [sets[kind] for kind in (*KINDS, "inheritable", "ambient")] == ["0"] * 5
