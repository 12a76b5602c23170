"""CVE-2019-18837 (crun before 0.10.5): a link as the last component of a mount's target is followed to the host."""

from __future__ import annotations

import pytest
from host_view import parse_mounts
from support import Bundle, Runtime

from security.attack import Victim

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize("prefix", ["", "../../../../../../../.."], ids=["absolute", "relative"])
def test_a_link_as_the_target_of_a_mount_is_followed_inside_only(
    runtime: Runtime, bundle: Bundle, victim: Victim, prefix: str
) -> None:
    (bundle.rootfs / "mnt").symlink_to(f"{prefix}{victim.path}")
    source = bundle.path / "source"
    source.mkdir()
    bundle.add_mount("/mnt", "tmpfs", "tmpfs")
    bundle.add_mount("/mnt/sub", "bind", source, "bind")
    points = parse_mounts(runtime.probe(bundle, "cat", "/proc/self/mountinfo"))
    assert {str(victim.path), f"{victim.path}/sub"} < set(points)
