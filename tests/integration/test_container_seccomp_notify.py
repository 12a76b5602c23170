"""``linux.seccomp`` with SCMP_ACT_NOTIFY: the listener reaches the agent whatever is notified, and what goes wrong."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_view import PATIENCE
from support import Bundle, Container, Runtime

pytestmark = pytest.mark.needs_root

LISTENER = "anon_inode:seccomp notify"


class Agent:
    """Takes listeners, one connection after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.server.bind(str(path))
        self.server.listen()
        self.server.settimeout(PATIENCE)

    def take(self) -> dict[str, Any]:
        """The container process state, after a look at the descriptor that came with it."""
        connection, _ = self.server.accept()
        with connection:
            data, fds, _, _ = socket.recv_fds(connection, 1 << 16, 8)
            assert connection.recv(1) == b"", "more than one message"
        found = [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
        for fd in fds:
            os.close(fd)
        assert found == [LISTENER]
        state = json.loads(data)
        assert isinstance(state, dict)
        return state

    def has_caller(self) -> bool:
        self.server.setblocking(False)
        try:
            self.server.accept()
        except BlockingIOError:
            return False
        finally:
            self.server.settimeout(PATIENCE)
        return True


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    agent = Agent(tmp_path / "agent.sock")
    yield agent
    agent.server.close()


def spec_state(container: Container, status: str) -> dict[str, Any]:
    """The state of a container, without what `ocirt state` adds to it."""
    found = container.state()
    names = ("ociVersion", "id", "pid", "bundle", "annotations")
    return {"status": status, **{name: found[name] for name in names if name in found}}


@pytest.mark.parametrize("no_new_privileges", [False, True])
def test_the_agent_hears_of_a_container_when_it_starts(
    runtime: Runtime, bundle: Bundle, agent: Agent, no_new_privileges: bool
) -> None:
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.config["annotations"] = {"a": "b"}
    bundle.notify(agent.path, listenerMetadata='"opaque" ü')
    container = runtime.create(bundle, "pause")
    assert not agent.has_caller()
    container.start()
    assert agent.take() == {
        "ociVersion": "1.3.0",
        "fds": ["seccompFd"],
        "pid": container.pid,
        "metadata": '"opaque" ü',
        "state": spec_state(container, "created"),
    }


def test_without_metadata_the_agent_gets_none(runtime: Runtime, bundle: Bundle, agent: Agent) -> None:
    bundle.notify(agent.path)
    runtime.start_paused_program(bundle)
    assert "metadata" not in agent.take()


def test_a_further_process_has_a_listener_of_its_own(runtime: Runtime, bundle: Bundle, agent: Agent) -> None:
    bundle.notify(agent.path)
    container = runtime.start_paused_program(bundle)
    agent.take()
    assert container.exec("/init", "print", "ran").check().out == "ran\n"
    state = agent.take()
    assert state["pid"] != container.pid
    assert state["state"] == spec_state(container, "running")


def test_the_system_calls_of_the_hand_over_can_be_denied_or_notified(
    runtime: Runtime, bundle: Bundle, agent: Agent
) -> None:
    # Nobody answers: what is notified in the hand-over itself would hang.
    bundle.notify(agent.path, "sendmsg", "recvmsg", "sendto", "recvfrom", "connect", "fcntl")
    assert runtime.run(bundle, "print", "ran").check().out == "ran\n"
    agent.take()


def test_the_program_has_no_descriptor_of_the_listener(runtime: Runtime, bundle: Bundle, agent: Agent) -> None:
    bundle.notify(agent.path)
    container = runtime.start_paused_program(bundle)
    agent.take()
    links = [os.readlink(each) for each in Path(f"/proc/{container.pid}/fd").iterdir()]
    assert LISTENER not in links


def test_a_notified_call_without_an_agent_is_not_implemented(runtime: Runtime, bundle: Bundle, agent: Agent) -> None:
    bundle.notify(agent.path)
    container = runtime.create(bundle, "mkdir", "/x")
    container.start()
    agent.take()  # and closes it
    assert container.read_value()["errno"] == errno.ENOSYS


def test_a_start_without_an_agent_fails_and_stops_the_container(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.notify(tmp_path / "nobody.sock")
    container = runtime.create(bundle, "print", "ran")
    runtime("start", container.id).fails(
        "failed to connect with seccomp agent", "nobody.sock", "no such file", "#/linux/seccomp/listenerPath"
    )
    container.wait()
    assert container.status == "stopped"
    assert "ran" not in container.read_rest()


def test_an_agent_that_is_not_there_leaves_nothing_behind(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.notify(tmp_path / "nobody.sock")
    runtime.run(bundle, "print", "ran").fails("failed to connect with seccomp agent", "nobody.sock")
    assert runtime.ids() == []


def test_an_exec_without_an_agent_fails(runtime: Runtime, bundle: Bundle, agent: Agent) -> None:
    bundle.notify(agent.path)
    container = runtime.start_paused_program(bundle)
    agent.server.close()
    result = container.exec("/init", "print", "ran")
    assert "failed to connect with seccomp agent" in result.err
    assert (result.status, result.out) == (255, "")


def test_a_start_container_hook_runs_beside_the_listener(runtime: Runtime, bundle: Bundle, agent: Agent) -> None:
    bundle.notify(agent.path)
    bundle.config["hooks"] = {"startContainer": [{"path": "/init", "args": ["init", "print", "hook"]}]}
    container = runtime.create(bundle, "print", "ran")
    container.start()
    agent.take()
    container.wait()
    assert container.read_rest() == "ran\n"
