"""What a container mounts appears on the host, or changes how the host's mounts propagate (runc before 1.5.3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from host_view import parse_mounts
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def propagation_of_the_host() -> dict[str, list[str]]:
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text())
    return {
        point: [word for word in mount.propagation if not word.startswith("master:")] for point, mount in mounts.items()
    }


@pytest.mark.parametrize("word", ["shared", "rshared", "slave", "rslave", "private", "rprivate", "unbindable", None])
def test_the_hosts_mounts_propagate_as_before(runtime: Runtime, bundle: Bundle, word: str | None) -> None:
    before = propagation_of_the_host()
    if word:
        bundle.linux["rootfsPropagation"] = word
    bundle.add_mount("/shared", "tmpfs", "tmpfs", "rshared")
    runtime.run(bundle, "exit", "0").check()
    assert propagation_of_the_host() == before


def test_without_a_mount_namespace_the_hosts_mounts_propagate_as_before(runtime: Runtime, bundle: Bundle) -> None:
    before = propagation_of_the_host()
    bundle.remove_namespace("mount")
    bundle.process["cwd"] = "/"
    result = runtime.run(bundle, "exit", "0")
    if result.status != 0:
        result.fails()
    assert propagation_of_the_host() == before
