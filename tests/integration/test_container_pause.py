"""``ocirt pause`` and ``ocirt resume``: the processes of a container stand still, and go on."""

from __future__ import annotations

import signal

import pytest
from cgroup_view import is_frozen, wait_until_thawed
from host_view import is_alive
from support import Bundle, Runtime

from ocirt import Container as LibraryContainer

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_controller("pids")]


def test_a_paused_container_does_not_run_until_it_is_resumed(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle, "spawn", "3", ";")
    runtime("pause", container.id).check()
    assert container.status == "paused"
    assert is_frozen(container.pid)
    container.kill("TERM")
    assert is_alive(container.pid)
    runtime("resume", container.id).check()
    assert not is_frozen(container.pid)


def test_a_signal_reaches_a_paused_container_when_it_is_resumed(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    runtime("pause", container.id).check()
    container.kill("USR1")
    assert container.status == "paused"
    runtime("resume", container.id).check()
    assert container.read_line() == str(int(signal.SIGUSR1))
    assert container.wait() == signal.SIGUSR1


def test_a_created_container_is_paused_and_can_be_started_later(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    runtime("pause", container.id).check()
    assert container.status == "paused"
    runtime("start", container.id).fails("cannot start")
    runtime("resume", container.id).check()
    assert container.status == "created"
    container.start()
    container.read_until("ready")


def test_only_what_runs_is_paused_and_only_what_is_paused_is_resumed(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    runtime("resume", container.id).fails("container not paused")
    runtime("pause", container.id).check()
    runtime("pause", container.id).fails("container not running")
    runtime("resume", container.id).check()
    container.kill("KILL")
    container.wait()
    runtime("pause", container.id).fails("container not running")
    runtime("resume", container.id).fails("container not paused")
    runtime("pause", "nobody").fails("container does not exist")


@pytest.mark.parametrize("signal_words", [("KILL",), ("--all", "KILL")])
def test_sigkill_ends_a_paused_container(runtime: Runtime, bundle: Bundle, signal_words: tuple[str, ...]) -> None:
    container = runtime.start_paused_program(bundle)
    runtime("pause", container.id).check()
    runtime("kill", *signal_words[:-1], container.id, signal_words[-1]).check()
    assert container.wait() == -signal.SIGKILL
    assert container.status == "stopped"


def test_delete_force_ends_a_paused_container(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle, "spawn", "2", ";")
    runtime("pause", container.id).check()
    container.delete("--force")
    assert runtime.ids() == []


def test_exec_refuses_a_paused_container(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    runtime("pause", container.id).check()
    result = container.exec("/init", "pids")
    result.fails("cannot exec in a paused container (use --ignore-paused to override)", status=255)
    runtime("resume", container.id).check()
    assert container.probe("uts")["hostname"]


def test_the_library_pauses_and_resumes(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    loaded = LibraryContainer.load(container.id, str(runtime.root))
    loaded.pause()
    assert loaded.status() == "paused"
    assert is_frozen(container.pid)
    loaded.resume()
    wait_until_thawed(container.pid)
    assert loaded.status() == "running"


def test_a_container_without_a_cgroup_says_that_it_cannot_be_paused(runtime: Runtime, bundle: Bundle) -> None:
    runtime.global_words = ["--cgroup-manager", "disabled"]
    container = runtime.start_paused_program(bundle)
    runtime("pause", container.id).fails("freezing the container is not supported here: needs a cgroup of its own")
    assert container.status == "running"
