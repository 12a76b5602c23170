"""podman and conmon, with ocirt below them as with runc."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from engines.engine import IMAGE, NOT_EXECUTABLE, Engine, eventually

pytestmark = pytest.mark.needs_root

#: Most of the tests need no network, and what podman needs for one may be missing.
RUN = ("run", "--network", "none")
SLEEP = ("sleep", "1000")


def start(podman: Engine, name: str, *words: str) -> None:
    podman.checked(*RUN, "--detach", "--name", name, *(words or (IMAGE, *SLEEP)))


def status(podman: Engine, name: str) -> str:
    return podman.checked("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name)


def test_podman_knows_the_runtime(podman: Engine) -> None:
    assert podman.checked("info", "--format", "{{.Host.OCIRuntime.Name}} {{.Host.OCIRuntime.Path}}") == (
        f"{podman.runtime.name} {podman.runtime}"
    )


def test_run_has_the_streams_and_the_status_of_the_process(podman: Engine) -> None:
    done = podman(*RUN, "--rm", "--interactive", IMAGE, "sh", "-c", "cat; echo err >&2; exit 42", stdin="a\nb\n")
    assert done.status == 42
    assert done.out == "a\nb\n"
    assert done.err.splitlines()[-1] == "err"


def test_run_has_the_environment_directory_and_user_that_were_asked_for(podman: Engine) -> None:
    out = podman.checked(
        *(*RUN, "--rm", "--env", "A=1", "--workdir", "/home/user", "--user", "user"),
        *(IMAGE, "sh", "-c", "echo $A $FOO $(pwd) $(id -u):$(id -g)"),
    )
    assert out == "1 bar /home/user 1000:1000"


def test_a_program_without_its_interpreter_is_told_by_start(podman: Engine, tmp_path: Path) -> None:
    """With runc the container begins, and ends with 255 (1 before runc 1.2)."""
    script = tmp_path / "script"
    script.write_text("#!/nowhere\n")
    script.chmod(0o755)
    run = podman(*RUN, "--rm", "--volume", f"{script}:/script", IMAGE, "/script")
    assert run.status in ((1, 255) if podman.runtime.name == "runc" else (126,))
    assert run.out == ""
    assert "exec /script: no such file or directory" in run.err


@pytest.mark.parametrize(("program", "expected", "text"), NOT_EXECUTABLE)
def test_a_program_that_cannot_be_executed_is_told_by_the_exit_status(
    podman: Engine, program: str, expected: int, text: str
) -> None:
    run = podman(*RUN, "--rm", IMAGE, program)
    assert (run.status, run.out) == (expected, "")
    assert text in run.err
    start(podman, "box")
    executed = podman("exec", "box", program)
    assert (executed.status, executed.out) == (expected, "")
    assert text in executed.err
    assert status(podman, "box") == "running 0"


@pytest.mark.parametrize(
    ("words", "expected", "text"),
    [
        (("--mount", "type=bind,source=/no/such,target=/x"), 125, "no such file or directory"),
        (("--device", "/dev/nosuch"), 125, "no such file or directory"),
        (("--workdir", "/etc/text"), 126, "not a directory"),
        (("--volume", "/tmp:/proc"), 126, "cannot be mounted because it is not of type proc"),
        (("--ulimit", "nofile=4000000000:4000000000"), 126, "OCI permission denied"),
        (("--entrypoint", "/etc"), 126, 'exec: "/etc": '),
        (("--runtime", "/no/such"), 125, "/no/such"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_container_that_cannot_be_made_is_told_by_the_exit_status(
    podman: Engine, words: tuple[str, ...], expected: int, text: str
) -> None:
    done = podman(*words, "run", IMAGE) if words[0] == "--runtime" else podman(*RUN, "--rm", *words, IMAGE, "true")
    assert (done.status, done.out) == (expected, "")
    assert text in done.err
    assert podman.checked("ps", "--quiet") == ""


def test_a_hook_that_fails_is_told_by_the_exit_status_and_its_output(podman: Engine, tmp_path: Path) -> None:
    script = tmp_path / "hook.sh"
    script.write_text("#!/bin/sh\necho the hook says no >&2\nexit 3\n")
    script.chmod(0o755)
    hook = {"version": "1.0.0", "hook": {"path": str(script)}, "when": {"always": True}, "stages": ["createRuntime"]}
    (tmp_path / "hook.json").write_text(json.dumps(hook))
    done = podman("--hooks-dir", str(tmp_path), *RUN, "--rm", IMAGE, "true")
    assert (done.status, done.out) == (126, "")
    assert "hook #0: " in done.err
    assert "the hook says no" in done.err


def test_a_container_whose_monitor_was_killed_can_be_removed(podman: Engine) -> None:
    start(podman, "box")
    told = podman.checked("inspect", "--format", "{{.ID}} {{.State.ConmonPid}} {{.State.Pid}}", "box")
    id, conmon, pid = told.split()
    os.kill(int(conmon), signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{conmon}").exists(), "the end of the monitor")
    podman.checked("rm", "--force", "--time", "0", "box")
    eventually(lambda: not Path(f"/proc/{pid}").exists(), "the end of the container")
    start(podman, "box")
    # podman kills the container, and has forgotten to delete it
    runtime = Engine(podman.runtime, [str(podman.runtime)])
    assert json.loads(runtime.checked("state", id))["status"] == "stopped"
    runtime.checked("delete", id)


def test_exec_has_the_streams_and_the_status_of_the_process(podman: Engine) -> None:
    start(podman, "box")
    done = podman("exec", "--interactive", "box", "sh", "-c", "cat; exit 9", stdin="data\n")
    assert (done.status, done.out) == (9, "data\n")
    words = ("--user", "1000:1000", "--workdir", "/tmp", "--env", "Q=z", "box", "sh", "-c")
    assert podman.checked("exec", *words, "echo $(id -u):$(id -g) $(pwd) $Q $FOO") == "1000:1000 /tmp z bar"


def test_a_terminal_has_the_size_of_the_users(podman: Engine) -> None:
    script = "until stty size | grep -q 33; do :; done; tty; stty size; exit 5"
    done = podman.on_terminal(*RUN, "--rm", "-it", IMAGE, "sh", "-c", script, rows=33, columns=99)
    assert done.status == 5
    assert done.out.splitlines()[-2:] == ["/dev/pts/0", "33 99"]
    start(podman, "box")
    done = podman.on_terminal("exec", "-it", "box", "sh", "-c", script, rows=33, columns=99)
    assert done.status == 5
    assert done.out.splitlines()[-2:] == ["/dev/pts/0", "33 99"]


def test_a_paused_container_takes_no_exec_and_goes_on_afterwards(podman: Engine) -> None:
    start(podman, "box")
    podman.checked("pause", "box")
    assert status(podman, "box") == "paused 0"
    assert podman("exec", "box", "true").status != 0
    podman.checked("unpause", "box")
    assert status(podman, "box") == "running 0"
    podman.checked("exec", "box", "true")


def test_a_paused_container_is_removed_by_force(podman: Engine) -> None:
    start(podman, "box")
    podman.checked("pause", "box")
    podman.checked("rm", "--force", "--time", "0", "box")
    assert podman.checked("ps", "--all", "--quiet") == ""


def test_stop_lets_a_program_end_by_itself(podman: Engine) -> None:
    start(podman, "box", IMAGE, "sh", "-c", "trap 'exit 17' TERM; touch /tmp/ready; while :; do sleep 0.1; done")
    eventually(lambda: podman("exec", "box", "test", "-e", "/tmp/ready").status == 0, "the trap")
    podman.checked("stop", "--time", "10", "box")
    assert status(podman, "box") == "exited 17"


def test_stop_kills_a_program_that_does_not_end(podman: Engine) -> None:
    start(podman, "box")
    podman.checked("stop", "--time", "0", "box")
    assert status(podman, "box") == "exited 137"
    podman.checked("start", "box")
    assert status(podman, "box") == "running 0"


def test_stats_and_top_show_what_runs(podman: Engine) -> None:
    start(podman, "box")
    assert podman.checked("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}}", "box") == "box 1"
    assert podman.checked("top", "box", "args").split() == ["COMMAND", "sleep", "1000"]


@pytest.mark.needs_cgroup1
def test_limits_are_in_force_and_can_be_updated(podman: Engine) -> None:
    limits = ("--memory", "64m", "--pids-limit", "50", "--cpus", "0.5")
    start(podman, "box", *limits, IMAGE, *SLEEP)
    names = ("memory/memory.limit_in_bytes", "pids/pids.max", "cpu/cpu.cfs_quota_us")
    files = [f"/sys/fs/cgroup/{name}" for name in names]
    assert podman.checked("exec", "box", "cat", *files).split() == ["67108864", "50", "50000"]
    podman.checked("update", "--memory", "128m", "--cpus", "0.25", "box")
    assert podman.checked("exec", "box", "cat", *files).split() == ["134217728", "50", "25000"]


def test_a_healthcheck_is_an_exec(podman: Engine) -> None:
    health = ("--health-cmd", "test -e /tmp/well", "--health-interval", "disable", "--health-retries", "1")
    start(podman, "box", *health, IMAGE, *SLEEP)
    assert podman("healthcheck", "run", "box").status == 1
    podman.checked("exec", "box", "touch", "/tmp/well")
    assert podman("healthcheck", "run", "box").status == 0


def test_volumes_are_shared_with_the_host(podman: Engine, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("text\n")
    script = "cat /v/in; echo new >/v/out"
    assert podman.checked(*RUN, "--rm", "--volume", f"{tmp_path}:/v", IMAGE, "sh", "-c", script) == "text"
    assert (tmp_path / "out").read_text() == "new\n"
    done = podman(*RUN, "--rm", "--volume", f"{tmp_path}:/v:ro", IMAGE, "touch", "/v/more")
    assert done.status == 1
    assert done.err.endswith("touch: /v/more: Read-only file system\n")


def test_the_containers_of_a_pod_share_its_network(podman: Engine) -> None:
    podman.checked("pod", "create", "--name", "pod", "--network", "none")
    podman.checked("run", "--detach", "--pod", "pod", "--name", "box", IMAGE, *SLEEP)
    read = ("readlink", "/proc/self/ns/net")
    inside = podman.checked("exec", "box", *read)
    assert podman.checked("run", "--rm", "--pod", "pod", IMAGE, *read) == inside
    assert str(Path("/proc/self/ns/net").readlink()) != inside
    podman.checked("pod", "pause", "pod")
    assert status(podman, "box") == "paused 0"
    podman.checked("pod", "unpause", "pod")
    podman.checked("pod", "stop", "--time", "0", "pod")
    assert status(podman, "box") == "exited 137"


def test_play_kube_starts_and_removes_a_pod(podman: Engine, tmp_path: Path) -> None:
    document = tmp_path / "pod.yaml"
    document.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: played\nspec:\n  hostNetwork: true\n  containers:\n"
        f"  - name: box\n    image: {IMAGE}\n    command: [sh, -c, 'echo played $WORD; sleep 1000']\n"
        "    env:\n    - name: WORD\n      value: here\n"
    )
    podman.checked("play", "kube", str(document))
    assert status(podman, "played-box") == "running 0"
    eventually(lambda: podman.checked("logs", "played-box") == "played here", "the log")
    podman.checked("play", "kube", "--down", str(document))
    assert podman.checked("ps", "--all", "--quiet") == ""


COUNT = ("sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.1; done")


def count(podman: Engine, name: str) -> int:
    return int(podman.checked("exec", name, "cat", "/count") or 0)


@pytest.mark.needs_criu
def test_a_checkpoint_and_a_restore(podman: Engine) -> None:
    start(podman, "box", IMAGE, *COUNT)
    eventually(lambda: count(podman, "box") > 3, "the program to count")
    podman.checked("container", "checkpoint", "box")
    assert status(podman, "box").startswith("exited")
    podman.checked("container", "restore", "box")
    assert status(podman, "box") == "running 0"
    before = count(podman, "box")
    assert before > 3, "it goes on counting where it was"
    eventually(lambda: count(podman, "box") > before, "the program to go on")


@pytest.mark.needs_criu
def test_a_checkpoint_is_moved_as_a_file(podman: Engine, tmp_path: Path) -> None:
    start(podman, "box", IMAGE, *COUNT)
    eventually(lambda: count(podman, "box") > 3, "the program to count")
    archive = tmp_path / "box.tar"
    podman.checked("container", "checkpoint", "--leave-running", "--compress", "none", "--export", str(archive), "box")
    assert status(podman, "box") == "running 0"
    podman.checked("rm", "--force", "--time", "0", "box")
    podman.checked("container", "restore", "--import", str(archive), "--name", "other")
    assert count(podman, "other") > 3
