"""Words for what ocirt-init reports as numbers: it must not, and cannot, format text in the container."""

from __future__ import annotations

import errno as errnos

from ocirt._shim import lib
from ocirt.errors import HookError, InternalError, OcirtError, ProgramError, StepError, errno_text
from ocirt.hooks import exit_reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.launch.channel import Report
    from ocirt.plan.op import Op

_HINTS = {
    "NO_INTERPRETER": (
        "the file is there, but the interpreter that it names (first line, or ELF program header) "
        "is not in the container"
    ),
    "CRLF": "the first line ends in CR LF: convert the script to Unix line ends",
    "ARCHITECTURE": "the program is built for another architecture than this machine's",
    "NOEXEC": "the program lies on a mount with the option noexec",
}


def to_error(report: Report, ops: list[Op], hook_output: bytes = b"") -> OcirtError:
    """The exception for an ERROR report; *hook_output* is what the hook that failed has written."""
    if report.op >= len(ops):
        return InternalError(f"ocirt-init reported op {report.op} of {len(ops)}: {errno_text(report.error)}")
    op = ops[report.op]
    if op.kind == "HOOK":
        return _hook_error(report, op, hook_output)
    if op.kind == "LOOKUP":
        return _lookup_error(report, op)
    if op.kind == "EXECVE":
        return _exec_error(report, op)
    step, hint, error = op.step, None, report.error
    if op.kind == "OOM_SCORE_ADJ" and error == errnos.EACCES:
        # The kernel says this for the want of a capability; engines take it for a program that may not be executed.
        error, hint = errnos.EPERM, "less than the runtime has itself needs CAP_SYS_RESOURCE"
    elif report.detail == lib.OCIRT_DETAIL_UNREACHABLE:
        hint = "the directory lies outside of the container's root filesystem"
        step += " (current working directory is outside of container mount namespace root)"
    elif report.detail == lib.OCIRT_DETAIL_PROCFS:
        step += f": {op.path} lies on procfs, which must not be covered"
    elif report.detail == lib.OCIRT_DETAIL_FROM_PROCFS:
        step += f": {op.path} cannot be mounted because it is not of type proc"
    elif report.detail == lib.OCIRT_DETAIL_NOT_PROCFS:
        hint = "/proc of the host is not a procfs"
    elif report.error in (errnos.ELOOP, errnos.ENOTDIR) and "NO_SYMLINKS" in op.flags:
        if op.kind in ("DEVICE", "SYMLINK", "UNMOUNT", "REMOVE_NODE"):
            hint = f"{op.path.rpartition('/')[0]} must be a directory, and no link may lead to it"
        else:
            step += f": filesystem {str(op.text or 'bind')!r} must be mounted on ordinary directory"
    return StepError(
        step,
        error,
        filename=op.path or None,
        origin=op.origin,
        where="init",
        detail=_printable(report.text),
        hint=hint or _hint(report, op),
    )


def _hint(report: Report, op: Op) -> str | None:
    if op.kind in ("RLIMIT", "RAISE_RLIMIT") and report.error == errnos.EPERM:
        return "the limit is above the runtime's own hard limit, and raising it needs CAP_SYS_RESOURCE"
    if op.kind == "SCHEDULER" and report.error == errnos.EPERM:
        # The first words are runc's.
        return (
            "process scheduler can't be used together with AllowedCPUs: SCHED_DEADLINE needs all CPUs of the system; "
            "a policy with a priority needs CAP_SYS_NICE on the host, and realtimeRuntime in a v1 cpu cgroup"
        )
    if op.kind == "SCHEDULER" and report.error == errnos.EBUSY:
        return "SCHED_DEADLINE has no more bandwidth to give (sched(7))"
    if op.kind == "USER" and report.error == errnos.EINVAL:
        return "the id has no mapping in the container's user namespace"
    if op.kind == "LSM_LABEL" and op.path.startswith("apparmor/") and report.error == errnos.ENOENT:
        return "no profile of that name is loaded (apparmor_parser)"
    if op.kind == "CLONE" and report.error == errnos.ENOSPC:
        return "the limit of namespaces is reached (/proc/sys/user/max_*_namespaces)"
    if op.kind == "CLONE" and report.error == errnos.EPERM:
        return "creating these namespaces needs root, or a user namespace (kernel.unprivileged_userns_clone)"
    if op.kind == "CONSOLE" and report.error in (errnos.ENOENT, errnos.ENODEV):
        return "a terminal needs a devpts mounted at /dev/pts"
    if report.error == errnos.EMFILE:
        return "the limit of open files (RLIMIT_NOFILE) is too low"
    return None


def _printable(text: str) -> str:
    """The kernel prefixes its words with "e " or "w "; what is not printable never reaches a terminal or a log."""
    text = text[2:] if text[:2] in ("e ", "w ", "i ") else text
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _hook_error(report: Report, op: Op, output: bytes) -> HookError:
    value: Any = op.value
    kind, index, hook = value
    tail = output[-1024:].decode("utf-8", "replace").strip()
    if report.detail == lib.OCIRT_DETAIL_TIMEOUT:
        return HookError(kind, index, op.path, f"timed out after {hook.get('timeout')} s", stderr=tail)
    if report.detail & lib.OCIRT_DETAIL_STATUS:
        status = report.detail & 0xFFFF
        code = -(status & 0x7F) if status & 0x7F else status >> 8
        reason = exit_reason(code)
        return HookError(kind, index, op.path, reason, status=code, stderr=tail)
    return HookError(kind, index, op.path, errno_text(report.error), stderr=tail)


def _lookup_error(report: Report, op: Op) -> ProgramError:
    """The texts are those that engines turn into exit status 126 and 127."""
    name = str(op.text)
    words, reason = errno_text(report.error), ""
    if report.error == errnos.ENOENT:
        words = f"stat {name}: no such file or directory" if "/" in name else "executable file not found in $PATH"
    elif report.detail == lib.OCIRT_DETAIL_NOEXEC:
        reason = _HINTS["NOEXEC"]
    if report.error == errnos.EACCES and "/" not in name:
        words = "executable file not found in $PATH"
        reason = reason or "one of that name may not be executed"
    return ProgramError(f'exec: "{name}": {words}', report.error, filename=name, detail=reason)


def _exec_error(report: Report, op: Op) -> ProgramError:
    name = op.data.partition(b"\0")[0].decode("utf-8", "replace")
    reason = next((text for word, text in _HINTS.items() if report.detail == getattr(lib, "OCIRT_DETAIL_" + word)), "")
    return ProgramError(f"exec {name}: {errno_text(report.error)}", report.error, filename=name, detail=reason)
