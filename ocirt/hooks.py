"""Hooks that the runtime runs itself, in its own namespaces: prestart, createRuntime, poststart, poststop.

config.md#posix-platform-hooks. Those of the container's namespaces are run by its init (csrc/init/hook.c).
"""

from __future__ import annotations

import os

from ocirt._shim import ffi, lib
from ocirt.errors import HookError, errno_text
from ocirt.launch.channel import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

_TAIL_BYTES = 1024
_SIGNALS = range(1, 65)
_SIGKILL = 9
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK


def input_fd(state: str) -> int:
    """A descriptor from which a hook reads the container's state on stdin: sealed, so that one hook cannot mislead the
    next."""
    data = state.encode("utf-8", "surrogateescape")
    fd = check(
        lib.ocirt_sealed_memfd(ffi.from_buffer(b"state.json\0"), ffi.from_buffer(data), len(data)),
        "pass the state to a hook",
    )
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


class Output:
    """Where the output of one hook goes: ``stdout_fd`` and ``stderr_fd``, to a file in memory or, as the annotations
    run.oci.hooks.stdout and run.oci.hooks.stderr say, to the end of a file. A relative path is the bundle's.

    Not a pipe: a hook may leave processes behind that keep it open, or write a lot. HookError for a file that cannot be
    opened.
    """

    __slots__ = ("_memory_fd", "stderr_fd", "stdout_fd")

    def __init__(
        self, kind: str, index: int, hook: Mapping[str, Any], *, annotations: Mapping[str, str], bundle: str
    ) -> None:
        self.stdout_fd = self.stderr_fd = -1
        self._memory_fd = os.memfd_create("hook-output", os.MFD_CLOEXEC)
        try:
            self.stdout_fd = self._open(annotations, "run.oci.hooks.stdout", bundle)
            self.stderr_fd = self._open(annotations, "run.oci.hooks.stderr", bundle)
        except OSError as error:
            self.close()
            text = f"cannot open {error.filename} for its output: {errno_text(error.errno or 0)}"
            raise HookError(kind, index, hook["path"], text) from None

    def _open(self, annotations: Mapping[str, str], name: str, bundle: str) -> int:
        path = annotations.get(name)
        if not path:
            return os.dup(self._memory_fd)
        # Without a reader a FIFO would keep the runtime waiting: ENXIO.
        fd = os.open(os.path.join(bundle, path), _APPEND, 0o600)
        os.set_blocking(fd, True)
        return fd

    def tail(self) -> bytes:
        """The end of what the hook has written, but to files."""
        size = os.fstat(self._memory_fd).st_size
        return os.pread(self._memory_fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))

    def close(self) -> None:
        for fd in (self._memory_fd, self.stdout_fd, self.stderr_fd):
            if fd >= 0:
                os.close(fd)
        self._memory_fd = self.stdout_fd = self.stderr_fd = -1


def run(
    kind: str, index: int, hook: Mapping[str, Any], state: str, annotations: Mapping[str, str], bundle: str
) -> None:
    """Runs one hook and waits for it. Raises HookError when it cannot be started, exits non-zero, is killed or times
    out.

    The hook gets the state on stdin, exactly the environment that it is configured with, default signal dispositions
    and no descriptor but stdio.
    """
    path = hook["path"]
    output = Output(kind, index, hook, annotations=annotations, bundle=bundle)
    stdin_fd = input_fd(state)
    try:
        actions = [
            (os.POSIX_SPAWN_DUP2, stdin_fd, 0),
            (os.POSIX_SPAWN_DUP2, output.stdout_fd, 1),
            (os.POSIX_SPAWN_DUP2, output.stderr_fd, 2),
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inherited()),
        ]
        environment = dict(entry.partition("=")[::2] for entry in hook.get("env") or ())
        try:
            pid = os.posix_spawn(
                path,
                hook.get("args") or [path],
                environment,
                file_actions=actions,
                setsigdef=_resettable(),
                setsigmask=(),
            )
        except OSError as error:
            raise HookError(kind, index, path, errno_text(error.errno or 0)) from None
        status = _wait(pid, hook.get("timeout"))
        said = output.tail().decode("utf-8", "replace").strip()
    finally:
        os.close(stdin_fd)
        output.close()
    if status is None:
        raise HookError(kind, index, path, f"timed out after {hook['timeout']} s", stderr=said)
    if status:
        raise HookError(kind, index, path, exit_reason(status), status=status, stderr=said)


def run_poststop(
    hooks: Sequence[Mapping[str, Any]],
    state: str,
    annotations: Mapping[str, str],
    bundle: str,
    warn: Callable[[str], None],
) -> None:
    """Runs the poststop hooks. "If any poststop hook fails, the runtime MUST log a warning, but the remaining hooks and
    lifecycle continue as if the hook had succeeded" (runtime.md#lifecycle, step 13)."""
    for index, hook in enumerate(hooks):
        try:
            run("poststop", index, hook, state, annotations, bundle)
        except HookError as error:
            warn(str(error))


def exit_reason(code: int) -> str:
    """Words for an exit status, or for the signal that a negative one stands for, as runc has them."""
    if code >= 0:
        return f"exit status {code}"
    from _signal import strsignal

    words = strsignal(-code) or str(-code)
    return f"signal: {words[:1].lower()}{words[1:]}"


def _inherited() -> list[int]:
    """The descriptors beside stdio that this process's caller has passed on, for the program or by mistake."""
    fds = [int(name) for name in os.listdir("/proc/self/fd")]
    return [fd for fd in fds if fd > 2 and lib.ocirt_is_inherited(fd)]


def _resettable() -> list[int]:
    """The signals whose disposition may be set: not SIGKILL, SIGSTOP and the two that glibc keeps to itself."""
    return [number for number in _SIGNALS if number not in (9, 19, 32, 33)]


def _wait(pid: int, timeout_seconds: int | None) -> int | None:
    """The exit status (negative: signal), None when the time ran out and the hook was killed."""
    timed_out = False
    if timeout_seconds:
        pidfd = os.pidfd_open(pid)
        try:
            if lib.ocirt_wait_readable(pidfd, min(timeout_seconds * 1000, 2**31 - 1)) == 0:
                timed_out = True
                lib.ocirt_pidfd_signal(pidfd, _SIGKILL)
        finally:
            os.close(pidfd)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return None if timed_out else status
