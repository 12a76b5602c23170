"""What a profile compiles to, asked of a BPF machine instead of the kernel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from errno import EACCES, ENOSYS, ENXIO, EPERM
from typing import Any

import bpf
import pytest

from ocirt import seccomp_compiler
from ocirt._seccomp import lib
from ocirt.errors import ConfigError, UnsupportedError
from ocirt.seccomp import SECCOMP_FILTER_FLAG_NEW_LISTENER, compile_filter

NATIVE = lib.seccomp_arch_native()
AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
AUDIT_ARCH_AARCH64 = 0xC00000B7
ACTIONS, OPERATORS, ARCHITECTURES, FLAGS = (
    ", ".join(words)
    for words in (
        seccomp_compiler.ACTIONS,
        seccomp_compiler.OPERATORS,
        seccomp_compiler.ARCHITECTURES,
        seccomp_compiler.FLAGS,
    )
)
BIG_ENDIAN = ("M68K", "MIPS", "MIPS64", "MIPS64N32", "PARISC", "PARISC64", "PPC", "PPC64", "S390", "S390X", "SHEB")
BYTE_ORDERS = {
    word: "big" if word.removeprefix("SCMP_ARCH_") in BIG_ENDIAN else "little"
    for word in seccomp_compiler.ARCHITECTURES
}
NAMES = """
    accept4 bind brk capget capset chdir clock_gettime close connect dup dup3 epoll_create1 epoll_ctl eventfd2 execve
    exit exit_group faccessat fallocate fchdir fchmod fchmodat fcntl fdatasync fstat fsync futex getcwd getdents64
    getpid getuid ioctl kill lseek madvise mkdirat mmap mprotect munmap nanosleep openat pipe2 ppoll pread64 prctl read
    pwrite64 renameat2 rt_sigaction rt_sigreturn set_tid_address socket statx uname unlinkat wait4 write writev openat2
"""


def answer(profile: dict[str, Any], name: str, *arguments: int, arch: int = NATIVE) -> int:
    """What the filter of *profile* answers to the system call *name*."""
    compiled = compile_filter(profile, cache_directory=None)
    return bpf.run(compiled.program, number(name, arch), arch, arguments)


def number(name: str, arch: int = NATIVE) -> int:
    found = lib.seccomp_syscall_resolve_name_arch(arch, name.encode())
    assert found >= 0, f"{name} is no system call of architecture {arch:#x}"
    return found


def refusing(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ERRNO", **properties, "syscalls": list(rules)}


def allowing(*rules: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"defaultAction": "SCMP_ACT_ALLOW", **properties, "syscalls": list(rules)}


def rule(name: str, action: str = "SCMP_ACT_ALLOW", **properties: Any) -> dict[str, Any]:
    return {"names": [name], "action": action, **properties}


def argument(index: int, op: str, value: int, value_two: int | None = None) -> dict[str, Any]:
    found = {"index": index, "op": op, "value": value}
    return found if value_two is None else {**found, "valueTwo": value_two}


def refusal(profile: dict[str, Any]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        compile_filter(profile, cache_directory=None)
    return caught.value


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("SCMP_ACT_KILL", bpf.KILL_THREAD),
        ("SCMP_ACT_KILL_THREAD", bpf.KILL_THREAD),
        ("SCMP_ACT_KILL_PROCESS", bpf.KILL_PROCESS),
        ("SCMP_ACT_TRAP", bpf.TRAP),
        ("SCMP_ACT_ERRNO", bpf.ERRNO | EPERM),
        ("SCMP_ACT_TRACE", bpf.TRACE | EPERM),
        ("SCMP_ACT_LOG", bpf.LOG),
        ("SCMP_ACT_NOTIFY", bpf.NOTIFY),
    ],
)
def test_every_action_is_the_kernels_of_the_same_name(action: str, expected: int) -> None:
    profile = allowing(rule("getcwd", action))
    assert answer(profile, "getcwd") == expected
    assert answer(profile, "read") == bpf.ALLOW


def test_allow_is_an_action_against_a_default_that_refuses() -> None:
    profile = refusing(rule("getcwd"), rule("read", "SCMP_ACT_KILL"))
    assert answer(profile, "getcwd") == bpf.ALLOW
    assert answer(profile, "read") == bpf.KILL_THREAD


def test_errno_ret_is_what_errno_and_trace_return() -> None:
    profile = allowing(
        rule("getcwd", "SCMP_ACT_ERRNO", errnoRet=ENXIO),
        rule("read", "SCMP_ACT_TRACE", errnoRet=0x1234),
        rule("getpid", "SCMP_ACT_ERRNO", errnoRet=0),
        rule("getuid", "SCMP_ACT_ERRNO", errnoRet=4094),
    )
    assert answer(profile, "getcwd") == bpf.errno(ENXIO)
    assert answer(profile, "read") == bpf.TRACE | 0x1234
    assert answer(profile, "getpid") == bpf.errno(0)
    assert answer(profile, "getuid") == bpf.errno(4094)


def test_default_errno_ret_is_what_the_default_action_returns() -> None:
    profile = refusing(rule("getcwd"), rule("renameat2"), defaultErrnoRet=ENXIO)
    assert answer(profile, "getcwd") == bpf.ALLOW
    assert answer(profile, "read") == bpf.errno(ENXIO)


def test_a_missing_errno_ret_is_eperm() -> None:
    assert answer(refusing(rule("renameat2"), defaultErrnoRet=None), "read") == bpf.errno(EPERM)
    assert answer(allowing(rule("getcwd", "SCMP_ACT_ERRNO", errnoRet=None)), "getcwd") == bpf.errno(EPERM)


def test_a_rule_with_the_default_action_changes_nothing() -> None:
    profile = refusing(rule("getcwd", "SCMP_ACT_ERRNO", errnoRet=EPERM), rule("getpid"), rule("renameat2"))
    assert answer(profile, "getcwd") == bpf.errno(EPERM)
    assert answer(profile, "getpid") == bpf.ALLOW


def test_a_rule_whose_errno_differs_from_the_defaults_is_a_rule() -> None:
    profile = refusing(rule("getcwd", "SCMP_ACT_ERRNO", errnoRet=EACCES), rule("renameat2"))
    assert answer(profile, "getcwd") == bpf.errno(EACCES)


def test_names_that_nobody_knows_are_skipped() -> None:
    names = ["no_such_call", "getcwd", "read\0_not", "\ud800", "l\u00eeseek"]
    profile = allowing({"names": names, "action": "SCMP_ACT_ERRNO"})
    assert answer(profile, "getcwd") == bpf.errno(EPERM)
    assert answer(profile, "read") == bpf.ALLOW


def test_the_same_rule_twice_is_the_rule_once() -> None:
    conditional = rule("dup", "SCMP_ACT_ERRNO", args=[argument(0, "SCMP_CMP_EQ", 1)])
    profile = allowing(*[rule("getcwd", "SCMP_ACT_ERRNO"), conditional] * 2)
    assert answer(profile, "getcwd") == bpf.errno(EPERM)
    assert answer(profile, "dup", 1) == bpf.errno(EPERM)
    assert answer(profile, "dup", 2) == bpf.ALLOW


@pytest.mark.parametrize(
    ("op", "matching", "other"),
    [
        ("SCMP_CMP_EQ", [500], [499, 501, 0, 1 << 32 | 500]),
        ("SCMP_CMP_NE", [499, 501, 0, 1 << 32 | 500], [500]),
        ("SCMP_CMP_LT", [499, 0], [500, 501, 1 << 32]),
        ("SCMP_CMP_LE", [500, 499], [501, 1 << 32]),
        ("SCMP_CMP_GE", [500, 501, 1 << 32], [499, 0]),
        ("SCMP_CMP_GT", [501, 1 << 32], [500, 499]),
    ],
)
def test_operators_compare_all_64_bits(op: str, matching: list[int], other: list[int]) -> None:
    profile = refusing(rule("ftruncate", args=[argument(1, op, 500)]), rule("renameat2"))
    for value in matching:
        assert answer(profile, "ftruncate", 3, value) == bpf.ALLOW, f"{op} {value}"
    for value in other:
        assert answer(profile, "ftruncate", 3, value) == bpf.errno(EPERM), f"{op} {value}"


def test_masked_eq_compares_value_two_under_the_mask_in_value() -> None:
    profile = refusing(rule("socket", args=[argument(2, "SCMP_CMP_MASKED_EQ", 0xFF00, 0x0100)]), rule("renameat2"))
    assert answer(profile, "socket", 1, 1, 0x01AB) == bpf.ALLOW
    assert answer(profile, "socket", 1, 1, 0x02AB) == bpf.errno(EPERM)
    assert answer(profile, "socket", 1, 1, 0xABCD << 32 | 0x0100) == bpf.ALLOW


def test_masked_eq_without_value_two_wants_zero() -> None:
    profile = refusing(rule("clone", args=[argument(0, "SCMP_CMP_MASKED_EQ", 0x7E020000)]), rule("renameat2"))
    assert answer(profile, "clone", 0x00000011) == bpf.ALLOW
    assert answer(profile, "clone", 0x10000011) == bpf.errno(EPERM)


def test_a_value_of_64_bits_is_compared_as_such() -> None:
    largest = 0xFFFFFFFFFFFFFFFF
    profile = refusing(rule("ftruncate", args=[argument(1, "SCMP_CMP_EQ", largest)]), rule("renameat2"))
    assert answer(profile, "ftruncate", 3, largest) == bpf.ALLOW
    assert answer(profile, "ftruncate", 3, 0xFFFFFFFF) == bpf.errno(EPERM)


def test_conditions_on_different_arguments_must_all_hold() -> None:
    both = [argument(0, "SCMP_CMP_EQ", 3), argument(1, "SCMP_CMP_LE", 10)]
    profile = refusing(rule("ftruncate", args=both), rule("renameat2"))
    assert answer(profile, "ftruncate", 3, 10) == bpf.ALLOW
    assert answer(profile, "ftruncate", 3, 11) == bpf.errno(EPERM)
    assert answer(profile, "ftruncate", 4, 10) == bpf.errno(EPERM)


def test_of_conditions_on_one_argument_any_may_hold() -> None:
    either = [argument(0, "SCMP_CMP_EQ", 3), argument(0, "SCMP_CMP_EQ", 7), argument(1, "SCMP_CMP_EQ", 10)]
    profile = refusing(rule("ftruncate", args=either), rule("renameat2"))
    for arguments in [(3, 0), (7, 0), (4, 10)]:
        assert answer(profile, "ftruncate", *arguments) == bpf.ALLOW
    assert answer(profile, "ftruncate", 4, 11) == bpf.errno(EPERM)


def test_rules_for_one_system_call_add_up() -> None:
    values = (0x0, 0x8, 0xFFFFFFFF)
    profile = refusing(*(rule("personality", args=[argument(0, "SCMP_CMP_EQ", value)]) for value in values))
    for value in values:
        assert answer(profile, "personality", value) == bpf.ALLOW
    assert answer(profile, "personality", 0x40000) == bpf.errno(EPERM)


def test_a_profile_of_many_names_answers_as_one_of_few() -> None:
    names = NAMES.split()
    assert len(names) > seccomp_compiler.OPTIMIZE_FROM_RULES
    profile = refusing({"names": names, "action": "SCMP_ACT_ALLOW"}, defaultErrnoRet=ENXIO)
    for name in names:
        assert answer(profile, name) == bpf.ALLOW
    assert answer(profile, "reboot") == bpf.errno(ENXIO)


@pytest.mark.skipif(NATIVE != AUDIT_ARCH_X86_64, reason="needs an x86-64 machine")
def test_a_listed_architecture_has_the_same_rules_and_another_one_is_killed() -> None:
    profile = refusing(rule("getcwd"), rule("renameat2"), architectures=["SCMP_ARCH_X86"])
    assert answer(profile, "getcwd", arch=AUDIT_ARCH_I386) == bpf.ALLOW
    assert answer(profile, "read", arch=AUDIT_ARCH_I386) == bpf.errno(EPERM)
    assert answer(profile, "getcwd", arch=AUDIT_ARCH_AARCH64) == bpf.KILL_THREAD


def test_the_native_architecture_needs_no_listing() -> None:
    profile = refusing(rule("getcwd"), rule("renameat2"), architectures=[])
    assert answer(profile, "getcwd", arch=NATIVE) == bpf.ALLOW


@pytest.mark.skipif(NATIVE != AUDIT_ARCH_X86_64, reason="needs an x86-64 machine")
def test_x32_numbers_are_refused_where_x32_is_not_listed() -> None:
    compiled = compile_filter(refusing(rule("getcwd")), cache_directory=None)
    x32_getcwd = number("getcwd") | 0x40000000
    assert bpf.run(compiled.program, x32_getcwd, AUDIT_ARCH_X86_64) == bpf.KILL_THREAD
    listed = compile_filter(refusing(rule("getcwd"), architectures=["SCMP_ARCH_X32"]), cache_directory=None)
    assert bpf.run(listed.program, x32_getcwd, AUDIT_ARCH_X86_64) == bpf.ALLOW


def test_all_architectures_of_one_byte_order_fit_into_a_filter() -> None:
    words = [word for word in seccomp_compiler.known_architectures() if BYTE_ORDERS[word] == sys.byteorder]
    compiled = compile_filter(refusing(rule("getcwd"), rule("renameat2"), architectures=words), cache_directory=None)
    for arch in {NATIVE, *(seccomp_compiler.architecture_token(word) for word in words)} - {lib.SCMP_ARCH_X32}:
        assert bpf.run(compiled.program, number("getcwd", arch), arch) == bpf.ALLOW


def test_an_architecture_of_the_other_byte_order_is_refused() -> None:
    word = next(word for word in seccomp_compiler.known_architectures() if BYTE_ORDERS[word] != sys.byteorder)
    error = refusal(allowing(rule("getcwd", "SCMP_ACT_ERRNO"), architectures=["SCMP_ARCH_X86", word]))
    assert error.pointer == "/linux/seccomp/architectures/1"
    assert error.message == f"wanted architectures of one byte order, found {word}"


def test_an_architecture_that_only_a_newer_libseccomp_knows_is_named_with_the_version() -> None:
    known = seccomp_compiler.known_architectures()
    word = next((word for word in seccomp_compiler.ARCHITECTURES if word not in known), None)
    if word is None:
        pytest.skip("this libseccomp knows every architecture of the spec")
    with pytest.raises(UnsupportedError) as caught:
        compile_filter(allowing(architectures=[word]), cache_directory=None)
    assert str(caught.value) == (
        f"{word} is not supported here: needs a newer libseccomp than {seccomp_compiler.library_version()} "
        "(config.json#/linux/seccomp/architectures/0)"
    )


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (None, lib.SECCOMP_FILTER_FLAG_SPEC_ALLOW),
        ([], 0),
        (["SECCOMP_FILTER_FLAG_TSYNC"], 0),
        (["SECCOMP_FILTER_FLAG_LOG"], lib.SECCOMP_FILTER_FLAG_LOG),
        (["SECCOMP_FILTER_FLAG_SPEC_ALLOW"], lib.SECCOMP_FILTER_FLAG_SPEC_ALLOW),
        (["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"], 2 | 4),
    ],
)
def test_flags_are_the_kernels_and_tsync_is_accepted_without_effect(words: list[str] | None, value: int) -> None:
    profile = allowing(rule("getcwd", "SCMP_ACT_ERRNO"), flags=words)
    compiled = compile_filter(profile, cache_directory=None)
    assert (compiled.flags, compiled.notify) == (value, False)


def test_a_notify_rule_asks_for_a_listener() -> None:
    profile = allowing(rule("mkdirat", "SCMP_ACT_NOTIFY"), flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])
    compiled = compile_filter(profile, cache_directory=None)
    assert compiled.notify
    assert compiled.flags == 8 | 32
    assert SECCOMP_FILTER_FLAG_NEW_LISTENER == lib.SECCOMP_FILTER_FLAG_NEW_LISTENER == 8


def test_two_actions_for_the_same_conditions_are_refused() -> None:
    conditions = [argument(0, "SCMP_CMP_EQ", 1)]
    rules = [rule("dup", action, args=conditions) for action in ("SCMP_ACT_ERRNO", "SCMP_ACT_KILL")]
    error = refusal(allowing(*rules))
    assert error.pointer == "/linux/seccomp/syscalls/1/names/0"
    assert error.message == "wanted one action for dup with these arguments, found a second one"


def test_notify_cannot_be_used_for_the_write_syscall() -> None:
    error = refusal(allowing({"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}))
    assert str(error) == (
        "config.json#/linux/seccomp/syscalls/0/names/1: SCMP_ACT_NOTIFY cannot be used for the write syscall"
    )


def test_notify_cannot_be_used_as_default_action() -> None:
    error = refusal({"defaultAction": "SCMP_ACT_NOTIFY"})
    assert error.pointer == "/linux/seccomp/defaultAction"
    assert error.message == "SCMP_ACT_NOTIFY cannot be used as default action"


@pytest.mark.parametrize(
    ("profile", "pointer", "message"),
    [
        (
            {"defaultAction": "SCMP_ACT_MAYBE"},
            "defaultAction",
            f'wanted one of {ACTIONS}, found "SCMP_ACT_MAYBE"',
        ),
        ({}, "defaultAction", f"wanted one of {ACTIONS}, found null"),
        (allowing(rule("read"), rule("read", "KILL")), "syscalls/1/action", f'wanted one of {ACTIONS}, found "KILL"'),
        (
            allowing(rule("read", "SCMP_ACT_KILL", args=[argument(0, "SCMP_CMP_EQ", 1), argument(1, "==", 1)])),
            "syscalls/0/args/1/op",
            f'wanted one of {OPERATORS}, found "=="',
        ),
        (
            allowing(rule("read", "SCMP_ACT_KILL", args=[argument(6, "SCMP_CMP_EQ", 1)])),
            "syscalls/0/args/0/index",
            "wanted the number of an argument from 0 to 5, found 6",
        ),
        (
            allowing(architectures=["SCMP_ARCH_VAX"]),
            "architectures/0",
            f'wanted one of {ARCHITECTURES}, found "SCMP_ARCH_VAX"',
        ),
        (allowing(architectures=["x86"]), "architectures/0", f'wanted one of {ARCHITECTURES}, found "x86"'),
        (
            allowing(flags=["SECCOMP_FILTER_FLAG_X"]),
            "flags/0",
            f'wanted one of {FLAGS}, found "SECCOMP_FILTER_FLAG_X"',
        ),
        (
            allowing(flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
            "flags/0",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: wanted a rule with SCMP_ACT_NOTIFY beside it, found none",
        ),
        (
            allowing(rule("read", "SCMP_ACT_ERRNO", errnoRet=4095)),
            "syscalls/0/errnoRet",
            "wanted a number from 0 to 4094, found 4095",
        ),
        (
            allowing(rule("", "SCMP_ACT_KILL")),
            "syscalls/0/names/0",
            "wanted the name of a system call, found an empty string",
        ),
        (
            allowing(rule("read", "SCMP_ACT_KILL", errnoRet=1)),
            "syscalls/0/errnoRet",
            "wanted no errno with SCMP_ACT_KILL, found 1",
        ),
        (
            allowing(defaultErrnoRet=1),
            "defaultErrnoRet",
            "wanted no errno with SCMP_ACT_ALLOW, found 1",
        ),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused_where_it_is_wrong(
    profile: dict[str, Any], pointer: str, message: str
) -> None:
    error = refusal(profile)
    assert error.pointer == f"/linux/seccomp/{pointer}"
    assert error.message == message


def test_the_sentence_of_the_spec_stands_behind_an_errno_that_has_no_use() -> None:
    error = refusal(allowing(rule("read", "SCMP_ACT_LOG", errnoRet=ENOSYS)))
    assert error.rule == "When the action doesn't support an errno, the runtime MUST print and error and fail."


def test_a_filter_longer_than_the_kernel_takes_is_refused_with_its_length() -> None:
    rules = [rule("ioctl", args=[argument(1, "SCMP_CMP_EQ", value << 32 | value)]) for value in range(1500)]
    error = refusal(refusing(*rules))
    assert error.pointer == "/linux/seccomp"
    assert re.fullmatch("wanted a profile of at most 4096 instructions, found one of [0-9]+", error.message)


def test_an_ocirt_without_libseccomp_says_so_when_a_profile_asks_for_it() -> None:
    program = """
import sys
sys.modules["ocirt._seccomp"] = None
from ocirt.errors import UnsupportedError
from ocirt.seccomp import compile_filter
try:
    compile_filter({"defaultAction": "SCMP_ACT_ALLOW"}, cache_directory=None)
except UnsupportedError as error:
    print(error)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    assert said.startswith("linux.seccomp is not supported here: needs libseccomp (")
    assert said.endswith(" (config.json#/linux/seccomp)\n")
