from typing import Any

class _Version:
    major: int
    minor: int
    micro: int

class _Library:
    SECCOMP_RET_KILL_PROCESS: int
    SECCOMP_RET_KILL_THREAD: int
    SECCOMP_RET_TRAP: int
    SECCOMP_RET_ERRNO: int
    SECCOMP_RET_USER_NOTIF: int
    SECCOMP_RET_TRACE: int
    SECCOMP_RET_LOG: int
    SECCOMP_RET_ALLOW: int

    SECCOMP_FILTER_FLAG_TSYNC: int
    SECCOMP_FILTER_FLAG_LOG: int
    SECCOMP_FILTER_FLAG_SPEC_ALLOW: int
    SECCOMP_FILTER_FLAG_NEW_LISTENER: int
    SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: int

    AUDIT_ARCH_X86_64: int
    AUDIT_ARCH_ARM: int
    AUDIT_ARCH_S390: int
    AUDIT_ARCH_S390X: int
    SCMP_ARCH_NATIVE: int
    SCMP_ARCH_X32: int

    BPF_LD: int
    BPF_W: int
    BPF_ABS: int
    BPF_JMP: int
    BPF_JA: int
    BPF_JEQ: int
    BPF_JGT: int
    BPF_JGE: int
    BPF_RET: int
    BPF_K: int
    BPF_MAXINSNS: int

    __NR_SCMP_ERROR: int
    SCMP_CMP_NE: int
    SCMP_CMP_LT: int
    SCMP_CMP_LE: int
    SCMP_CMP_EQ: int
    SCMP_CMP_GE: int
    SCMP_CMP_GT: int
    SCMP_CMP_MASKED_EQ: int
    SCMP_FLTATR_CTL_OPTIMIZE: int

    def seccomp_version(self) -> _Version: ...
    def seccomp_init(self, def_action: int) -> Any: ...
    def seccomp_release(self, ctx: Any) -> None: ...
    def seccomp_arch_resolve_name(self, arch_name: bytes) -> int: ...
    def seccomp_arch_native(self) -> int: ...
    def seccomp_arch_add(self, ctx: Any, arch_token: int) -> int: ...
    def seccomp_attr_set(self, ctx: Any, attr: int, value: int) -> int: ...
    def seccomp_syscall_resolve_name_arch(self, arch_token: int, name: bytes) -> int: ...
    def seccomp_rule_add_array(
        self, ctx: Any, action: int, syscall: int, arg_cnt: int, arg_array: list[tuple[int, int, int, int]]
    ) -> int: ...
    def seccomp_export_bpf(self, ctx: Any, fd: int) -> int: ...
    def ocirt_seccomp_flags_supported(self, flags: int) -> int: ...
    def ocirt_libseccomp_path(self) -> Any: ...
    def ocirt_syscall_name(self, arch: int, number: int, ret_name: Any, /) -> None: ...

lib: _Library
ffi: Any
