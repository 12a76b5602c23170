"""A created container, which waits for start: signals do to it what they do to a program that handles none, although
the kernel spares the first process of a PID namespace."""

from __future__ import annotations

import signal

import pytest
from support import Bundle, Container, Runtime

pytestmark = pytest.mark.needs_root

ENDING = [
    *(signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGABRT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE),
    *(signal.SIGALRM, signal.SIGTERM, signal.SIGRTMIN + 3, signal.SIGRTMAX),
]
IGNORED = [signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH]


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle) -> Container:
    return runtime.create(bundle, "pause")


@pytest.mark.parametrize("number", ENDING, ids=str)
def test_a_signal_that_ends_programs_ends_the_container(container: Container, number: int) -> None:
    container.kill(str(int(number)))
    assert container.wait() == 128 + number
    assert container.status == "stopped"
    container.runtime("start", container.id).fails("cannot start a container that has stopped")
    container.delete()


def test_without_a_pid_namespace_it_is_the_signal_that_ends_it(runtime: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("pid")
    container = runtime.create(bundle, "pause")
    container.kill("TERM")
    assert container.wait() == -signal.SIGTERM
    assert container.status == "stopped"


def test_others_do_nothing_to_it(container: Container) -> None:
    for number in IGNORED:
        container.kill(str(int(number)))
    assert container.status == "created"
    container.start()
    assert container.read_line() == "ready"


def test_the_program_finds_no_signal_blocked_or_pending(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "cat", "/proc/self/status")
    container.start()
    fields = dict(line.split(":\t") for line in container.read_value().splitlines() if line.startswith(("Sig", "Shd")))
    assert int(fields["SigBlk"], 16) == int(fields["SigPnd"], 16) == int(fields["ShdPnd"], 16) == 0
