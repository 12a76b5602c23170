"""containerd and its shim, by ctr, with ocirt below them as with runc."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from engines.conftest import NAMESPACE, Ctr, need_metrics
from engines.engine import IMAGE, NOT_EXECUTABLE, Engine, eventually

pytestmark = pytest.mark.needs_root


def start(ctr: Ctr, name: str, *words: str) -> None:
    ctr.checked(*ctr.run, "--detach", "--null-io", *(words or (IMAGE, name, "sleep", "1000")))
    assert ctr.status(name) == "RUNNING"


def test_run_has_the_streams_and_the_status_of_the_process(ctr: Ctr) -> None:
    words = ("--rm", "--env", "A=1", "--cwd", "/home/user", IMAGE, "box")
    script = "read word; echo $word $A $FOO $(pwd); echo err >&2; exit 42"
    done = ctr(*ctr.run, *words, "sh", "-c", script, stdin="first\n")
    assert (done.status, done.out) == (42, "first 1 bar /home/user\n")
    assert "err" in done.err.splitlines()


def test_a_terminal_is_that_of_the_container(ctr: Ctr) -> None:
    # ctr ends with the program, and drops what it has not read by then
    script = "tty; read word; exit 5"
    done = ctr.on_terminal(*ctr.run, "--rm", "--tty", IMAGE, "box", "sh", "-c", script, reply="word\r")
    assert done.status == 5
    assert done.out.splitlines()[0] == "/dev/pts/0"


@pytest.mark.parametrize(("program", "text"), [(program, text) for program, _, text in NOT_EXECUTABLE])
def test_a_program_that_cannot_be_executed_is_named(ctr: Ctr, program: str, text: str) -> None:
    done = ctr(*ctr.run, "--rm", IMAGE, "box", program)
    assert (done.status, done.out) == (1, "")
    assert program in done.err
    assert text in done.err
    start(ctr, "other")
    executed = ctr("tasks", "exec", "--exec-id", "one", "other", program)
    assert (executed.status, executed.out) == (1, "")
    assert text in executed.err
    assert ctr.status("other") == "RUNNING"


def test_exec_has_the_streams_and_the_status_of_the_process(ctr: Ctr) -> None:
    start(ctr, "box")
    words = ("--exec-id", "one", "--user", "1000:1000", "--cwd", "/tmp", "box", "sh", "-c")
    done = ctr("tasks", "exec", *words, "read word; echo $word $(id -u):$(id -g) $(pwd); exit 9", stdin="data\n")
    assert (done.status, done.out) == (9, "data 1000:1000 /tmp\n")


def test_pause_and_resume_are_seen_in_the_status(ctr: Ctr) -> None:
    start(ctr, "box")
    ctr.checked("tasks", "pause", "box")
    assert ctr.status("box") == "PAUSED"
    ctr.checked("tasks", "resume", "box")
    assert ctr.status("box") == "RUNNING"


def test_ps_lists_the_processes_of_the_container(ctr: Ctr) -> None:
    start(ctr, "box")
    ctr.checked("tasks", "exec", "--detach", "--exec-id", "one", "box", "sleep", "77")
    lines = ctr.checked("tasks", "ps", "box").splitlines()
    assert lines[0].split() == ["PID", "INFO"]
    assert len(lines) == 3


def test_kill_ends_the_task_with_the_signal(ctr: Ctr) -> None:
    start(ctr, "box")
    ctr.checked("tasks", "kill", "--signal", "SIGKILL", "box")
    eventually(lambda: ctr.status("box") == "STOPPED", "the end of the task")
    done = ctr("tasks", "rm", "box")
    assert "137" in done.err
    assert ctr.status("box") == ""


def test_a_shim_that_is_killed_takes_its_container_along(ctr: Ctr, tmp_path: Path) -> None:
    start(ctr, "box")
    (pid,) = (line.split()[1] for line in ctr.checked("tasks", "ls").splitlines()[1:])
    status = Path(f"/proc/{pid}/status").read_text()
    os.kill(int(status.partition("PPid:")[2].split()[0]), signal.SIGKILL)
    eventually(lambda: ctr.status("box") == "", "the end of the task")
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the end of the container")
    state = Engine(ctr.runtime, [str(ctr.runtime), "--root", str(tmp_path / "state" / NAMESPACE)])
    eventually(lambda: state.checked("list", "--quiet") == "", "the end of its state")
    ctr.checked("containers", "rm", "box")
    start(ctr, "box")


def test_limits_are_in_the_metrics(ctr: Ctr) -> None:
    need_metrics()
    start(ctr, "box", "--memory-limit", "67108864", IMAGE, "box", "sleep", "1000")
    assert "67108864" in ctr.checked("tasks", "metrics", "--format", "json", "box")
