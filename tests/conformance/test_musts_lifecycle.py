"""The operations of runtime.md, what they refuse, and what they leave as it is."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

STATUSES = ("created", "running", "stopped")


def in_status(runtime: Runtime, bundle: Bundle, status: str) -> str:
    """The id of a new container in this status."""
    container = runtime.create(bundle, "pause")
    if status != "created":
        container.start()
        container.read_until("ready")
    if status == "stopped":
        container.kill("KILL")
        container.wait()
    return container.id


@pytest.mark.parametrize("status", STATUSES)
def test_the_state_has_what_is_required(runtime: Runtime, bundle: Bundle, status: str) -> None:
    id = in_status(runtime, bundle, status)
    state = json.loads(runtime("state", id).check().out)
    assert state["ociVersion"].startswith("1.")
    assert state["id"] == id
    assert state["status"] == status
    assert state["bundle"] == str(bundle.path)
    if status != "stopped":
        assert os.readlink(f"/proc/{state['pid']}/ns/pid") != os.readlink("/proc/self/ns/pid")


@pytest.mark.parametrize("status", STATUSES)
def test_the_state_adheres_to_its_schema(runtime: Runtime, bundle: Bundle, status: str) -> None:
    import jsonschema

    schema = json.loads((Path(__file__).parents[2] / "schemas/state.json").read_text())
    jsonschema.validate(json.loads(runtime("state", in_status(runtime, bundle, status)).check().out), schema)


def test_a_paused_container_has_a_status_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    id = in_status(runtime, bundle, "running")
    runtime("pause", id).check()
    status = json.loads(runtime("state", id).check().out)["status"]
    runtime("resume", id).check()
    assert status == "paused"


def test_annotations_without_any_are_absent_or_empty(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.create(bundle).state().get("annotations", {}) == {}


@pytest.mark.parametrize("operation", ["create", "state", "start", "kill", "delete"])
def test_an_operation_without_an_id_is_an_error(runtime: Runtime, bundle: Bundle, operation: str) -> None:
    bundle.save()
    result = runtime(operation, cwd=str(bundle.path))
    assert result.status != 0
    assert "level=error" in result.err
    assert runtime.ids() == []


@pytest.mark.parametrize("operation", ["state", "start", "kill", "delete"])
def test_an_operation_on_a_container_that_does_not_exist_is_an_error(runtime: Runtime, operation: str) -> None:
    runtime(operation, "nobody").fails("does not exist")


def test_create_without_a_bundle_is_an_error(runtime: Runtime, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    runtime("create", "some", cwd=str(nothing)).fails("config.json")
    assert runtime.ids() == []


def test_an_id_that_is_in_use_is_refused_and_its_container_goes_on(runtime: Runtime, bundle: Bundle) -> None:
    id = in_status(runtime, bundle, "running")
    before = json.loads(runtime("state", id).check().out)
    runtime("create", "--bundle", str(bundle.path), id).fails("already exists")
    assert json.loads(runtime("state", id).check().out) == before
    assert runtime.ids() == [id]


@pytest.mark.parametrize("id", ["", "a/b", "..", ".", "a\nb", "a b", "x" * 1025])
def test_an_id_that_is_not_valid_is_refused(runtime: Runtime, bundle: Bundle, id: str) -> None:
    bundle.save()
    runtime("create", "--bundle", str(bundle.path), id).fails("id")
    assert runtime.ids() == []


def test_create_makes_the_environment_and_does_not_run_the_program(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = "environment"
    container = runtime.create(bundle, "touch", "/ran")
    assert container.status == "created"
    assert Path(f"/proc/{container.pid}/root/proc").is_dir()
    assert os.readlink(f"/proc/{container.pid}/ns/uts") != os.readlink("/proc/self/ns/uts")
    assert not (bundle.rootfs / "ran").exists()
    container.start()
    container.wait()
    assert (bundle.rootfs / "ran").exists()


def test_a_configuration_that_changes_after_create_has_no_effect(runtime: Runtime, bundle: Bundle) -> None:
    poststop = bundle.path / "poststop"
    hook = {"path": str(bundle.rootfs / "init"), "args": ["init", "touch", str(poststop)]}
    bundle.config["hooks"] = {"poststop": [hook]}
    bundle.config["hostname"] = "first"
    container = runtime.create(bundle, "uts")
    bundle.config["hostname"] = "second"
    bundle.config["hooks"] = {}
    bundle.set_program("exit", "7")
    bundle.save()
    container.start()
    assert container.read_value()["hostname"] == "first"
    assert container.wait() == 0
    container.delete()
    assert poststop.exists()


def test_what_cannot_be_applied_is_an_error_and_nothing_is_created(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/data", "bind", "/nowhere/at/all", "bind")
    bundle.save()
    runtime("create", "--bundle", str(bundle.path), "some").fails("/nowhere/at/all")
    assert runtime.ids() == []


def test_start_runs_the_program_of_the_configuration(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/proc"
    bundle.process["env"] = ["PATH=/", "A=b"]
    container = runtime.create(bundle, "cwd", ";", "env")
    container.start()
    assert container.read_value() == "/proc"
    assert "A=b" in container.read_value()


@pytest.mark.parametrize("status", ["running", "stopped"])
def test_start_of_a_container_that_is_not_created_is_an_error(runtime: Runtime, bundle: Bundle, status: str) -> None:
    id = in_status(runtime, bundle, status)
    before = json.loads(runtime("state", id).check().out)
    runtime("start", id).fails("cannot start")
    assert json.loads(runtime("state", id).check().out) == before


def test_start_without_a_process_is_an_error(runtime: Runtime, bundle: Bundle) -> None:
    del bundle.config["process"]
    id = runtime.create(bundle).id
    runtime("start", id).fails("process")


@pytest.mark.parametrize("status", ["created", "running"])
def test_kill_sends_the_signal_to_the_container_process(runtime: Runtime, bundle: Bundle, status: str) -> None:
    container = runtime.create(bundle, "pause" if status == "created" else "await-signal")
    if status == "running":
        container.start()
        container.read_until("ready")
        container.kill("USR1")
        assert container.wait() == 10
    else:
        container.kill("KILL")
        assert container.wait() == -9


def test_kill_of_a_stopped_container_is_an_error(runtime: Runtime, bundle: Bundle) -> None:
    id = in_status(runtime, bundle, "stopped")
    before = json.loads(runtime("state", id).check().out)
    runtime("kill", id, "KILL").fails("not running")
    assert json.loads(runtime("state", id).check().out) == before


def test_delete_of_a_container_that_runs_is_an_error(runtime: Runtime, bundle: Bundle) -> None:
    id = in_status(runtime, bundle, "running")
    before = json.loads(runtime("state", id).check().out)
    runtime("delete", id).fails(id)
    assert json.loads(runtime("state", id).check().out) == before


def test_delete_removes_what_create_has_made_and_the_id_is_free(runtime: Runtime, bundle: Bundle) -> None:
    id = in_status(runtime, bundle, "stopped")
    runtime("delete", id).check()
    runtime("state", id).fails("does not exist")
    assert runtime.ids() == []
    assert runtime.create(bundle, id=id).status == "created"


def test_delete_leaves_what_others_have_made(runtime: Runtime, bundle: Bundle) -> None:
    other = runtime.start_paused_program(bundle)
    bundle.add_namespace("network", f"/proc/{other.pid}/ns/net")
    source = bundle.path / "source"
    source.mkdir()
    (source / "file").write_text("text")
    bundle.add_mount("/data", None, source, "bind")
    container = runtime.create(bundle, "id")
    container.start()
    container.wait()
    container.delete()
    assert other.status == "running"
    assert other.probe("cwd") == "/"
    assert (source / "file").read_text() == "text"
    assert (bundle.rootfs / "init").exists()


def test_another_process_can_use_the_operations_on_the_container(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "await-signal")
    assert container.status == "created"
    container.start()
    container.read_until("ready")
    container.kill("USR1")
    container.wait()
    container.delete()
    assert runtime.ids() == []


def test_a_warning_changes_nothing_else(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["capabilities"] = {"bounding": ["CAP_KILL", "CAP_OF_TOMORROW"]}
    result = runtime.run(bundle, "print", "ran")
    assert (result.status, result.out) == (0, "ran\n")
    assert "level=warning" in result.err
    assert "CAP_OF_TOMORROW" in result.err
