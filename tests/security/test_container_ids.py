"""An id is the name of a directory and of a cgroup: none leads out of them."""

from __future__ import annotations

import os

import pytest
from support import Bundle, Runtime

from security.attack import Victim

pytestmark = pytest.mark.needs_root

IDS = [
    ".",
    "..",
    "../x",
    "a/b",
    "/",
    "/etc",
    "a\nb",
    "a b",
    "a\tb",
    "",
    "x" * 1025,
    "x" * 256,
    "a:b",
    "@seccomp",
    "a*",
    "é",
    "\x7f",
    "a\\b",
]


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize("id", IDS)
def test_no_container_gets_such_an_id(runtime: Runtime, bundle: Bundle, victim: Victim, command: str, id: str) -> None:
    bundle.save()
    result = runtime(command, "--bundle", str(bundle.path), "--", id)
    assert result.status != 0
    assert "Traceback" not in result.err
    assert "internal error" not in result.err
    assert runtime.ids() == []
    assert sorted(os.listdir(runtime.root.parent)) == sorted(
        {"bundle", "host", *(["state"] if runtime.root.exists() else [])}
    )


@pytest.mark.parametrize("words", [["state"], ["delete", "--force"], ["kill"], ["start"], ["exec"], ["ps"]])
@pytest.mark.parametrize("id", ["..", "../host", ".", "/", ""])
def test_no_command_takes_one_for_a_container(
    runtime: Runtime, bundle: Bundle, victim: Victim, words: list[str], id: str
) -> None:
    """The directory beside the state looks like that of a container."""
    victim.add("state.json", '{"version": 1, "id": "host", "pid": 1, "status": "stopped"}')
    runtime.root.mkdir(mode=0o700)
    more = ["true"] if words == ["exec"] else []
    result = runtime(*words, "--", id, *more)
    assert result.status != 0
    assert "Traceback" not in result.err
    assert "internal error" not in result.err
    victim.assert_unharmed()
