"""Every operation in every status, with the words that engines match; what create keeps, and what the state says."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from host_view import cgroup_mounts, cgroups_named, wait_until
from support import Bundle, Container, Runtime

pytestmark = pytest.mark.needs_root

STATUSES = ("created", "running", "paused", "stopped")


def container_in(status: str, runtime: Runtime, bundle: Bundle) -> Container:
    """A container in that status. Its program stays until it is killed."""
    container = runtime.create(bundle, "pause")
    if status != "created":
        container.start()
        container.read_until("ready")
    if status == "paused":
        runtime("pause", container.id).check()
    if status == "stopped":
        container.kill("KILL")
        container.wait()
    assert container.status == status
    return container


# -- operation and status ----------------------------------------------------------------------------------------------

#: (operation, words behind the id, status) -> exit status and text of the error. What is not here succeeds.
REFUSED = {
    ("start", "running"): (1, "cannot start an already running container"),
    ("start", "paused"): (1, "cannot start an already running container"),
    ("start", "stopped"): (1, "cannot start a container that has stopped"),
    ("delete", "created"): (1, "cannot delete container {id} that is not stopped: created"),
    ("delete", "running"): (1, "cannot delete container {id} that is not stopped: running"),
    ("delete", "paused"): (1, "cannot delete container {id} that is not stopped: paused"),
    ("kill", "stopped"): (1, "container not running"),
    ("exec", "stopped"): (255, "exec failed: cannot exec in a stopped container"),
    ("exec", "paused"): (
        255,
        "exec failed: cannot exec in a paused container (use --ignore-paused to override)",
    ),
    ("pause", "paused"): (1, "container not running"),
    ("pause", "stopped"): (1, "container not running"),
    ("resume", "created"): (1, "container not paused"),
    ("resume", "running"): (1, "container not paused"),
    ("resume", "stopped"): (1, "container not paused"),
}


@pytest.mark.parametrize(("operation", "status"), sorted(REFUSED))
def test_an_operation_is_refused_in_runcs_words(runtime: Runtime, bundle: Bundle, operation: str, status: str) -> None:
    container = container_in(status, runtime, bundle)
    words = ("/init", "id") if operation == "exec" else ()
    code, text = REFUSED[operation, status]
    result = runtime(operation, container.id, *words)
    result.fails(status=code)
    assert f'msg="{text.format(id=container.id)}"' in result.err
    assert container.status == status


@pytest.mark.parametrize("status", STATUSES)
def test_kill_all_is_accepted_in_every_status(runtime: Runtime, bundle: Bundle, status: str) -> None:
    container = container_in(status, runtime, bundle)
    container.kill("--all", "KILL")
    if status != "stopped":
        assert container.wait() == -9


@pytest.mark.parametrize("status", STATUSES)
def test_delete_by_force_works_in_every_status(runtime: Runtime, bundle: Bundle, status: str) -> None:
    container = container_in(status, runtime, bundle)
    container.delete("--force")
    assert runtime.ids() == []
    assert cgroups_named(runtime.token) == []


@pytest.mark.parametrize("status", ["created", "running", "paused"])
def test_sigkill_ends_a_container_in_every_status(runtime: Runtime, bundle: Bundle, status: str) -> None:
    container = container_in(status, runtime, bundle)
    container.kill("KILL")
    assert container.wait() == -9
    assert container.status == "stopped"
    container.delete()


@pytest.mark.parametrize("status", STATUSES)
def test_ps_lists_what_there_is(runtime: Runtime, bundle: Bundle, status: str) -> None:
    container = container_in(status, runtime, bundle)
    pids = runtime("ps", "-f", "json", container.id).check().value
    assert pids == ([] if status == "stopped" else [container.pid])


# -- containers that are not there -------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("state",), ("start",), ("delete",), ("kill",), ("ps",), ("pause",), ("resume",)])
def test_an_unknown_id_is_an_error(runtime: Runtime, words: tuple[str, ...]) -> None:
    result = runtime(*words, "nope").fails("container does not exist")
    assert 'msg="container does not exist"' in result.err


def test_exec_in_an_unknown_container_fails_with_255(runtime: Runtime) -> None:
    runtime("exec", "nope", "true").fails('msg="exec failed: container does not exist"', status=255)


def test_delete_by_force_of_an_unknown_container_succeeds(runtime: Runtime) -> None:
    runtime("delete", "--force", "nope").check()


# -- ids ---------------------------------------------------------------------------------------------------------------

BAD_IDS = ["", ".", "..", "a/b", "../x", "/x", "a\nb", "a b", "ü", "x" * 256, "x" * 1025, "a\x1b[2J", "@seccomp"]


@pytest.mark.parametrize("id", BAD_IDS, ids=[ascii(id)[:12] for id in BAD_IDS])
@pytest.mark.parametrize("verb", ["create", "run", "state", "delete --force", "kill", "start"])
def test_an_id_that_cannot_be_a_name_is_refused(runtime: Runtime, bundle: Bundle, verb: str, id: str) -> None:
    bundle.set_program("id")
    bundle.save()
    options = ["--bundle", str(bundle.path)] if verb in ("create", "run") else []
    result = runtime(*verb.split(), *options, "--", id).fails("invalid container ID format")
    assert "\x1b" not in result.err


@pytest.mark.parametrize("id", ["x" * 200, "a.b_c+d-e,f", "0", "-", "..."])
def test_an_unusual_id_is_accepted(runtime: Runtime, bundle: Bundle, id: str) -> None:
    bundle.linux["cgroupsPath"] = f"/{runtime.token}"
    container = (
        runtime.create(bundle, "pause", id=id, flags=["--"]) if id == "-" else runtime.create(bundle, "pause", id=id)
    )
    assert container.state()["id"] == id


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("verb", ["create", "run"])
def test_an_id_in_use_is_refused_and_its_container_unharmed(
    runtime: Runtime, bundle: Bundle, verb: str, status: str
) -> None:
    container = container_in(status, runtime, bundle)
    result = runtime(verb, "--bundle", str(bundle.path), container.id)
    result.fails(f'msg="ocirt {verb} failed: container with given ID already exists"')
    assert container.status == status
    assert cgroups_named(container.id)


def test_an_id_is_free_again_after_delete(runtime: Runtime, bundle: Bundle) -> None:
    for _ in range(3):
        container = runtime.create(bundle, "pause", id=f"{runtime.token}-same")
        container.delete("--force")


# -- state and list ----------------------------------------------------------------------------------------------------


def test_the_state_has_runcs_properties_in_runcs_order(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.example/key": "ü"}
    container = runtime.create(bundle, "pause")
    state = container.state()
    assert list(state) == [
        *("ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "annotations", "owner"),
    ]
    assert state["id"] == container.id
    assert state["pid"] == container.pid
    assert state["bundle"] == str(bundle.path)
    assert state["rootfs"] == str(bundle.rootfs)
    assert state["annotations"] == {"org.example/key": "ü"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", state["created"])


def test_a_stopped_container_has_pid_0(runtime: Runtime, bundle: Bundle) -> None:
    assert container_in("stopped", runtime, bundle).state()["pid"] == 0


def test_a_bundle_that_is_named_by_a_relative_path_or_a_link_is_shown_as_an_absolute_one(
    runtime: Runtime, bundle: Bundle
) -> None:
    (bundle.path.parent / "link").symlink_to(bundle.path)
    bundle.set_program("pause")
    bundle.save()
    for path in ("bundle", "./bundle/", "link"):
        id = runtime.new_id()
        runtime("create", "-b", path, id, cwd=bundle.path.parent).check()
        assert runtime.adopt(id, bundle).state()["bundle"] == str(bundle.path)


def test_without_a_bundle_option_it_is_the_working_directory(runtime: Runtime, bundle: Bundle) -> None:
    bundle.set_program("print", "here")
    bundle.save()
    assert runtime("run", runtime.new_id(), cwd=bundle.path).check().out == "here\n"


def test_list_shows_every_container(runtime: Runtime, bundle: Bundle) -> None:
    containers = {status: container_in(status, runtime, bundle) for status in STATUSES}
    found = {each["id"]: each["status"] for each in runtime("list", "--format", "json").check().value}
    assert found == {container.id: status for status, container in containers.items()}
    assert runtime("list", "-q").check().out.split() == sorted(found)
    table = runtime("list").check().out.splitlines()
    assert table[0].split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert [line.split()[0] for line in table[1:]] == sorted(found)


def test_list_of_nothing(runtime: Runtime, bundle: Bundle) -> None:
    runtime.create(bundle, "pause").delete("--force")
    assert runtime("list", "-q").check().out == ""
    assert runtime("list", "--format", "json").check().value == []


def test_list_of_a_root_that_is_missing_fails(runtime: Runtime) -> None:
    runtime("list").fails("no such file or directory", str(runtime.root))


def test_list_shows_a_container_that_is_being_made_or_was_never_finished(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    (runtime.root / f"{runtime.token}-half").mkdir()
    ids = runtime("list", "-q").check().out.split()
    runtime("delete", "--force", f"{runtime.token}-half").check()
    assert container.id in ids


# -- create keeps ------------------------------------------------------------------------------------------------------


def test_create_runs_nothing_of_the_user_s(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "write-file", "/ran", "")
    assert not (bundle.rootfs / "ran").exists()
    container.start()
    container.wait()
    assert (bundle.rootfs / "ran").exists()


def test_changes_of_the_configuration_after_create_have_no_effect(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"key": "then"}
    container = runtime.create(bundle, "print", "then", ";", "env")
    bundle.config["annotations"] = {"key": "now"}
    bundle.process["env"] = ["WHEN=now"]
    bundle.set_program("print", "now")
    bundle.save()
    assert container.state()["annotations"] == {"key": "then"}
    container.start()
    assert container.read_line() == "then"
    assert "WHEN=now" not in container.read_value()


def test_a_bundle_without_its_configuration_can_be_started_and_entered_and_deleted(
    runtime: Runtime, bundle: Bundle
) -> None:
    container = runtime.create(bundle, "pause")
    (bundle.path / "config.json").unlink()
    container.start()
    container.read_until("ready")
    assert container.probe("pids")["pid"] > 1
    container.delete("--force")


def test_a_configuration_that_is_garbage_after_create_does_no_harm(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    (bundle.path / "config.json").write_text("{")
    container.start()
    container.read_until("ready")
    assert container.status == "running"


def test_the_state_directory_is_for_its_owner_alone(runtime: Runtime, bundle: Bundle) -> None:
    """CVE: a state that others may write is root for everybody."""
    bundle.process["noNewPrivileges"] = True
    container = runtime.create(bundle, "pause", umask=0)
    assert runtime.root.stat().st_mode & 0o777 == 0o700
    directory = runtime.root / container.id
    assert directory.stat().st_mode & 0o777 == 0o700
    for path in directory.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_state_directory_of_a_long_path_can_be_used(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """A socket's address has 108 bytes."""
    runtime.root = tmp_path / ("d" * 200) / ("e" * 200)
    container = runtime.start_paused_program(bundle)
    assert container.status == "running"
    container.delete("--force")


def test_a_container_survives_the_end_of_its_bundle(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    bundle.path.rename(bundle.path.with_name("elsewhere"))
    assert container.status == "running"
    container.delete("--force")


# -- kill --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ((), signal.SIGTERM),
        (("15",), 15),
        (("TERM",), 15),
        (("SIGTERM",), 15),
        (("sigusr1",), signal.SIGUSR1),
        (("HUP",), signal.SIGHUP),
        (("RTMIN+3",), signal.SIGRTMIN + 3),
        (("64",), 64),
    ],
)
def test_kill_takes_names_and_numbers(runtime: Runtime, bundle: Bundle, words: tuple[str, ...], number: int) -> None:
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    container.kill(*words)
    assert container.read_value() == number
    assert container.wait() == number


def test_kill_with_signal_0_only_looks(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    container.kill("0")
    assert container.status == "running"


@pytest.mark.parametrize("word", ["BADSIG", "65", "-1", "", "SIG", "TERM1", "9x", "99999999999999999999"])
def test_kill_names_a_signal_that_is_none(runtime: Runtime, bundle: Bundle, word: str) -> None:
    container = runtime.start_paused_program(bundle)
    runtime("kill", "--", container.id, word).fails(f'unknown signal "{word}"')
    assert container.status == "running"


def test_kill_reaches_the_init_alone(runtime: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("pid")
    container = runtime.start(bundle, "spawn", "2", ";", "await-signal")
    first, second = container.read_value()
    container.read_until("ready")
    container.kill("USR1")
    assert container.wait() == signal.SIGUSR1
    for pid in (first, second):
        assert Path(f"/proc/{pid}").exists()


def test_kill_all_reaches_every_process(runtime: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("pid")
    container = runtime.start(bundle, "spawn", "3", ";", "wait-children", ";", "await-signal")
    pids = container.read_value()
    container.kill("--all", "USR2")
    for pid in pids:
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), f"the end of {pid}")  # type: ignore[misc]


def test_sigkill_of_a_container_without_a_pid_namespace_ends_every_process(runtime: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("pid")
    container = runtime.start(bundle, "spawn", "3", ";", "pause")
    pids = container.read_value()
    container.read_until("ready")
    container.kill("KILL")
    assert container.wait() == -9
    for pid in pids:
        assert runtime.orphans.wait(pid) == -9


def test_the_end_of_the_init_ends_its_pid_namespace(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start(bundle, "spawn", "3", ";", "pause")
    container.read_until("ready")
    container.kill("KILL")
    assert container.wait() == -9
    assert runtime("ps", "-f", "json", container.id).check().value == []


def test_a_pid_that_belongs_to_somebody_else_meanwhile_is_left_alone(runtime: Runtime, bundle: Bundle) -> None:
    """The start time tells: a pid comes round again."""
    container = container_in("stopped", runtime, bundle)
    path = runtime.root / container.id / "state.json"
    document = json.loads(path.read_text().splitlines()[-1])
    document["pid"] = os.getpid()
    path.write_text(json.dumps(document))
    assert container.status == "stopped"
    runtime("kill", container.id, "KILL").fails("container not running")
    container.delete("--force")


# -- run ---------------------------------------------------------------------------------------------------------------


def test_run_leaves_nothing_of_a_container_that_has_ended(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.run(bundle, "exit", "3").status == 3
    assert runtime.ids() == []


def test_run_keep_leaves_a_stopped_container(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.run(bundle, "exit", "3", flags=["--keep"]).status == 3
    (id,) = runtime.ids()
    container = runtime.adopt(id, bundle)
    assert container.status == "stopped"
    container.delete()


def test_run_detached_returns_while_the_program_runs(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.run_detached(bundle, "await-signal")
    container.read_until("ready")
    assert container.status == "running"
    container.kill()
    assert container.wait() == 15
    assert container.status == "stopped"


def test_run_detached_of_a_program_that_ends_at_once_succeeds(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.run_detached(bundle, "exit", "7")
    assert container.wait() == 7
    assert container.status == "stopped"


def test_a_program_that_is_killed_while_run_waits_gives_137(runtime: Runtime, bundle: Bundle) -> None:
    bundle.set_program("pause")
    bundle.save()
    id = runtime.new_id()
    reader, writer = os.pipe()
    process = runtime.popen("run", "-b", str(bundle.path), id, stdout=writer)
    os.close(writer)
    container = Container(runtime, id, bundle, 0, runtime.keep(reader), None)
    container.read_until("ready")
    container.kill("KILL")
    assert process.wait() == 137
    assert runtime.ids() == []


def test_a_container_can_be_deleted_while_run_waits(runtime: Runtime, bundle: Bundle) -> None:
    bundle.set_program("pause")
    bundle.save()
    id = runtime.new_id()
    reader, writer = os.pipe()
    process = runtime.popen("run", "-b", str(bundle.path), id, stdout=writer)
    os.close(writer)
    container = Container(runtime, id, bundle, 0, runtime.keep(reader), None)
    container.read_until("ready")
    container.delete("--force")
    assert process.wait() == 137


def test_orphans_of_the_program_do_not_keep_run_waiting(runtime: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("pid")
    result = runtime.run(bundle, "orphan", ";", "exit", "4")
    assert result.status == 4
    wait_until(lambda: not Path(f"/proc/{result.value}").exists(), "the end of the orphan")


# -- what does not belong to the container -----------------------------------------------------------------------------


def test_delete_leaves_a_cgroup_that_was_there_before(runtime: Runtime, bundle: Bundle) -> None:
    directories = [point / f"{runtime.token}-mine" for point, _ in cgroup_mounts()]
    for directory in directories:
        directory.mkdir()
        if (directory / "cpuset.cpus").exists() and (directory / "cgroup.clone_children").exists():
            for name in ("cpuset.cpus", "cpuset.mems"):
                (directory / name).write_text((directory.parent / name).read_text())
    try:
        bundle.linux["cgroupsPath"] = f"/{runtime.token}-mine"
        runtime.run(bundle, "id").check()
        assert [directory for directory in directories if not directory.exists()] == []
        bundle.linux["cgroupsPath"] = f"/{runtime.token}-mine/box"
        runtime.run(bundle, "id").check()
        assert [directory for directory in directories if not directory.exists()] == []
    finally:
        for directory in directories:
            if directory.exists():
                directory.rmdir()


def test_delete_leaves_what_the_program_has_written(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle, "write-file", "/kept", "text", ";")
    container.delete("--force")
    assert (bundle.rootfs / "kept").read_text() == "text"
    assert (bundle.path / "config.json").exists()


def test_delete_of_cgroups_with_cgroups_below_them(runtime: Runtime, bundle: Bundle) -> None:
    """As systemd in a container makes them."""
    container = runtime.start_paused_program(bundle)
    for path in cgroups_named(container.id):
        os.makedirs(f"{path}/below/deeper")
    container.delete("--force")
    assert cgroups_named(runtime.token) == []
