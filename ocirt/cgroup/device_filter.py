"""Putting a device program into force for a v2 cgroup, at once and in place of the one that was.

An access to a device needs the consent of every program that is attached to the cgroup or above it, so those of others
(systemd's DeviceAllow=, a plugin of an engine) stay. Ours is known by its name.
"""

from __future__ import annotations

import errno
import os

from ocirt._shim import ffi, lib
from ocirt.cgroup.device_rules import POINTER
from ocirt.cgroup.directory import OPEN_DIRECTORY
from ocirt.errors import StepError

NAME = b"ocirt_devices"
_LOG_SIZE = 1 << 16
_INSTRUCTION_SIZE = 8


def attach(path: str, program: bytes) -> None:
    """Let *program*, see device_program, decide about devices for the cgroup *path*, and no earlier one of ours.

    StepError: then what was in force still is.
    """
    try:
        cgroup_fd = os.open(path, OPEN_DIRECTORY)
    except OSError as error:
        raise StepError("open cgroup " + path, error.errno or 0, filename=path, origin=POINTER) from error
    fds: list[int] = [cgroup_fd]
    try:
        ours = _attached(cgroup_fd, fds, path)
        program_fd = _load(program)
        fds.append(program_fd)
        step = "attach the device program to cgroup " + path
        _check(lib.ocirt_bpf_attach(cgroup_fd, program_fd, ours[0] if ours else -1), step, path)
        for extra_fd in ours[1:]:
            _check(lib.ocirt_bpf_detach(cgroup_fd, extra_fd), "detach an old device program", path)
    finally:
        for fd in fds:
            os.close(fd)


def _attached(cgroup_fd: int, fds: list[int], path: str) -> list[int]:
    """Descriptors, which are added to *fds*, of the programs of ours that are attached to *cgroup_fd* itself."""
    count = ffi.new("uint32_t *", 64)
    while True:
        ids = ffi.new("uint32_t[]", count[0])
        result = lib.ocirt_bpf_query(cgroup_fd, ids, count)
        if result != -errno.ENOSPC:
            break
    _check(result, "list the device programs of cgroup " + path, path)
    found = []
    for id in ids[0 : count[0]]:
        fd = lib.ocirt_bpf_open(id)
        if fd < 0:
            # Gone meanwhile, or out of our reach (EACCES, EPERM by a security module): it is not ours then.
            continue
        fds.append(fd)
        name = ffi.new("char[16]")
        if lib.ocirt_bpf_name(fd, name) == 0 and ffi.string(name) == NAME:
            found.append(fd)
    return found


def _load(program: bytes) -> int:
    instructions, count = ffi.from_buffer(program), len(program) // _INSTRUCTION_SIZE
    fd = lib.ocirt_bpf_load(instructions, count, NAME, ffi.NULL, 0)
    if fd >= 0:
        return int(fd)
    detail, hint = "", None
    if fd == -errno.EPERM:
        hint = "device rules need CAP_SYS_ADMIN, or CAP_BPF and CAP_NET_ADMIN, in the initial user namespace"
    elif fd in (-errno.EACCES, -errno.EINVAL):
        log = ffi.new("char[]", _LOG_SIZE)
        again = lib.ocirt_bpf_load(instructions, count, NAME, log, _LOG_SIZE)
        if again >= 0:
            return int(again)
        lines = ffi.string(log).decode("utf-8", "replace").splitlines()
        detail = next((line for line in reversed(lines) if line and not line.startswith("processed ")), "")
    raise StepError(f"load the device program ({count} instructions)", -fd, origin=POINTER, detail=detail, hint=hint)


def _check(result: int, step: str, path: str) -> None:
    if result < 0:
        raise StepError(step, -result, filename=path, origin=POINTER)
