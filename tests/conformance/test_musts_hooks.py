"""Hooks: config.md#posix-platform-hooks and the steps of runtime.md#lifecycle that call them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

AT_CREATE = ("prestart", "createRuntime", "createContainer")
AT_START = ("startContainer", "poststart")
AT_DELETE = ("poststop",)
IN_CONTAINER = ("createContainer", "startContainer")
KINDS = (*AT_CREATE, *AT_START, *AT_DELETE)

# /proc/self/ns of the hooks that are executed in the container namespaces differs from the runtime's in these.
OWN_NAMESPACES = ("pid", "net", "ipc", "uts", "mnt")


class Records:
    """What the hooks and the program of a bundle write down, each a line of one file that host and container share."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        shared = bundle.path / "shared"
        shared.mkdir()
        self.path = shared / "record"
        bundle.mkdir("shared")
        bundle.add_mount("/shared", None, shared, "bind")

    def hook(self, kind: str, word: str) -> dict[str, Any]:
        """A hook that writes down *word* and how it is executed."""
        init, record = ("/init", "/shared/record") if kind == "startContainer" else (self.host_init, str(self.path))
        return {"path": init, "args": ["init", "record", record, word]}

    @property
    def host_init(self) -> str:
        return str(self.bundle.rootfs / "init")

    def add(self, *kinds: str) -> None:
        """One hook of each kind, which writes down its kind, and a program that writes down "program"."""
        for kind in kinds:
            self.bundle.config.setdefault("hooks", {}).setdefault(kind, []).append(self.hook(kind, kind))
        self.bundle.set_program("record", "/shared/record", "program")

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    @property
    def words(self) -> list[str]:
        return [line["word"] for line in self.read()]

    def of(self, word: str) -> dict[str, Any]:
        (line,) = (line for line in self.read() if line["word"] == word)
        return line


@pytest.fixture
def records(bundle: Bundle) -> Records:
    return Records(bundle)


def own_namespaces() -> dict[str, str]:
    return {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in OWN_NAMESPACES}


def failing(records: Records, kind: str) -> dict[str, Any]:
    path = "/init" if kind == "startContainer" else records.host_init
    return {"path": path, "args": ["init", "exit", "3"]}


def test_hooks_of_every_kind_are_called_at_their_operation_in_the_listed_order(
    runtime: Runtime, bundle: Bundle, records: Records
) -> None:
    bundle.config["hooks"] = {kind: [records.hook(kind, f"{kind} {index}") for index in (1, 2)] for kind in KINDS}
    bundle.set_program("record", "/shared/record", "program")
    container = runtime.create(bundle)
    created = [f"{kind} {index}" for kind in AT_CREATE for index in (1, 2)]
    assert records.words == created
    container.start()
    container.read_rest()
    assert records.words[len(created) :][:2] == ["startContainer 1", "startContainer 2"]
    started = records.words[len(created) + 2 :]
    assert [word for word in started if word != "program"] == ["poststart 1", "poststart 2"]
    assert "program" in started
    container.wait()
    count = len(records.words)
    container.delete()
    assert records.words[count:] == ["poststop 1", "poststop 2"]


def test_poststart_hooks_are_called_when_the_program_is_executed_and_before_start_returns(
    runtime: Runtime, bundle: Bundle, records: Records
) -> None:
    script = bundle.path / "look"
    script.write_text(
        "#!/bin/sh\npid=$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/')\ntr '\\0' ' ' </proc/$pid/cmdline >$1\n"
    )
    script.chmod(0o755)
    seen = bundle.path / "seen"
    bundle.config["hooks"] = {"poststart": [{"path": str(script), "args": ["look", str(seen)]}]}
    runtime.start(bundle, "pause")
    assert seen.read_text() == "/init pause "


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_is_executed_in_its_namespaces(runtime: Runtime, bundle: Bundle, records: Records, kind: str) -> None:
    records.add(kind)
    runtime.run(bundle).check()
    inside = {name: records.of("program")["namespaces"][name] for name in OWN_NAMESPACES}
    found = {name: records.of(kind)["namespaces"][name] for name in OWN_NAMESPACES}
    assert found == (inside if kind in IN_CONTAINER else own_namespaces())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "startContainer"])
def test_the_path_of_a_hook_is_one_of_the_hosts(runtime: Runtime, bundle: Bundle, records: Records, kind: str) -> None:
    only_on_host = bundle.path / "only-on-host"
    os.link(records.host_init, only_on_host)
    hook = {**records.hook(kind, "called"), "path": str(only_on_host)}
    bundle.config["hooks"] = {kind: [hook]}
    runtime.run(bundle, "id").check()
    assert records.words == ["called"]


def test_the_path_of_a_startcontainer_hook_is_one_of_the_containers(
    runtime: Runtime, bundle: Bundle, records: Records
) -> None:
    os.link(records.host_init, bundle.rootfs / "only-in-the-container")
    hook = {**records.hook("startContainer", "called"), "path": "/only-in-the-container"}
    bundle.config["hooks"] = {"startContainer": [hook]}
    assert not Path("/only-in-the-container").exists()
    runtime.run(bundle, "id").check()
    assert records.words == ["called"]


STATUSES = {
    "prestart": "created",
    "createRuntime": "created",
    "createContainer": "created",
    "startContainer": "created",
    "poststart": "running",
    "poststop": "stopped",
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_hook_reads_the_state_of_the_container(runtime: Runtime, bundle: Bundle, records: Records, kind: str) -> None:
    records.add(kind)
    bundle.config["annotations"] = {"org.example.key": "value"}
    container = runtime.create(bundle)
    container.start()
    container.wait()
    container.delete()
    state = json.loads(records.of(kind)["stdin"])
    assert state["ociVersion"].startswith("1.")
    assert state["id"] == container.id
    assert state["status"] == STATUSES[kind]
    assert state["bundle"] == str(bundle.path)
    assert state["annotations"] == {"org.example.key": "value"}
    if kind != "poststop":
        assert state["pid"] == (1 if kind in IN_CONTAINER else container.pid)


@pytest.mark.parametrize("kind", AT_CREATE)
def test_a_hook_of_create_is_called_in_the_made_environment_before_the_root_changes(
    runtime: Runtime, bundle: Bundle, kind: str
) -> None:
    marker = bundle.path / "marker"
    marker.touch()
    script = bundle.path / "look"
    process = "self" if kind == "createContainer" else "$(sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/')"
    script.write_text(
        f"#!/bin/sh\nprocess={process}\n"
        "{ readlink /proc/$process/ns/mnt /proc/$process/ns/net; ls /proc/$process/root$1; } >$2\n"
    )
    script.chmod(0o755)
    seen = bundle.path / "seen"
    bundle.config["hooks"] = {kind: [{"path": str(script), "args": ["look", str(marker), str(seen)]}]}
    container = runtime.create(bundle)
    mount, network, found = seen.read_text().splitlines()
    # The namespaces are the container's, and the root is still one in which the host's files are.
    assert mount == os.readlink(f"/proc/{container.pid}/ns/mnt")
    assert network == os.readlink(f"/proc/{container.pid}/ns/net")
    assert found.endswith(str(marker))


@pytest.mark.parametrize("kind", AT_CREATE)
def test_when_a_hook_of_create_fails_the_container_is_destroyed_and_poststop_is_called(
    runtime: Runtime, bundle: Bundle, records: Records, kind: str
) -> None:
    records.add("poststop")
    bundle.config["hooks"][kind] = [failing(records, kind)]
    bundle.save()
    runtime("create", "--bundle", str(bundle.path), runtime.new_id()).fails(kind)
    assert records.words == ["poststop"]
    assert runtime.ids() == []


@pytest.mark.parametrize("kind", AT_START)
def test_when_a_hook_of_start_fails_the_container_is_destroyed_and_poststop_is_called(
    runtime: Runtime, bundle: Bundle, records: Records, kind: str
) -> None:
    records.add("poststop")
    bundle.config["hooks"][kind] = [failing(records, kind)]
    container = runtime.create(bundle, "pause")
    runtime("start", container.id).fails(kind)
    assert records.words == ["poststop"]
    assert runtime.ids() == []
    container.wait()


def test_when_a_startcontainer_hook_fails_the_program_does_not_run(
    runtime: Runtime, bundle: Bundle, records: Records
) -> None:
    records.add()
    bundle.config["hooks"] = {"startContainer": [failing(records, "startContainer")]}
    container = runtime.create(bundle)
    runtime("start", container.id).fails("startContainer")
    assert records.words == []


def test_when_a_poststop_hook_fails_there_is_a_warning_and_the_rest_goes_on(
    runtime: Runtime, bundle: Bundle, records: Records
) -> None:
    records.add("poststop")
    bundle.config["hooks"]["poststop"].insert(0, failing(records, "poststop"))
    container = runtime.create(bundle, "id")
    container.start()
    container.wait()
    result = runtime("delete", container.id)
    assert result.status == 0
    assert "level=warning" in result.err
    assert "poststop" in result.err
    assert records.words == ["poststop"]
    assert runtime.ids() == []
