"""CVE-2026-41579 (runc before 1.3.6, 1.4.3), CVE-2026-47766 (crun before 1.28): /dev of the image is a link.

ptmx is removed, and nodes and links are made, where the link leads: on the host, by runtimes that use paths before
they pivot; in a volume, which is the host's too, by those that resolve it below the root filesystem, runc 1.5.1
among them. Seen to succeed with runc 1.1.5.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support import DEV, DEVPTS, SHM, Bundle, Runtime

from security.attack import Victim, assert_refused_or_confined, without_mounts

pytestmark = pytest.mark.needs_root

TARGETS = {
    "absolute": "{victim}",
    "relative": "../../../../../../../../..{victim}",
    "through-a-link": "link",
}


def make_dev_a_link(bundle: Bundle, target: str) -> None:
    without_mounts(bundle, "/dev")
    (bundle.rootfs / "dev").symlink_to(target)


@pytest.fixture
def victim_with_ptmx(victim: Victim) -> Victim:
    victim.add("ptmx", "x")
    return victim


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("has_devices", [False, True], ids=["", "devices"])
def test_a_dev_that_is_a_link_is_refused(
    runtime: Runtime, bundle: Bundle, victim_with_ptmx: Victim, target: str, has_devices: bool
) -> None:
    (bundle.rootfs / "link").symlink_to(victim_with_ptmx.path)
    make_dev_a_link(bundle, TARGETS[target].format(victim=victim_with_ptmx.path))
    if has_devices:
        bundle.linux["devices"] = [{"path": "/dev/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
    runtime.run(bundle, "ls", "/").fails("cannot make device /dev/null", "no link may lead to it")


def test_a_dev_that_leads_into_a_volume_is_refused(runtime: Runtime, bundle: Bundle, victim_with_ptmx: Victim) -> None:
    make_dev_a_link(bundle, "/vol")
    bundle.add_mount("/vol", "bind", victim_with_ptmx.path, "bind")
    runtime.run(bundle, "ls", "/").fails("cannot make device /dev/null", "no link may lead to it")


@pytest.mark.needs_userns
def test_nodes_that_are_bound_are_no_different(runtime: Runtime, bundle: Bundle, victim_with_ptmx: Victim) -> None:
    bundle.map_ids((0, 100000, 65536))
    make_dev_a_link(bundle, "/vol")
    bundle.add_mount("/vol", "bind", victim_with_ptmx.path, "bind")
    runtime.run(bundle, "ls", "/").fails("/dev/null", "too many levels of symbolic links")


def test_a_directory_of_devices_that_is_a_link_is_refused(
    runtime: Runtime, bundle: Bundle, victim_with_ptmx: Victim
) -> None:
    without_mounts(bundle, "/dev")
    bundle.mkdir("dev")
    (bundle.rootfs / "dev/net").symlink_to(victim_with_ptmx.path)
    bundle.linux["devices"] = [{"path": "/dev/net/tun", "type": "c", "major": 10, "minor": 200}]
    runtime.run(bundle, "ls", "/").fails("cannot make device /dev/net/tun", "no link may lead to it")


@pytest.mark.parametrize("name", ["pts", "shm"])
def test_a_link_below_dev_is_followed_inside_only(
    runtime: Runtime, bundle: Bundle, victim_with_ptmx: Victim, name: str
) -> None:
    without_mounts(bundle, "/dev")
    bundle.mkdir("dev")
    (bundle.rootfs / "dev" / name).symlink_to(victim_with_ptmx.path)
    bundle.config["mounts"].append(DEVPTS if name == "pts" else SHM)
    result = runtime.run(bundle, "ls", f"/dev/{name}")
    assert_refused_or_confined(result, victim_with_ptmx)


def test_a_dev_that_is_a_link_is_covered_inside_only(
    runtime: Runtime, bundle: Bundle, victim_with_ptmx: Victim
) -> None:
    make_dev_a_link(bundle, str(victim_with_ptmx.path))
    bundle.config["mounts"].append(DEV)
    assert_refused_or_confined(runtime.run(bundle, "ls", "/dev"), victim_with_ptmx)


def test_create_and_start_are_no_different_from_run(
    runtime: Runtime, make_bundle: Callable[[str], Bundle], victim_with_ptmx: Victim
) -> None:
    bundle = make_bundle("other")
    make_dev_a_link(bundle, str(victim_with_ptmx.path))
    bundle.save()
    runtime("create", "--bundle", str(bundle.path), runtime.new_id()).fails("cannot make device /dev/null")


def test_a_node_that_is_there_already_is_not_touched(runtime: Runtime, bundle: Bundle, victim: Victim) -> None:
    """A hard link, or a volume, makes it the host's."""
    without_mounts(bundle, "/dev")
    bundle.mkdir("dev")
    (bundle.rootfs / "dev/null").hardlink_to(victim.mark_path)
    runtime.run(bundle, "ls", "/").fails("cannot make device /dev/null", "file exists")
    (bundle.rootfs / "dev/null").unlink()
