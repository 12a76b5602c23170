"""Mounts and devices that are put into a container that runs, and taken out of it: `ocirt mounts`, `ocirt devices`."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from host_view import parse_mounts
from support import Bundle, Container, Result, Runtime

import ocirt

pytestmark = pytest.mark.needs_root

#: A device that the default rules of a container refuse.
MEM = {"path": "/dev/kmsg-copy", "type": "c", "major": 1, "minor": 11, "fileMode": 0o600}


def ask(container: Container, command: str, verb: str, *objects: Any) -> Result:
    return container.runtime(command, verb, container.id, "-", input=json.dumps(list(objects)))


def points(container: Container) -> set[str]:
    return set(parse_mounts(container.probe("cat", "/proc/self/mountinfo")))


def saved(container: Container) -> Any:
    return json.loads((container.runtime.root / container.id / "config.json").read_text())


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    path = tmp_path / "volume"
    path.mkdir()
    (path / "file").write_text("from the host")
    return path


def bind(source: Path, destination: str = "/data", *options: str) -> dict[str, Any]:
    return {"destination": destination, "source": str(source), "options": ["bind", *options]}


# -- mounts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_namespace", [False, True])
def test_a_directory_of_the_host_is_mounted_and_unmounted(
    runtime: Runtime, bundle: Bundle, volume: Path, user_namespace: bool
) -> None:
    if user_namespace:
        bundle.map_ids((0, 100_000, 1000))
    container = runtime.start_paused_program(bundle)
    before = points(container)
    ask(container, "mounts", "add", bind(volume, "/data", "ro")).check()
    assert container.probe("cat", "/data/file") == "from the host"
    assert container.probe("write-file", "/data/other", "x")["errno"] == errno.EROFS
    assert points(container) == {*before, "/data"}
    assert saved(container)["mounts"][-1] == bind(volume, "/data", "ro")
    ask(container, "mounts", "remove", {"destination": "/data"}).check()
    assert points(container) == before
    assert container.probe("ls", "/data") == []
    assert all(mount["destination"] != "/data" for mount in saved(container)["mounts"])
    assert (volume / "file").read_text() == "from the host"


def test_the_program_itself_sees_the_mount(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    container = runtime.start_paused_program(bundle)
    ask(container, "mounts", "add", bind(volume)).check()
    assert Path(f"/proc/{container.pid}/root/data/file").read_text() == "from the host"


def test_a_file_is_mounted_on_a_new_file(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    container = runtime.start_paused_program(bundle)
    ask(container, "mounts", "add", bind(volume / "file", "/deep/in/there")).check()
    assert container.probe("cat", "/deep/in/there") == "from the host"
    ask(container, "mounts", "remove", {"destination": "/deep/in/there"}).check()
    assert container.probe("cat", "/deep/in/there") == ""


@pytest.mark.parametrize("user_namespace", [False, True])
def test_a_filesystem_is_made_for_the_container(runtime: Runtime, bundle: Bundle, user_namespace: bool) -> None:
    if user_namespace:
        bundle.map_ids((0, 100_000, 1000))
    container = runtime.start_paused_program(bundle)
    tmpfs = {
        "destination": "/scratch",
        "type": "tmpfs",
        "source": "tmpfs",
        "options": ["size=64k", "mode=700", "nodev"],
    }
    ask(container, "mounts", "add", tmpfs).check()
    assert container.probe("stat", "/scratch")["uid"] == 0
    container.probe("write-file", "/scratch/x", "text")
    assert container.probe("cat", "/scratch/x") == "text"


def test_a_queue_filesystem_is_that_of_the_containers_ipc_namespace(runtime: Runtime, bundle: Bundle) -> None:
    queues = {"destination": "/queues", "type": "mqueue", "source": "mqueue"}
    bundle.config["mounts"].append({**queues, "destination": "/before"})
    container = runtime.start_paused_program(bundle)
    ask(container, "mounts", "add", queues).check()
    lines = container.probe("cat", "/proc/self/mountinfo").splitlines()
    devices = {line.split()[4]: line.split()[2] for line in lines}
    assert devices["/queues"] == devices["/before"]


def test_a_created_container_takes_a_mount(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    container = runtime.create(bundle, "cat", "/data/file")
    ask(container, "mounts", "add", bind(volume)).check()
    container.start()
    assert container.read_value() == "from the host"


def test_a_paused_container_takes_a_mount(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    container = runtime.start_paused_program(bundle)
    runtime("pause", container.id).check()
    ask(container, "mounts", "add", bind(volume)).check()
    runtime("resume", container.id).check()
    assert container.probe("cat", "/data/file") == "from the host"


def test_a_container_that_was_made_without_pivot_root_takes_a_mount(
    runtime: Runtime, bundle: Bundle, volume: Path
) -> None:
    container = runtime.start(bundle, "pause", flags=["--no-pivot"])
    container.read_until("ready")
    ask(container, "mounts", "add", bind(volume)).check()
    assert container.probe("cat", "/data/file") == "from the host"
    ask(container, "mounts", "remove", {"destination": "/data"}).check()
    assert container.probe("ls", "/data") == []


def test_all_mounts_are_made_or_none(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    container = runtime.start_paused_program(bundle)
    before, config = points(container), saved(container)
    bad = {"destination": "/bad", "type": "tmpfs", "source": "x", "options": ["no_such_option"]}
    result = ask(container, "mounts", "add", bind(volume), bind(volume, "/more"), bad)
    result.fails("cannot mount tmpfs on /bad", "no_such_option", "#/mounts/2")
    assert points(container) == before
    assert saved(container) == config


@pytest.mark.parametrize(
    ("mount", "text"),
    [
        ({"destination": "/x", "type": "proc"}, "mounting proc in a running container is not supported"),
        ({"destination": "/x", "type": "cgroup"}, "mounting cgroup in a running container is not supported"),
        ({"destination": "/proc/self", "type": "tmpfs"}, "cannot be mounted because it is inside /proc"),
        ({"destination": "/", "type": "tmpfs"}, "device or resource busy"),
        ({"destination": "/x", "source": "/nowhere", "options": ["bind"]}, "no such file or directory"),
        ({"type": "tmpfs"}, "destination"),
        (7, "#/mounts/0"),
    ],
)
def test_a_mount_that_cannot_be_is_refused(runtime: Runtime, bundle: Bundle, mount: Any, text: str) -> None:
    container = runtime.start_paused_program(bundle)
    before = points(container)
    ask(container, "mounts", "add", mount).fails(text)
    assert points(container) == before


def test_what_is_no_mount_cannot_be_removed(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("/here")
    container = runtime.start_paused_program(bundle)
    ask(container, "mounts", "remove", {"destination": "/here"}).fails("cannot unmount /here", "invalid argument")
    ask(container, "mounts", "remove", {"destination": "/gone"}).fails("cannot unmount /gone", "no such file")
    ask(container, "mounts", "remove", {"destination": "/"}).fails("cannot unmount /")


def test_a_stopped_container_takes_nothing(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    container = runtime.start_paused_program(bundle)
    container.kill("KILL")
    container.wait()
    ask(container, "mounts", "add", bind(volume)).fails("container not running")
    ask(container, "devices", "add", MEM).fails("container not running")


def test_a_file_that_holds_no_array_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    runtime("mounts", "add", container.id, "-", input="{}").fails("wanted an array of objects")
    runtime("mounts", "swap", container.id, "-", input="[]").fails("wanted add or remove, found swap")
    runtime("mounts", "add", container.id, "/nowhere/x").fails("/nowhere/x")


def test_a_container_in_the_hosts_mount_namespace_takes_nothing(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    bundle.remove_namespace("mount")
    bundle.config["mounts"] = []
    container = runtime.start(bundle, "pause")
    ask(container, "mounts", "add", bind(volume)).fails("adding mounts", "a container with a mount namespace")


def test_the_library_mounts_and_unmounts(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    container = runtime.start_paused_program(bundle)
    loaded = ocirt.Container.load(container.id, root=str(runtime.root))
    loaded.add_mounts([bind(volume)])
    assert container.probe("cat", "/data/file") == "from the host"
    loaded.remove_mounts([{"destination": "/data"}])
    assert container.probe("ls", "/data") == []


# -- devices -----------------------------------------------------------------------------------------------------------


def try_open(container: Container) -> int:
    return int(container.probe("open", str(MEM["path"]))["errno"])


def test_a_device_is_made_and_allowed_and_removed_and_denied(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["capabilities"]["bounding"] = ["CAP_MKNOD", "CAP_SYSLOG", "CAP_DAC_OVERRIDE"]
    for name in ("effective", "permitted"):
        bundle.process["capabilities"][name] = bundle.process["capabilities"]["bounding"]
    container = runtime.start_paused_program(bundle)
    # mknod is allowed to containers, open is not.
    container.probe("mknod", "/dev/own", "c", "1", "11")
    assert container.probe("open", "/dev/own")["errno"] == errno.EPERM
    ask(container, "devices", "add", MEM).check()
    found = container.probe("stat", str(MEM["path"]))
    assert (found["type"], found["mode"]) == ("char", 0o600)
    assert try_open(container) == 0
    assert saved(container)["linux"]["devices"] == [MEM]
    ask(container, "devices", "remove", MEM).check()
    assert try_open(container) == errno.ENOENT
    assert container.probe("open", "/dev/own")["errno"] == errno.EPERM
    assert saved(container)["linux"]["devices"] == []


def test_a_device_is_bound_where_there_is_a_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    bundle.map_ids((0, 100_000, 1000))
    container = runtime.start_paused_program(bundle)
    zero = {"path": "/dev/zero", "type": "c", "major": 1, "minor": 5}
    ask(container, "devices", "remove", zero).check()
    assert container.probe("open", "/dev/zero")["errno"] == errno.ENOENT
    ask(container, "devices", "add", zero).check()
    assert container.probe("open", "/dev/zero")["errno"] == 0


def test_a_path_that_is_taken_is_an_error_and_nothing_is_allowed(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle, "write-file", str(MEM["path"]), "mine", ";")
    other = {**MEM, "path": "/dev/other"}
    ask(container, "devices", "add", other, MEM).fails("cannot make device /dev/kmsg-copy", "file exists")
    assert container.probe("cat", str(MEM["path"])) == "mine"
    assert container.probe("open", "/dev/other")["errno"] == errno.ENOENT
    container.probe("mknod", "/dev/own", "c", "1", "11")
    assert container.probe("open", "/dev/own")["errno"] == errno.EPERM


def test_a_node_that_has_become_something_else_stays_and_the_device_is_denied(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    ask(container, "devices", "add", MEM).check()
    container.probe("remove", str(MEM["path"]))
    container.probe("write-file", str(MEM["path"]), "mine")
    ask(container, "devices", "remove", MEM).fails("cannot remove device /dev/kmsg-copy", "file exists")
    container.probe("mknod", "/dev/own", "c", "1", "11")
    assert container.probe("open", "/dev/own")["errno"] == errno.EPERM
    assert container.probe("cat", str(MEM["path"])) == "mine"


def test_a_fifo_needs_no_rule(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    fifo = {"path": "/dev/fifo", "type": "p", "fileMode": 0o640}
    ask(container, "devices", "add", fifo).check()
    assert container.probe("stat", "/dev/fifo")["type"] == "fifo"
    ask(container, "devices", "remove", fifo).check()
    assert container.probe("stat", "/dev/fifo")["errno"] == errno.ENOENT


def test_a_device_of_no_kind_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    ask(container, "devices", "add", {"path": "/dev/x", "type": "q"}).fails("#/linux/devices/0/type")
    ask(container, "devices", "add", {"path": "/dev/x", "type": "c"}).fails("#/linux/devices/0")
