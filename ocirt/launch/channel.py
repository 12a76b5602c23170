"""The runtime's end of the channel to ocirt-init (the meetings are listed in HACKING.md)."""

from __future__ import annotations

import os

from ocirt._shim import ffi, lib
from ocirt.errors import InternalError, StepError

# A step of the set-up that takes longer than this hangs; hooks have their own time-outs and are waited for without one.
DEADLINE_MS = 60_000


class Report:
    """What ocirt-init said: ``kind`` as in enum ocirt_report_kind, ``op`` the index of the operation."""

    __slots__ = ("detail", "error", "kind", "op", "text")

    def __init__(self, kind: int, op: int, error: int, detail: int, text: str) -> None:
        self.kind = kind
        self.op = op
        self.error = error
        self.detail = detail
        self.text = text


def check(result: int, step: str, filename: str | None = None, *, origin: str = "") -> int:
    """Turns a negative errno of the shim into a StepError."""
    if result < 0:
        raise StepError(step, -result, filename=filename, origin=origin)
    return result


class Channel:
    """One end of the SOCK_SEQPACKET channel. Not safe for use by several threads at once."""

    __slots__ = ("_pending", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._pending: list[int] = []

    def send(self, kind: int, fds: list[int] | None = None) -> bool:
        """Sends a command; False when the init is gone, whose last words are then to be received."""
        fds = fds or []
        result = lib.ocirt_send(self.fd, kind, fds, len(fds))
        if result in (-32, -104):  # EPIPE, ECONNRESET
            return False
        check(result, "send to ocirt-init")
        return True

    def push(self, fd: int) -> bool:
        """Queues a descriptor for the next slot. It is closed here once it is sent."""
        self._pending.append(fd)
        return self.flush() if len(self._pending) == lib.OCIRT_SLOTS_PER_MESSAGE else True

    def flush(self) -> bool:
        """Sends the queued descriptors."""
        pending, self._pending = self._pending, []
        if not pending:
            return True
        try:
            return self.send(lib.OCIRT_COMMAND_SLOTS, pending)
        finally:
            for fd in pending:
                os.close(fd)

    def receive(self, timeout_ms: int = DEADLINE_MS) -> Report | None:
        """The next report, or None at end of file. Raises StepError with ETIMEDOUT."""
        report = ffi.new("struct ocirt_report *")
        while True:
            result = lib.ocirt_receive(self.fd, timeout_ms, report)
            # EINTR; ECONNRESET, which a peer that died with unread messages leaves once, in front of its own last
            # words.
            if result not in (-4, -104):
                break
        if result == 0:
            return None
        check(result, "hear from ocirt-init")
        if not 0 < report.kind <= lib.OCIRT_REPORT_ERROR:
            raise InternalError(f"ocirt-init sent a report of kind {report.kind}")
        text = ffi.string(report.text).decode("utf-8", "replace")
        return Report(report.kind, report.op, report.error, report.detail, text)

    def close(self) -> None:
        for fd in self._pending:
            os.close(fd)
        self._pending = []
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
