"""CVE-2019-16884 (runc before 1.0.0-rc9, crun before 0.10.5): a volume over /proc makes labels a fake.

The image says VOLUME /proc, and what the runtime writes into /proc/self/attr/exec goes into a plain file. Seen to
succeed where the check of the target's filesystem is left out of ocirt-init.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support import Bundle, Runtime

from ocirt.config.rules import PROC_MOUNTS
from security.attack import Victim

pytestmark = pytest.mark.needs_root


def leave_out_proc(bundle: Bundle) -> None:
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/proc"]


@pytest.mark.parametrize(
    "destination", ["/proc", "/proc/self", "/proc/self/attr", "/proc/1", "/proc/sys", "/proc/sys/net"]
)
@pytest.mark.parametrize("spelling", ["{}", "/{}", "{}/.", "/tmp/..{}"])
def test_a_volume_over_a_part_of_proc_is_refused(
    runtime: Runtime, bundle: Bundle, victim: Victim, destination: str, spelling: str
) -> None:
    bundle.add_mount(spelling.format(destination), "bind", victim.path, "bind")
    reason = "because it is not of type proc" if destination == "/proc" else "because it is inside /proc"
    runtime.run(bundle, "ls", "/proc").fails(reason, "config.json#/mounts/3")


def test_a_volume_in_the_place_of_proc_is_refused(runtime: Runtime, bundle: Bundle, victim: Victim) -> None:
    """Engines leave out their mount of procfs where the user or the image wants another at /proc."""
    leave_out_proc(bundle)
    bundle.add_mount("/proc", "bind", victim.path, "rbind")
    result = runtime.run(bundle, "ls", "/proc")
    result.fails("/proc cannot be mounted because it is not of type proc", "config.json#/mounts/")


@pytest.mark.parametrize("is_there", [True, False])
def test_another_procfs_can_take_the_place_of_proc(runtime: Runtime, bundle: Bundle, is_there: bool) -> None:
    if not is_there:
        leave_out_proc(bundle)
    bundle.add_mount("/proc", "bind", "/proc", "rbind")
    assert runtime.probe(bundle, "ls", f"/proc/{os.getpid()}/task") == [str(os.getpid())]


@pytest.mark.parametrize("destination", ["/proc/self", "/proc/1", "/proc/sys", "/proc/self/attr"])
def test_a_tmpfs_over_a_part_of_proc_is_refused(runtime: Runtime, bundle: Bundle, destination: str) -> None:
    bundle.add_mount(destination, "tmpfs", "tmpfs")
    runtime.run(bundle, "ls", "/proc").fails("because it is inside /proc", "config.json#/mounts/3")


def test_a_link_of_the_image_is_no_way_around_the_rule(runtime: Runtime, bundle: Bundle, victim: Victim) -> None:
    (bundle.rootfs / "innocent").symlink_to("/proc/sys")
    bundle.add_mount("/innocent", "bind", victim.path, "bind")
    runtime.run(bundle, "ls", "/proc").fails("/innocent lies on procfs, which must not be covered")


@pytest.mark.parametrize("path", sorted(PROC_MOUNTS))
def test_the_files_that_lxcfs_and_engines_provide_can_be_mounted(runtime: Runtime, bundle: Bundle, path: str) -> None:
    if not Path(path).exists():
        pytest.skip(f"needs a kernel with {path}")
    source = bundle.path / "file"
    source.write_text("of lxcfs\n")
    bundle.add_mount(path, "bind", source, "bind")
    assert runtime.probe(bundle, "cat", path) == "of lxcfs\n"
