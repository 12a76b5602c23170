"""Walks a plan beside the init: starts ocirt-init, sends what its operations need, does those of the host, hears what
it reports.

The walker and the init go through the same list. They wait for each other only at the meetings that HACKING.md lists.
"""

from __future__ import annotations

import os
from time import monotonic_ns

from ocirt._shim import ffi, lib
from ocirt.errors import OcirtError, StepError
from ocirt.launch.channel import DEADLINE_MS, Channel, check
from ocirt.launch.wire import encode, init_ops

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Protocol

    from ocirt.launch.channel import Report
    from ocirt.plan.op import Op, Plan, Source
    from ocirt.timeline import Timeline

    class Doer(Protocol):
        """Who knows the container: opens what a plan can only name, does the host's operations. *pid* is the
        container's process, 0 where it is not known and not needed; for `do`, it is waited for when it is asked
        for."""

        def open(self, source: Source, op: Op, pid: int) -> int: ...
        def do(self, op: Op, pid: Callable[[], int]) -> None: ...
        def while_init_works(self) -> None: ...
        def hook_output(self, kind: str, index: int) -> bytes: ...
        def bring_listener(self, agent: Any, number: int, pid: int, pidfd: int) -> None: ...
        def close(self) -> None: ...


_INIT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "ocirt-init")
_SIGKILL = 9
_SIGCONT = 18


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # the host program reaps all children itself


def seal_init() -> int:
    """A sealed copy of ocirt-init in memory. /proc/PID/exe of what enters a container leads there and to no file of the
    host (CVE-2019-5736)."""
    try:
        fd = os.open(_INIT, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise StepError(
            "read ocirt-init", error.errno or 0, filename=_INIT, hint="ocirt is not completely installed"
        ) from None
    try:
        return check(lib.ocirt_sealed_program(b"ocirt-init", fd), "seal ocirt-init")
    finally:
        os.close(fd)


class Walk:
    """One plan on its way. ``pid`` is the container's process, 0 until it is known; ``pidfd`` refers to it.
    ``first_pid`` was the process that has cloned it."""

    __slots__ = (
        "_all",
        "_continue",
        "_doer",
        "_early",
        "_has_hooks",
        "_position",
        "_stage_pid",
        "_timeline",
        "_told",
        "channel",
        "clock_fd",
        "first_pid",
        "ops",
        "pid",
        "pidfd",
    )

    def __init__(self, plan: Plan, doer: Doer, timeline: Timeline | None = None) -> None:
        self.ops = init_ops(plan)
        self._all = plan.ops
        self._doer = doer
        self._timeline = timeline
        self._position = 0
        self._continue = False
        self._stage_pid = self.first_pid = 0
        self._told = 0
        self._early: list[Report] = []
        self._has_hooks = any(op.kind == "HOOK" for op in self.ops)
        self.pid = 0
        self.pidfd = -1
        self.clock_fd = -1
        self.channel = self._spawn(plan)

    def _spawn(self, plan: Plan) -> Channel:
        data = encode(self.ops, plan.preserve_fds)
        pair, stage_pidfd = ffi.new("int[2]"), ffi.new("int *", -1)
        check(lib.ocirt_channel_pair(pair), "create the channel to ocirt-init")
        channel, theirs = Channel(pair[0]), pair[1]
        exe_fd = plan_fd = -1
        try:
            exe_fd = seal_init()
            plan_fd = check(lib.ocirt_sealed_memfd(b"ocirt-plan", ffi.from_buffer(data), len(data)), "seal the plan")
            self.first_pid = check(lib.ocirt_spawn(exe_fd, theirs, plan.preserve_fds, stage_pidfd), "start ocirt-init")
            self._stage_pid = self.first_pid
            os.close(stage_pidfd[0])
            channel.send(lib.OCIRT_COMMAND_PLAN, [plan_fd])
            self.clock_fd = os.memfd_create("ocirt-clock", os.MFD_CLOEXEC)
            os.ftruncate(self.clock_fd, 24 * len(self.ops))
            channel.push(os.dup(self.clock_fd))
        except BaseException:
            channel.close()
            raise
        finally:
            for fd in (theirs, exe_fd, plan_fd):
                if fd >= 0:
                    os.close(fd)
        return channel

    def run(self) -> None:
        """Goes on until the init waits for start, or until its program runs. Raises what went wrong, in words."""
        while self._position < len(self._all):
            op = self._all[self._position]
            self._position += 1
            if op.where == "host":
                self._alive(self.channel.flush())
                self._do(op)
                continue
            self._answer()
            if op.kind == "HOOK":
                self._alive(self.channel.flush())
                self._known_pid()  # the hook is told
            for source in op.sources:
                self._alive(self.channel.push(self._open(source, op)))
            if op.kind == "SYNC":
                self._alive(self.channel.flush())
                self._expect(lib.OCIRT_REPORT_SYNC)
                self._continue = True
            elif op.kind == "SECCOMP" and op.value is not None:
                self._alive(self.channel.flush())
                report = self._expect(lib.OCIRT_REPORT_LISTENER)
                self._doer.bring_listener(op.value, report.detail, self.pid, self.pidfd)
                self._continue = True
            elif op.kind == "WAIT_START":
                self._alive(self.channel.flush())
                self._doer.while_init_works()
                self._expect(lib.OCIRT_REPORT_READY)
                self._reap_stage()
                return
        self._answer()
        self._alive(self.channel.flush())
        self._expect_program()
        self._reap_stage()

    def _do(self, op: Op) -> None:
        begin = monotonic_ns()
        self._doer.do(op, self._known_pid)
        if self._timeline is not None:
            self._timeline.command(op.describe(), begin, origin=op.origin)

    def _hook_output(self, report: Report) -> bytes:
        value: Any = self.ops[report.op].value if report.op < len(self.ops) else None
        is_hook = value is not None and self.ops[report.op].kind == "HOOK"
        return self._doer.hook_output(value[0], value[1]) if is_hook else b""

    def _open(self, source: Source, op: Op) -> int:
        if not source.needs_init:
            return self._doer.open(source, op, 0)
        return self._doer.open(source, op, self._known_pid())

    def commit(self, *, and_start: bool) -> None:
        """Create is complete. With *and_start* the init starts at once, on this channel, and `run` goes on."""
        self._alive(self.channel.send(lib.OCIRT_COMMAND_COMMIT))
        if and_start:
            self._continue = True

    def _answer(self) -> None:
        if self._continue:
            self._continue = False
            self._alive(self.channel.send(lib.OCIRT_COMMAND_CONTINUE))

    def _known_pid(self) -> int:
        # A host operation needs the pid only after CLONE; before it there is none to wait for.
        cloned = any(op.kind == "CLONE" for op in self._all[: self._position])
        if cloned and not self.pid:
            # The init may be waiting for one of the queued descriptors before it tells its pid.
            self._alive(self.channel.flush())
        while cloned and not self.pid:
            report = self._receive()
            self._take(report)
            if report is not None and report.kind != lib.OCIRT_REPORT_PID:
                # The clone may reach a meeting before the process that has cloned it has told its pid.
                self._early.append(report)
        return self.pid

    def _receive(self) -> Report | None:
        begin = monotonic_ns()
        try:
            report = self.channel.receive(-1 if self._has_hooks else DEADLINE_MS)
        except StepError as error:
            raise StepError(
                self._where(), error.errno or 0, where="init", hint="ocirt-init did not answer in time"
            ) from None
        if self._timeline is not None:
            self._timeline.command("wait for ocirt-init", begin)
        return report

    def _take(self, report: Report | None) -> None:
        """Notes a pid; raises an error or an end of file as what they mean."""
        if report is None:
            raise self._died()
        if report.kind == lib.OCIRT_REPORT_PID:
            self._take_pid(report)
        elif report.kind == lib.OCIRT_REPORT_ERROR:
            from ocirt.launch.failure import to_error

            raise to_error(report, self.ops, self._hook_output(report))

    def _take_pid(self, report: Report) -> None:
        if report.detail:
            self.pid = report.detail
            self.pidfd = os.pidfd_open(self.pid)
            return
        from ocirt.plan.op import Source

        # The kernel has killed the process: see clone_into() in csrc/init/namespace.c.
        _reap(report.error)
        clone = self.ops[report.op]
        fd = self._doer.open(Source("cgroup2-entry"), clone, 0)
        try:
            os.write(fd, str(self.first_pid).encode())
            os.kill(self.first_pid, _SIGCONT)
        except OSError as error:
            os.kill(self.first_pid, _SIGKILL)
            raise StepError(clone.step, error.errno or 0, where="host", origin=clone.origin) from None
        finally:
            os.close(fd)

    def _expect(self, kind: int) -> Report:
        while True:
            report = self._early.pop(0) if self._early else self._receive()
            self._take(report)
            if report is not None and report.kind == kind:
                while not self.pid:
                    self._take(self._receive())
                return report

    def _expect_program(self) -> None:
        """End of file: execve(2) has closed the channel. That of an init that was killed looks the same, and is told
        apart by what it was at."""
        while True:
            report = self._receive()
            if report is None:
                break
            self._take(report)
        # A kill at the very execve cannot be told from a program that ends at once; its exit status says it.
        if not self.pid or self._last_started() != len(self.ops) - 1 or self._failed():
            raise self._died()

    def _alive(self, is_alive: bool) -> None:
        """A send that failed: the init's last words say why."""
        while not is_alive:
            self._take(self._receive())

    def _times(self) -> list[int]:
        data = os.pread(self.clock_fd, 24 * len(self.ops), 0)
        return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]

    def _last_started(self) -> int:
        starts = self._times()[: 2 * len(self.ops) : 2]
        return max((index for index, start in enumerate(starts) if start), default=-1)

    def is_beyond(self, kind: str) -> bool:
        """Whether the init has done the first operation of that kind, and gone on."""
        index = next((index for index, op in enumerate(self.ops) if op.kind == kind), len(self.ops))
        return self._last_started() > index

    def _where(self) -> str:
        index = self._last_started()
        return self.ops[index].step if 0 <= index < len(self.ops) else "start ocirt-init"

    def _failed(self) -> int:
        """The errno of the operation that the init was at, 0 where that has not ended."""
        times, index = self._times(), self._last_started()
        return times[2 * len(self.ops) + index] if index >= 0 and times[2 * index + 1] else 0

    def _died(self) -> OcirtError:
        step = self._where()
        status = None
        child = self.pid or self._stage_pid
        try:
            if child:
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if self.pid:
                    self.pid = -1
                else:
                    self._stage_pid = 0
        except ChildProcessError:
            pass
        failed = self._failed()
        # In the error itself, which is all that an engine shows.
        reason = "ocirt-init is gone"
        if failed:
            reason = (
                "linux.seccomp refuses execve(2), or capset(2) in front of it, and what ocirt-init would report it by"
            )
        elif status == -_SIGKILL:
            reason = "ocirt-init was killed: perhaps the memory limit is too low for the set-up"
        elif status is not None and status < 0:
            reason = f"ocirt-init was ended by signal {-status}"
        return StepError(step, failed or 104, where="init", detail=reason)

    def remaining(self) -> list[Op]:
        """The init's operations that are still to come."""
        return [op for op in self._all[self._position :] if op.where == "init"]

    def times(self) -> list[tuple[Op, int, int, int]]:
        """The operations of the init that have run since the last call, when each began and ended in ns, and the number
        that it has left."""
        times = self._times()
        first, self._told = self._told, self._last_started() + 1
        return [
            (op, times[2 * i], max(times[2 * i], times[2 * i + 1]), times[2 * len(self.ops) + i])
            for i, op in enumerate(self.ops)
            if first <= i < self._told
        ]

    def _reap_stage(self) -> None:
        pid, self._stage_pid = self._stage_pid, 0
        if pid:
            _reap(pid)

    def abort(self) -> None:
        """Ends the init and reaps it. With it ends everything in its PID namespace."""
        lib.ocirt_hang_up(self.channel.fd)
        self._reap_stage()
        while self.pid == 0:
            # It may have been cloned without our having heard of it.
            report = self.channel.receive(0) if self._stage_has_spoken() else None
            if report is None:
                break
            if report.kind == lib.OCIRT_REPORT_PID and report.detail:
                self._take_pid(report)
            elif report.kind == lib.OCIRT_REPORT_PID:
                _reap(report.error)
        if self.pidfd >= 0:
            lib.ocirt_pidfd_signal(self.pidfd, _SIGKILL)
        if self.pid > 0:
            try:
                os.waitpid(self.pid, 0)
            except ChildProcessError:
                pass

    def _stage_has_spoken(self) -> bool:
        return bool(lib.ocirt_wait_readable(self.channel.fd, 0) > 0)

    def close(self) -> None:
        """Lets go of every descriptor; the process goes on."""
        self.channel.close()
        self._doer.close()
        for fd in (self.clock_fd, self.pidfd):
            if fd >= 0:
                os.close(fd)
        self.clock_fd = self.pidfd = -1
