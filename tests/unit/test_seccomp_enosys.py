"""System calls newer than a profile fail with ENOSYS, so that a libc falls back to older ones (runc issue 2151)."""

from __future__ import annotations

import sys
from errno import ENOSYS, EPERM
from typing import Any

import bpf
import pytest

from ocirt import seccomp_compiler
from ocirt._seccomp import lib
from ocirt.seccomp import compile_filter

NATIVE = lib.seccomp_arch_native()
X32_BIT = 0x40000000
FALLS_THROUGH = 0xDEADBEEF
END = bytes([bpf.RET_K, 0, 0, 0]) + FALLS_THROUGH.to_bytes(4, sys.byteorder)  # in place of libseccomp's part
OLD, NEW, NEWER, FUTURE = "setns", "renameat2", "copy_file_range", 1000
ALL_TOKENS = [
    seccomp_compiler.architecture_token(word)
    for word in seccomp_compiler.known_architectures()
    if not word.startswith("SCMP_ARCH_PARISC")  # its numbers are not in the order of age
]


def number(name: str, token: int) -> int:
    return int(lib.seccomp_syscall_resolve_name_arch(token, name.encode()))


def audit_arch(token: int) -> int:
    return lib.AUDIT_ARCH_X86_64 if token == lib.SCMP_ARCH_X32 else token


def stub_answer(tokens: list[int], names: list[str], arch: int, number: int, default: str = "SCMP_ACT_ERRNO") -> int:
    rules = [{"names": [name], "action": "SCMP_ACT_ALLOW"} for name in names]
    value = seccomp_compiler.action_value({"defaultAction": default}, "defaultAction", "defaultErrnoRet", "")
    return bpf.run(seccomp_compiler.stub(value, tokens, rules) + END, number, arch)


@pytest.mark.parametrize("token", ALL_TOKENS, ids=hex)
def test_numbers_above_the_highest_of_the_profile_get_enosys_on_every_architecture(token: int) -> None:
    arch, highest = audit_arch(token), number(NEW, token)
    for asked, expected in [
        (highest + FUTURE, bpf.errno(ENOSYS)),
        (highest + 1, bpf.errno(ENOSYS)),
        (number(NEWER, token), bpf.errno(ENOSYS)),
        (highest, FALLS_THROUGH),
        (number(OLD, token), FALLS_THROUGH),
        (number("read", token), FALLS_THROUGH),
    ]:
        assert stub_answer([token], [OLD, NEW], arch, asked) == expected, f"number {asked} of {arch:#x}"


def test_every_architecture_of_a_filter_has_its_own_highest_number() -> None:
    for token in ALL_TOKENS:
        highest = number(NEW, token)
        assert stub_answer(ALL_TOKENS, [NEW], audit_arch(token), highest + 1) == bpf.errno(ENOSYS)
        assert stub_answer(ALL_TOKENS, [NEW], audit_arch(token), highest) == FALLS_THROUGH


def test_an_architecture_that_is_not_in_the_filter_is_left_to_libseccomp() -> None:
    tokens = [lib.AUDIT_ARCH_X86_64]
    assert stub_answer(tokens, [NEW], lib.AUDIT_ARCH_ARM, 100000) == FALLS_THROUGH


def test_an_architecture_without_any_of_the_names_is_left_to_libseccomp() -> None:
    tokens = [lib.AUDIT_ARCH_X86_64, lib.AUDIT_ARCH_ARM]
    assert number("arch_prctl", lib.AUDIT_ARCH_ARM) < 0 < number("arch_prctl", lib.AUDIT_ARCH_X86_64)
    assert stub_answer(tokens, ["arch_prctl"], lib.AUDIT_ARCH_ARM, 1000) == FALLS_THROUGH
    assert stub_answer(tokens, ["arch_prctl"], lib.AUDIT_ARCH_X86_64, 1000) == bpf.errno(ENOSYS)


def test_x32_and_x86_64_are_told_apart_by_the_x32_bit() -> None:
    both, arch = [lib.AUDIT_ARCH_X86_64, lib.SCMP_ARCH_X32], lib.AUDIT_ARCH_X86_64
    x32_highest = number("execveat", lib.SCMP_ARCH_X32)
    assert x32_highest - X32_BIT > number("execveat", arch), "x32 has its own numbers from 512 on"
    for asked, expected in [
        (number("execveat", arch), FALLS_THROUGH),
        (number("execveat", arch) + 1, bpf.errno(ENOSYS)),
        (x32_highest, FALLS_THROUGH),
        (x32_highest + 1, bpf.errno(ENOSYS)),
        (x32_highest - X32_BIT, bpf.errno(ENOSYS)),
    ]:
        assert stub_answer(both, ["execveat"], arch, asked) == expected, f"number {asked:#x}"


def test_x32_numbers_are_left_to_libseccomp_where_x32_is_not_listed() -> None:
    arch = lib.AUDIT_ARCH_X86_64
    assert stub_answer([arch], [NEW], arch, X32_BIT | 10000) == FALLS_THROUGH
    assert stub_answer([arch], [NEW], arch, 10000) == bpf.errno(ENOSYS)


def test_x86_64_numbers_are_left_to_libseccomp_where_only_x32_is_listed() -> None:
    arch = lib.AUDIT_ARCH_X86_64
    assert stub_answer([lib.SCMP_ARCH_X32], [NEW], arch, 10000) == FALLS_THROUGH
    assert stub_answer([lib.SCMP_ARCH_X32], [NEW], arch, X32_BIT | 10000) == bpf.errno(ENOSYS)


def test_the_private_numbers_of_arm_do_not_hide_the_future_ones() -> None:
    arch, names = lib.AUDIT_ARCH_ARM, [NEW, "set_tls"]
    set_tls = number("set_tls", arch)
    assert set_tls > 0xF0000
    assert stub_answer([arch], names, arch, number(NEW, arch) + 1) == bpf.errno(ENOSYS)
    assert stub_answer([arch], names, arch, set_tls) == FALLS_THROUGH
    assert stub_answer([arch], names, arch, set_tls + 1) == bpf.errno(ENOSYS)


@pytest.mark.parametrize("arch", [lib.AUDIT_ARCH_S390, lib.AUDIT_ARCH_S390X], ids=hex)
def test_number_0_of_s390_stands_for_unknown_numbers(arch: int) -> None:
    assert stub_answer([arch], [NEW], arch, 0) == bpf.errno(ENOSYS)
    assert stub_answer([arch], [NEW], arch, 1) == FALLS_THROUGH


@pytest.mark.parametrize("default", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
def test_defaults_that_refuse_have_the_stub(default: str) -> None:
    assert stub_answer([NATIVE], [NEW], NATIVE, 10000, default) == bpf.errno(ENOSYS)


@pytest.mark.parametrize("default", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"])
def test_defaults_that_let_system_calls_pass_have_none(default: str) -> None:
    assert stub_answer([NATIVE], [NEW], NATIVE, 10000, default) == FALLS_THROUGH


@pytest.mark.parametrize(
    ("properties", "future"),
    [
        ({"defaultErrnoRet": EPERM}, bpf.errno(ENOSYS)),
        ({"defaultErrnoRet": ENOSYS}, bpf.errno(ENOSYS)),
        ({}, bpf.errno(ENOSYS)),
        ({"defaultAction": "SCMP_ACT_ALLOW"}, bpf.ALLOW),
    ],
)
def test_a_compiled_filter_begins_with_the_stub(properties: dict[str, Any], future: int) -> None:
    rules = [{"names": [OLD, NEW], "action": "SCMP_ACT_LOG"}]
    profile = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules, **properties}
    program = compile_filter(profile, cache_directory=None).program
    assert bpf.run(program, number(NEW, NATIVE) + FUTURE, NATIVE) == future
    assert bpf.run(program, number(NEW, NATIVE), NATIVE) == bpf.LOG


def test_a_default_of_enosys_needs_no_stub() -> None:
    rules = [{"names": [NEW], "action": "SCMP_ACT_ALLOW"}]
    default = seccomp_compiler.action_value(
        {"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": ENOSYS}, "defaultAction", "defaultErrnoRet", ""
    )
    assert seccomp_compiler.stub(default, [NATIVE], rules) == b""


def test_a_profile_without_rules_has_no_highest_number() -> None:
    profile = {"defaultAction": "SCMP_ACT_ERRNO"}
    assert bpf.run(compile_filter(profile, cache_directory=None).program, 10000, NATIVE) == bpf.errno(EPERM)
