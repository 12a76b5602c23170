"""config-linux.md: devices, cgroups, Intel RDT, seccomp agents; and what config.md demands of Linux processes."""

from __future__ import annotations

import json
import os
import socket
import threading
from pathlib import Path

import pytest
from host_view import cgroup_mounts, mount, unmount
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

# The spec's list of default devices, and their numbers (devices.txt of the kernel).
DEFAULT_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}


def test_the_listed_devices_are_there(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/other-null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5, "gid": 6},
        {"path": "/dev/pipe", "type": "p"},
    ]
    null, pipe = runtime.probe(bundle, "stat", "/dev/other-null", ";", "stat", "/dev/pipe")
    assert (null["type"], null["major"], null["minor"]) == ("char", 1, 3)
    assert (null["mode"], null["uid"], null["gid"]) == (0o600, 5, 6)
    assert pipe["type"] == "fifo"


def test_a_file_in_the_place_of_a_device_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] == "/proc"]
    bundle.write("/data/device", "no device")
    bundle.linux["devices"] = [{"path": "/data/device", "type": "c", "major": 1, "minor": 3}]
    runtime.run(bundle).fails("/data/device")


def test_the_default_devices_are_there(runtime: Runtime, bundle: Bundle) -> None:
    words = [word for name in DEFAULT_DEVICES for word in ("stat", f"/dev/{name}", ";")]
    found = runtime.probe(bundle, *words, "readlink", "/dev/ptmx")
    for (name, numbers), value in zip(DEFAULT_DEVICES.items(), found, strict=False):
        assert (value["type"], value["major"], value["minor"]) == ("char", *numbers), name
    assert found[-1] in ("pts/ptmx", "/dev/pts/ptmx")


def cgroups_of(pid: int) -> dict[str, str]:
    """Controllers of each hierarchy -> the path of the process's cgroup in it."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return {controllers: path for _, controllers, path in (line.split(":", 2) for line in lines)}


def test_an_absolute_cgroups_path_begins_at_the_mount_point(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/{runtime.token}/inner"
    container = runtime.start_paused_program(bundle)
    below = [point for point, _ in cgroup_mounts() if (point / runtime.token / "inner").is_dir()]
    assert below
    assert f"/{runtime.token}/inner" in cgroups_of(container.pid).values()


def test_the_same_cgroups_path_is_the_same_cgroup(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"{runtime.token}-relative"
    found = []
    for _ in range(2):
        container = runtime.start_paused_program(bundle)
        found.append(cgroups_of(container.pid))
        container.delete("--force")
    assert found[0] == found[1]


@pytest.mark.needs_cgroup2
def test_unified_is_written_and_its_controllers_are_enabled(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/{runtime.token}"
    bundle.linux["resources"] = {"unified": {"pids.max": "17", "cgroup.max.depth": "3"}}
    runtime.start_paused_program(bundle)
    cgroup = Path("/sys/fs/cgroup") / runtime.token
    assert (cgroup / "pids.max").read_text() == "17\n"
    assert (cgroup / "cgroup.max.depth").read_text() == "3\n"


@pytest.mark.needs_cgroup2
def test_unified_with_a_controller_that_there_is_not_is_an_error(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"unified": {"tea.max": "1"}}
    runtime.run(bundle).fails("tea")


ONE_USER = [{"containerID": 0, "hostID": 100000, "size": 1000}]


def test_an_idmapped_mount_has_the_mappings_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    source = bundle.path / "source"
    source.mkdir()
    bundle.add_mount("/data", None, source, "bind", "idmap")
    bundle.config["mounts"][-1] |= {"uidMappings": ONE_USER, "gidMappings": ONE_USER}
    found = runtime.probe(bundle, "stat", "/data")
    assert (found["uid"], found["gid"]) == (100000, 100000)


@pytest.mark.parametrize(("word", "owner_below"), [("idmap", 0), ("ridmap", 100000)])
def test_ridmap_alone_maps_what_is_mounted_below(runtime: Runtime, bundle: Bundle, word: str, owner_below: int) -> None:
    below = bundle.path / "source/below"
    below.mkdir(parents=True)
    mount("tmpfs", below, "tmpfs")
    try:
        bundle.add_mount("/data", None, below.parent, "rbind", word)
        bundle.config["mounts"][-1] |= {"uidMappings": ONE_USER, "gidMappings": ONE_USER}
        top, inner = runtime.probe(bundle, "stat", "/data", ";", "stat", "/data/below")
        assert (top["uid"], inner["uid"]) == (100000, owner_below)
    finally:
        unmount(below)


def test_rules_for_devices_are_applied_in_the_listed_order(runtime: Runtime, bundle: Bundle) -> None:
    null = {"type": "c", "major": 1, "minor": 3, "access": "rwm"}
    allow, deny = {"allow": True, **null}, {"allow": False, **null}
    bundle.linux["devices"] = [{"path": "/dev/other-null", "type": "c", "major": 1, "minor": 3}]
    everything = {"allow": False, "access": "rwm"}
    zero = {"type": "c", "major": 1, "minor": 5, "access": "rwm"}
    bundle.linux["resources"] = {
        "devices": [everything, {"allow": True, **zero}, {"allow": False, **zero}, deny, allow]
    }
    assert runtime.probe(bundle, "open", "/dev/other-null", "w")["result"] >= 0


def test_console_size_without_a_terminal_is_ignored(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["consoleSize"] = {"height": 25, "width": 80}
    assert runtime.run(bundle, "print", "ran").check().out == "ran\n"


def test_without_intel_rdt_resctrl_is_left_alone(runtime: Runtime, bundle: Bundle) -> None:
    resctrl = Path("/sys/fs/resctrl")
    before = sorted(os.listdir(resctrl)) if resctrl.exists() else None
    runtime.start_paused_program(bundle)
    assert (sorted(os.listdir(resctrl)) if resctrl.exists() else None) == before


@pytest.mark.skipif("resctrl" in Path("/proc/mounts").read_text(), reason="resctrl is mounted")
def test_intel_rdt_without_a_mounted_resctrl_is_an_error(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["intelRdt"] = {"closID": "some"}
    runtime.run(bundle).fails("/linux/intelRdt")


def needs_notify(runtime: Runtime) -> None:
    features = json.loads(runtime("features").check().out)
    if "SCMP_ACT_NOTIFY" not in features["linux"]["seccomp"]["actions"]:
        pytest.skip("this runtime supports no SCMP_ACT_NOTIFY")


def listening(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()
    return server


class Agent(threading.Thread):
    """Takes one connection of a runtime that has a seccomp listener: all that it sends, and how."""

    def __init__(self, server: socket.socket) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.messages: list[tuple[bytes, list[int]]] = []
        self.connections = 0

    def run(self) -> None:
        connection, _ = self.server.accept()
        self.connections += 1
        with connection:
            while True:
                data, fds, _, _ = socket.recv_fds(connection, 65536, 8)
                if not data:
                    break
                self.messages.append((data, fds))


def test_the_seccomp_agent_gets_one_state_on_a_connection_that_ends(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    needs_notify(runtime)
    path = tmp_path / "agent.sock"
    with listening(path) as server:
        agent = Agent(server)
        agent.start()
        bundle.notify(path, "getcwd", listenerMetadata="what the agent wants to know")
        container = runtime.start_paused_program(bundle)
        agent.join(10)
        assert not agent.is_alive(), "the connection is still open"
    text = b"".join(data for data, _ in agent.messages)
    state = json.loads(text)
    fds = [fd for _, received in agent.messages for fd in received]
    assert agent.messages[0][1] == fds
    assert len(fds) == len(state["fds"]) >= 1
    assert state["fds"][0] == "seccompFd"
    assert "seccomp notify" in os.readlink(f"/proc/self/fd/{fds[0]}")
    assert state["ociVersion"].startswith("1.")
    assert state["pid"] == container.pid
    assert state["metadata"] == "what the agent wants to know"
    assert state["state"]["id"] == container.id
    assert state["state"]["bundle"] == str(bundle.path)
    for fd in fds:
        os.close(fd)


def test_a_seccomp_agent_that_is_not_there_is_an_error(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    needs_notify(runtime)
    bundle.notify(tmp_path / "nobody.sock", "getcwd")
    runtime.run(bundle).fails("nobody.sock")
