"""``linux.namespaces``: each of the eight kinds left alone, made anew, or joined by its path, and what belongs to
it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from host_view import MS_BIND, MS_PRIVATE, MS_SHARED, MS_SLAVE, Mount, mount, mounts_of, unmount
from support import CGROUP, SYSFS, Bundle, Container, Runtime

from ocirt.cgroup.layout import detect

pytestmark = pytest.mark.needs_root

#: The spec's word for each kind -> the kernel's, as in /proc/PID/ns.
KINDS = {
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "mount": "mnt",
    "cgroup": "cgroup",
    "time": "time",
    "user": "user",
}


def hosts(kind: str) -> str:
    return os.readlink(f"/proc/self/ns/{KINDS[kind]}")


def inside(runtime: Runtime, bundle: Bundle) -> Any:
    return runtime.probe(bundle, "namespaces")


@pytest.fixture
def other(runtime: Runtime, bundle: Bundle, make_bundle: Any) -> Container:
    """A running container, with all namespaces but the user's, for others to join."""
    first: Bundle = make_bundle("other")
    for kind in ("cgroup", "time"):
        first.add_namespace(kind)
    first.config["hostname"] = "other"
    return runtime.start_paused_program(first)


# -- made --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "user"])
def test_a_namespace_that_is_listed_is_new(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    bundle.add_namespace(kind)
    assert inside(runtime, bundle)[KINDS[kind]] != hosts(kind)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "mount"])
def test_a_namespace_that_is_not_listed_is_the_hosts(runtime: Runtime, bundle: Bundle, kind: str) -> None:
    """config-linux.md: "If a namespace type is not specified in the namespaces array, the container MUST inherit the
    runtime namespace of that type.\""""
    bundle.remove_namespace(kind)
    if kind == "network":
        bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "network"]
    assert inside(runtime, bundle)[KINDS[kind]] == hosts(kind)


def test_without_a_mount_namespace_the_root_is_changed_and_everything_is_unmounted_afterwards(
    runtime: Runtime, bundle: Bundle
) -> None:
    bundle.remove_namespace("mount", "pid")
    bundle.add_mount("/scratch", "tmpfs", "tmpfs")
    namespaces, names = runtime.probe(bundle, "namespaces", ";", "ls", "/")
    assert namespaces["mnt"] == hosts("mount")
    assert names == ["dev", "init", "proc", "scratch"]


def test_only_a_mount_namespace_is_enough(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"] = [{"type": "mount"}]
    found = inside(runtime, bundle)
    assert {kind for kind, name in KINDS.items() if found[name] != hosts(kind)} == {"mount"}


def test_all_eight_at_once(runtime: Runtime, bundle: Bundle) -> None:
    bundle.map_ids((0, 100000, 65536))
    bundle.add_namespace("cgroup")
    bundle.add_namespace("time")
    found = inside(runtime, bundle)
    assert [kind for kind, name in KINDS.items() if found[name] == hosts(kind)] == []


def test_a_new_network_has_loopback_alone_and_it_is_up(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.probe(bundle, "interfaces") == {"lo": 1}


def test_a_new_ipc_namespace_has_no_message_queues_of_the_host(runtime: Runtime, bundle: Bundle) -> None:
    msgget, msgctl, ipc_creat, ipc_rmid = 68, 71, 0o1000, 0
    key = 0x0C117
    queue = runtime.probe(bundle, "syscall", str(msgget), str(key), str(ipc_creat | 0o666))
    assert queue["errno"] == 0
    bundle.remove_namespace("ipc")
    found = runtime.probe(bundle, "syscall", str(msgget), str(key), "0")
    if found["errno"] == 0:
        runtime.probe(bundle, "syscall", str(msgctl), str(found["result"]), str(ipc_rmid))
    assert found == {"result": -1, "errno": errno.ENOENT}


def test_time_offsets_are_those_of_the_configuration(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 7_000_000, "nanosecs": 5}, "monotonic": {"secs": 3}}
    offsets, scheduling = runtime.probe(bundle, "cat", "/proc/self/timens_offsets", ";", "scheduling")
    assert [line.split() for line in offsets.splitlines()] == [["monotonic", "3", "0"], ["boottime", "7000000", "5"]]
    assert scheduling["boottime"] > 7_000_000


def test_in_a_cgroup_namespace_the_containers_cgroup_is_the_root(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_namespace("cgroup")
    lines = runtime.probe(bundle, "cat", "/proc/self/cgroup").splitlines()
    assert {line.split(":", 2)[2] for line in lines} == {"/"}


# -- names -------------------------------------------------------------------------------------------------------------


def test_host_and_domain_name_are_those_of_the_configuration(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config.update(hostname="box", domainname="example.org")
    before = os.uname()
    found = runtime.probe(bundle, "uts")
    assert (found["hostname"], found["domainname"]) == ("box", "example.org")
    assert os.uname() == before


def test_a_hostname_of_64_bytes_is_the_longest(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = "h" * 64
    assert runtime.probe(bundle, "uts")["hostname"] == "h" * 64


def test_a_longer_hostname_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = "h" * 65
    runtime.run(bundle).fails("config.json#/hostname")


@pytest.mark.parametrize("name", ["hostname", "domainname"])
def test_a_name_without_a_uts_namespace_is_refused(runtime: Runtime, bundle: Bundle, name: str) -> None:
    bundle.remove_namespace("uts")
    bundle.config[name] = "box"
    runtime.run(bundle).fails(f"config.json#/{name}", "UTS namespace")
    assert os.uname().nodename != "box"


# -- joined ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "cgroup", "time", "pid"])
def test_a_namespace_with_a_path_is_joined(runtime: Runtime, bundle: Bundle, other: Container, kind: str) -> None:
    path = f"/proc/{other.pid}/ns/{KINDS[kind]}"
    bundle.add_namespace(kind, path)
    assert inside(runtime, bundle)[KINDS[kind]] == os.readlink(path)


def test_a_joined_uts_namespace_keeps_its_name(runtime: Runtime, bundle: Bundle, other: Container) -> None:
    bundle.add_namespace("uts", f"/proc/{other.pid}/ns/uts")
    assert runtime.probe(bundle, "uts")["hostname"] == "other"


def test_a_process_in_a_joined_pid_namespace_is_seen_there(runtime: Runtime, bundle: Bundle, other: Container) -> None:
    bundle.add_namespace("pid", f"/proc/{other.pid}/ns/pid")
    container = runtime.start(bundle, "pids", ";", "namespaces", ";", "pause")
    pids = container.read_value()
    container.read_until("ready")
    assert pids["pid"] != 1
    assert str(pids["pid"]) in other.probe("ls", "/proc")
    container.delete("--force")
    assert other.status == "running"
    assert str(pids["pid"]) not in other.probe("ls", "/proc")


def test_the_end_of_a_joined_pid_namespaces_init_ends_those_who_joined(
    runtime: Runtime, bundle: Bundle, other: Container
) -> None:
    bundle.add_namespace("pid", f"/proc/{other.pid}/ns/pid")
    container = runtime.start_paused_program(bundle)
    other.kill("KILL")
    assert container.wait() == -9
    assert container.status == "stopped"


def test_every_other_namespace_can_be_joined_at_once_like_in_a_pod(
    runtime: Runtime, bundle: Bundle, other: Container
) -> None:
    for kind in ("network", "ipc", "uts"):
        bundle.add_namespace(kind, f"/proc/{other.pid}/ns/{KINDS[kind]}")
    found = inside(runtime, bundle)
    theirs = {kind: os.readlink(f"/proc/{other.pid}/ns/{name}") for kind, name in KINDS.items()}
    assert {kind for kind, name in KINDS.items() if found[name] == theirs[kind]} == {"network", "ipc", "uts", "user"}


@pytest.mark.parametrize("propagation", [MS_PRIVATE, MS_SLAVE, MS_SHARED])
def test_a_mount_namespace_can_be_joined(runtime: Runtime, bundle: Bundle, propagation: int) -> None:
    runner = runtime.popen_in_mount_namespace(propagation)
    bundle.add_namespace("mount", f"/proc/{runner.pid}/ns/mnt")
    assert inside(runtime, bundle)["mnt"] == os.readlink(f"/proc/{runner.pid}/ns/mnt")


@pytest.mark.parametrize("word", ["private", "slave", "shared", "rshared", "unbindable"])
def test_a_shared_mount_namespace_can_be_joined_whatever_the_root_becomes(
    runtime: Runtime, bundle: Bundle, word: str
) -> None:
    runner = runtime.popen_in_mount_namespace(MS_SHARED)
    bundle.add_namespace("mount", f"/proc/{runner.pid}/ns/mnt")
    bundle.linux["rootfsPropagation"] = word
    assert inside(runtime, bundle)["mnt"] == os.readlink(f"/proc/{runner.pid}/ns/mnt")


@pytest.mark.parametrize("propagation", [MS_PRIVATE, MS_SLAVE, MS_SHARED])
@pytest.mark.parametrize("failing", ["a mount", "a hook"])
def test_a_failure_leaves_no_mount_in_a_joined_namespace(
    runtime: Runtime, bundle: Bundle, propagation: int, failing: str
) -> None:
    runner = runtime.popen_in_mount_namespace(propagation)
    mountinfo = Path(f"/proc/{runner.pid}/mountinfo")
    before = [Mount(line).point for line in mountinfo.read_text().splitlines()]
    bundle.add_namespace("mount", f"/proc/{runner.pid}/ns/mnt")
    if failing == "a mount":
        bundle.add_mount("/data", None, "/nowhere", "bind")
        pointer = "config.json#/mounts/3"
    else:
        bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}]}
        pointer = "createRuntime hook"
    runtime.run(bundle).fails(pointer)
    assert [Mount(line).point for line in mountinfo.read_text().splitlines()] == before


def test_a_failure_is_undone_in_the_namespace_that_was_joined_wherever_its_path_leads_later(
    runtime: Runtime, bundle: Bundle
) -> None:
    """As when a process has ended and its pid is another's."""
    runner = runtime.popen_in_mount_namespace()
    mountinfo = Path(f"/proc/{runner.pid}/mountinfo")
    before = [Mount(line).point for line in mountinfo.read_text().splitlines()]
    path = bundle.path / "namespace"
    path.symlink_to(f"/proc/{runner.pid}/ns/mnt")
    bundle.add_namespace("mount", str(path))
    mislead = f"ln -sfn /proc/self/ns/mnt {path}; exit 1"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", mislead]}]}
    runtime.run(bundle).fails("createRuntime hook")
    assert [Mount(line).point for line in mountinfo.read_text().splitlines()] == before


@pytest.mark.parametrize("kind", ["the runtime's", "a joined"])
def test_an_early_failure_leaves_what_others_have_mounted_at_the_root_filesystem(
    runtime: Runtime, bundle: Bundle, kind: str
) -> None:
    """As engines do before they call the runtime."""
    mount(bundle.rootfs, bundle.rootfs, flags=MS_BIND)
    try:
        runner = runtime.popen_in_mount_namespace(MS_SHARED)
        mountinfo = Path("/proc/self/mountinfo" if kind == "the runtime's" else f"/proc/{runner.pid}/mountinfo")
        before = mountinfo.read_text()
        bundle.remove_namespace("mount")
        if kind == "a joined":
            bundle.add_namespace("mount", f"/proc/{runner.pid}/ns/mnt")
        bundle.add_namespace("network", "/etc/hostname")
        runtime.run(bundle).fails("join network namespace /etc/hostname")
        assert mountinfo.read_text() == before
    finally:
        unmount(bundle.rootfs)


def test_the_runtimes_own_mount_namespace_is_not_joined_since_its_root_would_change(
    runtime: Runtime, bundle: Bundle
) -> None:
    before = Path("/proc/self/mountinfo").read_text()
    bundle.add_namespace("mount", f"/proc/{os.getpid()}/ns/mnt")
    runtime.run(bundle).fails("another mount namespace than that of", "config.json#/linux/namespaces/4")
    assert Path("/proc/self/mountinfo").read_text() == before


@pytest.mark.needs_program("unshare")
def test_the_mount_namespace_of_process_1_is_not_joined_since_its_root_would_change(
    runtime: Runtime, bundle: Bundle
) -> None:
    """Process 1 is a shell here, of a PID namespace made for it."""
    runtime.wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", 'unshare --mount "$@"; exit $?', "sh"]
    bundle.add_namespace("mount", "/proc/1/ns/mnt")
    runtime.run(bundle).fails("/proc/1/ns/mnt", "which would lose its root", "config.json#/linux/namespaces/4")


def test_a_network_namespace_that_is_kept_by_a_mount_is_joined(
    runtime: Runtime, bundle: Bundle, other: Container, tmp_path: Path
) -> None:
    """As ip-netns(8) and CNI keep them."""
    kept = tmp_path / "netns"
    kept.touch()
    mount(f"/proc/{other.pid}/ns/net", kept, flags=MS_BIND)
    try:
        bundle.add_namespace("network", str(kept))
        assert inside(runtime, bundle)["net"] == os.readlink(f"/proc/{other.pid}/ns/net")
    finally:
        unmount(kept)


def test_sysfs_shows_the_joined_network(runtime: Runtime, bundle: Bundle, other: Container) -> None:
    bundle.add_namespace("network", f"/proc/{other.pid}/ns/net")
    bundle.config["mounts"].append(SYSFS)
    assert runtime.probe(bundle, "ls", "/sys/class/net") == ["lo"]


def test_a_path_that_is_missing_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_namespace("network", "/proc/self/ns/nowhere")
    runtime.run(bundle).fails("/proc/self/ns/nowhere", "no such file or directory", "config.json#/linux/namespaces/4")


def test_a_path_that_is_no_namespace_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_namespace("network", "/etc/hostname")
    runtime.run(bundle).fails("/etc/hostname", "config.json#/linux/namespaces/4")


def test_a_path_to_a_namespace_of_another_kind_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """config-linux.md: "The runtime MUST generate an error if path is not associated with a namespace of type
    type.\""""
    bundle.add_namespace("network", "/proc/self/ns/uts")
    runtime.run(bundle).fails("/proc/self/ns/uts", "config.json#/linux/namespaces/4")


def test_a_relative_path_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """config-linux.md: "This value MUST be an absolute path in the runtime mount namespace.\""""
    bundle.add_namespace("network", "proc/self/ns/net")
    runtime.run(bundle).fails("config.json#/linux/namespaces/4/path", "absolute")


def test_the_hosts_own_namespace_may_be_joined_by_path(runtime: Runtime, bundle: Bundle) -> None:
    for kind in ("network", "ipc", "uts"):
        bundle.add_namespace(kind, f"/proc/{os.getpid()}/ns/{KINDS[kind]}")
    found = inside(runtime, bundle)
    for kind in ("network", "ipc", "uts"):
        assert found[KINDS[kind]] == hosts(kind)


# -- cgroup mounts -----------------------------------------------------------------------------------------------------


@pytest.mark.needs_cgroup1
def test_without_a_cgroup_namespace_a_cgroup_mount_shows_the_containers_cgroups_alone(
    runtime: Runtime, bundle: Bundle
) -> None:
    bundle.config["mounts"] += [SYSFS, CGROUP]
    container = runtime.start_paused_program(bundle)
    names, tasks = container.probe("ls", "/sys/fs/cgroup", ";", "cat", "/sys/fs/cgroup/pids/cgroup.procs")
    assert {"pids", "memory", "cpu", "devices", "freezer"} <= set(names)
    # Seen from its PID namespace: the init, and the process that looks.
    assert "1" in tasks.split()
    assert len(tasks.split()) == 2


@pytest.mark.needs_cgroup1
@pytest.mark.parametrize("private", [True, False])
@pytest.mark.parametrize("writable", [True, False])
def test_a_cgroup_mount_is_writable_unless_it_is_readonly(
    runtime: Runtime, bundle: Bundle, private: bool, writable: bool
) -> None:
    if private:
        bundle.add_namespace("cgroup")
    options = [word for word in CGROUP["options"] if word != "ro" or not writable]
    bundle.config["mounts"] += [SYSFS, {**CGROUP, "options": options}]
    made = runtime.probe(bundle, "mkdir", "/sys/fs/cgroup/pids/below", ";", "remove", "/sys/fs/cgroup/pids/below")
    assert [each["errno"] for each in made] == ([0, 0] if writable else [errno.EROFS, errno.EROFS])


@pytest.mark.needs_cgroup1
@pytest.mark.parametrize("private", [True, False])
def test_every_hierarchy_has_the_propagation_of_its_cgroup_mount(
    runtime: Runtime, bundle: Bundle, private: bool
) -> None:
    if private:
        bundle.add_namespace("cgroup")
    bundle.config["mounts"] += [SYSFS, {**CGROUP, "options": [*CGROUP["options"], "rprivate"]}]
    found = [each for point, each in mounts_of(runtime, bundle).items() if point.startswith("/sys/fs/cgroup")]
    assert len(found) > 2
    assert {each.propagation_word for each in found} == {"private"}


@pytest.mark.needs_cgroup2
@pytest.mark.parametrize("private", [True, False])
def test_a_cgroup_mount_of_v2_shows_the_namespaces_root(runtime: Runtime, bundle: Bundle, private: bool) -> None:
    if private:
        bundle.add_namespace("cgroup")
    bundle.config["mounts"] += [SYSFS, CGROUP]
    procs = runtime.probe(bundle, "cat", "/sys/fs/cgroup/cgroup.procs")
    if private:
        assert procs.split() == ["1"]
    statfs, made = runtime.probe(bundle, "statfs", "/sys/fs/cgroup", ";", "mkdir", "/sys/fs/cgroup/x")
    assert statfs["type"] == "63677270"
    assert made["errno"] == errno.EROFS


@pytest.mark.needs_controller("pids")
@pytest.mark.parametrize("private", [True, False])
def test_the_program_is_in_the_cgroup_of_cgroups_path(runtime: Runtime, bundle: Bundle, private: bool) -> None:
    bundle.linux["cgroupsPath"] = f"/{runtime.token}/nested/box"
    if private:
        bundle.add_namespace("cgroup")
    container = runtime.start_paused_program(bundle)
    places = [line.split(":", 2)[1:] for line in Path(f"/proc/{container.pid}/cgroup").read_text().splitlines()]
    # A hierarchy may be mounted elsewhere alone, as by another test run.
    mounted = {"", *(",".join(hierarchy.controllers) for hierarchy in detect().hierarchies)}
    assert {path.endswith(f"/{runtime.token}/nested/box") for names, path in places if names in mounted} == {True}
