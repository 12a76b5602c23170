"""A device policy as an eBPF program of the type BPF_PROG_TYPE_CGROUP_DEVICE (Linux 4.15). PURE.

The kernel runs it, on cgroup v2, for every open(2) and mknod(2) of a device, with a ``struct bpf_cgroup_dev_ctx``; it
answers 1 to allow and 0 to deny. The last entry of the policy that knows the device and the access decides, then the
default, as the v1 controller does it: an entry that allows must have all of the access that is asked for, of one that
denies any part is enough (match_exception and match_exception_partial of security/device_cgroup.c).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirt.cgroup.device_rules import Entry, Policy

# struct bpf_cgroup_dev_ctx: access_type (access << 16 | type), major, minor, each a u32 (linux/bpf.h)
_ACCESS_TYPE, _MAJOR, _MINOR = 0, 4, 8
TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*

# BPF_LDX | BPF_MEM | BPF_W; BPF_ALU with BPF_MOV, BPF_AND, BPF_RSH; BPF_JMP32 (Linux 5.1) with BPF_JNE, BPF_JSET;
# BPF_JMP with BPF_JA, BPF_EXIT (linux/bpf_common.h, linux/bpf.h). X: of a register, K: of a constant.
_LOAD_WORD = 0x61
_MOV_X, _MOV_K, _AND_K, _RSH_K = 0xBC, 0xB4, 0x54, 0x74
_JNE_K, _JSET_K, _JA, _EXIT = 0x56, 0x46, 0x05, 0x95

_RESULT, _CONTEXT, _TYPE_REGISTER, _ACCESS_REGISTER, _MAJOR_REGISTER, _MINOR_REGISTER = range(6)


def assemble(policy: Policy) -> bytes:
    """The instructions that decide as *policy* does, 8 bytes each (``struct bpf_insn``, little-endian)."""
    program = [
        _instruction(_LOAD_WORD, _TYPE_REGISTER, _CONTEXT, offset=_ACCESS_TYPE),
        _instruction(_MOV_X, _ACCESS_REGISTER, _TYPE_REGISTER),
        _instruction(_AND_K, _TYPE_REGISTER, constant=0xFFFF),
        _instruction(_RSH_K, _ACCESS_REGISTER, constant=16),
        _instruction(_LOAD_WORD, _MAJOR_REGISTER, _CONTEXT, offset=_MAJOR),
        _instruction(_LOAD_WORD, _MINOR_REGISTER, _CONTEXT, offset=_MINOR),
    ]
    for entry in reversed(policy.entries):
        program += _decide(entry)
    return b"".join(program + _answer(policy.allow))


def _decide(entry: Entry) -> Sequence[bytes]:
    """Answer when *entry* decides; the others go on behind."""
    kind, major, minor = entry.device
    access = sum([ACCESS[letter] for letter in entry.access])
    tests = [(_JNE_K, _TYPE_REGISTER, TYPES[kind])]
    if major >= 0:
        tests.append((_JNE_K, _MAJOR_REGISTER, major))
    if minor >= 0:
        tests.append((_JNE_K, _MINOR_REGISTER, minor))
    beyond = 7 & ~access
    if entry.allow and beyond:
        tests.append((_JSET_K, _ACCESS_REGISTER, beyond))
    block = _answer(entry.allow)
    if not entry.allow:
        # Jump over the jump: there is none for "no bit of these is set".
        block = [
            _instruction(_JSET_K, _ACCESS_REGISTER, constant=access, offset=1),
            _instruction(_JA, offset=len(block)),
            *block,
        ]
    for code, register, constant in reversed(tests):
        block = [_instruction(code, register, constant=constant, offset=len(block)), *block]
    return block


def _answer(allow: bool) -> list[bytes]:
    return [_instruction(_MOV_K, _RESULT, constant=int(allow)), _instruction(_EXIT)]


def _instruction(code: int, destination: int = 0, source: int = 0, *, offset: int = 0, constant: int = 0) -> bytes:
    """``struct bpf_insn``: code, registers of four bits each, a signed offset from the next instruction, a constant."""
    return bytes((code, source << 4 | destination)) + offset.to_bytes(2, "little") + constant.to_bytes(4, "little")
