"""A classic BPF machine for filters of seccomp(2): what would the kernel answer to this system call?

It knows the instructions that the kernel allows in such a filter (kernel/seccomp.c, seccomp_check_filter) as far as
libseccomp and ocirt write them, and refuses all others.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

LD_W_ABS, LD_IMM, AND_K, RET_K = 0x20, 0x00, 0x54, 0x06
JA, JEQ_K, JGT_K, JGE_K, JSET_K = 0x05, 0x15, 0x25, 0x35, 0x45
COMPARISONS = {
    JEQ_K: lambda a, k: a == k,
    JGT_K: lambda a, k: a > k,
    JGE_K: lambda a, k: a >= k,
    JSET_K: lambda a, k: a & k != 0,
}

ALLOW, LOG, TRACE, NOTIFY, ERRNO, TRAP = 0x7FFF0000, 0x7FFC0000, 0x7FF00000, 0x7FC00000, 0x00050000, 0x00030000
KILL_THREAD, KILL_PROCESS = 0x00000000, 0x80000000


def run(program: bytes, number: int, arch: int, arguments: Sequence[int] = ()) -> int:
    """The SECCOMP_RET_* with its data that *program* returns for a system call of *arch* (an AUDIT_ARCH_*)."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number & 0xFFFFFFFF, arch, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator = at = 0
    while True:
        code, jump_true, jump_false, k = instructions[at]
        at += 1
        if code == LD_W_ABS:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif code == LD_IMM:
            accumulator = k
        elif code == AND_K:
            accumulator &= k
        elif code == JA:
            at += k
        elif code in COMPARISONS:
            at += jump_true if COMPARISONS[code](accumulator, k) else jump_false
        elif code == RET_K:
            return int(k)
        else:
            raise AssertionError(f"instruction {at - 1}: code {code:#x} is none of a filter")


def errno(value: int) -> int:
    """The answer that makes a system call fail with the errno *value*."""
    return ERRNO | value
