"""A cgroup of the configuration, or of exec, leads out of the hierarchy or up to the host's own cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Bundle, Runtime

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_controller("pids")]


@pytest.mark.parametrize("path", ["../../x", "/../x", "a/../../b", "/a/../..", "..", "/.."])
def test_a_path_with_a_way_up_is_refused(runtime: Runtime, bundle: Bundle, path: str) -> None:
    bundle.linux["cgroupsPath"] = path
    runtime.run(bundle, "exit", "0").fails("/linux/cgroupsPath")


@pytest.mark.parametrize("path", ["../..", "..", "/..", "pids:../..", "../../..", "/../../tmp"])
def test_exec_does_not_leave_the_container_by_a_sub_cgroup(runtime: Runtime, bundle: Bundle, path: str) -> None:
    container = runtime.start_paused_program(bundle)
    result = container.exec("/init", "pids", flags=["--cgroup", path])
    assert result.status != 0
    assert result.out == ""
    assert "Traceback" not in result.err


def test_a_program_cannot_change_its_own_limits_through_a_descriptor(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    links = [Path(target) for target in container.probe("fds").values()]
    assert not [link for link in links if "cgroup" in str(link)]
