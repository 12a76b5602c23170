"""CVE-2026-119101 (runc before 1.5.3), CVE-2026-115520 (crun before 1.31), CVE-2026-119614 (criu): the image leads the
destination of a mount to a path with "]:" in it, where criu finds the end of the key too early, and at the restore
mounts a directory of the host that the image has named. Others of the same kind: what the root filesystem holds at the
restore decides where something is mounted; read-only mounts are writable afterwards.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from support import Bundle, Container, Runtime

from security.attack import Victim

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_criu]


def start(runtime: Runtime, bundle: Bundle) -> Container:
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    return container


def restore_words(bundle: Bundle, images: Path, id: str) -> tuple[str, ...]:
    return ("restore", "--detach", "--bundle", str(bundle.path), "--image-path", str(images), id)


def test_a_link_to_a_path_with_brackets_is_refused(
    runtime: Runtime, bundle: Bundle, victim: Victim, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    bundle.mkdir(f"/a]:{victim.path}")
    os.symlink(f"/a]:{victim.path}", bundle.rootfs / "data")
    bundle.add_mount("/data", None, volume, "bind", "ro")
    container = start(runtime, bundle)
    result = runtime("checkpoint", "--image-path", str(tmp_path / "images"), container.id)
    result.fails("']:'", "config.json#/mounts/3")
    assert container.status == "running"
    victim.assert_unharmed()


def test_a_root_filesystem_that_was_changed_leads_nowhere(
    runtime: Runtime, bundle: Bundle, victim: Victim, tmp_path: Path
) -> None:
    """Between checkpoint and restore the mount point becomes a link to the host's directory."""
    images, volume = tmp_path / "images", tmp_path / "volume"
    volume.mkdir()
    bundle.add_mount("/data", None, volume, "bind")
    bundle.add_mount("/data/below", None, volume, "bind")
    container = start(runtime, bundle)
    runtime("checkpoint", "--image-path", str(images), container.id).check()
    shutil.rmtree(bundle.rootfs / "data")
    os.symlink(victim.path, bundle.rootfs / "data")
    before = Path("/proc/self/mountinfo").read_text()
    id = runtime.new_id()
    result = runtime(*restore_words(bundle, images, id))
    if result.status == 0:
        second = runtime.adopt(id, bundle)
        listed = second.exec("/init", "ls", "/")
        victim.assert_unseen(listed.out, second.exec("/init", "cat", "/data/mark").out)
    victim.assert_unharmed()
    assert Path("/proc/self/mountinfo").read_text() == before


def test_a_program_called_criu_in_the_image_is_not_executed(
    runtime: Runtime, bundle: Bundle, victim: Victim, tmp_path: Path
) -> None:
    for name in ("criu", "tar", "ip", "iptables-restore", "nft"):
        bundle.write(f"/bin/{name}", f"#!/bin/sh\ntouch {victim.path}/owned\n", 0o755)
    bundle.process["env"] = ["PATH=/bin"]
    container = start(runtime, bundle)
    images = tmp_path / "images"
    runtime("checkpoint", "--image-path", str(images), container.id, cwd=bundle.rootfs / "bin").check()
    id = runtime.new_id()
    runtime(*restore_words(bundle, images, id), cwd=bundle.rootfs / "bin").check()
    runtime.adopt(id, bundle)
    victim.assert_unharmed()
