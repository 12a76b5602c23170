"""CVE-2021-30465 (runc before 1.0.0-rc95): the target of a mount is exchanged for a link.

Between looking at the target, inside a volume that another container has as well, and mounting, the other puts a
link in its place, and the mount lands on the host. ``test_the_race_is_one`` shows that a runtime which makes and
uses targets by their paths loses it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest
from host_view import parse_mounts
from support import Bundle, Runtime

from security.attack import Victim, assert_refused_or_confined

pytestmark = pytest.mark.needs_root

RUNS, TARGETS = 40, 16  # more than 500 races, as far as no run is refused before its last target


def test_links_in_a_volume_lead_to_places_in_the_container(runtime: Runtime, bundle: Bundle, victim: Victim) -> None:
    bundle.mkdir("vol")
    (bundle.rootfs / "vol/x").symlink_to("/")
    (bundle.rootfs / "vol/y").symlink_to(victim.path)
    bundle.add_mount("/vol/x/tmp/in", "tmpfs", "tmpfs")
    bundle.add_mount("/vol/y/in", "tmpfs", "tmpfs")
    mountinfo, names = runtime.probe(bundle, "cat", "/proc/self/mountinfo", ";", "ls", "/vol/y")
    assert names == ["in"]
    points = parse_mounts(mountinfo)
    assert points["/tmp/in"].type == points[f"{victim.path}/in"].type == "tmpfs"


def racing_names(bundle: Bundle, victim: Victim) -> tuple[Path, Path]:
    bundle.mkdir("vol/a")
    (bundle.rootfs / "vol/b").symlink_to(victim.path)
    return bundle.rootfs / "vol/a", bundle.rootfs / "vol/b"


def test_no_mount_lands_on_the_host_while_its_target_is_exchanged(
    runtime: Runtime,
    bundle: Bundle,
    victim: Victim,
    exchanging: Callable[[Path, Path], AbstractContextManager[None]],
) -> None:
    source = bundle.path / "source"
    source.mkdir()
    (source / "file").write_text("of the volume")
    for i in range(TARGETS // 2):
        bundle.add_mount(f"/vol/a/in{i}", "tmpfs", "tmpfs")
        bundle.add_mount(f"/vol/a/in{i}/deep", "bind", source, "bind")
    a, b = racing_names(bundle, victim)
    runs = 0
    with exchanging(a, b):
        for _ in range(RUNS):
            runs += assert_refused_or_confined(runtime.run(bundle, "ls", str(victim.path)), victim)
    assert runs > 0


def test_the_race_is_one(
    bundle: Bundle, victim: Victim, exchanging: Callable[[Path, Path], AbstractContextManager[None]]
) -> None:
    """What makes directories by path makes some on the host."""
    a, b = racing_names(bundle, victim)
    with exchanging(a, b):
        while not (victim.path / "in").exists():
            assert os.path.realpath(b) != ""  # time for the other side
            with suppress(FileExistsError):  # there at first, and elsewhere when it was looked at again
                os.makedirs(a / "in", exist_ok=True)
    (victim.path / "in").rmdir()
