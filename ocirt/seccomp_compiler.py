"""``linux.seccomp`` of a configuration -> a BPF program, through libseccomp.

This is the slow road of ocirt/seccomp.py, and the source of the words that ``ocirt features`` lists. Where the spec is
silent it does what runc does (libcontainer/seccomp/seccomp_linux.go): names that libseccomp does not know are skipped,
since engines list the system calls of every architecture and of kernels to come; the native architecture is always
part of the filter; a rule with the default action is left out, because libseccomp refuses it (EACCES).

Importing this module raises UnsupportedError where libseccomp cannot be loaded.
"""

from __future__ import annotations

import errno
import os

from ocirt.config.words import shown
from ocirt.errors import ConfigError, StepError, UnsupportedError
from ocirt.seccomp import Filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

try:
    from ocirt._seccomp import ffi, lib
except ImportError as error:
    raise UnsupportedError("linux.seccomp", f"libseccomp ({error})", pointer="/linux/seccomp") from error

# The words of config-linux.md#seccomp. An action is one of the kernel's SECCOMP_RET_*.
ACTIONS = {
    "SCMP_ACT_ALLOW": lib.SECCOMP_RET_ALLOW,
    "SCMP_ACT_ERRNO": lib.SECCOMP_RET_ERRNO,
    "SCMP_ACT_KILL": lib.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": lib.SECCOMP_RET_KILL_PROCESS,
    "SCMP_ACT_KILL_THREAD": lib.SECCOMP_RET_KILL_THREAD,
    "SCMP_ACT_LOG": lib.SECCOMP_RET_LOG,
    "SCMP_ACT_NOTIFY": lib.SECCOMP_RET_USER_NOTIF,
    "SCMP_ACT_TRACE": lib.SECCOMP_RET_TRACE,
    "SCMP_ACT_TRAP": lib.SECCOMP_RET_TRAP,
}
OPERATORS = {
    "SCMP_CMP_EQ": lib.SCMP_CMP_EQ,
    "SCMP_CMP_GE": lib.SCMP_CMP_GE,
    "SCMP_CMP_GT": lib.SCMP_CMP_GT,
    "SCMP_CMP_LE": lib.SCMP_CMP_LE,
    "SCMP_CMP_LT": lib.SCMP_CMP_LT,
    "SCMP_CMP_MASKED_EQ": lib.SCMP_CMP_MASKED_EQ,
    "SCMP_CMP_NE": lib.SCMP_CMP_NE,
}
FLAGS = {
    "SECCOMP_FILTER_FLAG_LOG": lib.SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": lib.SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    "SECCOMP_FILTER_FLAG_TSYNC": lib.SECCOMP_FILTER_FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": lib.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV,
}
ARCHITECTURES = (
    *("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS"),
    *("SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32"),
    *("SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE"),
    *("SCMP_ARCH_RISCV64", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB", "SCMP_ARCH_X32"),
    *("SCMP_ARCH_X86", "SCMP_ARCH_X86_64"),
)

ERRNO_LIMITS = {
    "SCMP_ACT_ERRNO": 4094,  # libseccomp takes what is below the kernel's MAX_ERRNO
    "SCMP_ACT_TRACE": 0xFFFF,  # SECCOMP_RET_DATA, which the tracer reads with PTRACE_GETEVENTMSG
}
ARGUMENT_COUNT = 6
# libseccomp makes a binary tree of the system calls at level 2; up to 2.5.4 it fails on a filter without rules.
OPTIMIZE_FROM_RULES = 32

# The tables of system calls of an AUDIT_ARCH_*, each from its first number to the next table's.
X32_SYSCALL_BIT = 0x40000000  # arch/x86/include/uapi/asm/unistd.h
ARM_NR_BASE = 0x0F0000  # arch/arm/include/uapi/asm/unistd.h: cacheflush, set_tls
END_OF_NUMBERS = 0x80000000
ONE_TABLE = ((0, END_OF_NUMBERS),)
TABLES = {
    lib.AUDIT_ARCH_X86_64: ((0, X32_SYSCALL_BIT), (X32_SYSCALL_BIT, END_OF_NUMBERS)),
    lib.AUDIT_ARCH_ARM: ((0, ARM_NR_BASE), (ARM_NR_BASE, END_OF_NUMBERS)),
}

Instruction = tuple[int, int, int, int]  # code, jt, jf, k of struct sock_filter


def compile_profile(profile: Mapping[str, Any], *, strict: bool = False) -> Filter:
    """The filter of *profile*; see ocirt.seccomp.compile_filter for the errors."""
    default = action_value(profile, "defaultAction", "defaultErrnoRet", "/linux/seccomp")
    if default == lib.SECCOMP_RET_USER_NOTIF:
        raise ConfigError("SCMP_ACT_NOTIFY cannot be used as default action", pointer="/linux/seccomp/defaultAction")
    rules = profile.get("syscalls") or ()
    notify = any(rule["action"] == "SCMP_ACT_NOTIFY" for rule in rules)
    flags = flags_value(profile.get("flags"), notify)

    context = ffi.gc(lib.seccomp_init(default), lib.seccomp_release)
    if not context:
        raise StepError("start a seccomp filter", errno.EINVAL, origin="/linux/seccomp")
    architectures = add_architectures(context, profile.get("architectures") or ())
    if sum(len(rule["names"]) for rule in rules) > OPTIMIZE_FROM_RULES:
        lib.seccomp_attr_set(context, lib.SCMP_FLTATR_CTL_OPTIMIZE, 2)
    for index, rule in enumerate(rules):
        add_rule(context, rule, default, f"/linux/seccomp/syscalls/{index}", strict=strict)

    program = stub(default, architectures, rules) + export(context)
    if len(program) > lib.BPF_MAXINSNS * ffi.sizeof("struct sock_filter"):
        count = len(program) // ffi.sizeof("struct sock_filter")
        text = f"wanted a profile of at most {lib.BPF_MAXINSNS} instructions, found one of {count}"
        raise ConfigError(text, pointer="/linux/seccomp")
    return Filter(program, flags, notify)


def action_value(owner: Mapping[str, Any], action: str, errno_ret: str, pointer: str) -> int:
    """The SECCOMP_RET_* with its data that the properties *action* and *errno_ret* of *owner* stand for."""
    word, data = owner.get(action), owner.get(errno_ret)
    if word not in ACTIONS:
        raise unknown_word(word, ACTIONS, f"{pointer}/{action}")
    value = ACTIONS[word]
    limit = ERRNO_LIMITS.get(word)
    if limit is not None:
        data = errno.EPERM if data is None else data
        if data > limit:
            raise ConfigError(f"wanted a number from 0 to {limit}, found {data}", pointer=f"{pointer}/{errno_ret}")
        return value | data
    if data is not None:
        raise ConfigError(
            f"wanted no errno with {word}, found {data}",
            pointer=f"{pointer}/{errno_ret}",
            rule="When the action doesn't support an errno, the runtime MUST print and error and fail.",
        )
    return value


def unknown_word(word: object, known: Mapping[str, int] | Sequence[str], pointer: str) -> ConfigError:
    return ConfigError(f"wanted one of {', '.join(known)}, found {shown(word)}", pointer=pointer)


def flags_value(words: Sequence[str] | None, notify: bool) -> int:
    """The SECCOMP_FILTER_FLAG_* of the property ``flags``.

    Without the property it is SPEC_ALLOW, as in runc: before Linux 5.16 a filter otherwise costs its program the
    mitigation of speculative store bypass. TSYNC adds no bit: the thread that loads the filter is the only one.
    """
    value = lib.SECCOMP_FILTER_FLAG_SPEC_ALLOW if words is None else 0
    listener = lib.SECCOMP_FILTER_FLAG_NEW_LISTENER if notify else 0
    for index, word in enumerate(words or ()):
        pointer = f"/linux/seccomp/flags/{index}"
        if word not in FLAGS:
            raise unknown_word(word, FLAGS, pointer)
        if word == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV" and not notify:
            raise ConfigError(f"{word}: wanted a rule with SCMP_ACT_NOTIFY beside it, found none", pointer=pointer)
        if not flag_supported(word):
            raise UnsupportedError(word, "a newer kernel", pointer=pointer)
        if word != "SECCOMP_FILTER_FLAG_TSYNC":
            value |= FLAGS[word]
    return value | listener


def flag_supported(word: str) -> bool:
    """Whether this kernel knows a flag of FLAGS."""
    flag = FLAGS[word]
    if word == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV":
        flag |= lib.SECCOMP_FILTER_FLAG_NEW_LISTENER  # the one is refused without the other
    return lib.ocirt_seccomp_flags_supported(flag) == 1


def architecture_token(word: str) -> int:
    """libseccomp's number of an architecture, 0 when this version of the library does not know it."""
    return lib.seccomp_arch_resolve_name(word.removeprefix("SCMP_ARCH_").lower().encode())


def add_architectures(context: Any, words: Sequence[str]) -> list[int]:
    """Adds the architectures to the filter, which has the native one already. Returns the tokens of them all."""
    tokens = [lib.seccomp_arch_native()]
    for index, word in enumerate(words):
        pointer = f"/linux/seccomp/architectures/{index}"
        if word not in ARCHITECTURES:
            raise unknown_word(word, ARCHITECTURES, pointer)
        token = architecture_token(word)
        if token == 0:
            raise UnsupportedError(word, f"a newer libseccomp than {library_version()}", pointer=pointer)
        result = lib.seccomp_arch_add(context, token)
        if result == -errno.EDOM:
            raise ConfigError(f"wanted architectures of one byte order, found {word}", pointer=pointer)
        if result not in (0, -errno.EEXIST):
            raise StepError(f"add {word} to the seccomp filter", -result, origin=pointer)
        if token not in tokens:
            tokens.append(token)
    return tokens


def syscall_number(token: int, name: str) -> int:
    """The number of a system call: negative where the architecture does not have it, __NR_SCMP_ERROR where none has."""
    # A name that is no ASCII, or that C would read up to a NUL, is nobody's.
    return lib.seccomp_syscall_resolve_name_arch(token, name.encode("ascii", "replace").replace(b"\0", b"?"))


def syscall_name(arch: int, number: int) -> str:
    """The name of a system call of an AUDIT_ARCH_*, "" where libseccomp knows none."""
    is_x32 = arch == lib.AUDIT_ARCH_X86_64 and number & X32_SYSCALL_BIT
    name = ffi.new("char[64]")
    lib.ocirt_syscall_name(lib.SCMP_ARCH_X32 if is_x32 else arch, number, name)
    return str(ffi.string(name).decode())


def is_syscall(name: str) -> bool:
    """Whether a system call has this name on any architecture that libseccomp knows."""
    return syscall_number(lib.SCMP_ARCH_NATIVE, name) != lib.__NR_SCMP_ERROR


def add_rule(context: Any, rule: Mapping[str, Any], default: int, pointer: str, *, strict: bool) -> None:
    """Adds one entry of ``syscalls`` to the filter."""
    action = action_value(rule, "action", "errnoRet", pointer)
    alternatives = list(conditions(rule.get("args") or (), f"{pointer}/args"))
    for index, name in enumerate(rule["names"]):
        if name == "":
            raise ConfigError(
                "wanted the name of a system call, found an empty string", pointer=f"{pointer}/names/{index}"
            )
        if name == "write" and action == lib.SECCOMP_RET_USER_NOTIF:
            # With the filter loaded init writes to the runtime that there is a listener. Were write(2) notified, init
            # would wait for the agent, and the agent for the runtime.
            text = "SCMP_ACT_NOTIFY cannot be used for the write syscall"
            raise ConfigError(text, pointer=f"{pointer}/names/{index}")
        number = syscall_number(lib.SCMP_ARCH_NATIVE, name)
        if number == lib.__NR_SCMP_ERROR and strict:
            text = f"wanted the name of a system call, found {shown(name)}, which libseccomp does not know"
            raise ConfigError(text, pointer=f"{pointer}/names/{index}")
        if number == lib.__NR_SCMP_ERROR or action == default:
            continue
        for comparisons in alternatives:
            result = lib.seccomp_rule_add_array(context, action, number, len(comparisons), comparisons)
            if result == -errno.EEXIST:
                text = f"wanted one action for {name} with these arguments, found a second one"
                raise ConfigError(text, pointer=f"{pointer}/names/{index}")
            if result != 0:
                raise StepError(f"add {name} to the seccomp filter", -result, origin=f"{pointer}/names/{index}")


def conditions(args: Sequence[Mapping[str, Any]], pointer: str) -> Iterator[list[tuple[int, int, int, int]]]:
    """Yields the comparisons of a rule, as many rules of libseccomp as it takes.

    All comparisons of a rule must hold (AND), and libseccomp takes one for each argument. Where *args* has two on the
    same argument each comparison becomes a rule of its own (OR), as profiles written for runc expect (matchCall in
    libcontainer/seccomp/seccomp_linux.go).
    """
    comparisons = []
    for position, argument in enumerate(args):
        index, operator = argument["index"], argument["op"]
        if index >= ARGUMENT_COUNT:
            text = f"wanted the number of an argument from 0 to {ARGUMENT_COUNT - 1}, found {index}"
            raise ConfigError(text, pointer=f"{pointer}/{position}/index")
        if operator not in OPERATORS:
            raise unknown_word(operator, OPERATORS, f"{pointer}/{position}/op")
        comparisons.append((index, OPERATORS[operator], argument["value"], argument.get("valueTwo") or 0))
    if len({index for index, *_ in comparisons}) == len(comparisons):
        yield comparisons
    else:
        yield from ([comparison] for comparison in comparisons)


def export(context: Any) -> bytes:
    """The BPF program that libseccomp makes of the filter."""
    fd = os.memfd_create("seccomp", os.MFD_CLOEXEC)
    try:
        result = lib.seccomp_export_bpf(context, fd)
        if result != 0:
            raise StepError("compile the seccomp filter", -result, origin="/linux/seccomp")
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def stub(default: int, architectures: Sequence[int], rules: Sequence[Mapping[str, Any]]) -> bytes:
    """What goes before the program so that system calls newer than the profile fail with ENOSYS, or b"".

    A libc tries the newest system call and falls back to an older one on ENOSYS alone. A profile that is older than
    the container's libc would answer EPERM to a system call it has never heard of, and break the program (runc issue
    2151). So every number above the highest one that the profile names is answered with ENOSYS. Not so where the
    default lets system calls pass or says ENOSYS by itself; TRACE passes too, since a tracer may emulate them.
    """
    if default in (lib.SECCOMP_RET_ALLOW, lib.SECCOMP_RET_LOG, lib.SECCOMP_RET_ERRNO | errno.ENOSYS):
        return b""
    if default & ~0xFFFF == lib.SECCOMP_RET_TRACE:
        return b""
    names = {name for rule in rules for name in rule["names"]}
    program = stub_program(highest_numbers(architectures, names))
    return bytes(ffi.buffer(ffi.new("struct sock_filter[]", program)))


def highest_numbers(architectures: Sequence[int], names: set[str]) -> dict[int, dict[int, int]]:
    """By AUDIT_ARCH_* and by the first number of the table: the highest number that one of *names* has there."""
    highest: dict[int, dict[int, int]] = {}
    for token in architectures:
        audit_arch = lib.AUDIT_ARCH_X86_64 if token == lib.SCMP_ARCH_X32 else token
        numbers = [syscall_number(token, name) for name in names]
        for first, end in TABLES.get(audit_arch, ONE_TABLE):
            in_table = [number for number in numbers if first <= number < end]
            if in_table:
                highest.setdefault(audit_arch, {})[first] = max(in_table)
    return highest


def stub_program(highest: Mapping[int, Mapping[int, int]]) -> list[Instruction]:
    """The instructions of the stub; what is not answered with ENOSYS reaches its end.

    Per architecture, and within it per table from the last to the first::

            ld [4]               the architecture
            jeq ARCH, else: next architecture
            ld [0]               the number of the system call
            jge FIRST, else: next table
            jgt HIGHEST, else: end
            ret ERRNO(ENOSYS)
    """
    load_word = lib.BPF_LD | lib.BPF_W | lib.BPF_ABS
    jump = lib.BPF_JMP | lib.BPF_K
    enosys = (lib.BPF_RET | lib.BPF_K, 0, 0, lib.SECCOMP_RET_ERRNO | errno.ENOSYS)
    to_end = (jump | lib.BPF_JA, 0, 0, 0)  # the distance is put in when it is known
    program = [(load_word, 0, 0, 4)]
    for audit_arch, tables in highest.items():
        section = [(load_word, 0, 0, 0)]
        if audit_arch in (lib.AUDIT_ARCH_S390, lib.AUDIT_ARCH_S390X):
            # Numbers too large for svc come by way of number 0, and stay 0 where the kernel does not know them.
            section += [(jump | lib.BPF_JEQ, 0, 1, 0), enosys]
        for first, _ in reversed(TABLES.get(audit_arch, ONE_TABLE)):
            check = [(jump | lib.BPF_JGT, 0, 1, tables[first]), enosys, to_end] if first in tables else [to_end]
            section += [(jump | lib.BPF_JGE, 0, len(check), first), *check] if first else check
        program += [(jump | lib.BPF_JEQ, 0, len(section), audit_arch), *section]
    for at, instruction in enumerate(program):
        if instruction is to_end:
            program[at] = (*to_end[:3], len(program) - at - 1)
    return program


def known_architectures() -> list[str]:
    """The words of ARCHITECTURES that this libseccomp knows."""
    return [word for word in ARCHITECTURES if architecture_token(word) != 0]


def library_version() -> str:
    """The version of the libseccomp that is loaded, like "2.5.4"."""
    version = lib.seccomp_version()
    return f"{version.major}.{version.minor}.{version.micro}"


def library_path() -> bytes:
    """The file that libseccomp was loaded from; b"" when the dynamic linker does not say."""
    path = lib.ocirt_libseccomp_path()
    return b"" if path == ffi.NULL else bytes(ffi.string(path))
