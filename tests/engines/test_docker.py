"""dockerd, its containerd and its shim, with ocirt as the default runtime as with runc."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_view import cgroup_mounts
from support import OCIRT

from engines.conftest import need_metrics
from engines.engine import IMAGE, NOT_EXECUTABLE, Done, Engine, eventually

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


def test_a_program_without_its_interpreter_is_told_by_start(docker: Engine, tmp_path: Path) -> None:
    """With runc the container begins, and ends with 255 (1 before runc 1.2)."""
    script = tmp_path / "script"
    script.write_text("#!/nowhere\n")
    script.chmod(0o755)
    run = docker("run", "--rm", "--volume", f"{script}:/script", IMAGE, "/script")
    assert run.status in ((1, 255) if docker.runtime.name == "runc" else (127,))
    assert run.out == ""
    assert "exec /script: no such file or directory" in run.err


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


@pytest.mark.parametrize(
    ("words", "expected", "text"),
    [
        (("--mount", "type=bind,source=/no/such,target=/x"), 125, "bind source path does not exist: /no/such"),
        (("--device", "/dev/nosuch"), 127, "no such file or directory"),
        (("--runtime", "nosuch"), 125, "nosuch"),
        (("--network", "nosuch"), 125, "network nosuch not found"),
        (("--volume", "/etc/hostname:/bin"), 125, "not a directory"),
        (("--volume", "/tmp:/proc"), 125, "cannot be mounted because it is not of type proc"),
        (("--ulimit", "nofile=4000000000"), 125, "operation not permitted"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_container_that_cannot_be_made_is_told_by_the_exit_status(
    docker: Engine, words: tuple[str, ...], expected: int, text: str
) -> None:
    done = docker("run", "--rm", *words, IMAGE, "true")
    assert (done.status, done.out) == (expected, "")
    assert text in done.err
    eventually(lambda: docker.checked("ps", "--quiet") == "", "the end of the container")


def test_exec_has_the_streams_and_the_status_of_the_process(docker: Engine) -> None:
    start(docker)
    words = ("--interactive", "--user", "1000:1000", "--workdir", "/tmp", "--env", "Q=z", "box", "sh", "-c")
    done = docker("exec", *words, "cat; echo $(id -u):$(id -g) $(pwd) $Q; exit 9", stdin="data\n")
    assert done == (9, "data\n1000:1000 /tmp z\n", "")


def build(docker: Engine, folder: Path, *lines: str) -> Done:
    """``docker build`` of a Dockerfile of these lines, the first of which is FROM."""
    (folder / "Dockerfile").write_text("\n".join((f"FROM {IMAGE}", *lines, "")))
    return docker("build", "--quiet", "--tag", "built", str(folder))


def test_the_steps_of_a_dockerfile_are_run(docker: Engine, tmp_path: Path) -> None:
    (tmp_path / "copied").write_text("copied\n")
    with tarfile.open(tmp_path / "added.tar", "w") as tar:
        tar.add(tmp_path / "copied", "unpacked")
    steps = (
        *("ENV WORD=hello", "WORKDIR /made", "COPY copied .", "ADD added.tar /made"),
        *("RUN echo $WORD $(pwd) >text && chmod 600 text", "VOLUME /kept", "RUN mkdir -p /kept", "EXPOSE 80"),
        *("USER user", 'ENTRYPOINT ["echo", "entry"]', 'CMD ["command"]'),
    )
    done = build(docker, tmp_path, *steps)
    assert done.status == 0, done
    assert docker.checked("run", "--rm", "built") == "entry command"
    assert docker.checked("run", "--rm", "built", "other") == "entry other"
    script = "cat copied unpacked; ls -l text | cut -c1-10; grep -c ' /kept ' /proc/mounts; id -u; echo $WORD"
    words = ("run", "--rm", "--entrypoint", "sh", "built", "-c", script)
    assert docker.checked(*words).split() == ["copied", "copied", "-rw-------", "1", "1000", "hello"]
    assert docker.checked("run", "--rm", "--user", "0", "--entrypoint", "cat", "built", "text") == "hello /made"
    assert "80/tcp" in docker.checked("inspect", "--format", "{{.Config.ExposedPorts}}", "built")


def test_a_step_that_fails_fails_the_build_with_its_status(docker: Engine, tmp_path: Path) -> None:
    done = build(docker, tmp_path, "RUN exit 7")
    assert done.status == 7
    assert "returned a non-zero code: 7" in done.err


def test_layers_are_joined_by_overlay_with_a_writable_one_on_top(docker: Engine, tmp_path: Path) -> None:
    done = build(docker, tmp_path, "RUN echo one >/one", "RUN echo two >/two && rm /etc/text")
    assert done.status == 0, done
    script = (
        "cat /one /two; test -e /etc/text || echo gone; echo mine >/one; grep -o '^overlay / overlay rw' /proc/mounts"
    )
    start(docker, "built", "sh", "-c", f"{script}; sleep 1000")
    eventually(lambda: docker.checked("logs", "box").endswith("rw"), "the mounts")
    assert docker.checked("logs", "box").splitlines() == ["one", "two", "gone", "overlay / overlay rw"]
    assert docker.checked("diff", "box").splitlines() == ["C /one"]
    assert docker.checked("run", "--rm", "built", "cat", "/one") == "one"
    docker.checked("commit", "box", "changed")
    assert docker.checked("run", "--rm", "changed", "cat", "/one") == "mine"


def test_an_image_comes_from_a_file_and_goes_into_one(docker: Engine, tmp_path: Path) -> None:
    start(docker)
    docker.checked("export", "--output", str(tmp_path / "rootfs.tar"), "box")
    docker.checked("import", str(tmp_path / "rootfs.tar"), "imported")
    assert docker.checked("run", "--rm", "imported", "cat", "/etc/text") == "text"
    docker.checked("save", "--output", str(tmp_path / "image.tar"), "imported")
    docker.checked("rmi", "imported")
    assert docker("run", "--rm", "--pull", "never", "imported", "true").status == 125
    docker.checked("load", "--quiet", "--input", str(tmp_path / "image.tar"))
    docker.checked("run", "--rm", "imported", "true")


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


def test_containers_find_each_other_by_name(docker: Engine) -> None:
    docker.checked("network", "create", "net")
    try:
        serve = "mkdir /tmp/w && echo page >/tmp/w/index.html && exec httpd -f -p 80 -h /tmp/w"
        start(docker, "--network", "net", "--network-alias", "server", IMAGE, "sh", "-c", serve)
        fetch = ("run", "--rm", "--network", "net", IMAGE, "wget", "-q", "-O", "-")
        eventually(lambda: docker(*fetch, "http://box/index.html").out == "page\n", "the server")
        assert docker.checked(*fetch, "http://server/index.html") == "page"
        docker.checked("rm", "--force", "box")
    finally:
        docker.checked("network", "rm", "net")


def test_a_container_is_started_again_as_its_restart_policy_says(docker: Engine) -> None:
    start(docker, "--restart", "on-failure:2", IMAGE, "sh", "-c", "echo run; exit 3")
    eventually(lambda: state(docker) == "exited 3", "the last failure")
    assert docker.checked("logs", "box").split() == ["run"] * 3
    assert docker.checked("inspect", "--format", "{{.RestartCount}}", "box") == "2"
    docker.checked("rm", "box")
    start(docker, "--restart", "always", IMAGE, *SLEEP)
    pid = docker.checked("inspect", "--format", "{{.State.Pid}}", "box")
    os.kill(int(pid), signal.SIGKILL)
    eventually(lambda: docker.checked("inspect", "--format", "{{.RestartCount}}", "box") == "1", "the restart")
    eventually(lambda: docker("exec", "box", "true").status == 0, "the program")


def test_events_tell_the_life_of_a_container(docker: Engine) -> None:
    since = docker.checked("info", "--format", "{{.SystemTime}}")
    start(docker)
    docker.checked("exec", "box", "true")
    docker.checked("kill", "box")
    docker.checked("wait", "box")
    docker.checked("rm", "box")
    until = docker.checked("info", "--format", "{{.SystemTime}}")
    words = ("events", "--since", since, "--until", until, "--filter", "container=box", "--format", "{{.Action}}")
    told = [line.partition(":")[0] for line in docker.checked(*words).splitlines()]
    seen = [action for action in told if action in ("create", "start", "exec_start", "kill", "die", "destroy")]
    assert seen == ["create", "start", "exec_start", "kill", "die", "destroy"]


def test_stats_show_what_a_container_uses(docker: Engine) -> None:
    need_metrics()
    start(docker, "--memory", "64m", IMAGE, *SLEEP)
    words = ("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}", "box")
    eventually(lambda: re.fullmatch(r"box 1 [1-9]\S+ / 64MiB", docker.checked(*words)) is not None, "its usage")


def test_a_container_that_uses_too_much_memory_is_said_to_be_out_of_it(docker: Engine) -> None:
    need_metrics()
    since = docker.checked("info", "--format", "{{.SystemTime}}")
    too_much = "x=$(cat /dev/zero | tr '\\0' x)"
    start(docker, "--memory", "32m", "--memory-swap", "32m", IMAGE, "sh", "-c", f"({too_much}); sleep 1000")

    def told() -> str:
        until = docker.checked("info", "--format", "{{.SystemTime}}")
        words = ("--since", since, "--until", until, "--filter", "event=oom", "--format", "{{.Actor.Attributes.name}}")
        return docker.checked("events", *words)

    eventually(lambda: told().startswith("box"), "the event")
    docker.checked("kill", "box")
    docker.checked("wait", "box")
    assert docker.checked("inspect", "--format", "{{.State.OOMKilled}}", "box") == "true"


def test_nothing_is_left_of_a_container_that_was_removed(docker: Engine) -> None:
    def traces() -> list[str]:
        cgroups = [str(path) for point, _ in cgroup_mounts() for path in (point / "ocirt-docker").glob("*/")]
        inside = ["nsenter", "--mount", "--net", "--target", docker.env["DOCKERD_PID"]]
        mounts = subprocess.run([*inside, "cat", "/proc/self/mountinfo"], capture_output=True, text=True, check=True)
        links = subprocess.run([*inside, "ip", "-o", "link"], capture_output=True, text=True, check=True)
        points = [line.split()[4] for line in mounts.stdout.splitlines()]
        states = [
            str(path) for path in Path(docker.env["EXEC_ROOT"]).glob("runtime-*/moby/*") if path.name != "@seccomp"
        ]
        return [*cgroups, *points, *(line.split(":")[1] for line in links.stdout.splitlines()), *states]

    docker.checked("run", "--rm", IMAGE, "true")  # what is made once: the parent's cgroups, the cache of filters
    before = traces()
    start(docker, "--volume", "/made", IMAGE, *SLEEP)
    assert len(traces()) > len(before)
    docker.checked("rm", "--force", "--volumes", "box")
    assert docker("run", "--rm", IMAGE, "nosuch").status == 127
    eventually(lambda: traces() == before, "the end of all traces")
