"""``exec``: a further process in a container, with every option, and what it says when it cannot be."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from host_view import PATIENCE, cgroups_named
from support import Bundle, Container, Runtime

pytestmark = pytest.mark.needs_root

KILL = 1 << 5


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle) -> Container:
    return runtime.start_paused_program(bundle)


# -- what it is like without options -----------------------------------------------------------------------------------


def test_the_exit_status_is_that_of_the_process(container: Container) -> None:
    assert container.exec("/init", "exit", "42").status == 42


def test_a_process_that_a_signal_ends_gives_128_and_the_signal(container: Container) -> None:
    result = container.exec("/init", "kill-self", "9")
    assert (result.status, result.err) == (137, "")


def test_the_process_is_in_every_namespace_of_the_container(runtime: Runtime, bundle: Bundle) -> None:
    for kind in ("cgroup", "time"):
        bundle.add_namespace(kind)
    bundle.map_ids((0, 100_000, 65536))
    container = runtime.start_paused_program(bundle)
    found = container.probe("namespaces")
    theirs = {name: os.readlink(f"/proc/{container.pid}/ns/{name}") for name in found}
    assert found == theirs


def test_the_process_is_in_the_cgroups_of_the_container(container: Container) -> None:
    cgroup = Path(f"/proc/{container.pid}/cgroup").read_text()
    assert container.probe("cat", "/proc/self/cgroup") == container.probe("cat", "/proc/1/cgroup")
    assert container.id in cgroup


def test_the_process_has_what_the_containers_own_has(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("srv")
    bundle.process.update(
        cwd="/srv",
        env=["PATH=/", "A=1", "HOME=/h"],
        user={"uid": 7, "gid": 8, "additionalGids": [9], "umask": 0o077},
        rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
        noNewPrivileges=True,
        oomScoreAdj=100,
    )
    container = runtime.start_paused_program(bundle)
    found = container.probe(
        *("cwd", ";", "env", ";", "id", ";", "umask", ";", "rlimits", ";", "caps", ";"),
        *("cat", "/proc/self/oom_score_adj"),
    )
    assert found[0] == "/srv"
    assert found[1] == ["PATH=/", "A=1", "HOME=/h"]
    assert (found[2]["uid"], found[2]["gid"], found[2]["groups"]) == (7, 8, [9])
    assert found[3] == 0o077
    assert found[4]["RLIMIT_CORE"] == [1, 2]
    assert found[5]["noNewPrivileges"] == 1
    assert found[6] == "100\n"


def test_the_process_is_bound_by_the_containers_filter(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["noNewPrivileges"] = True
    rule = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    container = runtime.start_paused_program(bundle)
    assert container.probe("mkdir", "/x")["errno"] == 95


def test_arguments_behind_the_command_are_the_commands(container: Container) -> None:
    assert container.probe("args", "-t", "--cwd", "/x", "--", "-u") == ["-t", "--cwd", "/x", "--", "-u"]


def test_a_process_can_be_executed_in_a_created_container(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    assert container.probe("pids")["pid"] > 1
    assert container.status == "created"
    container.start()
    container.read_until("ready")


def test_standard_input_reaches_the_process(container: Container) -> None:
    assert container.exec("/init", "echo", input="line 1\nline 2\n").check().out == "line 1\nline 2\n"


def test_all_output_arrives(container: Container) -> None:
    result = container.exec("/init", "output", str(5 << 20)).check()
    lines = result.out.splitlines()
    assert lines == [f"{number:063}" for number in range(5 * 1024 * 1024 // 64)]


# -- options -----------------------------------------------------------------------------------------------------------


def test_cwd(container: Container) -> None:
    container.bundle.mkdir("srv")
    assert container.probe("cwd", flags=["--cwd", "/srv"]) == "/srv"


def test_a_cwd_that_is_missing_is_refused(container: Container) -> None:
    result = container.exec("/init", "cwd", flags=["--cwd", "/nowhere"])
    result.fails("/nowhere", "no such file or directory", status=255)


def test_env_adds_and_replaces(container: Container) -> None:
    found = container.probe("env", flags=["-e", "A=1", "--env", "PATH=/mine", "-e", "A=2"])
    assert {"A=2", "PATH=/mine"} <= set(found)
    assert "A=1" not in found
    assert "PATH=/" not in found


@pytest.mark.parametrize(
    ("text", "uid", "gid"), [("1", 1, 0), ("1:2", 1, 2), ("0", 0, 0), ("65534", 65534, 0), ("0:5", 0, 5)]
)
def test_user(container: Container, text: str, uid: int, gid: int) -> None:
    """CVE-2026-30892: "exec -u 1" ran as root."""
    found = container.probe("id", flags=["--user", text])
    assert [found[name] for name in ("uid", "euid", "suid")] == [uid] * 3
    assert [found[name] for name in ("gid", "egid", "sgid")] == [gid] * 3


@pytest.mark.parametrize("text", ["-1", "abc", "1:", ":1", "4294967295", "4294967296", " ", "1x", "1:2:3", "٣"])
def test_a_user_that_is_no_number_is_refused(container: Container, text: str) -> None:
    result = container.exec("/init", "write-file", "/ran", "", flags=[f"--user={text}"])
    assert result.status in (1, 255)
    assert not (container.bundle.rootfs / "ran").exists()


def test_additional_gids(container: Container) -> None:
    found = container.probe("id", flags=["-u", "1000", "-g", "5", "--additional-gids", "6"])
    assert sorted(found["groups"]) == [5, 6]


def test_home_is_that_of_the_user(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("etc/passwd", "root:x:0:0::/root:/\nweb:x:33:33::/var/www:/\n")
    container = runtime.start_paused_program(bundle)
    assert "HOME=/var/www" in container.probe("env", flags=["-u", "33"])
    assert "HOME=/root" in container.probe("env")


def test_cap_adds_to_three_sets_and_to_the_ambient_one_only_what_is_inheritable(
    runtime: Runtime, bundle: Bundle
) -> None:
    bundle.process["capabilities"] = {}
    container = runtime.start_paused_program(bundle)
    found = container.probe("caps", flags=["--cap", "CAP_KILL"])
    assert [int(found[kind], 16) for kind in ("bounding", "permitted", "effective")] == [KILL] * 3
    assert found["inheritable"] == "0"
    assert found["ambient"] == "0"


def test_no_new_privs(container: Container) -> None:
    assert container.probe("caps")["noNewPrivileges"] == 0
    assert container.probe("caps", flags=["--no-new-privs"])["noNewPrivileges"] == 1


def test_what_holds_a_process_is_as_for_the_container_where_the_document_does_not_say_it(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    sets = {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")}
    bundle.process.update(
        user={"uid": 0, "gid": 0, "umask": 0o077, "additionalGids": [9]},
        capabilities=sets,
        oomScoreAdj=100,
        env=["SECRET=1"],
    )
    container = runtime.start_paused_program(bundle)
    path = tmp_path / "process.json"

    def run(**more: Any) -> list[Any]:
        words = ["/init", "umask", ";", "caps", ";", "id", ";", "env", ";", "cat", "/proc/self/oom_score_adj"]
        path.write_text(json.dumps({"args": words, "cwd": "/", **more}))
        return container.runtime("exec", "--process", str(path), container.id).check().values

    umask, caps, found, env, score = run()
    assert (umask, score) == (0o077, "100\n")
    assert [int(caps[kind], 16) for kind in ("bounding", "permitted", "effective")] == [KILL] * 3
    # Who it is, and what it is given, the document alone says.
    assert (found["groups"], env) == ([], ["HOME=/"])
    umask, caps, _, _, score = run(user={"uid": 0, "gid": 0, "umask": 0o022}, capabilities={}, oomScoreAdj=200)
    assert (umask, caps["bounding"], caps["effective"], score) == (0o022, "0", "0", "200\n")


def test_process_is_a_document_that_says_it_all(container: Container, tmp_path: Path) -> None:
    document = {"args": ["/init", "env", ";", "cwd", ";", "id"], "cwd": "/dev", "env": ["ONLY=this", "HOME=/"]}
    document["user"] = {"uid": 3, "gid": 4}  # type: ignore[assignment]  # a JSON document
    path = tmp_path / "process.json"
    path.write_text(json.dumps(document))
    result = container.runtime("exec", "--process", str(path), container.id).check()
    env, cwd, found = result.values
    assert (env, cwd, found["uid"], found["gid"]) == (["ONLY=this", "HOME=/"], "/dev", 3, 4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", ["not JSON"]),
        ("{}", ["process.json", "cwd"]),
        ('{"cwd": "/", "args": []}', ["args"]),
        ('{"cwd": 5, "args": ["/init"]}', ["#/cwd"]),
    ],
)
def test_a_process_document_that_is_wrong_is_told_where(
    container: Container, tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "process.json"
    path.write_text(text)
    container.runtime("exec", "--process", str(path), container.id).fails(*words, status=255)


def test_detach_returns_while_the_process_runs(container: Container, tmp_path: Path) -> None:
    path = tmp_path / "exec.pid"
    container.exec("/init", "pause", flags=["--detach", "--pid-file", str(path)]).check()
    pid = int(path.read_text())
    assert pid in container.runtime("ps", "-f", "json", container.id).check().value
    os.kill(pid, 9)
    assert container.runtime.orphans.wait(pid) == -9
    assert container.status == "running"


def test_delete_by_force_ends_what_was_executed(container: Container, tmp_path: Path) -> None:
    path = tmp_path / "exec.pid"
    container.exec("/init", "pause", flags=["--detach", "--pid-file", str(path)]).check()
    container.delete("--force")
    assert container.runtime.orphans.wait(int(path.read_text())) == -9


def test_the_end_of_the_container_ends_a_foreground_exec(container: Container) -> None:
    reader, writer = os.pipe()
    process = container.runtime.popen("exec", container.id, "/init", "pause", stdout=writer)
    os.close(writer)
    with os.fdopen(reader) as output:
        assert output.readline() == "ready\n"
        container.delete("--force")
        assert process.wait(PATIENCE) == 137


@pytest.mark.needs_cgroup1
def test_cgroup_is_one_below_the_containers(container: Container) -> None:
    (path,) = [each for each in cgroups_named(container.id) if "/pids/" in each]
    os.mkdir(f"{path}/below")
    try:
        found = container.probe("cat", "/proc/self/cgroup", flags=["--cgroup", "pids:below"])
    finally:
        os.rmdir(f"{path}/below")
    (line,) = [line for line in found.splitlines() if ":pids:" in line]
    assert line.endswith(f"{container.id}/below")


@pytest.mark.needs_cgroup1
def test_a_cgroup_that_is_missing_is_named_with_the_process_that_it_was_for(container: Container) -> None:
    result = container.exec("/init", "id", flags=["--cgroup", "pids:missing"])
    result.fails("exec failed: cannot enter cgroup ", "/missing, adding pid ", status=255)
    assert re.search(r", adding pid [1-9]\d* to cgroups: no such file or directory", result.err)


@pytest.mark.parametrize("path", ["..", "../..", "a/../../.."])
def test_a_cgroup_outside_of_the_containers_is_refused(container: Container, path: str) -> None:
    container.exec("/init", "id", flags=["--cgroup", path]).fails("bad sub cgroup path", status=255)


def test_ignore_paused_starts_a_process_that_waits_with_the_others(container: Container) -> None:
    container.runtime("pause", container.id).check()
    process = container.runtime.popen("exec", "--ignore-paused", container.id, "/init", "exit", "4")
    assert process.poll() is None
    container.runtime("resume", container.id).check()
    assert process.wait(PATIENCE) == 4


# -- other containers --------------------------------------------------------------------------------------------------


def test_a_container_without_a_mount_namespace_is_entered_by_its_root(runtime: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("mount", "pid")
    bundle.write("mark", "of the container")
    container = runtime.start_paused_program(bundle)
    assert container.probe("cat", "/mark", ";", "cwd") == ["of the container", "/"]


def test_a_container_with_a_user_namespace_is_entered_as_its_root(runtime: Runtime, bundle: Bundle) -> None:
    bundle.map_ids((0, 100_000, 65536))
    container = runtime.start_paused_program(bundle)
    found, hostname = container.probe("id", ";", "set-hostname", "x")
    assert (found["uid"], found["gid"], found["groups"]) == (0, 0, [])
    assert hostname["errno"] == 1


def test_many_processes_at_once(container: Container) -> None:
    processes = [container.runtime.popen("exec", container.id, "/init", "exit", str(number)) for number in range(8)]
    assert [process.wait(PATIENCE) for process in processes] == list(range(8))


# -- a program that cannot be executed ---------------------------------------------------------------------------------


def test_a_program_that_is_not_on_the_path(container: Container) -> None:
    result = container.exec("no-such")
    result.fails('exec: "no-such": executable file not found in $PATH', status=255)
    assert result.err.count("\n") == 1


def test_a_program_whose_path_is_missing(container: Container) -> None:
    container.exec("/no/such").fails("/no/such", "no such file or directory", status=255)


@pytest.mark.parametrize("case", ["not executable", "directory"])
def test_a_program_that_may_not_be_executed(container: Container, case: str) -> None:
    if case == "directory":
        container.bundle.mkdir("plain")
    else:
        container.bundle.write("plain", "text", 0o644)
    container.exec("/plain").fails('"/plain"', status=255)


def test_without_a_command_it_is_told(container: Container) -> None:
    container.runtime("exec", container.id).fails("exec args cannot be empty", status=255)


def test_a_failed_exec_leaves_the_container_alone(container: Container) -> None:
    before = sorted(container.runtime("ps", "-f", "json", container.id).check().value)
    container.exec("no-such").fails(status=255)
    assert container.status == "running"
    assert sorted(container.runtime("ps", "-f", "json", container.id).check().value) == before


def test_detach_of_a_terminal_needs_a_console_socket(container: Container) -> None:
    result: Any = container.exec("/init", "tty", flags=["--detach", "--tty"])
    result.fails("cannot allocate tty if", "without setting console socket", status=255)
