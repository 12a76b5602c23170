"""NOTIFY_SOCKET: a container says that it is ready, and the service manager hears of it (sd_notify(3))."""

from __future__ import annotations

import os
import select
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_view import PATIENCE, wait_readable
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

INSIDE = "/run/notify/notify.sock"


class Manager:
    """The service manager's socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self.environment = {**os.environ, "NOTIFY_SOCKET": address}

    def hear(self) -> str:
        wait_readable(self.socket.fileno(), "a message")
        text, fds, _, _ = socket.recv_fds(self.socket, 4096, 1)
        for fd in fds:
            os.close(fd)
        return text.decode()

    def is_silent(self) -> bool:
        return not select.select([self.socket], [], [], 0)[0]


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, runtime: Runtime, tmp_path: Path) -> Iterator[Manager]:
    address = str(tmp_path / "manager.sock") if request.param == "path" else f"@{runtime.token}"
    made = Manager(address)
    yield made
    made.socket.close()


def finish(process: subprocess.Popen[bytes]) -> None:
    assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("user", [0, 1000])
def test_start_returns_when_the_container_is_ready(
    runtime: Runtime, bundle: Bundle, manager: Manager, user: int
) -> None:
    bundle.process["user"]["uid"] = user
    text = "STATUS=fine\nREADY=1\nMAINPID=1"
    container = runtime.create(bundle, "env", ";", "send-to", INSIDE, text, ";", "pause", env=manager.environment)
    starting = runtime.popen("start", container.id, env=manager.environment)
    # Of what the container says, its readiness alone is passed on.
    assert manager.hear() == "READY=1\n"
    assert manager.hear() == f"MAINPID={container.pid}\n"
    assert manager.hear() == "BARRIER=1"
    finish(starting)
    assert f"NOTIFY_SOCKET={INSIDE}" in container.read_value()
    assert container.read_value()["result"] == len(text)
    assert manager.is_silent()


def test_start_waits_for_the_barrier(runtime: Runtime, bundle: Bundle, manager: Manager) -> None:
    container = runtime.create(bundle, "send-to", INSIDE, "READY=1", ";", "pause", env=manager.environment)
    starting = runtime.popen("start", container.id, env=manager.environment)
    manager.hear()
    manager.hear()
    wait_readable(manager.socket.fileno(), "the barrier")
    _, (fd,), _, _ = socket.recv_fds(manager.socket, 4096, 1)
    assert starting.poll() is None
    os.close(fd)
    finish(starting)


def test_start_returns_when_a_container_ends_that_was_never_ready(
    runtime: Runtime, bundle: Bundle, manager: Manager
) -> None:
    container = runtime.create(bundle, "send-to", INSIDE, "STATUS=no", ";", "exit", "0", env=manager.environment)
    runtime("start", container.id, env=manager.environment).check()
    assert manager.is_silent()


def test_run_in_the_background_returns_when_the_container_is_ready(
    runtime: Runtime, bundle: Bundle, manager: Manager, tmp_path: Path
) -> None:
    bundle.set_program("send-to", INSIDE, "READY=1", ";", "pause")
    bundle.save()
    id, pid_file = runtime.new_id(), tmp_path / "pid"
    words = ["run", "--detach", "--bundle", str(bundle.path), "--pid-file", str(pid_file), id]
    running = runtime.popen(*words, env=manager.environment, stdout=subprocess.DEVNULL)
    heard = [manager.hear() for _ in range(3)]
    finish(running)
    runtime.adopt(id, bundle)
    assert heard == ["READY=1\n", f"MAINPID={pid_file.read_text()}\n", "BARRIER=1"]


def test_run_in_the_foreground_is_the_process_to_watch(runtime: Runtime, bundle: Bundle, manager: Manager) -> None:
    bundle.set_program("send-to", INSIDE, "READY=1", ";", "exit", "7")
    bundle.save()
    words = ["run", "--bundle", str(bundle.path), runtime.new_id()]
    running = runtime.popen(*words, env=manager.environment, stdout=subprocess.DEVNULL)
    assert [manager.hear() for _ in range(3)] == ["READY=1\n", f"MAINPID={running.pid}\n", "BARRIER=1"]
    assert running.wait(PATIENCE) == 7


def test_a_service_manager_that_is_gone_is_a_warning(runtime: Runtime, bundle: Bundle) -> None:
    environment = {**os.environ, "NOTIFY_SOCKET": "/nowhere/x.sock"}
    container = runtime.create(bundle, "send-to", INSIDE, "READY=1", ";", "pause", env=environment)
    result = runtime("start", container.id, env=environment)
    assert result.status == 0
    assert "cannot tell NOTIFY_SOCKET of the host: no such file or directory" in result.err
    assert container.status == "running"


def test_a_container_with_a_user_namespace_says_it_too(runtime: Runtime, bundle: Bundle, manager: Manager) -> None:
    bundle.map_ids((0, 100_000, 1000))
    container = runtime.create(bundle, "send-to", INSIDE, "READY=1", ";", "pause", env=manager.environment)
    starting = runtime.popen("start", container.id, env=manager.environment)
    assert [manager.hear() for _ in range(3)] == ["READY=1\n", f"MAINPID={container.pid}\n", "BARRIER=1"]
    finish(starting)


def test_the_directory_of_the_socket_cannot_be_written_to(runtime: Runtime, bundle: Bundle, manager: Manager) -> None:
    container = runtime.create(bundle, "write-file", "/run/notify/x", "", ";", "exit", "0", env=manager.environment)
    container.start()
    assert container.read_value()["result"] == -1


def test_without_the_variable_there_is_no_socket(runtime: Runtime, bundle: Bundle) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    result = runtime.run(bundle, "env", ";", "ls", "/run", env=environment).check()
    assert not any(line.startswith("NOTIFY_SOCKET") for line in result.values[0])
    assert result.values[1]["result"] == -1
