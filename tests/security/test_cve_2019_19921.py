"""CVE-2019-19921, CVE-2023-27561, CVE-2023-28642 (runc before 1.1.5), CVE-2025-54867 (youki before 0.5.5): /proc or
/sys is a link.

procfs is mounted where the image's link leads, the host's files can be reached under its name, and labels go to a
fake. Seen to succeed where RESOLVE_NO_SYMLINKS is left out of ocirt-init: procfs lies on /bad then.
"""

from __future__ import annotations

import os

import pytest
from support import SYSFS, Bundle, Runtime

from security.attack import Victim

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("target", ["/bad", "bad", "{victim}", "../../../../../../../..{victim}", "{name}2", "."])
def test_a_filesystem_of_the_kernel_is_mounted_on_no_link(
    runtime: Runtime, bundle: Bundle, victim: Victim, name: str, target: str
) -> None:
    bundle.config["mounts"].append(SYSFS)
    bundle.mkdir("bad")
    (bundle.rootfs / f"{name}2").symlink_to("bad")
    (bundle.rootfs / name).symlink_to(target.format(victim=victim.path, name=name))
    kind = {"proc": "proc", "sys": "sysfs"}[name]
    runtime.run(bundle, "ls", "/bad").fails(f"filesystem '{kind}' must be mounted on ordinary directory")
    assert os.listdir(bundle.rootfs / "bad") == []


def test_no_link_leads_to_the_directory_either(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("bad/proc")
    (bundle.rootfs / "deep").symlink_to("bad")
    bundle.add_mount("/deep/proc", "proc", "proc")
    runtime.run(bundle, "ls", "/").fails("filesystem 'proc' must be mounted on ordinary directory")


def test_a_file_is_no_place_for_proc(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("proc")
    runtime.run(bundle, "ls", "/").fails("/proc")
