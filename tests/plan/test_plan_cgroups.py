"""Cgroups below the container's own, which annotations of crun name: whose they are, and where there are none."""

from __future__ import annotations

from typing import Any

import pytest
from cases import Case, cgroups_below, in_user_namespace

from ocirt.errors import UnsupportedError

UNIT = {"unit": "ocirt-box.scope"}


def made(case: Case) -> list[Any]:
    """(path below the container's cgroup, uid, gid) of each that is made, in order."""
    return [op.value for op in case.compile().ops if op.kind == "make-delegated"]


def test_both_are_given_to_the_user_of_a_container_that_may_write_to_them() -> None:
    assert made(Case("", cgroups_below, facts=UNIT)) == [
        ("inner", 101_000, 100_000),
        ("inner/payload", 101_000, 100_000),
    ]


def test_what_the_container_cannot_write_to_stays_roots() -> None:
    def change(config: Any) -> None:
        in_user_namespace(config)
        config["process"]["user"]["uid"] = 1000
        config["annotations"] = {"run.oci.systemd.subgroup": "/inner/"}

    assert made(Case("", change, facts=UNIT)) == [("inner", None, -1)]


def test_an_ordinary_user_of_the_host_gives_nothing_away() -> None:
    facts = {**UNIT, "privileged": False, "euid": 1000}
    assert made(Case("", cgroups_below, facts=facts)) == [("inner", None, -1), ("inner/payload", None, -1)]


def test_the_cgroup_of_the_unit_itself_is_not_given_away_then() -> None:
    kinds = [op.kind for op in Case("", cgroups_below, facts=UNIT).compile().ops]
    assert "delegate" not in kinds


def test_without_a_unit_there_is_only_the_delegated_one() -> None:
    assert made(Case("", cgroups_below)) == [("payload", 101_000, 100_000)]


@pytest.mark.parametrize("mode", ["v1", "hybrid"])
@pytest.mark.parametrize(("name", "facts"), [("systemd.subgroup", UNIT), ("delegate-cgroup", {})])
def test_beside_cgroup_v1_it_is_refused(mode: str, name: str, facts: dict[str, str]) -> None:
    def change(config: Any) -> None:
        config["annotations"] = {f"run.oci.{name}": "inner"}

    with pytest.raises(UnsupportedError) as caught:
        Case("", change, mode=mode, facts=facts).compile()
    assert (caught.value.needs, caught.value.pointer) == ("cgroup v2 alone", f"/annotations/run.oci.{name}")
