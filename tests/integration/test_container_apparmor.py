"""``process.apparmorProfile``: the profile confines the program, and what is executed beside it."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import Bundle, Runtime

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_apparmor]

ALLOWED, REFUSED = {"result": 0, "errno": 0}, {"result": -1, "errno": errno.EACCES}
#: Everything is allowed but making directories below /refused.
PROFILE = """profile {name} flags=(attach_disconnected,mediate_deleted) {{
    file, capability, network, mount, umount, pivot_root, signal, unix, ptrace,
    deny /refused/** w,
}}
"""


def load(name: str) -> None:
    subprocess.run(["apparmor_parser", "--replace"], input=PROFILE.format(name=name), text=True, check=True)


def unload(name: str) -> None:
    subprocess.run(["apparmor_parser", "--remove"], input=PROFILE.format(name=name), text=True, check=True)


def profile_of(pid: int) -> str:
    return Path(f"/proc/{pid}/attr/apparmor/current").read_text().strip()


@pytest.fixture
def profile(runtime: Runtime) -> Iterator[str]:
    """A profile that is loaded until the test is over."""
    name = f"{runtime.token}-profile"
    load(name)
    yield name
    runtime.close()
    unload(name)


@pytest.fixture
def confined(bundle: Bundle, profile: str) -> Bundle:
    (bundle.rootfs / "refused").mkdir()
    bundle.process["apparmorProfile"] = profile
    return bundle


def test_the_program_is_confined_by_the_profile(runtime: Runtime, confined: Bundle, profile: str) -> None:
    container = runtime.start_paused_program(confined, "mkdir", "/allowed", ";", "mkdir", "/refused/a", ";")
    assert profile_of(container.pid) == f"{profile} (enforce)"
    assert (confined.rootfs / "allowed").is_dir()
    assert not (confined.rootfs / "refused/a").exists()


def test_what_the_profile_refuses_fails_in_the_program(runtime: Runtime, confined: Bundle) -> None:
    assert runtime.probe(confined, "mkdir", "/refused/a", ";", "mkdir", "/allowed") == [REFUSED, ALLOWED]


def test_without_a_profile_nothing_is_refused(runtime: Runtime, confined: Bundle) -> None:
    del confined.process["apparmorProfile"]
    container = runtime.start_paused_program(confined)
    assert profile_of(container.pid) == "unconfined"
    assert container.probe("mkdir", "/refused/a") == ALLOWED


def test_an_exec_has_the_container_s_profile(runtime: Runtime, confined: Bundle) -> None:
    container = runtime.start_paused_program(confined)
    assert container.probe("mkdir", "/refused/a", ";", "mkdir", "/allowed") == [REFUSED, ALLOWED]


def test_an_exec_may_have_another_profile(runtime: Runtime, confined: Bundle, profile: str) -> None:
    del confined.process["apparmorProfile"]
    container = runtime.start_paused_program(confined)
    assert container.probe("mkdir", "/refused/a", flags=["--apparmor", profile]) == REFUSED


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_the_profile_is_that_of_the_program_with_and_without_new_privileges(
    runtime: Runtime, confined: Bundle, no_new_privileges: bool
) -> None:
    confined.process["noNewPrivileges"] = no_new_privileges
    assert runtime.probe(confined, "mkdir", "/refused/a") == REFUSED


def test_a_profile_that_is_not_loaded_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["apparmorProfile"] = "nobody-has-loaded-this"
    result = runtime.run(bundle)
    result.fails("nobody-has-loaded-this", "no such file or directory", "config.json#/process/apparmorProfile")
    result.fails("no profile of that name is loaded (apparmor_parser)")
    assert runtime.ids() == []


def test_an_exec_with_a_profile_that_is_not_loaded_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    result = container.exec("/init", "id", flags=["--apparmor", "nobody-has-loaded-this"])
    result.fails("nobody-has-loaded-this", "no profile of that name is loaded", status=255)
    assert container.status == "running"
