"""A device policy as an eBPF program of the type BPF_PROG_TYPE_CGROUP_DEVICE (Linux 4.15). PURE.

The kernel runs it, on cgroup v2, for every open(2) and mknod(2) of a device, with a ``struct bpf_cgroup_dev_ctx``; it
answers 1 to allow and 0 to deny. The last entry of the policy that knows the device and the access decides, then the
default, as the v1 controller does it: an entry that allows must have all of the access that is asked for, of one that
denies any part is enough (match_exception and match_exception_partial of security/device_cgroup.c).
"""

from __future__ import annotations

from ocirt.cgroup.device_rules import POINTER
from ocirt.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocirt.cgroup.device_rules import Policy

# struct bpf_cgroup_dev_ctx: access_type (access << 16 | type), major, minor, each a u32 (linux/bpf.h)
_ACCESS_TYPE, _MAJOR, _MINOR = 0, 4, 8
TYPES = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
ACCESS = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*

# BPF_LDX | BPF_MEM | BPF_W; BPF_ALU with BPF_MOV, BPF_AND, BPF_RSH; BPF_JMP32 (Linux 5.1) with BPF_JNE, BPF_JSET;
# BPF_JMP with BPF_JA, BPF_EXIT (linux/bpf_common.h, linux/bpf.h). X: of a register, K: of a constant.
_LOAD_WORD = 0x61
_MOV_X, _MOV_K, _AND_K, _RSH_K = 0xBC, 0xB4, 0x54, 0x74
_JNE_K, _JSET_K, _JA, _EXIT = 0x56, 0x46, 0x05, 0x95

_GREATEST_OFFSET = 0x7FFF

_RESULT, _CONTEXT, _TYPE_REGISTER, _ACCESS_REGISTER, _MAJOR_REGISTER, _MINOR_REGISTER = range(6)


def assemble(policy: Policy) -> bytes:
    """The instructions that decide as *policy* does, 8 bytes each (``struct bpf_insn``, little-endian).

    UnsupportedError for more rules than a program can have, some thousands.
    """
    program = [
        _instruction(_LOAD_WORD, _TYPE_REGISTER, _CONTEXT, offset=_ACCESS_TYPE),
        _instruction(_MOV_X, _ACCESS_REGISTER, _TYPE_REGISTER),
        _instruction(_AND_K, _TYPE_REGISTER, constant=0xFFFF),
        _instruction(_RSH_K, _ACCESS_REGISTER, constant=16),
        _instruction(_LOAD_WORD, _MAJOR_REGISTER, _CONTEXT, offset=_MAJOR),
        _instruction(_LOAD_WORD, _MINOR_REGISTER, _CONTEXT, offset=_MINOR),
    ]
    run: dict[tuple[str, int, int], str] = {}
    allow = False
    for entry in reversed(policy.entries):
        if entry.allow != allow:
            program += _decide(run, allow)
            run = {}
            allow = entry.allow
        run[entry.device] = run.get(entry.device, "") + entry.access
    return b"".join([*program, *_decide(run, allow), *_answer(policy.allow)])


def _decide(run: Mapping[tuple[str, int, int], str], allow: bool) -> list[bytes]:
    """Answer *allow* where an entry of *run*, device -> access, decides; the others go on behind.

    Since all of the run answer the same, their order is free: they are grouped by type and major number. Otherwise the
    work of the kernel's verifier would grow with the square of their number (1000 rules: 2 s, and refused).
    """
    program = []
    for kind in TYPES:
        block = []
        for major in sorted({number for other, number, _ in run if other == kind}, reverse=True):
            accesses = {minor: access for (*device, minor), access in run.items() if device == [kind, major]}
            block += _only_if(_MAJOR_REGISTER, major, _minors(accesses, allow))
        if block:
            program += _only_if(_TYPE_REGISTER, TYPES[kind], block)
    return program


def _minors(accesses: Mapping[int, str], allow: bool) -> list[bytes]:
    """The same for one type and major number, minor -> access. Who has the minor number of one but not its access goes
    on to what is said of all numbers, if anything is."""
    program: list[bytes] = []
    numbered = 0
    answer = _answer(allow)
    # From behind, as a jump has to know how far it leads; what is said of all numbers is the last.
    for minor, letters in sorted(accesses.items()):
        access = sum([ACCESS[letter] for letter in ACCESS if letter in letters])
        beyond = 7 & ~access
        past = len(answer) + numbered
        test: list[bytes] = []
        if allow and beyond:
            test = [_instruction(_JSET_K, _ACCESS_REGISTER, constant=beyond, offset=past)]
        elif not allow:
            # Jump over the jump: there is none for "no bit of these is set".
            jump = _instruction(_JA, offset=past)
            test = [_instruction(_JSET_K, _ACCESS_REGISTER, constant=access, offset=1), jump]
        block = _only_if(_MINOR_REGISTER, minor, [*test, *answer])
        numbered += len(block) if minor >= 0 else 0
        program = [*block, *program]
    return program


def _only_if(register: int, value: int, block: list[bytes]) -> list[bytes]:
    """*block* for those who have *value* in *register*; -1 is any."""
    return block if value < 0 else [_instruction(_JNE_K, register, constant=value, offset=len(block)), *block]


def _answer(allow: bool) -> list[bytes]:
    return [_instruction(_MOV_K, _RESULT, constant=int(allow)), _instruction(_EXIT)]


def _instruction(code: int, destination: int = 0, source: int = 0, *, offset: int = 0, constant: int = 0) -> bytes:
    """``struct bpf_insn``: code, registers of four bits each, a signed offset from the next instruction, a constant."""
    if offset > _GREATEST_OFFSET:
        feature = f"a device program of more than {_GREATEST_OFFSET} instructions"
        raise UnsupportedError(feature, "fewer rules", pointer=POINTER)
    return bytes((code, source << 4 | destination)) + offset.to_bytes(2, "little") + constant.to_bytes(4, "little")
