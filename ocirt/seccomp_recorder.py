"""Record mode: runs a container under a filter that refuses nothing, and writes the smallest profile that it needs.

    with SeccompRecorder() as recorder:
        container = Container.create("box", "/srv/bundle", Options(attached=True, recorder=recorder))
        container.start()
        container.wait()
    print(recorder.profile())

Every system call but read(2) and write(2) is notified and goes on, seccomp_unotify(2). Those two are what the init
needs to say that there is a listener, before anybody answers.
"""

from __future__ import annotations

import shutil
import tempfile
import threading

from ocirt.errors import StepError
from ocirt.seccomp import SECCOMP_FILTER_FLAG_NEW_LISTENER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, Filter
from ocirt.seccomp_agent import Call, SeccompAgent
from ocirt.seccomp_compiler import (
    ARCHITECTURES,
    FLAGS,
    architecture_token,
    flag_supported,
    syscall_name,
    syscall_number,
)

# Behind the compiler, which says what is missing where libseccomp cannot be loaded.
from ocirt._seccomp import ffi, lib  # isort: skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

_UNHEARD = ("read", "write")
# What the kernel lets a program do that it has not called.
_KERNELS = ("restart_syscall", "rt_sigreturn")


class SeccompRecorder:
    """Notes the system calls of the containers that are made with it, ``Options(recorder=...)``, from its making to
    `close`; `profile` is then what they need.

        with SeccompRecorder() as recorder:
            container = Container.create("hello", "/srv/hello", Options(recorder=recorder))
            container.start()
            container.wait()
            profile = recorder.profile()

    ``unknown`` are those that libseccomp has no name for, as (AUDIT_ARCH_*, number). UnsupportedError without
    libseccomp, StepError where its socket cannot be made.
    """

    __slots__ = ("_agent", "_calls", "_directory", "_thread", "unknown")

    def __init__(self) -> None:
        self._calls: set[tuple[int, int]] = set()
        self.unknown: set[tuple[int, int]] = set()
        self._directory = tempfile.mkdtemp(prefix="ocirt-record-")
        try:
            self._agent = SeccompAgent(f"{self._directory}/agent.sock", fallback=self._note)
        except StepError:
            shutil.rmtree(self._directory)
            raise
        self._thread = threading.Thread(target=self._agent.serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the recording; a container that still runs finds its system calls unknown (ENOSYS) from now on."""
        if self._thread.is_alive():
            self._agent.stop()
            self._thread.join()
        self._agent.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def profile(self) -> dict[str, Any]:
        """A ``linux.seccomp`` object that allows what has been called up to now, and lets all else fail with EPERM."""
        native = lib.seccomp_arch_native()
        names = {*_UNHEARD, *_KERNELS}
        for arch, number in sorted(self._calls):
            name = syscall_name(arch, number)
            if name:
                names.add(name)
            else:
                self.unknown.add((arch, number))
        tokens = {native, *(arch for arch, _ in self._calls)}
        return {
            "defaultAction": "SCMP_ACT_ERRNO",
            "architectures": [word for word in ARCHITECTURES if architecture_token(word) in tokens],
            "syscalls": [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}],
        }

    def section(self) -> dict[str, Any]:
        """What takes the place of ``linux.seccomp`` while it records."""
        return {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": self._agent.path}

    def filter(self) -> Filter:
        """The filter that notifies."""
        native = lib.seccomp_arch_native()
        load, jump, give = lib.BPF_LD | lib.BPF_W | lib.BPF_ABS, lib.BPF_JMP | lib.BPF_K, lib.BPF_RET | lib.BPF_K
        numbers = [syscall_number(native, name) for name in _UNHEARD]
        program = [
            (load, 0, 0, 4),  # the architecture
            (jump | lib.BPF_JEQ, 0, 3, native),
            (load, 0, 0, 0),  # the number of the system call
            (jump | lib.BPF_JEQ, 2, 0, numbers[0]),
            (jump | lib.BPF_JEQ, 1, 0, numbers[1]),
            (give, 0, 0, lib.SECCOMP_RET_USER_NOTIF),
            (give, 0, 0, lib.SECCOMP_RET_ALLOW),
        ]
        flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_SPEC_ALLOW
        killable = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"  # signals do not make a call begin again
        if flag_supported(killable):
            flags |= FLAGS[killable]
        return Filter(bytes(ffi.buffer(ffi.new("struct sock_filter[]", program))), flags, True)

    def _note(self, call: Call) -> object:
        self._calls.add((call.arch, call.number))
        return SeccompAgent.CONTINUE
