"""User namespaces: id maps of one line and of many, and what the rest of the configuration means inside of one."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from support import CGROUP, MQUEUE, SHM, SYSFS, Bundle, Container, Runtime

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_userns]

HOST_ID, SIZE = 100_000, 65536
FULL = (1 << 41) - 1


@pytest.fixture
def mapped(bundle: Bundle) -> Bundle:
    bundle.map_ids((0, HOST_ID, SIZE))
    return bundle


def id_map(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, line.split())) for line in text.splitlines()]


@pytest.mark.parametrize(
    "lines",
    [
        [(0, HOST_ID, 1)],
        [(0, HOST_ID, SIZE)],
        [(0, HOST_ID, 1000), (1000, 1000, 1), (1001, HOST_ID + 1001, 64535)],
        [(number, 1 + 2 * number, 1) for number in range(340)],
    ],
    ids=["one id", "one line", "rootless-like", "340 lines"],
)
def test_the_id_maps_are_those_of_the_configuration(
    runtime: Runtime, bundle: Bundle, lines: list[tuple[int, int, int]]
) -> None:
    bundle.map_ids(*lines)
    # /proc/self/uid_map shows the host ids as the reader's namespace sees them: so the host has to read it.
    container = runtime.start_paused_program(bundle)
    for name in ("uid_map", "gid_map"):
        assert id_map(Path(f"/proc/{container.pid}/{name}").read_text()) == lines


def test_users_and_groups_may_be_mapped_in_different_ways(runtime: Runtime, mapped: Bundle) -> None:
    mapped.linux["gidMappings"] = [{"containerID": 0, "hostID": 300_000, "size": 10}]
    os.chown(mapped.rootfs, HOST_ID, 300_000)
    container = runtime.start_paused_program(mapped)
    status = Path(f"/proc/{container.pid}/status").read_text()
    assert f"Uid:\t{HOST_ID}" in status
    assert "Gid:\t300000" in status


def test_root_inside_is_the_mapped_user_outside(runtime: Runtime, mapped: Bundle) -> None:
    found, made = runtime.probe(mapped, "id", ";", "write-file", "/made", "")
    assert (found["uid"], found["gid"], made["errno"]) == (0, 0, 0)
    assert (mapped.rootfs / "made").stat().st_uid == HOST_ID


def test_another_user_inside_with_groups(runtime: Runtime, mapped: Bundle) -> None:
    mapped.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6], "umask": 0o077}
    found, umask = runtime.probe(mapped, "id", ";", "umask")
    assert (found["uid"], found["gid"], sorted(found["groups"]), umask) == (1000, 1001, [5, 6], 0o077)


@pytest.mark.parametrize("user", [{"uid": SIZE, "gid": 0}, {"uid": 0, "gid": SIZE}])
def test_a_user_that_is_not_mapped_is_refused(runtime: Runtime, mapped: Bundle, user: dict[str, int]) -> None:
    mapped.process["user"] = user
    runtime.run(mapped, "id").fails("config.json#/process/user", str(SIZE))


def test_the_callers_groups_are_dropped(runtime: Runtime, mapped: Bundle) -> None:
    assert runtime.probe(mapped, "id", extra_groups=[4, 20])["groups"] == []


def test_all_capabilities_are_those_of_the_namespace(runtime: Runtime, mapped: Bundle) -> None:
    sets = ("bounding", "effective", "permitted")
    mapped.process["capabilities"] = {kind: ["CAP_SYS_ADMIN", "CAP_NET_ADMIN", "CAP_CHOWN"] for kind in sets}
    wanted = 1 << 21 | 1 << 12 | 1
    caps, hostname = runtime.probe(mapped, "caps", ";", "set-hostname", "mine")
    assert [int(caps[kind], 16) for kind in sets] == [wanted] * 3
    assert hostname["errno"] == 0


@pytest.mark.needs_capability("SYS_RESOURCE")
def test_a_limit_may_be_raised_above_the_callers(runtime: Runtime, mapped: Bundle) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    mapped.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": hard + 1, "hard": hard + 2}]
    assert runtime.probe(mapped, "rlimits")["RLIMIT_NOFILE"] == [hard + 1, hard + 2]


def test_a_limit_may_be_lowered(runtime: Runtime, mapped: Bundle) -> None:
    mapped.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]
    assert runtime.probe(mapped, "rlimits")["RLIMIT_NOFILE"] == [100, 200]


def test_the_usual_filesystems_can_be_mounted(runtime: Runtime, mapped: Bundle) -> None:
    mapped.config["mounts"] += [SHM, MQUEUE, SYSFS]
    names, stat = runtime.probe(mapped, "ls", "/sys/class/net", ";", "stat", "/dev/shm")
    assert names == ["lo"]
    assert (stat["mode"], stat["uid"]) == (0o1777, 0)


@pytest.mark.parametrize("private", [True, False])
def test_a_cgroup_mount_is_shown(runtime: Runtime, mapped: Bundle, private: bool) -> None:
    if private:
        mapped.add_namespace("cgroup")
    mapped.config["mounts"] += [SYSFS, CGROUP]
    names, made = runtime.probe(mapped, "ls", "/sys/fs/cgroup", ";", "mkdir", "/sys/fs/cgroup/x")
    assert names
    assert made["errno"] == errno.EROFS


def test_devices_are_bound_from_the_host(runtime: Runtime, mapped: Bundle) -> None:
    """mknod(2) of a device is refused in a user namespace."""
    mapped.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    values = runtime.probe(
        mapped,
        *("stat", "/dev/null", ";", "open", "/dev/null", "rw", ";", "open", "/dev/zero", ";"),
        *("readlink", "/dev/fd", ";", "stat", "/dev/fuse", ";", "ls", "/dev"),
    )
    assert (values[0]["type"], values[0]["major"], values[0]["minor"]) == ("char", 1, 3)
    assert [values[1]["errno"], values[2]["errno"], values[3]] == [0, 0, "/proc/self/fd"]
    assert (values[4]["major"], values[4]["minor"]) == (10, 229)
    assert {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "stdin"} <= set(values[5])


def test_a_fifo_is_made_though_devices_are_bound(runtime: Runtime, mapped: Bundle) -> None:
    """The host has none at that path, and mknod(2) takes no privilege for it."""
    mapped.linux["devices"] = [{"path": "/dev/fifo", "type": "p", "fileMode": 0o640, "uid": 5, "gid": 6}]
    found = runtime.probe(mapped, "stat", "/dev/fifo")
    assert [found[name] for name in ("type", "mode", "uid", "gid")] == ["fifo", 0o640, 5, 6]


def test_a_bind_of_the_host_shows_the_owner_as_mapped(runtime: Runtime, mapped: Bundle) -> None:
    source = mapped.path / "source"
    source.mkdir()
    os.chown(source, HOST_ID + 7, HOST_ID + 8)
    mapped.add_mount("/bound", None, source, "bind")
    mapped.add_mount("/of-root", None, "/etc", "bind")
    mine, roots = runtime.probe(mapped, "stat", "/bound", ";", "stat", "/of-root")
    assert (mine["uid"], mine["gid"]) == (7, 8)
    assert (roots["uid"], roots["gid"]) == (65534, 65534)


def test_a_source_that_the_mapped_user_cannot_reach_is_mounted_all_the_same(runtime: Runtime, mapped: Bundle) -> None:
    """The host's root opens it."""
    private = mapped.path / "private"
    (private / "source").mkdir(parents=True)
    (private / "source/mark").touch()
    private.chmod(0o700)
    mapped.add_mount("/bound", None, private / "source", "bind")
    assert runtime.probe(mapped, "ls", "/bound") == ["mark"]


def test_a_root_that_the_mapped_user_cannot_reach_is_used_all_the_same(runtime: Runtime, mapped: Bundle) -> None:
    mapped.path.chmod(0o700)
    assert runtime.probe(mapped, "pids")["pid"] == 1


def test_paths_are_masked_and_readonly_inside(runtime: Runtime, mapped: Bundle) -> None:
    mapped.linux.update(maskedPaths=["/proc/keys", "/sys/firmware"], readonlyPaths=["/data"])
    mapped.write("data/file", mode=0o666)
    mapped.config["mounts"].append(SYSFS)
    keys, firmware, written = runtime.probe(
        mapped, *("cat", "/proc/keys", ";", "ls", "/sys/firmware", ";", "write", "/data/file", "x")
    )
    assert (keys, firmware, written["errno"]) == ("", [], errno.EROFS)


def test_a_readonly_root(runtime: Runtime, mapped: Bundle) -> None:
    mapped.config["root"]["readonly"] = True
    assert runtime.probe(mapped, "write-file", "/x", "")["errno"] == errno.EROFS


def test_a_sysctl_of_an_own_namespace_can_be_set(runtime: Runtime, mapped: Bundle) -> None:
    mapped.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1"}
    values = runtime.probe(
        mapped, *("cat", "/proc/sys/net/ipv4/ip_forward", ";", "cat", "/proc/sys/kernel/shm_rmid_forced")
    )
    assert values == ["1\n", "1\n"]


def test_stdio_stays_usable_for_a_user_that_is_not_root(runtime: Runtime, mapped: Bundle) -> None:
    mapped.process["user"] = {"uid": 1000, "gid": 1000}
    runtime.run(mapped, "open", "/dev/stdout", "w").check()


def test_a_session_keyring_is_made(runtime: Runtime, mapped: Bundle) -> None:
    assert runtime.probe(mapped, "keyring").split(";")[-1].startswith("_ses.")


def test_exec_enters_the_user_namespace(runtime: Runtime, mapped: Bundle) -> None:
    container = runtime.start_paused_program(mapped)
    found, caps, namespaces = container.probe("id", ";", "caps", ";", "namespaces", flags=["--user", "5:6"])
    assert (found["uid"], found["gid"]) == (5, 6)
    assert namespaces["user"] == os.readlink(f"/proc/{container.pid}/ns/user")
    assert caps["effective"] == "0"


def test_a_user_namespace_can_be_joined(runtime: Runtime, bundle: Bundle, make_bundle: Any) -> None:
    first: Bundle = make_bundle("first")
    first.map_ids((0, HOST_ID, SIZE))
    other: Container = runtime.start_paused_program(first)
    os.chown(bundle.rootfs, HOST_ID, HOST_ID)
    bundle.add_namespace("user", f"/proc/{other.pid}/ns/user")
    namespaces, found = runtime.probe(bundle, "namespaces", ";", "id")
    assert namespaces["user"] == os.readlink(f"/proc/{other.pid}/ns/user")
    assert (found["uid"], found["gid"]) == (0, 0)


def test_a_whole_pod_with_a_user_namespace_can_be_joined(runtime: Runtime, bundle: Bundle, make_bundle: Any) -> None:
    first: Bundle = make_bundle("first")
    first.map_ids((0, HOST_ID, SIZE))
    other: Container = runtime.start_paused_program(first)
    os.chown(bundle.rootfs, HOST_ID, HOST_ID)
    names = {"user": "user", "network": "net", "ipc": "ipc", "uts": "uts", "pid": "pid"}
    for kind, name in names.items():
        bundle.add_namespace(kind, f"/proc/{other.pid}/ns/{name}")
    found = runtime.probe(bundle, "namespaces")
    for name in names.values():
        assert found[name] == os.readlink(f"/proc/{other.pid}/ns/{name}")


@pytest.mark.parametrize("owner", ["container", "host"])
def test_a_cgroup_namespace_can_be_joined_by_who_is_in_a_user_namespace(
    runtime: Runtime, mapped: Bundle, make_bundle: Any, owner: str
) -> None:
    """On cgroup2 with nsdelegate nobody in a cgroup namespace can bring a process into it that comes from outside; and
    nobody in a user namespace can join a cgroup namespace that belongs to the host."""
    first: Bundle = make_bundle("first")
    first.add_namespace("cgroup")
    if owner == "container":
        first.map_ids((0, HOST_ID, SIZE))
        mapped.remove_namespace("user")
        del mapped.linux["uidMappings"], mapped.linux["gidMappings"]
    other: Container = runtime.start_paused_program(first)
    if owner == "container":
        mapped.add_namespace("user", f"/proc/{other.pid}/ns/user")
    mapped.remove_namespace("cgroup")
    mapped.add_namespace("cgroup", f"/proc/{other.pid}/ns/cgroup")
    container = runtime.start_paused_program(mapped)
    assert os.readlink(f"/proc/{container.pid}/ns/cgroup") == os.readlink(f"/proc/{other.pid}/ns/cgroup")
    found = container.probe("namespaces")
    assert found["cgroup"] == os.readlink(f"/proc/{other.pid}/ns/cgroup")
    cgroups = Path(f"/proc/{container.pid}/cgroup").read_text()
    assert f"/{container.id}\n" in cgroups
    assert f"/{other.id}\n" not in cgroups


def test_a_user_namespace_without_maps_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_namespace("user")
    runtime.run(bundle).fails("config.json#/linux", "Mappings")


def test_maps_without_a_user_namespace_are_refused(runtime: Runtime, mapped: Bundle) -> None:
    mapped.remove_namespace("user")
    runtime.run(mapped).fails("config.json#/linux/", "user namespace")


def test_more_lines_than_the_kernel_takes_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    """user_namespaces(7): "The limit is 340 lines", since Linux 4.15. More of them once overflowed a length
    (CVE-2021-43784)."""
    bundle.map_ids(*[(number, HOST_ID + 2 * number, 1) for number in range(20_000)])
    runtime.run(bundle, "id").fails("340", "config.json#/linux/uidMappings")


def test_maps_that_are_longer_than_a_page_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    """The kernel takes a map by one write of less than a page."""
    bundle.map_ids(*[(number, HOST_ID + 2 * number, 1) for number in range(340)])
    result = runtime.run(bundle, "id").fails("uid_map", "invalid argument", "config.json#/linux/uidMappings")
    assert "hint:" in result.err


def test_maps_that_overlap_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.map_ids((0, HOST_ID, 10), (5, HOST_ID + 100, 10))
    runtime.run(bundle, "id").fails("config.json#/linux/uidMappings")


@pytest.mark.needs_kernel("5.12")
def test_an_idmapped_mount_shows_its_files_as_those_of_the_container(runtime: Runtime, mapped: Bundle) -> None:
    source = mapped.path / "source"
    source.mkdir()
    (source / "file").touch()
    mappings = [{"containerID": 0, "hostID": HOST_ID, "size": SIZE}]
    mapped.add_mount("/bound", None, source, "bind")
    mapped.config["mounts"][-1].update(uidMappings=mappings, gidMappings=mappings)
    stat, made = runtime.probe(mapped, "stat", "/bound/file", ";", "write-file", "/bound/new", "")
    assert (stat["uid"], stat["gid"], made["errno"]) == (0, 0, 0)
    assert (source / "new").stat().st_uid == 0


@pytest.mark.needs_program("unshare")
def test_a_root_of_a_user_namespace_runs_containers_in_it(runtime: Runtime, bundle: Bundle) -> None:
    """Without one of their own, and where setgroups(2) is denied: as below an engine of an ordinary user."""
    runtime.wrapper = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "unchanged"]
    runtime.global_words = ["--cgroup-manager", "disabled"]
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["type"] != "devpts"]
    found, null = runtime.probe(bundle, "id", ";", "stat", "/dev/null")
    assert (found["uid"], found["gid"]) == (0, 0)
    assert (null["major"], null["minor"]) == (1, 3)
    bundle.process["user"]["additionalGids"] = [7]
    runtime.run(bundle).fails("become user 0:0, groups 7", "config.json#/process/user")
