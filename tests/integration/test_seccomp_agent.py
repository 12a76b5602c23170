"""The library's seccomp agent, on real containers."""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import Bundle, Runtime

from ocirt import OcirtError, SeccompAgent, StepError
from ocirt.seccomp_agent import Call

pytestmark = pytest.mark.needs_root


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agent.sock"


@contextmanager
def serving(agent: SeccompAgent) -> Iterator[None]:
    thread = threading.Thread(target=agent.serve)
    thread.start()
    try:
        yield
    finally:
        agent.stop()
        thread.join()
        agent.close()


def test_the_result_of_a_handler_is_that_of_the_call(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    agent = SeccompAgent(path)
    calls = []

    @agent.on("mkdir")
    def make(call: Call) -> int:
        calls.append((call.name, call.read_string(call.args[0]), call.args[1], call.process["metadata"]))
        return 0

    bundle.notify(path, listenerMetadata="data")
    with serving(agent):
        assert runtime.probe(bundle, "mkdir", "/x", "0750") == {"result": 0, "errno": 0}
    assert calls == [("mkdir", b"/x", 0o750, "data")]
    assert not (bundle.rootfs / "x").exists()
    assert not path.exists()


def test_an_os_error_of_a_handler_is_the_errno_of_the_call(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    agent = SeccompAgent(path)

    @agent.on("mkdir")
    def make(call: Call) -> int:
        raise OSError(errno.ENOMEDIUM, "no medium")

    bundle.notify(path)
    with serving(agent):
        assert runtime.probe(bundle, "mkdir", "/x") == {"result": -1, "errno": errno.ENOMEDIUM}


def test_continue_lets_the_kernel_do_the_call(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    agent = SeccompAgent(path)
    agent.on("mkdir")(lambda call: agent.CONTINUE)
    bundle.notify(path, flags=["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])
    with serving(agent):
        assert runtime.probe(bundle, "mkdir", "/x")["result"] == 0
    assert (bundle.rootfs / "x").is_dir()


def test_a_descriptor_can_be_the_result(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    agent = SeccompAgent(path)

    @agent.on("openat")
    def open_secret(call: Call) -> object:
        if call.read_string(call.args[1]) != b"/secret":
            return agent.CONTINUE
        fd = os.memfd_create("secret")
        try:
            os.pwrite(fd, b"of the agent", 0)
            return call.add_fd(fd, close_on_exec=True, answer=True)
        finally:
            os.close(fd)

    bundle.notify(path, "openat")
    bundle.write("/other", "of the image")
    with serving(agent):
        found = runtime.probe(bundle, "cat", "/secret", ";", "cat", "/other")
    assert found == ["of the agent", "of the image"]


def test_a_call_without_a_handler_gets_the_fallback(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    bundle.notify(path)
    with serving(SeccompAgent(path)):
        assert runtime.probe(bundle, "mkdir", "/x")["errno"] == errno.ENOSYS
    with serving(SeccompAgent(path, fallback=SeccompAgent.CONTINUE)):
        assert runtime.probe(bundle, "mkdir", "/x")["errno"] == 0


def test_a_handler_that_fails_denies_the_call_and_the_agent_goes_on(
    runtime: Runtime, bundle: Bundle, path: Path
) -> None:
    errors: list[Exception] = []
    agent = SeccompAgent(path, on_error=errors.append)
    results = iter([None, 0])
    agent.on("mkdir")(lambda call: next(results))
    bundle.notify(path)
    with serving(agent):
        first, second = runtime.probe(bundle, "mkdir", "/x", ";", "mkdir", "/x")
    assert (first["errno"], second["errno"]) == (errno.EPERM, 0)
    assert [str(error) for error in errors] == ["the handler of mkdir has returned None: wanted an int or CONTINUE"]


def test_an_address_that_is_none_is_a_fault(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    agent = SeccompAgent(path)

    @agent.on("mkdir")
    def make(call: Call) -> int:
        for address in (0, 1 << 63, (1 << 64) - 1):
            with pytest.raises(OSError, match="Bad address"):
                call.read_string(address)
        return len(call.read(call.args[0], 2))

    bundle.notify(path)
    with serving(agent):
        assert runtime.probe(bundle, "mkdir", "/x")["result"] == 2


def test_the_memory_of_a_process_that_has_ended_is_not_read(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    agent = SeccompAgent(path)
    found: list[object] = []

    @agent.on("mkdir")
    def make(call: Call) -> int:
        found.append(call.is_valid())
        pidfd = os.pidfd_open(call.pid)
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [])
        os.close(pidfd)
        found.append(call.is_valid())
        with pytest.raises(ProcessLookupError):
            call.read_string(call.args[0])
        found.append("no memory")
        return 0

    bundle.notify(path)
    with serving(agent):
        assert runtime.run(bundle, "mkdir", "/x").status == 137
    assert found == [True, False, "no memory"]


def test_one_agent_serves_several_processes(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    agent = SeccompAgent(path)
    agent.on("mkdir")(lambda call: call.process["pid"])
    bundle.notify(path)
    with serving(agent):
        container = runtime.start_paused_program(bundle)
        results = {container.probe("mkdir", "/x")["result"] for _ in range(2)}
    assert len(results) == 2
    assert container.pid not in results


def test_what_is_no_state_is_an_error_and_costs_nobody_else(runtime: Runtime, bundle: Bundle, path: Path) -> None:
    errors: list[Exception] = []
    agent = SeccompAgent(path, on_error=errors.append)
    agent.on("mkdir")(lambda call: 7)
    bundle.notify(path)
    with serving(agent):
        silent = socket.socket(socket.AF_UNIX)
        silent.connect(str(path))
        for text in (b"", b"[]", b'{"fds": ["seccompFd"], "pid": 1}'):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                client.sendall(text)
        assert runtime.probe(bundle, "mkdir", "/x")["result"] == 7
        silent.close()
    assert len(errors) >= 3
    assert all(isinstance(error, OcirtError) for error in errors)


def test_the_socket_is_for_its_owner_and_for_one_agent(path: Path) -> None:
    with SeccompAgent(path):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(StepError, match=r"cannot listen at .*agent.sock: address already in use"):
            SeccompAgent(path)


def test_a_name_that_is_no_system_call_is_refused(path: Path) -> None:
    with SeccompAgent(path) as agent, pytest.raises(ValueError, match="'nonsense' is no system call"):
        agent.on("nonsense")
