"""Containers of an ordinary user, who is root in a user namespace of one id, or of many with subordinate ids."""

from __future__ import annotations

import errno
import json
import os
import pwd
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from host_view import MS_BIND, mount, parse_mounts, unmount
from support import CGROUP, DEVPTS, USER, Bundle, Runtime
from terminal_view import Console, read_until

from ocirt.cgroup import detect

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_userns]


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
    assert container.probe("cat", "/proc/1/cmdline").startswith("ocirt-init")
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


def test_a_container_whose_processes_cannot_be_found_is_warned_of(rootless: Runtime, bundle: Bundle) -> None:
    words = "neither a cgroup nor a PID namespace of its own"
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["type"] not in ("proc", "sysfs")]
    assert words not in rootless.run(bundle, "exit", "0").err
    bundle.remove_namespace("pid")
    result = rootless.run(bundle, "exit", "0")
    assert (result.status, words in result.err) == (0, True)


@pytest.mark.parametrize("offsets", [{}, {"boottime": {"secs": 7_000_000, "nanosecs": 5}}])
def test_a_user_makes_a_time_namespace(rootless: Runtime, bundle: Bundle, offsets: dict[str, dict[str, int]]) -> None:
    bundle.add_namespace("time")
    bundle.linux["timeOffsets"] = offsets
    container = rootless.start_paused_program(bundle)
    found, scheduling = container.probe("namespaces", ";", "scheduling")
    own = os.readlink(f"/proc/{container.pid}/ns/time")
    assert own != os.readlink("/proc/self/ns/time")
    assert own == os.readlink(f"/proc/{container.pid}/ns/time_for_children")
    assert found["time"] == own
    assert (scheduling["boottime"] > 7_000_000) == bool(offsets)


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


@pytest.fixture
def given(runtime: Runtime) -> Iterator[str]:
    """A cgroup path that was given to the user in every v1 hierarchy, and does not exist in that of v2."""
    path = f"/{runtime.token}-given"
    made = []
    for hierarchy in detect().hierarchies:
        directory = Path(hierarchy.mount + path)
        directory.mkdir()
        made.append(directory)
        for name in ("cpuset.cpus", "cpuset.mems"):
            if "cpuset" in hierarchy.controllers:
                (directory / name).write_text((directory.parent / name).read_text())
        for file in (directory, directory / "cgroup.procs", directory / "tasks"):
            os.chown(file, USER, USER)
    yield path
    for id in runtime.ids():
        runtime("delete", "--force", id)
    for directory in made:
        directory.rmdir()


@pytest.mark.needs_cgroup1
@pytest.mark.needs_controller("pids")
def test_a_cgroup_that_was_given_to_the_user_is_used(rootless: Runtime, bundle: Bundle, given: str) -> None:
    bundle.linux["cgroupsPath"] = f"{given}/box"
    bundle.linux["resources"] = {"pids": {"limit": 7}}
    bundle.add_mount("/sys", "sysfs", "sysfs", "ro")
    bundle.config["mounts"].append(CGROUP)
    container = rootless.start_paused_program(bundle)
    mounts = parse_mounts(container.probe("cat", "/proc/self/mountinfo")).values()
    (shown,) = [each for each in mounts if each.type == "cgroup2"]
    assert "ro" in shown.options
    lines = [line.split(":") for line in Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()]
    assert {controllers for _, controllers, path in lines if path != f"{given}/box" and controllers} == set()
    (pids,) = [hierarchy for hierarchy in detect().hierarchies if "pids" in hierarchy.controllers]
    assert Path(f"{pids.mount}{given}/box/pids.max").read_text() == "7\n"
    assert container.exec("/init", "exit", "3").status == 3
    container.delete("--force")
    assert not Path(f"{pids.mount}{given}/box").exists()


@pytest.mark.needs_cgroup1
def test_a_cgroup_that_was_not_given_to_the_user_is_refused(rootless: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/{rootless.token}-not-given/box"
    rootless.run(bundle).fails("cannot create cgroup ", "permission denied")


@pytest.mark.needs_cgroup1
def test_rules_for_devices_are_left_to_the_user_namespace(rootless: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}]}
    assert rootless.probe(bundle, "mknod", "/null", "c", "1", "3")["errno"] == errno.EPERM


# -- with subordinate ids ----------------------------------------------------------------------------------------------

#: Those of the user, by the name of a number, as /etc/subuid takes it (subuid(5)).
FIRST, COUNT = 300000, 65536
SUBORDINATE = [(0, USER, 1), (1, FIRST, COUNT)]


@pytest.fixture
def subordinate(rootless: Runtime, bundle: Bundle, tmp_path: Path) -> Iterator[Runtime]:
    """The command as the user, who has subordinate ids, and a bundle that maps them behind the user's own."""
    if shutil.which("newuidmap") is None or shutil.which("newgidmap") is None:
        pytest.skip("needs the programs newuidmap and newgidmap")
    try:
        pwd.getpwuid(USER)
    except KeyError:
        pytest.skip(f"needs a user with uid {USER}: newuidmap wants a name")
    ids = tmp_path / "subordinate"
    ids.write_text(f"{USER}:{FIRST}:{COUNT}\n")
    bundle.map_ids(*SUBORDINATE)
    files = [Path("/etc/subuid"), Path("/etc/subgid")]
    for file in files:
        mount(ids, file, flags=MS_BIND)
    yield rootless
    for file in files:
        unmount(file)


def test_subordinate_ids_are_users_and_groups_of_the_container(subordinate: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("open").chmod(0o777)
    bundle.process["user"] = {"uid": 5, "gid": 6, "additionalGids": [7, 8]}
    found, maps, _ = subordinate.probe(
        bundle, "id", ";", "cat", "/proc/self/uid_map", ";", "write-file", "/open/made", "text"
    )
    assert (found["uid"], found["gid"], sorted(found["groups"])) == (5, 6, [7, 8])
    assert [tuple(map(int, line.split())) for line in maps.splitlines()] == SUBORDINATE
    status = (bundle.rootfs / "open/made").stat()
    assert (status.st_uid, status.st_gid) == (FIRST + 4, FIRST + 5)


def test_what_is_executed_may_be_another_user(subordinate: Runtime, bundle: Bundle) -> None:
    container = subordinate.start_paused_program(bundle)
    found = container.probe("id", flags=["--user", "5:6", "--additional-gids", "9"])
    assert (found["uid"], found["gid"], found["groups"]) == (5, 6, [9])
    assert container.exec("/init", "exit", "7").status == 7


def test_a_terminal_belongs_to_the_user_of_the_container(
    subordinate: Runtime, bundle: Bundle, console: Console
) -> None:
    bundle.process["terminal"] = True
    bundle.process["user"] = {"uid": 5, "gid": 6}
    bundle.config["mounts"].append({**DEVPTS, "options": [*DEVPTS["options"], "gid=5"]})
    console.path.chmod(0o666)
    flags = ["--console-socket", str(console.path)]
    container = subordinate.start(bundle, "stat", "/dev/pts/0", ";", "pause", flags=flags)
    status = json.loads(read_until(console.master(), b"ready").splitlines()[0])
    assert (status["uid"], status["gid"]) == (5, 5)
    container.exec("/init", "tty", ";", "pause", flags=["--tty", "--detach", *flags]).check()
    assert json.loads(read_until(console.master(), b"ready").splitlines()[0])["0"] == "/dev/pts/1"


def test_a_container_with_subordinate_ids_is_created_started_and_deleted(subordinate: Runtime, bundle: Bundle) -> None:
    container = subordinate.create(bundle, "pause")
    assert container.status == "created"
    container.start()
    container.read_until("ready")
    container.kill("TERM")
    container.kill("KILL")
    assert container.wait() == -signal.SIGKILL
    container.delete()
    assert subordinate.ids() == []


@pytest.mark.parametrize(("key", "helper"), [("uidMappings", "newuidmap"), ("gidMappings", "newgidmap")])
def test_ids_that_are_not_subordinate_are_refused_in_the_helpers_words(
    subordinate: Runtime, bundle: Bundle, key: str, helper: str
) -> None:
    bundle.linux[key] = [
        {"containerID": 0, "hostID": USER, "size": 1},
        {"containerID": 1, "hostID": FIRST + COUNT, "size": 1},
    ]
    subordinate.run(bundle).fails(helper, f"config.json#/linux/{key}")
    assert subordinate.ids() == []
