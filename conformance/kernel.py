"""The system calls that isolation needs and that Python 3.11 has no function for. Every failure is an OSError."""

from __future__ import annotations

import ctypes
import os

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2

# The numbers are the same on every architecture: include/uapi/asm-generic/unistd.h
_SYS_FSOPEN = 430
_SYS_FSCONFIG = 431
_SYS_FSMOUNT = 432
_FSCONFIG_SET_FLAG = 0
_FSCONFIG_CMD_CREATE = 6
_FS_CLOEXEC = 1
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, *about: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno), *about)
    return result


def unshare(flags: int) -> None:
    """unshare(2)"""
    _check(_libc.unshare(flags))


def setns(fd: int, kind: int) -> None:
    """setns(2)"""
    _check(_libc.setns(fd, kind))


def mount(source: str, target: str, type: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)"""
    _check(
        _libc.mount(source.encode(), os.fsencode(target), type.encode(), ctypes.c_ulong(flags), data.encode()), target
    )


def unmount(target: str) -> None:
    """umount2(2) of the mount and of all below it, now from view and in fact when the last user has gone."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), target)


def detached_mount(type: str, option: str) -> int:
    """A mount of a new or known instance of a filesystem that is in no mount namespace: a descriptor, fsmount(2)."""
    context_fd = _check(_libc.syscall(_SYS_FSOPEN, type.encode(), _FS_CLOEXEC), type)
    try:
        _check(_libc.syscall(_SYS_FSCONFIG, context_fd, _FSCONFIG_SET_FLAG, option.encode(), None, 0), option)
        _check(_libc.syscall(_SYS_FSCONFIG, context_fd, _FSCONFIG_CMD_CREATE, None, None, 0), option)
        return _check(_libc.syscall(_SYS_FSMOUNT, context_fd, _FS_CLOEXEC, 0), option)
    finally:
        os.close(context_fd)


def die_with_parent(signal: int) -> None:
    """The calling process gets this signal when its parent ends: PR_SET_PDEATHSIG, prctl(2)."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0))
