"""CVE-2025-31133 (runc before 1.2.8, 1.3.3), CVE-2025-62161 (youki): a fake /dev/null over a masked path.

The image's /dev/null is a link to a file of /proc that the container may not write, and becomes writable where it
is mounted over the masked path; or there is none, and the path stays open. Seen to succeed with runc 1.1.5.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Bundle, Runtime

from security.attack import without_mounts

pytestmark = pytest.mark.needs_root

MASKED = [
    path for path in ("/proc/keys", "/proc/kcore", "/proc/timer_list", "/proc/sysrq-trigger") if os.path.exists(path)
]

FAKES: dict[str, Callable[[Path], None]] = {
    "link-to-core-pattern": lambda path: path.symlink_to("/proc/sys/kernel/core_pattern"),
    "link-to-a-file": lambda path: path.symlink_to("/etc/x"),
    "dangling-link": lambda path: path.symlink_to("nowhere"),
    "file": lambda path: path.touch(),
    "fifo": lambda path: os.mkfifo(path),
    "zero": lambda path: os.mknod(path, 0o20666, os.makedev(1, 5)),
    "directory": lambda path: path.mkdir(),
    "missing": lambda path: None,
}


@pytest.mark.parametrize("fake", FAKES)
def test_a_masked_path_is_the_null_device_whatever_the_image_has(runtime: Runtime, bundle: Bundle, fake: str) -> None:
    without_mounts(bundle, "/dev")
    bundle.write("/etc/x", "secret")
    bundle.mkdir("dev")
    FAKES[fake](bundle.rootfs / "dev/null")
    bundle.linux["maskedPaths"] = MASKED
    words = [word for path in MASKED for word in ("stat", path, ";", "cat", path, ";")]
    # Opened and not written: a runtime that loses would change the host.
    result = runtime.run(bundle, *words, "open", "/proc/keys", "w")
    if result.status != 0:
        # The nodes of /dev cannot be made then.
        result.fails("cannot make device /dev/null")
        return
    values = result.check().values
    assert values.pop() == {"result": 0, "errno": 0}
    for node, content in zip(values[::2], values[1::2], strict=True):
        assert (node["type"], node["major"], node["minor"], content) == ("char", 1, 3, "")


def test_a_missing_null_device_masks_as_well_as_any(runtime: Runtime, bundle: Bundle) -> None:
    """An engine may bind a /dev of its own, in which the runtime makes nothing."""
    without_mounts(bundle, "/dev")
    source = bundle.path / "dev"
    source.mkdir()
    bundle.add_mount("/dev", "bind", source, "bind")
    bundle.linux["maskedPaths"] = MASKED
    for node in runtime.probe(bundle, *" ; ".join(f"stat {path}" for path in MASKED).split()):
        assert (node["type"], node["major"], node["minor"]) == ("char", 1, 3)
    assert os.listdir(source) == []


def test_a_masked_directory_is_empty_and_cannot_be_written(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("/secret/file", "secret")
    bundle.write("/other/file", "secret")
    bundle.linux["maskedPaths"] = ["/secret", "/other"]
    names, others, touched = runtime.probe(bundle, *["ls", "/secret", ";", "ls", "/other", ";", "touch", "/secret/x"])
    assert (names, others) == ([], [])
    assert touched["result"] == -1
