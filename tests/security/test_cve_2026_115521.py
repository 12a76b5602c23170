"""CVE-2026-115521 (crun before 1.31): the read-only root filesystem stays writable.

The image brings /proc/self/fd as plain directories with links, there is no procfs, and the deferred remount of the
root by way of /proc/self/fd/N hits another mount.
"""

from __future__ import annotations

import errno

import pytest
from support import Bundle, Runtime

from security.attack import without_mounts

pytestmark = pytest.mark.needs_root


def test_a_fake_proc_does_not_keep_the_root_writable(runtime: Runtime, bundle: Bundle) -> None:
    without_mounts(bundle, "/proc")
    bundle.add_mount("/cache", "tmpfs", "tmpfs", "ro")
    bundle.mkdir("tmp")
    for name in ("self", "thread-self", "1"):
        bundle.mkdir(f"proc/{name}/fd")
        for fd in range(3, 61):
            (bundle.rootfs / f"proc/{name}/fd/{fd}").symlink_to("/tmp")
    bundle.config["root"]["readonly"] = True
    values = runtime.probe(bundle, "touch", "/x", ";", "touch", "/tmp/x", ";", "touch", "/cache/x")
    assert [value["errno"] for value in values] == [errno.EROFS] * 3
