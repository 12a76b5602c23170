"""A process in the foreground: signals and terminal of this process are passed on to it until it ends.

Without a terminal the process has this process's own standard streams, and all that is left to do is to pass on
signals. With one (``process.terminal``) the master of its pty arrives over a socket, and what is typed and printed is
copied between standard input and output and the master, while the caller's own terminal is in raw mode.

A signal must neither be lost nor come too early: they are taken over before the container is made, and handed to its
process once there is one. ``run`` and ``exec`` alone import this module.
"""

from __future__ import annotations

import os
import select

from ocirt._shim import ffi, lib
from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Protocol

    class Process(Protocol):
        """What runs in the foreground: a child of this process."""

        @property
        def pid(self) -> int: ...

        def wait(self) -> int:
            """Collect the process; its wait status (wait(2))."""


#: A pipe that poll(2) calls writable takes this much without blocking (PIPE_BUF).
_CHUNK_BYTES = 4096

#: More than the kernel keeps for one pty (drivers/tty/tty_buffer.c: 640 KiB). The rest was written after the end.
_DRAIN_BYTES = 1 << 20

#: A program may close its terminal and open it again, as systemd does for each line on the console. Between the two the
#: master cannot be waited for, so it is looked at from time to time.
_LOOK_AGAIN_MSEC = 100


class Foreground:
    """Takes the signals of this process, from now until the end of the ``with`` block, for a process that is to come.

    ``console_fd`` is the end of a socket over which that process's launch may send the master of a pty.
    """

    __slots__ = ("_console_fd", "_is_subreaper", "_mask_before", "_signal_fd", "console_fd")

    def __init__(self, *, subreaper: bool) -> None:
        """With *subreaper* orphans of the process become children of this one, and are reaped (prctl(2), Linux 3.4)."""
        fds = ffi.new("int[2]")
        _check("make a socket for the console", lib.ocirt_channel_pair(fds))
        self._console_fd: int = fds[0]
        self.console_fd: int = fds[1]
        self._is_subreaper = subreaper
        if subreaper:
            _check("become a subreaper", lib.ocirt_set_subreaper(1))
        self._mask_before = ffi.new("uint64_t *")
        self._signal_fd = -1

    def __enter__(self) -> Foreground:
        self._signal_fd = _check("take over signals", lib.ocirt_take_signals(self._mask_before))
        return self

    def __exit__(self, *_: object) -> None:
        lib.ocirt_release_signals(self._signal_fd, self._mask_before[0])
        self._close_console_fd()
        os.close(self._console_fd)

    def wait(self, process: Process, *, terminal: bool) -> int:
        """Serve *process* until it ends; its exit status, or 128 + the signal that ended it, as a shell has it.

        With *terminal* the master of its pty must have been sent to ``console_fd``.
        """
        self._close_console_fd()
        master_fd = -1
        if terminal:
            master_fd = _check("receive the console", lib.ocirt_receive_fd(self._console_fd))
        pidfd = os.pidfd_open(process.pid)
        relay = Relay(master_fd)
        try:
            relay.open()
            self._serve(process.pid, pidfd, relay)
            relay.drain()
        finally:
            relay.close()
            os.close(pidfd)
        status = os.waitstatus_to_exitcode(process.wait())
        return status if status >= 0 else 128 - status

    def _close_console_fd(self) -> None:
        if self.console_fd >= 0:
            os.close(self.console_fd)
        self.console_fd = -1

    def _serve(self, pid: int, pidfd: int, relay: Relay) -> None:
        """Pass on signals and bytes until *pidfd* says that the process has ended."""
        while True:
            poll = select.poll()
            poll.register(self._signal_fd, select.POLLIN)
            poll.register(pidfd, select.POLLIN)
            for fd, events in relay.interests():
                poll.register(fd, events)
            ready = poll.poll(relay.timeout_msec)
            relay.look_again()
            for fd, events in ready:
                if fd == self._signal_fd:
                    while number := _check("take a signal", lib.ocirt_next_signal(fd)):
                        self._pass_on(number, pid, pidfd, relay)
                elif fd != pidfd:
                    relay.transfer(fd, events)
            if any(fd == pidfd for fd, _ in ready):
                return

    def _pass_on(self, number: int, pid: int, pidfd: int, relay: Relay) -> None:
        if number == lib.SIGCHLD:
            if self._is_subreaper:
                _reap_orphans(pid)
            return
        if number == lib.SIGWINCH and relay.has_terminal:
            relay.resize()
            return
        if number == lib.SIGCONT:
            relay.resume()
        lib.ocirt_pidfd_signal(pidfd, number)  # fails only when it has just ended


def _reap_orphans(pid: int) -> None:
    """Collect children that have ended, but not *pid*, whose status somebody waits for."""
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == pid:
            return
        os.waitpid(ended.si_pid, 0)


def _check(step: str, result: int) -> int:
    if result < 0:
        raise StepError(step, -result)
    return result


class Relay:
    """Copies between the caller's standard streams and the master of a pty; does nothing where there is none (-1).

    At most one chunk is under way in each direction: a side that does not read makes the other one wait.
    """

    __slots__ = (
        "_input",
        "_is_closed",
        "_master_fd",
        "_output",
        "_reads_input",
        "_saved_settings",
        "_size_fd",
        "has_terminal",
    )

    def __init__(self, master_fd: int) -> None:
        self.has_terminal = master_fd >= 0
        self._master_fd = master_fd
        self._is_closed = False  # by every process, for now
        self._reads_input = True
        self._input = b""
        self._output = b""
        self._saved_settings: list[Any] | None = None
        self._size_fd = next((fd for fd in (2, 1, 0) if os.isatty(fd)), -1) if self.has_terminal else -1

    def open(self) -> None:
        """Give the pty the size of the caller's terminal, and put that one into raw mode."""
        if not self.has_terminal:
            return
        os.set_blocking(self._master_fd, False)
        self.resize()
        if os.isatty(0):
            import termios

            self._saved_settings = termios.tcgetattr(0)
            self._set_raw(self._saved_settings)

    def close(self) -> None:
        """Put the caller's terminal back into the mode in which it was, and close the master."""
        if self._saved_settings is not None:
            import termios

            try:
                termios.tcsetattr(0, termios.TCSADRAIN, self._saved_settings)
            except termios.error:
                pass  # it was hung up
            self._saved_settings = None
        self._hang_up()

    def resume(self) -> None:
        """After a stop: the shell has set its own mode, and the window may have another size."""
        if self._saved_settings is not None:
            self._set_raw(self._saved_settings)
        if self.has_terminal:
            self.resize()

    def resize(self) -> None:
        """Give the pty the size of the caller's terminal, if that has one."""
        if self._size_fd < 0 or self._master_fd < 0:
            return
        import termios

        try:
            termios.tcsetwinsize(self._master_fd, termios.tcgetwinsize(self._size_fd))
        except termios.error:
            pass  # it was hung up

    @property
    def timeout_msec(self) -> int:
        """How long to wait for what ``interests`` gave, or -1: for ever."""
        return _LOOK_AGAIN_MSEC if self._is_closed else -1

    def look_again(self) -> None:
        """Suppose that the terminal is open again."""
        self._is_closed = False

    def interests(self) -> Iterator[tuple[int, int]]:
        """What to wait for: pairs of a descriptor and poll(2)'s events."""
        if self._master_fd >= 0 and not self._is_closed:
            if self._reads_input and not self._input:
                yield 0, select.POLLIN
            events = (0 if self._output else select.POLLIN) | (select.POLLOUT if self._input else 0)
            if events:
                yield self._master_fd, events
        if self._output:
            yield 1, select.POLLOUT

    def transfer(self, fd: int, events: int) -> None:
        """Copy one chunk from or to *fd*, which has *events*."""
        if fd == 0:
            self._read_input()
        elif fd == 1:
            self._write_output()
        elif fd == self._master_fd:
            if self._input and events & (select.POLLOUT | select.POLLERR):
                self._write_input()
            if not self._output and events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                self._read_output()

    def drain(self) -> None:
        """Copy what the process has printed before it ended."""
        budget = _DRAIN_BYTES
        while self._output or (self._master_fd >= 0 and budget > 0 and self._read_output()):
            budget -= len(self._output)
            self._write_output()

    def _read_input(self) -> None:
        try:
            self._input = os.read(0, _CHUNK_BYTES)
        except OSError:
            self._input = b""  # a terminal that was hung up
        if not self._input:
            self._reads_input = False
            self._input = self._end_of_input()

    def _end_of_input(self) -> bytes:
        """What tells the process that nothing more is typed: the character for it, if the terminal knows one now."""
        import termios

        try:
            settings = termios.tcgetattr(self._master_fd)
        except termios.error:
            return b""
        # The first one only ends a line that has been begun.
        character: bytes = settings[6][termios.VEOF]
        return character * 2 if settings[3] & termios.ICANON and character != b"\0" else b""

    def _write_input(self) -> None:
        try:
            self._input = self._input[os.write(self._master_fd, self._input) :]
        except BlockingIOError:
            pass
        except OSError:
            self._input, self._reads_input = b"", False

    def _read_output(self) -> bool:
        """Take a chunk from the master; False when there is none now."""
        try:
            self._output = os.read(self._master_fd, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            self._is_closed = True  # EIO, once everything is read
            return False
        return True

    def _write_output(self) -> None:
        try:
            self._output = self._output[os.write(1, self._output) :]
        except OSError:
            # Nobody reads: like a terminal that is closed. The process gets SIGHUP and EIO, and cannot print for ever.
            self._output = b""
            self._hang_up()

    def _hang_up(self) -> None:
        if self._master_fd >= 0:
            os.close(self._master_fd)
        self._master_fd = -1
        self._input, self._reads_input = b"", False

    def _set_raw(self, settings: list[Any]) -> None:
        """cfmakeraw(3), but with the processing of output: the pty adds no carriage return, so our terminal has to."""
        import termios

        iflag, oflag, cflag, lflag, ispeed, ospeed, characters = settings
        iflag &= ~(
            termios.IGNBRK
            | termios.BRKINT
            | termios.PARMRK
            | termios.ISTRIP
            | termios.INLCR
            | termios.IGNCR
            | termios.ICRNL
            | termios.IXON
        )
        lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
        cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        characters = list(characters)
        characters[termios.VMIN], characters[termios.VTIME] = 1, 0
        raw = [iflag, oflag, cflag, lflag, ispeed, ospeed, characters]
        termios.tcsetattr(0, termios.TCSADRAIN, raw)
