"""Terminals: the console socket of create and exec, and the foreground under a real pty."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import termios
import time
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from host_view import PATIENCE, wait_readable
from support import Bundle, Runtime
from terminal_view import Console, read_until

pytestmark = pytest.mark.needs_root


def set_size(fd: int, rows: int, columns: int) -> None:
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


# -- console socket ----------------------------------------------------------------------------------------------------


def test_create_sends_the_master_and_the_program_has_the_terminal(
    runtime: Runtime, bundle: Bundle, console: Console
) -> None:
    bundle.process["terminal"] = True
    bundle.process["consoleSize"] = {"height": 33, "width": 77}
    container = runtime.create(bundle, "tty", ";", "pause", flags=["--console-socket", str(console.path)])
    master = console.master()
    container.start()
    found = json.loads(read_until(master, b"ready").splitlines()[0])
    assert (found["0"], found["1"], found["2"]) == ("/dev/pts/0",) * 3
    assert (found["rows"], found["columns"]) == (33, 77)
    assert found["session"] == 1
    assert found["consoleMajor"] == 136


def test_a_line_feed_is_sent_as_it_is(runtime: Runtime, bundle: Bundle, console: Console) -> None:
    """runc clears ONLCR: it is the engine's terminal that turns a line feed into a new line."""
    bundle.process["terminal"] = True
    container = runtime.create(bundle, "print", "text", ";", "pause", flags=["--console-socket", str(console.path)])
    master = console.master()
    container.start()
    assert read_until(master, b"ready").startswith(b"text\nready")


def test_what_is_typed_reaches_the_program(runtime: Runtime, bundle: Bundle, console: Console) -> None:
    bundle.process["terminal"] = True
    container = runtime.create(bundle, "echo", flags=["--console-socket", str(console.path)])
    master = console.master()
    container.start()
    os.write(master, b"typed\n")
    # Once by the terminal's echo, once by the program.
    read_until(master, b"typed\n")
    os.write(master, b"\x04")
    assert container.wait() == 0


def test_the_terminal_belongs_to_the_user(runtime: Runtime, bundle: Bundle, console: Console) -> None:
    bundle.process.update(terminal=True, user={"uid": 1000, "gid": 1000})
    container = runtime.create(
        bundle, "stat", "/dev/pts/0", ";", "pause", flags=["--console-socket", str(console.path)]
    )
    master = console.master()
    container.start()
    assert json.loads(read_until(master, b"ready").splitlines()[0])["uid"] == 1000


def test_the_first_interrupt_is_the_programs(runtime: Runtime, bundle: Bundle, console: Console) -> None:
    bundle.process["terminal"] = True
    container = runtime.create(bundle, "await-signal", flags=["--console-socket", str(console.path)])
    master = console.master()
    container.start()
    read_until(master, b"ready")
    os.write(master, b"\x03")
    assert container.wait() == signal.SIGINT


def test_exec_sends_a_master_of_its_own(runtime: Runtime, bundle: Bundle, console: Console, tmp_path: Path) -> None:
    container = runtime.start_paused_program(bundle)
    flags = ["--detach", "--tty", "--console-socket", str(console.path), "--pid-file", str(tmp_path / "pid")]
    container.exec("/init", "tty", ";", "pause", flags=flags).check()
    found = json.loads(read_until(console.master(), b"ready").splitlines()[0])
    assert (found["0"], found["1"], found["2"]) == ("/dev/pts/0",) * 3


@pytest.mark.parametrize("verb", ["create", "exec"])
def test_a_console_socket_that_is_missing_is_named(runtime: Runtime, bundle: Bundle, verb: str) -> None:
    path = "/nowhere/console.sock"
    if verb == "exec":
        container = runtime.start_paused_program(bundle)
        result = container.exec("/init", "tty", flags=["-d", "-t", "--console-socket", path])
        result.fails(path, "no such file or directory", status=255)
    else:
        bundle.process["terminal"] = True
        bundle.save()
        result = runtime("create", "--console-socket", path, "-b", str(bundle.path), runtime.new_id())
        result.fails(path, "no such file or directory")
        assert runtime.ids() == []


def test_a_terminal_without_a_console_socket_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    bundle.save()
    result = runtime("create", "-b", str(bundle.path), runtime.new_id())
    result.fails("cannot allocate tty if", "will detach without setting console socket")
    assert runtime.ids() == []


def test_a_console_socket_without_a_terminal_is_refused(runtime: Runtime, bundle: Bundle, console: Console) -> None:
    bundle.save()
    result = runtime("create", "--console-socket", str(console.path), "-b", str(bundle.path), runtime.new_id())
    result.fails("cannot use console socket if", "will not detach or allocate tty")
    assert runtime.ids() == []


# -- foreground --------------------------------------------------------------------------------------------------------


class Terminal:
    """A terminal with the command in it: ``run`` or ``exec`` in the foreground."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        set_size(self.master, 24, 80)
        self.before = termios.tcgetattr(self.slave)
        self.process: Any = None

    def start(self, runtime: Runtime, *words: str) -> None:
        def lead() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self.slave)
        self.process = runtime.popen(*words, preexec_fn=lead, **streams)

    def type(self, data: bytes) -> None:
        os.write(self.master, data)

    def wait(self) -> int:
        """The exit status; the output is read on meanwhile, for a terminal takes only so much."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            assert time.monotonic() < end, "the command hangs"
            if select.select([self.master], [], [], 0.01)[0]:
                os.read(self.master, 65536)
        return int(self.process.returncode)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.master)
    os.close(terminal.slave)


@pytest.fixture(params=["run", "exec"])
def start(request: Any, runtime: Runtime, bundle: Bundle, terminal: Terminal) -> Callable[..., None]:
    """Starts the init's commands with a terminal, by run and by exec."""

    def start_one(*program: str) -> None:
        if request.param == "exec":
            container = runtime.start_paused_program(bundle)
            terminal.start(runtime, "exec", "-t", container.id, "/init", *program)
        else:
            bundle.process["terminal"] = True
            bundle.set_program(*program)
            bundle.save()
            terminal.start(runtime, "run", "-b", str(bundle.path), runtime.new_id())

    return start_one


def test_the_exit_status_is_handed_through(start: Callable[..., None], terminal: Terminal) -> None:
    start("exit", "42")
    assert terminal.wait() == 42


def test_input_and_output_are_copied(start: Callable[..., None], terminal: Terminal) -> None:
    start("print", "go", ";", "echo")
    read_until(terminal.master, b"go\r\n")
    terminal.type(b"typed\r")
    # Once by the terminal's echo, once by the program.
    assert read_until(terminal.master, b"typed\r\ntyped\r\n")
    terminal.type(b"\x04")
    assert terminal.wait() == 0


def test_a_large_output_arrives_whole(start: Callable[..., None], terminal: Terminal) -> None:
    size = 1 << 20
    start("output", str(size), ";", "print", "the end")
    found = read_until(terminal.master, b"the end\r\n").replace(b"\r\n", b"\n")
    assert found == b"".join(b"%063d\n" % number for number in range(size // 64)) + b"the end\n"
    assert terminal.wait() == 0


def test_the_size_of_the_window_is_that_of_the_callers_and_follows_it(
    start: Callable[..., None], terminal: Terminal
) -> None:
    set_size(terminal.master, 31, 97)
    start("watch-size")
    read_until(terminal.master, b"31x97\r\n")
    set_size(terminal.master, 12, 34)
    terminal.process.send_signal(signal.SIGWINCH)
    read_until(terminal.master, b"12x34\r\n")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait() == 0


def test_the_callers_terminal_is_as_it_was(start: Callable[..., None], terminal: Terminal) -> None:
    start("print", "ready", ";", "echo")
    read_until(terminal.master, b"ready")
    assert termios.tcgetattr(terminal.slave)[tty.LFLAG] & termios.ICANON == 0
    terminal.type(b"\x04")
    assert terminal.wait() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before


def test_an_interrupt_that_is_typed_is_the_programs(start: Callable[..., None], terminal: Terminal) -> None:
    start("await-signal")
    read_until(terminal.master, b"ready\r\n")
    terminal.type(b"\x03")
    assert terminal.wait() == signal.SIGINT


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_to_the_command_is_the_programs(
    start: Callable[..., None], terminal: Terminal, number: signal.Signals
) -> None:
    start("await-signal")
    read_until(terminal.master, b"ready\r\n")
    terminal.process.send_signal(number)
    assert terminal.wait() == number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGINT, signal.SIGCONT])
def test_a_signal_is_handed_on_without_a_terminal_too(runtime: Runtime, bundle: Bundle, number: signal.Signals) -> None:
    bundle.set_program("await-signal")
    bundle.save()
    reader, writer = os.pipe()
    process = runtime.popen("run", "-b", str(bundle.path), runtime.new_id(), stdout=writer)
    os.close(writer)
    with os.fdopen(reader) as output:
        wait_readable(reader, "the program is ready")
        assert output.readline() == "ready\n"
        process.send_signal(number)
        wait_readable(reader, "the program has received the signal")
        assert output.readline() == f"{int(number)}\n"
    assert process.wait(PATIENCE) == number


def test_a_program_that_a_signal_ends_gives_128_and_the_signal(
    runtime: Runtime, bundle: Bundle, terminal: Terminal
) -> None:
    bundle.remove_namespace("pid")
    bundle.process["terminal"] = True
    bundle.set_program("pause")
    bundle.save()
    terminal.start(runtime, "run", "-b", str(bundle.path), runtime.new_id())
    read_until(terminal.master, b"ready\r\n")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait() == 128 + signal.SIGTERM


def test_an_error_before_the_program_leaves_the_terminal_as_it_was(
    runtime: Runtime, bundle: Bundle, terminal: Terminal
) -> None:
    bundle.process.update(terminal=True, args=["/no/such"])
    bundle.save()
    terminal.start(runtime, "run", "-b", str(bundle.path), runtime.new_id())
    assert terminal.wait() == 1
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert runtime.ids() == []


def test_a_terminal_that_hangs_up_ends_the_command(runtime: Runtime, bundle: Bundle) -> None:
    terminal = Terminal()
    bundle.process["terminal"] = True
    bundle.set_program("await-signal")
    bundle.save()
    terminal.start(runtime, "run", "-b", str(bundle.path), runtime.new_id())
    read_until(terminal.master, b"ready")
    os.close(terminal.slave)
    os.close(terminal.master)
    assert terminal.process.wait(PATIENCE) == signal.SIGHUP
