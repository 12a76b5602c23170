"""Opens on the host what an operation of the init needs, once, and hands over the descriptor (never the path again)."""

from __future__ import annotations

import os
from errno import EINVAL, EPERM

from ocirt._shim import ffi, lib
from ocirt.errors import StepError, UnsupportedError
from ocirt.launch.channel import check
from ocirt.plan.constants import (
    CLONE_NEWNS,
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import IdMap, Op, Source

#: The kinds of sources that have a path, or are filesystems.
HOST_KINDS = frozenset(("descriptor", "tree", "container-tree", "filesystem", "namespace"))

_LOG_BYTES = 160

# They have the same values in statvfs(3).
_LOCKED = {
    MOUNT_ATTR_RDONLY: "ro",
    MOUNT_ATTR_NOSUID: "nosuid",
    MOUNT_ATTR_NODEV: "nodev",
    MOUNT_ATTR_NOEXEC: "noexec",
}


def open_source(source: Source, op: Op, pid: int, *, bundle_fd: int) -> int:
    """Opens a source of HOST_KINDS; relative paths are the bundle's. Raises StepError with the operation's words and
    pointer."""
    path = source.path
    if source.kind == "filesystem":
        return _make_filesystem(source, op)
    if source.kind == "namespace":
        return _open_namespace(path, op)
    flags = lib.OPEN_TREE_CLONE | lib.OPEN_TREE_CLOEXEC | (lib.AT_RECURSIVE if source.recursive else 0)
    flags |= 0 if source.follow else lib.AT_SYMLINK_NOFOLLOW
    if source.kind == "descriptor":
        return _open_descriptor(source, op, flags)
    if source.kind == "tree":
        fd = lib.ocirt_open_tree(bundle_fd, _c_string(path), flags)
    else:
        pidfd = os.pidfd_open(pid)
        try:
            fd = lib.ocirt_open_tree_of(pidfd, _c_string(path), flags)
        finally:
            os.close(pidfd)
    check(fd, op.step, path, origin=op.origin)
    if source.is_locked:
        try:
            _refuse_unlocking(fd, source, op)
        except BaseException:
            os.close(fd)
            raise
    return int(fd)


def _refuse_unlocking(tree_fd: int, source: Source, op: Op) -> None:
    """What the kernel does for a process in a user namespace (mount_namespaces(7)), and so for a runtime that sets up
    its mounts in there: the host's mount is read-only, or without devices, for such containers too."""
    flags = os.fstatvfs(tree_fd).f_flag
    old = flags & sum(_LOCKED)
    if not flags & os.ST_RELATIME:
        old |= MOUNT_ATTR_NOATIME if flags & os.ST_NOATIME else MOUNT_ATTR_STRICTATIME
    old |= MOUNT_ATTR_NODIRATIME if flags & os.ST_NODIRATIME else 0
    new = old
    for shift in (32, 0):  # the tree's, then the mount's own
        new = new & ~(op.b >> shift & 0xFFFFFFFF) | op.a >> shift & 0xFFFFFFFF
    words = [word for bit, word in _LOCKED.items() if old & ~new & bit]
    if (old ^ new) & (MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME):
        words.append("times of access")
    if words:
        hint = f"the host's mount has locked {', '.join(words)} for a container with a user namespace"
        raise StepError(op.step, EPERM, filename=source.path, origin=op.origin, hint=hint)


def _open_descriptor(source: Source, op: Op, flags: int) -> int:
    """A clone of the mount that a caller's descriptor is in, from there on; the descriptor stays the caller's. One of a
    mount that is attached nowhere cannot be cloned before Linux 6.15: that mount itself is attached."""
    fd = lib.ocirt_open_tree(source.index, ffi.from_buffer(b"\0"), flags | lib.AT_EMPTY_PATH)
    return os.dup(source.index) if fd == -EINVAL else check(fd, op.step, origin=op.origin)


def _open_namespace(path: str, op: Op) -> int:
    """pivot_root(2) takes the old root from every process of the namespace: never from the host's."""
    fd = check(_open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), op.step, path, origin=op.origin)
    if op.a != CLONE_NEWNS:
        return fd
    status = os.fstat(fd)
    for owner in ("/proc/self/ns/mnt", "/proc/1/ns/mnt"):
        try:
            other = os.stat(owner)
        except OSError:
            continue
        if os.path.samestat(status, other):
            os.close(fd)
            needs = f"another mount namespace than that of {owner}, which would lose its root"
            raise UnsupportedError(f"joining {path}", needs, pointer=op.origin)
    return fd


def _c_string(text: str) -> object:
    return ffi.from_buffer(text.encode("utf-8", "surrogateescape") + b"\0")


def _open(path: str, flags: int) -> int:
    try:
        return os.open(path, flags)
    except OSError as error:
        return -(error.errno or 5)


def _make_filesystem(source: Source, op: Op) -> int:
    device, *options = source.data
    fs_fd = check(lib.ocirt_fs_open(_c_string(source.path)), op.step, source.path, origin=op.origin)
    try:
        result = lib.ocirt_fs_set(fs_fd, b"source", _c_string(device))
        for option in options:
            if result < 0:
                break
            key, equals, value = option.partition("=")
            result = lib.ocirt_fs_set(fs_fd, _c_string(key), _c_string(value) if equals else ffi.NULL)
        if result == 0:
            result = lib.ocirt_fs_mount(fs_fd, source.index)
        if result < 0:
            raise StepError(op.step, -result, filename=source.path, origin=op.origin, detail=_log(fs_fd))
        return int(result)
    finally:
        os.close(fs_fd)


def _log(fs_fd: int) -> str:
    """What the filesystem says about its options, without the letter in front: fsopen(2)."""
    try:
        text = os.read(fs_fd, _LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return "".join(character for character in text[2:] if character.isprintable())


class IdMapper:
    """Maps the ids of mounts, with one user namespace for each mapping."""

    __slots__ = ("_namespaces",)

    def __init__(self) -> None:
        self._namespaces: dict[tuple[str, str], int] = {}

    def map(self, mount_fd: int, id_map: IdMap, op: Op, pid: int) -> None:
        """Maps the ids of a detached mount; *pid* is the container's process, in whose user namespace the mapping is
        that has no lines. Raises StepError, and closes *mount_fd* then."""
        try:
            namespace_fd = self._namespace(id_map, op, pid)
            result = lib.ocirt_set_id_map(mount_fd, namespace_fd, id_map.recursive)
            if result < 0:
                hint = "perhaps the filesystem cannot map ids on this kernel" if result == -EINVAL else None
                step = f"map the ids of {op.path}"
                raise StepError(step, -result, filename=op.path, origin=op.origin, hint=hint)
        except BaseException:
            os.close(mount_fd)
            raise

    def _namespace(self, id_map: IdMap, op: Op, pid: int) -> int:
        key = (id_map.uids, id_map.gids)
        fd = self._namespaces.get(key)
        if fd is None:
            if id_map.uids:
                fd = lib.ocirt_user_namespace(_c_string(id_map.uids), _c_string(id_map.gids))
            else:
                fd = _open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            self._namespaces[key] = check(fd, f"make a user namespace for the ids of {op.path}", origin=op.origin)
        return fd

    def close(self) -> None:
        for fd in self._namespaces.values():
            os.close(fd)
        self._namespaces = {}
