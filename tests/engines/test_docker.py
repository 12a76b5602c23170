"""dockerd, its containerd and its shim, with ocirt as the default runtime as with runc."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import OCIRT

from engines.engine import IMAGE, NOT_EXECUTABLE, Engine, eventually

pytestmark = pytest.mark.needs_root

SLEEP = ("sleep", "1000")


@pytest.fixture(autouse=True)
def empty(docker: Engine) -> Iterator[None]:
    """No test leaves a container to the next."""
    yield
    for name in docker.checked("ps", "--all", "--quiet").split():
        docker.checked("rm", "--force", "--volumes", name)


def start(docker: Engine, *words: str) -> None:
    docker.checked("run", "--detach", "--name", "box", *(words or (IMAGE, *SLEEP)))


def state(docker: Engine) -> str:
    return docker.checked("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "box")


def test_the_runtime_is_the_default(docker: Engine) -> None:
    info = json.loads(docker.checked("info", "--format", "{{json .}}"))
    assert info["DefaultRuntime"] == docker.runtime.name
    assert info["Runtimes"]["ocirt"]["path"] == str(OCIRT)
    start(docker)
    assert docker.checked("inspect", "--format", "{{.HostConfig.Runtime}}", "box") == docker.runtime.name


def test_a_container_can_ask_for_the_runtime(docker: Engine) -> None:
    start(docker, "--runtime", "ocirt", IMAGE, *SLEEP)
    assert docker.checked("inspect", "--format", "{{.HostConfig.Runtime}}", "box") == "ocirt"
    assert docker.checked("exec", "box", "echo", "in") == "in"


def test_run_has_the_streams_and_the_status_of_the_process(docker: Engine) -> None:
    words = ("--env", "A=1", "--workdir", "/home/user", "--user", "user", IMAGE, "sh", "-c")
    script = "cat; echo $A $FOO $(pwd) $(id -u); echo err >&2; exit 42"
    assert docker("run", "--rm", "--interactive", *words, script, stdin="first\n") == (
        *(42, "first\n1 bar /home/user 1000\n", "err\n"),
    )


def test_a_terminal_has_the_size_of_the_users(docker: Engine) -> None:
    script = "until stty size | grep -q 33; do :; done; tty; stty size; exit 5"
    done = docker.on_terminal("run", "--rm", "-it", IMAGE, "sh", "-c", script, rows=33, columns=99)
    assert done.status == 5
    assert done.out.splitlines()[-2:] == ["/dev/pts/0", "33 99"]


@pytest.mark.parametrize(("program", "expected", "text"), NOT_EXECUTABLE)
def test_a_program_that_cannot_be_executed_is_told_by_the_exit_status(
    docker: Engine, program: str, expected: int, text: str
) -> None:
    run = docker("run", "--rm", IMAGE, program)
    assert (run.status, run.out) == (expected, "")
    assert text in run.err
    start(docker)
    executed = docker("exec", "box", program)
    assert executed.status in (126, expected)  # docker 20.10 says 126 of all three
    assert text in executed.out + executed.err
    assert state(docker) == "running 0"


def test_exec_has_the_streams_and_the_status_of_the_process(docker: Engine) -> None:
    start(docker)
    words = ("--interactive", "--user", "1000:1000", "--workdir", "/tmp", "--env", "Q=z", "box", "sh", "-c")
    done = docker("exec", *words, "cat; echo $(id -u):$(id -g) $(pwd) $Q; exit 9", stdin="data\n")
    assert done == (9, "data\n1000:1000 /tmp z\n", "")


def test_the_steps_of_a_dockerfile_are_run(docker: Engine, tmp_path: Path) -> None:
    lines = (
        f"FROM {IMAGE}",
        "ENV WORD=hello",
        "RUN mkdir /made && echo $WORD >/made/text",
        'CMD ["cat", "/made/text"]',
    )
    (tmp_path / "Dockerfile").write_text("\n".join((*lines, "")))
    docker.checked("build", "--quiet", "--tag", "built", str(tmp_path))
    assert docker.checked("run", "--rm", "built") == "hello"
    (tmp_path / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN exit 7\n")
    done = docker("build", str(tmp_path))
    assert done.status == 7
    assert "returned a non-zero code: 7" in done.err


def test_volumes_are_shared_with_the_host_and_among_containers(docker: Engine, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("text\n")
    words = ("run", "--rm", "--volume", f"{tmp_path}:/v", "--volume", "kept:/kept", IMAGE, "sh", "-c")
    assert docker.checked(*words, "cat /v/in; echo new >/v/out; echo kept >/kept/text") == "text"
    assert (tmp_path / "out").read_text() == "new\n"
    assert docker.checked("run", "--rm", "--volume", "kept:/kept", IMAGE, "cat", "/kept/text") == "kept"
    docker.checked("volume", "rm", "kept")
    done = docker("run", "--rm", "--volume", f"{tmp_path}:/v:ro", IMAGE, "touch", "/v/more")
    assert done == (1, "", "touch: /v/more: Read-only file system\n")


@pytest.mark.needs_cgroup1
def test_limits_are_in_force_and_can_be_updated(docker: Engine) -> None:
    start(docker, "--memory", "64m", "--pids-limit", "50", "--cpus", "0.5", IMAGE, *SLEEP)
    names = ("memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us")
    files = [f"/sys/fs/cgroup/{name}" for name in names]
    assert docker.checked("exec", "box", "cat", *files).split() == ["67108864", "50", "50000"]
    docker.checked("update", "--memory", "128m", "--memory-swap", "256m", "--cpus", "0.25", "box")
    assert docker.checked("exec", "box", "cat", *files).split() == ["134217728", "50", "25000"]


def test_logs_keep_what_was_written(docker: Engine) -> None:
    start(docker, IMAGE, "sh", "-c", "echo out; echo err >&2; exit 3")
    assert docker.checked("wait", "box") == "3"
    assert docker("logs", "box") == (0, "out\n", "err\n")
    assert state(docker) == "exited 3"


def test_pause_and_top_and_kill(docker: Engine) -> None:
    start(docker)
    docker.checked("pause", "box")
    assert state(docker) == "paused 0"
    docker.checked("unpause", "box")
    assert docker.checked("top", "box", "-o", "pid,args").splitlines()[1].split()[1:] == ["sleep", "1000"]
    docker.checked("kill", "box")
    assert docker.checked("wait", "box") == "137"
    docker.checked("start", "box")
    assert state(docker) == "running 0"


def test_a_signal_reaches_the_program(docker: Engine) -> None:
    start(docker, IMAGE, "sh", "-c", "trap 'exit 33' USR1; echo ready; while :; do sleep 0.1; done")
    eventually(lambda: docker.checked("logs", "box") == "ready", "the trap")
    docker.checked("kill", "--signal", "USR1", "box")
    assert docker.checked("wait", "box") == "33"


@pytest.mark.needs_program("iptables")
def test_the_bridge_has_a_network_and_a_published_port(docker: Engine) -> None:
    serve = "mkdir /tmp/w && echo page >/tmp/w/index.html && exec httpd -f -p 80 -h /tmp/w"
    start(docker, "--publish", "8080:80", IMAGE, "sh", "-c", serve)
    address = docker.checked("inspect", "--format", "{{.NetworkSettings.IPAddress}}", "box")
    fetch = ("run", "--rm", IMAGE, "wget", "-q", "-O", "-")
    eventually(lambda: docker(*fetch, f"http://{address}/index.html").out == "page\n", "the server")
    gateway = docker.checked("inspect", "--format", "{{.NetworkSettings.Gateway}}", "box")
    host = ["nsenter", "--net", "--target", docker.env["DOCKERD_PID"], "busybox", "wget", "-q", "-O", "-"]
    done = subprocess.run([*host, f"http://{gateway}:8080/index.html"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "page\n"), done.stderr
