"""Where the root lies on top of the host's (--no-pivot), the host's procfs is an example for the kernel, which then
lets a user namespace of the container mount a procfs without masks (runc before 1.0.0-rc7).

The same program is refused in the same container with pivot_root(2), and mounts where nothing is masked.
"""

from __future__ import annotations

import errno
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from host_view import mount, unmount
from support import SYSFS, Bundle, Runtime

from security.attack import install

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_userns]

PRIVILEGES = ("bounding", "effective", "permitted")
REFUSED = f"refused {errno.EPERM}\n"


@pytest.fixture
def bundle(bundle: Bundle, program: Callable[[str], Path]) -> Bundle:
    install(bundle, program("reveal"), "reveal")
    # The kernel wants another sysfs to be as read-only as that which it has found.
    bundle.config["mounts"].append({**SYSFS, "options": ["nosuid", "noexec", "nodev"]})
    bundle.mkdir("again")
    bundle.linux["maskedPaths"] = ["/proc/keys", "/sys/kernel"]
    return bundle


def reveal(runtime: Runtime, bundle: Bundle, kind: str, *flags: str) -> str:
    bundle.process["args"] = ["/reveal", kind, "/again"]
    bundle.save()
    return runtime("run", "--bundle", str(bundle.path), *flags, runtime.new_id()).check().out


@pytest.mark.parametrize("flags", [(), ("--no-pivot",)], ids=["pivot", "no-pivot"])
@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_no_other_is_mounted_where_the_containers_is_masked(
    runtime: Runtime, bundle: Bundle, kind: str, flags: tuple[str, ...]
) -> None:
    assert reveal(runtime, bundle, kind, *flags) == REFUSED


@pytest.mark.parametrize("kind", ["proc", "sysfs"])
def test_another_is_mounted_where_nothing_is_masked(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    del bundle.linux["maskedPaths"]
    assert reveal(runtime, bundle, kind, "--no-pivot") == "mounted\n"


def test_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    """The host's mounts are locked there: what cannot be unmounted is covered."""
    bundle.map_ids((0, 0, 65536))
    bundle.process["capabilities"] = {kind: ["CAP_SETFCAP"] for kind in PRIVILEGES}
    for kind in ("proc", "sysfs"):
        assert reveal(runtime, bundle, kind, "--no-pivot") == REFUSED


@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows the number of x86_64")
@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS, errno.EINVAL], ids=errno.errorcode.get)
def test_where_nothing_can_be_unmounted_it_is_covered_or_the_start_fails(
    runtime: Runtime, bundle: Bundle, program: Callable[[str], Path], error: int
) -> None:
    umount2 = 166
    runtime.wrapper = [str(program("refuse")), str(error), str(umount2), "--"]
    if error == errno.EINVAL:  # what the kernel says of a mount that is locked
        assert reveal(runtime, bundle, "proc", "--no-pivot") == REFUSED
    else:
        bundle.process["args"] = ["/reveal", "proc", "/again"]
        runtime.run(bundle, flags=["--no-pivot"]).fails("move the root filesystem to /")


def test_one_that_others_cover_is_found(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    outer = tmp_path / "a directory\\with\todd name"
    (outer / "proc").mkdir(parents=True)
    mounted = []
    try:
        for source, target, kind in (("proc", outer / "proc", "proc"), ("tmpfs", outer, "tmpfs")):
            mount(source, target, kind)
            mounted.append(target)
        assert reveal(runtime, bundle, "proc", "--no-pivot") == REFUSED
    finally:
        for target in reversed(mounted):
            unmount(target)


def test_who_tears_the_root_down_finds_no_mount_of_the_host(
    runtime: Runtime, bundle: Bundle, program: Callable[[str], Path], tmp_path: Path
) -> None:
    """It takes CAP_SYS_ADMIN. What the host's own root holds is then in reach, and nothing else of it."""
    (tmp_path / "mounted").mkdir()
    mount("tmpfs", tmp_path / "mounted", "tmpfs")
    try:
        (tmp_path / "mounted/file").touch()
        bundle.process["capabilities"] = {kind: ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"] for kind in PRIVILEGES}
        install(bundle, program("tear_down"), "tear_down")
        paths = str(tmp_path), "/proc/self", f"{tmp_path}/mounted/file"
        bundle.process["args"] = ["/tear_down", *paths]
        bundle.save()
        result = runtime("run", "--bundle", str(bundle.path), "--no-pivot", runtime.new_id()).check()
        assert result.values == [0, errno.ENOENT, errno.ENOENT]
    finally:
        unmount(tmp_path / "mounted")
