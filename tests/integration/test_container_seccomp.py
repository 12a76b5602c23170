"""``linux.seccomp``: what a program meets that runs under a filter."""

from __future__ import annotations

import errno
import os
import platform
import signal
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="needs the system call numbers of x86_64"),
]

GETPRIORITY, PERSONALITY, SETNS, GETPID, UNSHARE = 140, 135, 308, 39, 272

#: What the profiles of engines allow to everybody, as far as the program of the tests needs it.
ALLOWED = [
    *("access", "arch_prctl", "brk", "capget", "capset", "chdir", "clock_gettime", "close", "close_range", "dup3"),
    *("execve", "execveat", "exit", "exit_group", "fcntl", "fstat", "fstatfs", "futex", "getcwd", "getdents64"),
    *("getpid", "getrandom", "getuid", "ioctl", "lseek", "mmap", "mprotect", "munmap", "newfstatat", "open"),
    *("openat", "poll", "prctl", "pread64", "prlimit64", "read", "readlink", "readlinkat", "rseq", "rt_sigaction"),
    *("rt_sigprocmask", "rt_sigreturn", "sendmsg", "sendto", "set_robust_list", "set_tid_address", "setgid"),
    *("setgroups", "setuid", "sigaltstack", "stat", "uname", "wait4", "write", "writev"),
]


def call(number: int, *arguments: int) -> tuple[str, ...]:
    return ("syscall", str(number), *map(str, arguments))


def rule(action: str, *names: str, **more: Any) -> dict[str, Any]:
    return {"names": list(names), "action": f"SCMP_ACT_{action}", **more}


def docker_like(*rules: dict[str, Any]) -> dict[str, Any]:
    """A list of what is allowed, with names that this machine lacks, and EPERM for all else."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": errno.EPERM,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [rule("ALLOW", *ALLOWED, "arm_fadvise64_64", "s390_pci_mmio_read"), *rules],
    }


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_profile_like_dockers_lets_the_program_run_and_refuses_the_rest(
    runtime: Runtime, bundle: Bundle, no_new_privileges: bool
) -> None:
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.linux["seccomp"] = docker_like()
    allowed, refused = runtime.probe(bundle, *call(GETPID), ";", *call(UNSHARE, 0))
    assert allowed == {"result": 1, "errno": 0}
    assert refused == {"result": -1, "errno": errno.EPERM}


def test_a_rule_gives_its_own_error_number(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = docker_like(rule("ERRNO", "getpriority", errnoRet=errno.EXDEV))
    found, other = runtime.probe(bundle, *call(GETPRIORITY, 0, 0), ";", *call(UNSHARE, 0))
    assert (found["errno"], other["errno"]) == (errno.EXDEV, errno.EPERM)


def test_without_a_number_the_error_is_eperm(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("ERRNO", "getpriority")]}
    assert runtime.probe(bundle, *call(GETPRIORITY, 0, 0))["errno"] == errno.EPERM


@pytest.mark.parametrize("action", ["KILL", "KILL_THREAD", "KILL_PROCESS", "TRAP"])
def test_a_call_that_is_killed_for_ends_the_program_by_sigsys(runtime: Runtime, bundle: Bundle, action: str) -> None:
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(action, "getpriority")]}
    result = runtime.run(bundle, "print", "before", ";", *call(GETPRIORITY, 0, 0), ";", "print", "after")
    assert result.status == 128 + signal.SIGSYS
    assert result.out == "before\n"


def test_a_call_that_is_logged_is_done(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("LOG", "getpid")]}
    assert runtime.probe(bundle, *call(GETPID)) == {"result": 1, "errno": 0}


def test_a_rule_may_look_at_the_arguments(runtime: Runtime, bundle: Bundle) -> None:
    """As engines allow the harmless personalities alone."""
    args = [{"index": 0, "value": 0xFFFFFFFF, "op": "SCMP_CMP_EQ"}]
    bundle.linux["seccomp"] = docker_like(rule("ALLOW", "personality", args=args))
    asked, changed = runtime.probe(bundle, *call(PERSONALITY, 0xFFFFFFFF), ";", *call(PERSONALITY, 8))
    assert asked == {"result": 0, "errno": 0}
    assert changed == {"result": -1, "errno": errno.EPERM}


def test_a_rule_may_look_at_some_bits_of_an_argument(runtime: Runtime, bundle: Bundle) -> None:
    """As engines keep user namespaces from being made."""
    newuser = 0x10000000
    args = [{"index": 0, "value": newuser, "valueTwo": newuser, "op": "SCMP_CMP_MASKED_EQ"}]
    refusing = rule("ERRNO", "unshare", args=args, errnoRet=errno.ENOSYS)
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refusing]}
    without, with_bit = runtime.probe(bundle, *call(UNSHARE, 0), ";", *call(UNSHARE, newuser))
    assert without == {"result": 0, "errno": 0}
    assert with_bit == {"result": -1, "errno": errno.ENOSYS}


def test_two_conditions_of_a_rule_must_both_hold(runtime: Runtime, bundle: Bundle) -> None:
    args = [{"index": 0, "value": 1, "op": "SCMP_CMP_GE"}, {"index": 1, "value": 7, "op": "SCMP_CMP_EQ"}]
    refusing = rule("ERRNO", "getpriority", args=args, errnoRet=errno.EXDEV)
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refusing]}
    first, second, both = runtime.probe(
        bundle, *call(GETPRIORITY, 1, 0), ";", *call(GETPRIORITY, 0, 7), ";", *call(GETPRIORITY, 1, 7)
    )
    assert errno.EXDEV not in (first["errno"], second["errno"])
    assert both["errno"] == errno.EXDEV


def test_the_filter_is_there_for_a_user_without_privileges(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process.update(user={"uid": 1000, "gid": 1000}, noNewPrivileges=True)
    bundle.linux["seccomp"] = docker_like(rule("ERRNO", "setns", errnoRet=errno.EXDEV))
    assert runtime.probe(bundle, *call(SETNS, 0, 0))["errno"] == errno.EXDEV


def test_the_filter_is_the_containers_alone(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule("ERRNO", "getpriority")]}
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    container = runtime.start_paused_program(bundle)
    with open(f"/proc/{container.pid}/status") as status:
        assert "Seccomp:\t2\n" in status.readlines()
    assert os.getpriority(os.PRIO_PROCESS, 0) == niceness


@pytest.mark.parametrize("action", ["ERRNO", "KILL_PROCESS", "TRAP"])
@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_profile_need_not_allow_what_only_the_runtime_calls(
    runtime: Runtime, bundle: Bundle, no_new_privileges: bool, action: str
) -> None:
    bundle.process["noNewPrivileges"] = no_new_privileges
    calls = ("clock_gettime", "close_range", "sendmsg", "recvmsg", "prctl", "seccomp", "chdir", "setsid")
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule(action, *calls)]}
    assert runtime.probe(bundle, *call(GETPID)) == {"result": 1, "errno": 0}


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_a_profile_that_refuses_everything_ends_the_container_at_once(
    runtime: Runtime, bundle: Bundle, no_new_privileges: bool
) -> None:
    """Its init can neither execute the program, nor say so, nor exit."""
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": errno.EACCES}
    runtime.run(bundle).fails("permission denied", "linux.seccomp refuses")
    assert runtime.ids() == []
    container = runtime.start(bundle)
    assert container.wait() == -signal.SIGILL
    assert container.status == "stopped"
