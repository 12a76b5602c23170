"""CVE-2026-30892 (crun 1.19 to 1.26): ``exec --user 1`` runs as root."""

from __future__ import annotations

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize(
    ("user", "uid", "gid"), [("1", 1, 0), ("1:2", 1, 2), ("0", 0, 0), ("65534", 65534, 0), ("0:5", 0, 5), ("007", 7, 0)]
)
def test_exec_runs_as_the_user_that_is_named(runtime: Runtime, bundle: Bundle, user: str, uid: int, gid: int) -> None:
    container = runtime.start_paused_program(bundle)
    who = container.probe("id", flags=["--user", user])
    assert [who[name] for name in ("uid", "euid", "suid", "gid", "egid", "sgid")] == [uid] * 3 + [gid] * 3
    assert who["groups"] == []


NO_USERS = [
    "-1",
    "abc",
    "1:",
    ":1",
    ":",
    "4294967296",
    " ",
    " 1",
    "1 ",
    "1x",
    "0x1",
    "1:2:3",
    "1:-1",
    "+1",
    "1e0",
    "\u0663",
]


@pytest.mark.parametrize("user", NO_USERS)
def test_what_is_no_user_is_refused(runtime: Runtime, bundle: Bundle, user: str) -> None:
    container = runtime.start_paused_program(bundle)
    result = container.exec("/init", "id", flags=[f"--user={user}"])
    assert result.status != 0
    assert result.out == ""
    assert "Traceback" not in result.err
    assert "user" in result.err


@pytest.mark.parametrize("id", [4294967295, 4294967296, -1, 1.5, "0", True])
def test_no_user_of_a_configuration_becomes_another(runtime: Runtime, bundle: Bundle, id: object) -> None:
    """4294967295 is -1 to setresuid(2): no change, so root."""
    bundle.process["user"] = {"uid": id, "gid": 0}
    runtime.run(bundle, "id").fails("config.json#/process/user")
