"""``ocirt.console`` with real processes, signals and ptys: a program of its own stands in front of a forked process."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable, Iterator

import pytest

#: Runs one function as a child in the foreground, as ``run -t`` and ``exec -t`` do; ends with what ``wait`` gives.
DRIVER = """
import os, signal, socket, sys, termios
from ocirt.console import Foreground

class Process:
    def __init__(self, pid):
        self.pid = pid
    def wait(self):
        return os.waitpid(self.pid, 0)[1]

child_mask = []

def fork(child, terminal_socket_fd):
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, child_mask)
            if terminal_socket_fd is not None:
                master, slave = os.openpty()
                settings = termios.tcgetattr(slave)
                settings[1] &= ~termios.ONLCR
                termios.tcsetattr(slave, termios.TCSANOW, settings)
                with socket.socket(fileno=os.dup(terminal_socket_fd)) as sender:
                    socket.send_fds(sender, [b"/dev/ptmx"], [master])
                os.close(master)
                os.login_tty(slave)
            os.write(go, b".")
            os._exit(child() or 0)
        finally:
            os._exit(99)
    os.close(go)
    assert os.read(ready, 1) == b"."
    return Process(pid)

def say(text):
    os.write(1, text.encode() + b"\\n")

def main(child, *, terminal=False, subreaper=False, before=lambda: None, after=lambda: None):
    with Foreground(subreaper=subreaper) as foreground:
        before()
        process = fork(child, foreground.console_fd if terminal else None)
        status = foreground.wait(process, terminal=terminal)
        after()
    os._exit(status)
"""


class Driver:
    """A running driver program; standard input and output are pipes or one terminal."""

    def __init__(self, code: str, *, terminal: bool = False, prefix: tuple[str, ...] = ()) -> None:
        program = [*prefix, sys.executable, "-c", DRIVER + textwrap.dedent(code)]
        self.master_fd = -1
        if not terminal:
            self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            return
        self.master_fd, slave_fd = pty.openpty()
        termios.tcsetwinsize(self.master_fd, (33, 77))
        self.settings = termios.tcgetattr(slave_fd)
        self.process = subprocess.Popen(program, preexec_fn=lambda: os.login_tty(slave_fd), close_fds=False)
        self.slave_fd = slave_fd

    @property
    def output_fd(self) -> int:
        if self.process.stdout is not None:
            return self.process.stdout.fileno()
        return self.master_fd

    def read_until(self, wanted: bytes) -> bytes:
        """What is printed up to *wanted* and with it."""
        found = b""
        while not found.endswith(wanted):
            assert select.select([self.output_fd], [], [], 20)[0], f"only {found!r} was printed"
            chunk = os.read(self.output_fd, 1)
            assert chunk, f"only {found!r} was printed"
            found += chunk
        return found

    def read_rest(self) -> bytes:
        assert self.process.stdout is not None
        return self.process.stdout.read()

    def type(self, text: bytes) -> None:
        """Type *text*; without a terminal that is all there will be."""
        if self.process.stdin is None:
            os.write(self.master_fd, text)
            return
        self.process.stdin.write(text)
        self.process.stdin.close()

    def status(self) -> int:
        return self.process.wait(20)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None and not stream.closed:
                stream.close()
        if self.master_fd >= 0:
            os.close(self.master_fd)
            os.close(self.slave_fd)


@pytest.fixture
def drive() -> Iterator[Callable[..., Driver]]:
    drivers: list[Driver] = []

    def start(code: str, **options: object) -> Driver:
        drivers.append(Driver(code, **options))  # type: ignore[arg-type]
        return drivers[-1]

    yield start
    for driver in drivers:
        driver.close()


Drive = Callable[..., Driver]


def test_the_exit_status_is_that_of_the_process(drive: Drive) -> None:
    assert drive("main(lambda: 42)").status() == 42
    assert drive("main(lambda: 42, terminal=True)").status() == 42


def test_the_status_of_a_killed_process_is_128_and_the_signal(drive: Drive) -> None:
    assert drive("main(lambda: os.kill(os.getpid(), signal.SIGKILL))").status() == 137


@pytest.mark.parametrize(
    "name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT"]
)
def test_a_signal_is_passed_on_and_does_not_end_the_runtime(name: str, drive: Drive) -> None:
    driver = drive(
        f"""
        def child():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.{name}])
            say("ready")
            return 50 if signal.sigwait([signal.{name}]) == signal.{name} else 51
        main(child)
        """
    )
    driver.read_until(b"ready\n")
    driver.process.send_signal(getattr(signal, name))
    assert driver.status() == 50


def test_a_real_time_signal_is_passed_on(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            signal.signal(signal.SIGRTMIN + 3, lambda *_: os._exit(7))
            say("ready")
            signal.pause()
        main(child)
        """
    )
    driver.read_until(b"ready\n")
    driver.process.send_signal(signal.SIGRTMIN + 3)
    assert driver.status() == 7


def test_a_signal_that_comes_before_the_process_is_kept_for_it(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            signal.sigwait([signal.SIGTERM])
            return 60
        child_mask = [signal.SIGTERM]  # the child has it blocked from its start
        main(child, before=lambda: os.kill(os.getpid(), signal.SIGTERM))
        """
    )
    assert driver.status() == 60


def test_a_signal_that_the_caller_ignores_stays_ignored(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            signal.signal(signal.SIGHUP, lambda *_: os._exit(70))
            signal.signal(signal.SIGTERM, lambda *_: os._exit(71))
            say("ready")
            signal.pause()
        main(child)
        """,
        prefix=("sh", "-c", 'trap "" HUP; exec "$0" "$@"'),
    )
    driver.read_until(b"ready\n")
    driver.process.send_signal(signal.SIGHUP)
    driver.process.send_signal(signal.SIGTERM)
    assert driver.status() == 71


def test_the_signals_of_the_runtime_come_back(drive: Drive) -> None:
    driver = drive(
        """
        def now():
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
            return mask, [signal.getsignal(number) for number in signal.valid_signals()]
        before = now()
        with Foreground(subreaper=False) as foreground:
            foreground.wait(fork(lambda: 0, None), terminal=False)
        os._exit(0 if before == now() else 1)
        """
    )
    assert driver.status() == 0


def test_orphans_are_reaped_by_the_subreaper(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            told, tell = os.pipe()
            reads, writes = os.pipe()
            if os.fork() == 0:
                if (orphan := os.fork()) == 0:
                    os.close(writes)
                    os.read(reads, 1)
                    os._exit(0)
                os.write(tell, str(orphan).encode())
                os._exit(0)
            os.wait()
            orphan = int(os.read(told, 20))
            parent = open(f"/proc/{orphan}/stat").read().rpartition(")")[2].split()[1]
            assert int(parent) == os.getppid(), parent
            os.close(writes)
            while os.path.exists(f"/proc/{orphan}"):
                os.sched_yield()
            return 5
        main(child, subreaper=True)
        """
    )
    assert driver.status() == 5


def test_the_last_output_is_not_lost(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            data = b"".join(b"%07d\\n" % n for n in range(50000))
            while data:
                data = data[os.write(1, data):]
            return 3
        main(child, terminal=True)
        """
    )
    assert driver.read_rest().split() == [b"%07d" % n for n in range(50000)]
    assert driver.status() == 3


def test_what_is_typed_arrives_and_its_end_too(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            lines = sys.stdin.read()
            say("got " + repr(lines))
        main(child, terminal=True)
        """
    )
    driver.type(b"one\ntwo")
    assert driver.read_rest().endswith(b"got 'one\\ntwo'\n")
    assert driver.status() == 0


def test_a_long_input_waits_for_a_slow_reader(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            say("ready")
            return 0 if sum(len(line) for line in sys.stdin) == 320000 else 1
        main(child, terminal=True)
        """
    )
    driver.read_until(b"ready\n")
    driver.type(b"0123456789abcde\n" * 20000)
    driver.read_rest()
    assert driver.status() == 0


def test_a_reader_that_goes_away_hangs_up_the_terminal(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            while True:
                os.write(1, b"y" * 1000 + b"\\n")
        main(child, terminal=True)
        """
    )
    assert driver.process.stdout is not None
    driver.process.stdout.close()
    assert driver.status() == 128 + signal.SIGHUP


def test_a_process_may_close_its_terminal_and_open_it_again(drive: Drive) -> None:
    driver = drive(
        """
        from ocirt.console import Relay
        noticed, notice = os.pipe()
        read_output = Relay._read_output
        def read_and_tell(relay):
            found = read_output(relay)
            if relay._is_closed:
                os.write(notice, b".")
            return found
        Relay._read_output = read_and_tell

        def child():
            name = os.ttyname(0)
            say("before")
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            for fd in range(3):
                os.close(fd)
            os.read(noticed, 1)
            fd = os.open(name, os.O_RDWR | os.O_NOCTTY)
            os.write(fd, b"behind\\n")
            return 0
        main(child, terminal=True)
        """
    )
    assert driver.read_rest().replace(b"\r", b"").splitlines() == [b"before", b"behind"]
    assert driver.status() == 0


def test_a_terminal_is_raw_while_the_process_runs_and_as_before_behind_it(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            say("ready")
            # Were the outer terminal not raw, ^C would be a SIGINT for the driver.
            settings = termios.tcgetattr(0)
            settings[3] &= ~(termios.ISIG | termios.ICANON | termios.ECHO)
            termios.tcsetattr(0, termios.TCSANOW, settings)
            say("raw")
            return 8 if os.read(0, 1) == b"\\x03" else 9
        main(child, terminal=True)
        """,
        terminal=True,
    )
    driver.read_until(b"raw\r\n")
    raw = termios.tcgetattr(driver.slave_fd)
    assert not raw[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
    assert raw[1] & termios.OPOST
    driver.type(b"\x03")
    assert driver.status() == 8
    assert termios.tcgetattr(driver.slave_fd) == driver.settings


def test_a_terminal_is_restored_when_serving_it_fails(drive: Drive) -> None:
    driver = drive(
        """
        import ocirt.console
        def fail(*_):
            say("failed")
            raise RuntimeError
        ocirt.console.Foreground._serve = fail
        main(lambda: signal.pause(), terminal=True)
        """,
        terminal=True,
    )
    driver.read_until(b"failed\r\n")
    assert driver.status() == 1
    assert termios.tcgetattr(driver.slave_fd) == driver.settings


def test_the_size_of_the_window_is_passed_on_at_the_start_and_when_it_changes(drive: Drive) -> None:
    driver = drive(
        """
        def child():
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])
            for last in (0, 0), (33, 77):
                while termios.tcgetwinsize(0) == last:
                    signal.sigwait([signal.SIGWINCH])
                say("size {} {}".format(*termios.tcgetwinsize(0)))
        main(child, terminal=True)
        """,
        terminal=True,
    )
    assert driver.read_until(b"\r\n") == b"size 33 77\r\n"
    termios.tcsetwinsize(driver.master_fd, (10, 20))
    assert driver.read_until(b"\r\n") == b"size 10 20\r\n"
    assert driver.status() == 0
