"""Compiled filters in the kernel: a forked child loads one and reports what its system calls return."""

from __future__ import annotations

import array
import ctypes
import fcntl
import os
import resource
import runpy
import signal
import socket
import sys
from collections.abc import Callable
from errno import EACCES, EBADF, EINVAL, ENOMEDIUM, ENOSYS, ENXIO, EPERM
from pathlib import Path
from typing import Any, NoReturn

import pytest

from ocirt import seccomp_compiler
from ocirt._seccomp import lib
from ocirt.seccomp import Filter, compile_filter

ENGINE_PROFILE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/docker_like_profile.py"))["profile"]()
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
FUTURE = 5000
AT_FDCWD = -100


class SockFprog(ctypes.Structure):
    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def number(name: str) -> int:
    return lib.seccomp_syscall_resolve_name_arch(lib.SCMP_ARCH_NATIVE, name.encode())


def load(compiled: Filter) -> int:
    """Loads *compiled* into the calling process, for good; returns what seccomp(2) returns."""
    program = SockFprog(len(compiled.program) // 8, compiled.program)
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    result: int = LIBC.syscall(number("seccomp"), SECCOMP_SET_MODE_FILTER, compiled.flags, ctypes.byref(program))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def in_child(body: Callable[[], int]) -> int:
    """Runs *body* in a child and returns the child's wait status: an exit status of *body*'s, or a signal."""
    child = os.fork()
    if child == 0:
        exit_after(body)
    return os.waitpid(child, 0)[1]


def exit_after(body: Callable[[], int]) -> NoReturn:
    status = 255
    try:
        status = body()
    finally:
        os._exit(status)


def errno_of(name: str | int, *arguments: Any, profile: dict[str, Any]) -> int:
    """The errno, or 0, of one system call in a process under the filter of *profile*."""
    compiled = compile_filter(profile, cache_directory=None)
    nr = name if isinstance(name, int) else number(name)

    def body() -> int:
        load(compiled)
        values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
        return ctypes.get_errno() if LIBC.syscall(ctypes.c_long(nr), *values) == -1 else 0

    status = in_child(body)
    assert os.WIFEXITED(status), f"the child was killed by {os.WTERMSIG(status)}"
    return os.WEXITSTATUS(status)


def denying(*names: str, **properties: Any) -> dict[str, Any]:
    rule = {"names": list(names), "action": "SCMP_ACT_ERRNO", **properties}
    return {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}


def test_the_example_of_the_spec_refuses_getcwd_and_chmod(tmp_path: Path) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": ["getcwd", "chmod", "fchmodat"], "action": "SCMP_ACT_ERRNO"}],
    }
    buffer = ctypes.create_string_buffer(4096)
    path = os.fsencode(tmp_path)
    assert errno_of("getcwd", buffer, 4096, profile=profile) == EPERM
    assert errno_of("fchmodat", AT_FDCWD, path, 0o700, profile=profile) == EPERM
    assert errno_of("faccessat", AT_FDCWD, path, 0, profile=profile) == 0


def test_errno_ret_reaches_the_program() -> None:
    assert errno_of("getpid", profile=denying("getpid", errnoRet=ENXIO)) == ENXIO
    assert errno_of("getpid", profile=denying("getpid", errnoRet=0)) == 0


def test_arguments_are_compared() -> None:
    under_ten = denying("dup3", args=[{"index": 1, "op": "SCMP_CMP_LT", "value": 10}], errnoRet=EACCES)
    assert errno_of("dup3", -1, 9, 0, profile=under_ten) == EACCES
    assert errno_of("dup3", -1, 10, 0, profile=under_ten) == EBADF


def test_a_mask_of_32_bits_looks_at_the_low_half_alone() -> None:
    """ftruncate takes 64 bits, so that both halves reach the filter."""
    argument = {"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 0xFFFFFFFF, "valueTwo": 0x10}
    profile = denying("ftruncate", args=[argument], errnoRet=EACCES)
    assert errno_of("ftruncate", -1, 0x10, profile=profile) == EACCES
    assert errno_of("ftruncate", -1, 1 << 32 | 0x10, profile=profile) == EACCES
    assert errno_of("ftruncate", -1, 0x11, profile=profile) == EBADF


def test_a_comparison_looks_at_both_halves() -> None:
    argument = {"index": 1, "op": "SCMP_CMP_EQ", "value": 0x10}
    profile = denying("ftruncate", args=[argument], errnoRet=EACCES)
    assert errno_of("ftruncate", -1, 0x10, profile=profile) == EACCES
    assert errno_of("ftruncate", -1, 1 << 32 | 0x10, profile=profile) == EBADF


def test_conditions_on_one_argument_are_alternatives() -> None:
    arguments = [{"index": 1, "op": "SCMP_CMP_EQ", "value": value} for value in (10, 20)]
    profile = denying("ftruncate", args=arguments, errnoRet=EACCES)
    assert errno_of("ftruncate", -1, 10, profile=profile) == EACCES
    assert errno_of("ftruncate", -1, 20, profile=profile) == EACCES
    assert errno_of("ftruncate", -1, 30, profile=profile) == EBADF


def test_a_profile_of_an_engine_answers_with_its_default_errno() -> None:
    assert errno_of("getppid", profile=ENGINE_PROFILE) == 0
    assert errno_of("swapoff", b"/", profile=ENGINE_PROFILE) == EPERM
    assert errno_of("swapoff", b"/", profile={**ENGINE_PROFILE, "defaultErrnoRet": ENXIO}) == ENXIO


def test_a_profile_of_an_engine_lets_clone_through_but_not_its_namespaces() -> None:
    clone_newns, clone_sighand_alone = 0x00020000, 0x00000800
    assert errno_of("clone", clone_newns, 0, profile=ENGINE_PROFILE) == EPERM
    assert errno_of("clone", clone_sighand_alone, 0, profile=ENGINE_PROFILE) == EINVAL, "as the kernel says itself"
    assert errno_of("clone3", 0, 0, profile=ENGINE_PROFILE) == ENOSYS


def test_a_system_call_of_the_future_is_not_implemented() -> None:
    assert errno_of(FUTURE, profile=ENGINE_PROFILE) == ENOSYS


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL", "SCMP_ACT_TRAP"])
def test_actions_that_kill_end_the_process_with_sigsys(action: str) -> None:
    rules = [{"names": ["getppid"], "action": action}]
    compiled = compile_filter({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}, cache_directory=None)

    def body() -> int:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        load(compiled)
        return os.getppid() & 0

    status = in_child(body)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGSYS


def test_a_rule_that_logs_lets_the_system_call_pass() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["getppid"], "action": "SCMP_ACT_LOG"}],
    }
    assert errno_of("getppid", profile=profile) == 0


@pytest.mark.parametrize("flags", [None, [], ["SECCOMP_FILTER_FLAG_TSYNC"], list(seccomp_compiler.FLAGS)])
def test_the_kernel_takes_every_combination_of_flags(flags: list[str] | None) -> None:
    supported = None if flags is None else [flag for flag in flags if seccomp_compiler.flag_supported(flag)]
    rules = [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "flags": supported, "syscalls": rules}
    assert errno_of("getppid", profile=profile) == 0


def test_a_listener_answers_for_a_notified_system_call() -> None:
    rules = [{"names": ["acct"], "action": "SCMP_ACT_NOTIFY"}]
    compiled = compile_filter({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}, cache_directory=None)
    ours, theirs = socket.socketpair()

    def body() -> int:
        socket.send_fds(theirs, [b"listener"], [load(compiled)])
        return ctypes.get_errno() if LIBC.acct(None) == -1 else 0

    with ours, theirs:
        child = os.fork()
        if child == 0:
            exit_after(body)
        _, (listener_fd,), _, _ = socket.recv_fds(ours, 64, 1)
        notification = array.array("B", bytes(80))  # struct seccomp_notif: id, pid, flags, seccomp_data
        fcntl.ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_RECV, notification)
        identity, pid, asked = notification[:8].tobytes(), notification[8:12].tobytes(), notification[16:20].tobytes()
        # struct seccomp_notif_resp: id, val, error, flags
        response = identity + bytes(8) + (-ENOMEDIUM).to_bytes(4, sys.byteorder, signed=True) + bytes(4)
        fcntl.ioctl(listener_fd, SECCOMP_IOCTL_NOTIF_SEND, response)
        os.close(listener_fd)
        status = os.waitpid(child, 0)[1]
    assert int.from_bytes(pid, sys.byteorder) == child
    assert int.from_bytes(asked, sys.byteorder) == number("acct")
    assert os.WEXITSTATUS(status) == ENOMEDIUM
