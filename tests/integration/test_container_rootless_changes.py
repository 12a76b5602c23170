"""What an ordinary user changes of a container that runs, hears of it and records of it."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from host_view import PATIENCE, parse_mounts, wait_readable
from support import USER, Bundle, Container, Result, Runtime

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_userns]


def ask(container: Container, command: str, verb: str, *objects: Any) -> Result:
    return container.runtime(command, verb, container.id, "-", input=json.dumps(list(objects)))


def own_directory(path: Path) -> Path:
    path.mkdir()
    os.chown(path, USER, USER)
    return path


def mount_points(container: Container) -> set[str]:
    return set(parse_mounts(container.probe("cat", "/proc/self/mountinfo")))


def test_a_user_mounts_a_filesystem_and_unmounts_it(rootless: Runtime, bundle: Bundle) -> None:
    container = rootless.start_paused_program(bundle)
    before = mount_points(container)
    ask(container, "mounts", "add", {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs"}).check()
    assert container.probe("write-file", "/scratch/x", "text")["result"] == 4
    assert mount_points(container) == {*before, "/scratch"}
    ask(container, "mounts", "remove", {"destination": "/scratch"}).check()
    assert mount_points(container) == before


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("mounts", {"destination": "/data", "source": "/tmp", "options": ["bind"]}),
        ("devices", {"path": "/dev/zero-copy", "type": "c", "major": 1, "minor": 5}),
    ],
)
def test_nothing_of_the_host_can_be_brought_into_a_users_container(
    rootless: Runtime, bundle: Bundle, command: str, wanted: dict[str, Any]
) -> None:
    """Only who has CAP_SYS_ADMIN where a mount is may copy it (open_tree(2)); a device would be a bind, too."""
    container = rootless.start_paused_program(bundle)
    before = mount_points(container)
    ask(container, command, "add", wanted).fails("is not supported here: needs a runtime that is root on the host")
    assert mount_points(container) == before
    assert container.status == "running"


def test_the_container_of_a_user_says_that_it_is_ready(rootless: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    path = own_directory(tmp_path / "manager") / "notify.sock"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(str(path))
    path.chmod(0o666)
    environment = {**os.environ, "NOTIFY_SOCKET": str(path)}
    words = ("send-to", "/run/notify/notify.sock", "READY=1", ";", "pause")
    with manager:
        container = rootless.create(bundle, *words, env=environment)
        starting = rootless.popen("start", container.id, env=environment)
        heard: list[str] = []
        while not heard or heard[-1] != "BARRIER=1":
            wait_readable(manager.fileno(), "a message")
            text, fds, _, _ = socket.recv_fds(manager, 4096, 1)
            heard.append(text.decode().strip())
            for fd in fds:
                os.close(fd)
        assert starting.wait(PATIENCE) == 0
    assert heard == ["READY=1", f"MAINPID={container.pid}", "BARRIER=1"]


def test_a_user_records_a_profile_that_is_enough(rootless: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    path = own_directory(tmp_path / "profiles") / "seccomp.json"
    program = ["mkdir", "/made", ";", "id", ";", "exit", "0"]
    os.chown(bundle.rootfs, USER, USER)
    result = rootless.run(bundle, *program, flags=["--record-seccomp", str(path)])
    assert result.status == 0, result
    profile = json.loads(path.read_text())
    assert path.stat().st_uid == USER
    assert {"mkdir", "execve", "write"} <= set(profile["syscalls"][0]["names"])
    (bundle.rootfs / "made").rmdir()
    bundle.linux["seccomp"] = profile
    result = rootless.run(bundle, *program).check()
    assert result.values[0] == {"result": 0, "errno": 0}
    assert rootless.run(bundle, "set-hostname", "x").check().values[0]["errno"] == errno.EPERM
