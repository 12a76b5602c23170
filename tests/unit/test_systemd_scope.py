"""A scope that cannot be made: what is there already is somebody else's, and stays."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from ocirt.cgroup import systemd
from ocirt.cgroup.directory import Directory
from ocirt.cgroup.systemd import Scope
from ocirt.errors import StepError


@pytest.mark.parametrize("check", ["_refuse_occupied", "_refuse_frozen"])
def test_a_scope_that_was_refused_is_not_stopped_and_no_cgroup_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    def refuse(scope: Scope) -> None:
        raise StepError("create cgroup", errno.EBUSY)

    def connect(*, user: bool) -> None:
        raise AssertionError("systemd was asked for something")

    theirs = tmp_path / "freezer" / "box.scope"
    theirs.mkdir(parents=True)
    scope = Scope(
        tuple(
            Directory((name,), str(tmp_path / name / "box.scope"), 1, str(tmp_path / name))
            for name in ("freezer", "memory")
        )
    )
    monkeypatch.setattr(Scope, "_refuse_occupied", lambda scope: None)
    monkeypatch.setattr(Scope, check, refuse)
    monkeypatch.setattr(systemd, "_connect", connect)
    scope.plan_to_make()
    assert scope.made
    with pytest.raises(StepError):
        scope.create()
    scope.delete()
    assert theirs.is_dir()
