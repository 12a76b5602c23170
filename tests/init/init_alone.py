"""ocirt-init without the runtime: plans as bytes, and the channel spoken by hand.

These plans are made by hand and do no harm. For those that are made by chance see mutate.py.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from types import TracebackType

from host_view import PATIENCE, wait_readable

from ocirt._shim import ffi, lib
from ocirt.launch.walk import seal_init
from ocirt.launch.wire import encode
from ocirt.plan.op import Op

ERROR, SYNC, PID = lib.OCIRT_REPORT_ERROR, lib.OCIRT_REPORT_SYNC, lib.OCIRT_REPORT_PID
PLAN, SLOTS, CONTINUE, COMMIT = (
    lib.OCIRT_COMMAND_PLAN,
    lib.OCIRT_COMMAND_SLOTS,
    lib.OCIRT_COMMAND_CONTINUE,
    lib.OCIRT_COMMAND_COMMIT,
)
CLOCK_BYTES = 16


def memfd(content: bytes) -> int:
    fd = os.memfd_create("test-plan")
    os.write(fd, content)
    return fd


class InitAlone:
    """A process that runs ocirt-init; ``with`` ends it."""

    def __init__(self) -> None:
        pair, pidfd = ffi.new("int[2]"), ffi.new("int *", -1)
        assert lib.ocirt_channel_pair(pair) == 0
        self.channel = pair[0]
        exe_fd = seal_init()
        self.pid = lib.ocirt_spawn(exe_fd, pair[1], 0, pidfd)
        self.pidfd = pidfd[0]
        os.close(exe_fd)
        os.close(pair[1])
        assert self.pid > 0
        self.status: int | None = None

    def __enter__(self) -> InitAlone:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.hang_up()
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.pidfd)

    def send(self, kind: int, fds: Iterable[int] = (), *, close: bool = True) -> int:
        """The negative errno where the init is gone already."""
        listed = list(fds)
        result = int(lib.ocirt_send(self.channel, kind, listed, len(listed)))
        if close:
            for fd in listed:
                os.close(fd)
        return result

    def send_plan(self, content: bytes, clock_bytes: int = 1 << 16) -> None:
        self.send(PLAN, [memfd(content)])
        clock = os.memfd_create("test-clock")
        os.ftruncate(clock, clock_bytes)
        self.send(SLOTS, [clock])

    def receive(self) -> tuple[int, int, int, int] | None:
        """Kind, op, errno and detail of the next report; None at the end of file."""
        report = ffi.new("struct ocirt_report *")
        result = lib.ocirt_receive(self.channel, int(PATIENCE * 1000), report)
        assert result >= 0, f"no report: errno {-result}"
        return (report.kind, report.op, report.error, report.detail) if result else None

    def hang_up(self) -> None:
        if self.channel >= 0:
            os.close(self.channel)
            self.channel = -1

    def wait(self) -> int:
        """Waits for the end; its exit status, negative: the signal that ended it."""
        if self.status is None:
            wait_readable(self.pidfd, "the end of ocirt-init")
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def fails(self, errno: int | None = None, op: int | None = None) -> int:
        """Fails unless the init reports one error and ends with status 1; returns the errno."""
        report = self.receive()
        assert report is not None, f"no report, status {self.wait()}"
        kind, index, error, _ = report
        assert kind == ERROR
        assert error > 0
        assert errno in (None, error)
        assert op in (None, index)
        assert self.receive() is None
        assert self.wait() == 1
        return error


def plan_of(*ops: Op, preserve_fds: int = 0) -> bytes:
    return encode(list(ops), preserve_fds)
