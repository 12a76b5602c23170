"""Containers of an ordinary user, who is root in a user namespace of one id."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from support import DEVPTS, OCIRT, Bundle, Runtime, open_path
from terminal_view import Console, read_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_userns]

USER = 1000


def command_is_out_of_reach() -> str | None:
    """Why the user cannot execute the command that the tests run; None: the user can."""
    try:
        result = subprocess.run(
            [OCIRT, "--version"], user=USER, group=USER, extra_groups=[], cwd="/", capture_output=True, text=True
        )
    except PermissionError:
        return f"needs an installation that uid {USER} can read: {OCIRT} is not"
    if result.returncode != 0 and ("Permission denied" in result.stderr or "No module named" in result.stderr):
        return f"needs an installation that uid {USER} can read: {OCIRT} says {result.stderr.strip().splitlines()[-1]}"
    return None


@pytest.fixture
def rootless(runtime: Runtime, bundle: Bundle) -> Runtime:
    """The command as the user, with a state directory and a bundle of the user's."""
    reason = command_is_out_of_reach()
    if reason is not None:
        pytest.skip(reason)
    bundle.map_ids((0, USER, 1))
    bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "network"]
    bundle.add_namespace("network")
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "devpts"]
    runtime.root.mkdir()
    for path in (runtime.root, runtime.root.parent, bundle.path):
        os.chown(path, USER, USER)
    open_path(runtime.root.parent)
    runtime.user = (USER, USER)
    return runtime


def test_a_user_runs_a_container_and_is_root_in_it(rootless: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = "box"
    found, uts, uid_map = rootless.probe(bundle, "id", ";", "uts", ";", "cat", "/proc/self/uid_map")
    assert (found["uid"], found["gid"]) == (0, 0)
    assert uts["hostname"] == "box"
    assert uid_map.split() == ["0", str(USER), "1"]
    assert os.uname().nodename != "box"


def test_a_file_that_is_made_in_the_container_is_the_users(rootless: Runtime, bundle: Bundle) -> None:
    rootless.run(bundle, "write-file", "/made", "text").check()
    status = (bundle.rootfs / "made").stat()
    assert (status.st_uid, status.st_gid) == (USER, USER)


def test_a_user_creates_starts_and_deletes_a_container(rootless: Runtime, bundle: Bundle) -> None:
    container = rootless.create(bundle, "print", "hello", ";", "pause")
    assert container.status == "created"
    assert Path(f"/proc/{container.pid}").stat().st_uid in (0, USER)
    container.start()
    assert container.read_until("ready") == ["hello"]
    assert container.status == "running"
    container.kill("KILL")
    assert container.wait() == -signal.SIGKILL
    container.delete()
    assert rootless.ids() == []


def test_what_a_user_executes_is_in_the_container(rootless: Runtime, bundle: Bundle) -> None:
    container = rootless.start_paused_program(bundle)
    found, namespaces = container.probe("id", ";", "namespaces")
    assert (found["uid"], found["gid"]) == (0, 0)
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts"):
        assert namespaces[kind] == os.readlink(f"/proc/{container.pid}/ns/{kind}")
        assert namespaces[kind] != os.readlink(f"/proc/self/ns/{kind}")
    assert container.exec("/init", "exit", "7").status == 7


def test_a_user_has_a_terminal_in_a_container_and_in_what_is_executed_there(
    rootless: Runtime, bundle: Bundle, console: Console
) -> None:
    bundle.process["terminal"] = True
    bundle.config["mounts"].append(DEVPTS)
    console.path.chmod(0o666)
    flags = ["--console-socket", str(console.path)]
    container = rootless.start(bundle, "tty", ";", "pause", flags=flags)
    assert json.loads(read_until(console.master(), b"ready").splitlines()[0])["0"] == "/dev/pts/0"
    container.exec("/init", "tty", ";", "pause", flags=["--tty", "--detach", *flags]).check()
    assert json.loads(read_until(console.master(), b"ready").splitlines()[0])["0"] == "/dev/pts/1"


def test_a_users_container_reaches_no_file_of_the_hosts_root(rootless: Runtime, bundle: Bundle) -> None:
    secret = bundle.write("secret", "text", mode=0o600)
    os.chown(secret, 0, 0)
    assert rootless.probe(bundle, "cat", "/secret") == {"result": -1, "errno": errno.EACCES}


def test_a_user_does_not_see_the_containers_of_another_state_directory(rootless: Runtime, bundle: Bundle) -> None:
    container = rootless.start_paused_program(bundle)
    assert rootless("list", "--quiet").check().out.split() == [container.id]
    other = Runtime(rootless.root.parent / "other", rootless.token, rootless.orphans, user=(USER, USER))
    other("state", container.id).fails("container does not exist")
    other.close()


def test_an_id_that_is_not_mapped_is_refused(rootless: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1, "gid": 0}
    rootless.run(bundle).fails("config.json#/process/user")


def test_ids_that_are_not_the_users_cannot_be_mapped(rootless: Runtime, bundle: Bundle) -> None:
    mapping = [{"containerID": 0, "hostID": 0, "size": 1}]
    bundle.linux.update(uidMappings=mapping)
    rootless.run(bundle).fails("config.json#/linux/uidMappings")


def test_without_a_user_namespace_a_user_is_told_what_is_missing(rootless: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("user")
    del bundle.linux["uidMappings"], bundle.linux["gidMappings"]
    rootless.run(bundle).fails("user namespace")


@pytest.mark.needs_cgroup1
@pytest.mark.parametrize(
    ("resources", "pointer"),
    [({"memory": {"limit": 64 << 20}}, "/memory/limit"), ({"pids": {"limit": 5}}, "/pids/limit")],
)
def test_a_limit_that_a_user_cannot_set_is_refused(
    rootless: Runtime, bundle: Bundle, resources: dict[str, dict[str, int]], pointer: str
) -> None:
    bundle.linux["resources"] = resources
    rootless.run(bundle).fails("no permission is granted for cgroups", f"config.json#/linux/resources{pointer}")


@pytest.mark.needs_cgroup1
def test_rules_for_devices_are_left_to_the_user_namespace(rootless: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    assert rootless.probe(bundle, "mknod", "/null", "c", "1", "3")["errno"] == errno.EPERM
