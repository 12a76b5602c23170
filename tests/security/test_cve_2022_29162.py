"""CVE-2022-29162 (runc before 1.1.2), CVE-2022-27650 (crun before 1.4.4), CVE-2025-27612 (youki): inheritable
capabilities.

``exec --cap`` put capabilities into the inheritable set too, from which a program with file capabilities gets them
back as any user. Nothing becomes inheritable or ambient that the configuration does not name in these sets.
"""

from __future__ import annotations

import json

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

CAP_KILL = 1 << 5


def test_the_template_makes_nothing_inheritable(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "template").mkdir()
    runtime("spec", "--bundle", str(bundle.path / "template")).check()
    template = json.loads((bundle.path / "template/config.json").read_text())
    sets = template["process"]["capabilities"]
    assert not sets.get("inheritable")
    assert not sets.get("ambient")


def test_a_capability_of_exec_is_not_inheritable(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {}
    container = runtime.start_paused_program(bundle)
    sets = container.probe("caps", flags=["--cap", "CAP_KILL"])
    assert (sets["inheritable"], sets["ambient"]) == ("0", "0")
    assert [int(sets[name], 16) for name in ("bounding", "permitted", "effective")] == [CAP_KILL] * 3


def test_a_user_has_no_capability_that_is_not_ambient(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    sets = container.probe("caps", flags=["--user", "1000", "--cap", "CAP_KILL"])
    assert [sets[name] for name in ("inheritable", "ambient", "permitted", "effective")] == ["0"] * 4


def test_an_inheritable_capability_of_the_caller_does_not_get_in(runtime: Runtime, bundle: Bundle) -> None:
    runtime.wrapper = ["setpriv", "--inh-caps", "+kill"]
    sets = runtime.probe(bundle, "caps")
    assert (sets["inheritable"], sets["ambient"]) == ("0", "0")
