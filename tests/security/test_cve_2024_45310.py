"""CVE-2024-45310 (runc before 1.1.14): empty files and directories are made on the host.

The target of a mount is missing and the runtime makes it, by a path that a link has been put into. Seen to succeed
with runc 1.1.5 in the race, and by what makes targets by their paths (``test_cve_2021_30465.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support import Bundle, Runtime

from security.attack import Victim, assert_refused_or_confined

pytestmark = pytest.mark.needs_root

RUNS, TARGETS = 40, 16  # more than 500 races, as far as no run is refused before its last target


def add_mounts(bundle: Bundle, directory: str) -> None:
    source = bundle.path / "file"
    source.write_text("of the volume")
    bundle.add_mount(f"{directory}/newfile", "bind", source, "bind")
    bundle.add_mount(f"{directory}/newdir/a/b", "tmpfs", "tmpfs")


@pytest.mark.parametrize("prefix", ["", "../../../../../../../.."], ids=["absolute", "relative"])
def test_targets_behind_a_link_are_made_in_the_container(
    runtime: Runtime, bundle: Bundle, victim: Victim, prefix: str
) -> None:
    (bundle.rootfs / "vol").symlink_to(f"{prefix}{victim.path}")
    add_mounts(bundle, "/vol")
    names, text = runtime.probe(bundle, "ls", "/vol", ";", "cat", "/vol/newfile")
    assert (names, text) == (["newdir", "newfile"], "of the volume")


def test_a_working_directory_behind_a_link_is_made_in_the_container(
    runtime: Runtime, bundle: Bundle, victim: Victim
) -> None:
    (bundle.rootfs / "vol").symlink_to(victim.path)
    bundle.process["cwd"] = "/vol/new/directory"
    assert runtime.probe(bundle, "cwd") == f"{victim.path}/new/directory"


def test_a_link_that_leads_nowhere_is_completed_in_the_container(
    runtime: Runtime, bundle: Bundle, victim: Victim
) -> None:
    (bundle.rootfs / "vol").symlink_to(f"{victim.path}/missing")
    add_mounts(bundle, "/vol")
    assert runtime.probe(bundle, "ls", f"{victim.path}/missing") == ["newdir", "newfile"]


def test_nothing_is_made_on_the_host_while_a_component_is_exchanged(
    runtime: Runtime,
    bundle: Bundle,
    victim: Victim,
    exchanging: Callable[[Path, Path], AbstractContextManager[None]],
) -> None:
    bundle.mkdir("vol/a")
    (bundle.rootfs / "vol/b").symlink_to(f"../../../../../../../..{victim.path}")
    for i in range(TARGETS // 2):
        add_mounts(bundle, f"/vol/a/{i}")
    bundle.process["cwd"] = "/vol/a/work"
    runs = 0
    with exchanging(bundle.rootfs / "vol/a", bundle.rootfs / "vol/b"):
        for _ in range(RUNS):
            runs += assert_refused_or_confined(runtime.run(bundle, "ls", "/"), victim)
    assert runs > 0
