"""What a restore needs of the host that criu does not make: mount points, and a loopback interface. By small plans of
their own, walked as those of create are, whose init is ended when it has come to their end."""

from __future__ import annotations

import os
from errno import EINVAL, ENOENT

from ocirt import host
from ocirt._shim import ffi, lib
from ocirt.cgroup import Cgroup
from ocirt.criu.dump import mounts_of
from ocirt.launch.channel import check
from ocirt.launch.doers import Doer
from ocirt.launch.walk import Walk
from ocirt.plan import Compilation, Op, Plan, Source, compile_plan, mounts, namespaces, process, rootfs
from ocirt.plan.constants import CLONE_NEWNET, MOUNT_ATTR_RDONLY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ocirt.criu.request import External

#: Create's beginning, without what is the container's own.
_MOUNTS = (namespaces.clone, rootfs.attach, process.clear_umask, mounts.ops, process.wait_start)


def make_mount_points(compilation: Compilation) -> None:
    """Makes what is missing of the mount points of *compilation*'s mounts, also those in the mounts themselves, as
    create does: below the root alone, and by mounting all of it, in a mount namespace that is thrown away."""
    config = compilation.config
    own: dict[str, Any] = {
        "root": config["root"],
        # Those of cgroups are in a filesystem that criu restores.
        "mounts": [each for each in config.get("mounts") or () if each.get("type") not in ("cgroup", "cgroup2")],
        "linux": {"namespaces": [{"type": "mount"}]},
    }
    c = Compilation(
        own, host.facts(Cgroup(())), id=compilation.id, bundle=compilation.bundle, rootfs=compilation.rootfs
    )
    c.detached = False
    _walk(compile_plan(_MOUNTS, c), compilation.bundle)


class Room:
    """An empty directory at the top of a root filesystem that is read-only, where criu puts the root of the host while
    it changes roots: it takes /tmp, and cannot make another. It is there within the ``with`` block only if it was not
    before."""

    __slots__ = ("_made", "_rootfs_fd")

    def __init__(self, compilation: Compilation) -> None:
        self._made = False
        self._rootfs_fd = os.open(compilation.rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        if compilation.config["root"].get("readonly"):
            try:
                os.mkdir("tmp", 0o700, dir_fd=self._rootfs_fd)
                self._made = True
            except OSError:
                pass  # it is there, or criu will say what it thinks of it

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._made:
                os.rmdir("tmp", dir_fd=self._rootfs_fd)
        except OSError:
            pass  # somebody has put something there
        finally:
            os.close(self._rootfs_fd)


def set_loopback_up(pid: int) -> None:
    """Sets the loopback interface up in the network namespace of the process *pid*: criu leaves a new one as it is, and
    no socket can be bound to 127.0.0.1 there."""
    origin = "/linux/namespaces"
    namespace = Source("namespace", f"/proc/{pid}/ns/net")
    ops = [
        Op("JOIN_NAMESPACE", "join the network namespace", origin, a=CLONE_NEWNET, sources=(namespace,)),
        Op("CLONE", "clone a process"),
        Op("LOOPBACK_UP", "set the loopback interface up", origin),
        Op("WAIT_START", "wait for the end"),
    ]
    _walk(Plan(ops, 0), "/")


def restrict_mounts(pid: int, externals: Iterable[External], *, readonly_root: bool) -> None:
    """Sets the attributes again that mounts of the host's have in the configuration, "ro" above all: of two mounts of
    one source criu leaves the second without (4.2 and before), and the root (3.17). The processes have not run yet.
    StepError."""
    points = set(mounts_of(pid).values())
    pidfd = os.pidfd_open(pid)
    try:
        if readonly_root:
            step = "make the root filesystem read-only"
            check(lib.ocirt_set_attributes_of(pidfd, b"/", MOUNT_ATTR_RDONLY, 0), step, origin="/root/readonly")
        for external in externals:
            path = ffi.from_buffer(os.fsencode(external.destination) + b"\0")
            for attributes, recursive in ((external.tree_attributes, 1), (external.attributes, 0)):
                result = lib.ocirt_set_attributes_of(pidfd, path, attributes, recursive) if attributes else 0
                # The container may have unmounted it, or what it was on.
                if result not in (-EINVAL, -ENOENT) or external.destination in points:
                    check(result, f"restrict {external.destination}", external.destination, origin=external.origin)
    finally:
        os.close(pidfd)


def _walk(plan: Plan, bundle: str) -> None:
    bundle_fd = os.open(bundle, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    doer = Doer(bundle_fd=bundle_fd, cgroup=Cgroup(()), console=None, state_text=lambda inside: "")
    try:
        walk = Walk(plan, doer)
        try:
            walk.run()
        finally:
            walk.abort()
            walk.close()
    finally:
        doer.close()
        os.close(bundle_fd)
