"""Checkpoint and restore: a program goes on where it was, in the container that the configuration says."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host_view import PATIENCE, parse_mounts
from support import CGROUP, MQUEUE, SHM, SYSFS, Bundle, Container, Result, Runtime
from terminal_view import Console, read_until

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_criu]


class Saved:
    """What a checkpoint has left: the directory of its images, and that of the log."""

    def __init__(self, directory: Path) -> None:
        self.images = directory / "images"
        self.work = directory / "work"

    @property
    def words(self) -> tuple[str, ...]:
        return ("--image-path", str(self.images), "--work-path", str(self.work))


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    return Saved(tmp_path)


def checkpoint(container: Container, saved: Saved, *flags: str, **options: Any) -> Result:
    return container.runtime("checkpoint", *saved.words, *flags, container.id, **options)


def restore(runtime: Runtime, bundle: Bundle, saved: Saved, *flags: str, **options: Any) -> Container:
    """``ocirt restore --detach``, which must succeed in silence; its output is ``read_line``'s."""
    pid_file = saved.work / "pid"
    reader, writer = os.pipe()
    runtime.keep(reader)
    bundle.save()
    id = options.pop("id", None) or runtime.new_id()
    words = ("--detach", "--bundle", str(bundle.path), "--pid-file", str(pid_file), *saved.words, *flags)
    options.setdefault("stdout", writer)
    try:
        result = runtime("restore", *words, id, **options).check()
    finally:
        os.close(writer)
    container = runtime.adopt(id, bundle, int(pid_file.read_text()))
    container.out_fd, container.result = reader, result
    return container


def mounts(container: Container) -> list[str]:
    """The container's mounts: place, attributes, propagation, type. Not the numbers that the kernel gives, and not the
    options of filesystems, of which criu 3.17 makes some read-only as a whole."""
    lines = Path(f"/proc/{container.pid}/mountinfo").read_text().splitlines()
    return sorted(
        " ".join(line.partition(" - ")[0].split()[4:] + line.partition(" - ")[2].split()[:1]) for line in lines
    )


def start_and_save(runtime: Runtime, bundle: Bundle, saved: Saved, *program: str) -> Container:
    container = runtime.start(bundle, *program)
    container.read_until("ready")
    checkpoint(container, saved).check()
    return container


# -- the program -------------------------------------------------------------------------------------------------------


def test_a_program_goes_on_where_it_was(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    first = start_and_save(runtime, bundle, saved, "print", "begin", ";", "await-signal", ";", "print", "end")
    assert runtime.ids() == [], "a container that has been saved is deleted"
    second = restore(runtime, bundle, saved)
    assert second.status == "running"
    second.kill("USR1")
    assert second.read_line() == "10", "the signal, and nothing that was printed before"
    assert second.wait() == 10
    assert second.status == "stopped"
    assert first.read_rest() == ""


def test_a_container_can_be_saved_again_and_again(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    container = start_and_save(runtime, bundle, saved, "await-signal")
    for _ in range(2):
        container = restore(runtime, bundle, saved, id=container.id)
        checkpoint(container, saved).check()
    container = restore(runtime, bundle, saved)
    container.kill("USR2")
    assert container.read_line() == "12"


def test_a_container_that_is_left_running_goes_on(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    checkpoint(container, saved, "--leave-running").check()
    assert container.status == "running"
    container.kill("USR1")
    assert container.read_line() == "10"


def test_a_paused_container_is_saved_and_runs_when_restored(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    runtime("pause", container.id).check()
    checkpoint(container, saved).check()
    second = restore(runtime, bundle, saved)
    assert second.status == "running"
    second.kill("USR1")
    assert second.read_line() == "10"


def test_standard_input_is_that_of_the_restore(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    reader, writer = os.pipe()
    try:
        container = runtime.start(bundle, "print", "ready", ";", "echo", stdin=reader)
        container.read_until("ready")
        checkpoint(container, saved).check()
    finally:
        os.close(reader)
        os.close(writer)
    reader, writer = os.pipe()
    try:
        second = restore(runtime, bundle, saved, stdin=reader)
    finally:
        os.close(reader)
    os.write(writer, b"said behind the restore\n")
    os.close(writer)
    assert second.read_line() == "said behind the restore"
    assert second.wait() == 0


def test_the_null_device_of_a_restore_cannot_be_changed(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    """Its owner and mode are those of the host's /dev/null, which the fixture looks at."""
    start_and_save(runtime, bundle, saved, "await-signal")
    second = restore(runtime, bundle, saved)
    null = os.stat("/dev/null")
    with pytest.raises(OSError, match="Read-only"):
        os.chmod(f"/proc/{second.pid}/fd/0", 0o666)
    assert os.stat("/dev/null") == null


def test_a_log_file_of_the_host_goes_on(runtime: Runtime, bundle: Bundle, saved: Saved, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("a") as file:
        container = runtime.start(bundle, "print", "begin", ";", "await-signal", ";", "print", "end", stdout=file)
        while "ready" not in log.read_text():
            os.sched_yield()
        checkpoint(container, saved).check()
        second = restore(runtime, bundle, saved, stdout=file)
        second.kill("USR1")
        second.wait()
    assert log.read_text() == "begin\nready\n10\n"


def test_a_restore_in_the_foreground_ends_as_the_program_does(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    start_and_save(runtime, bundle, saved, "await-signal")
    id = runtime.new_id()
    process = runtime.popen("restore", "--bundle", str(bundle.path), *saved.words, id)
    container = runtime.adopt(id, bundle)
    while not (runtime.root / id).exists() or runtime("state", id).status or container.status != "running":
        os.sched_yield()
    container.kill("USR1")
    assert process.wait() == 10
    assert runtime.ids() == [], "deleted, as by run"


# -- the container -----------------------------------------------------------------------------------------------------


def test_the_mounts_are_the_same(runtime: Runtime, bundle: Bundle, saved: Saved, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    (volume / "file").write_text("of the host")
    bundle.config["mounts"] += [SHM, MQUEUE, SYSFS, CGROUP]
    bundle.add_mount("/readonly", None, volume, "rbind", "ro", "nosuid", "nodev", "noexec")
    bundle.add_mount("/again", None, volume, "bind", "ro", "nosuid", "nodev", "noexec")
    bundle.add_mount("/writable", None, volume, "bind")
    bundle.add_mount("/file", None, volume / "file", "bind", "ro")
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/acpi", "/sys/firmware"]
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/proc/bus"]
    bundle.config["root"]["readonly"] = True
    first = runtime.start(bundle, "await-signal")
    first.read_until("ready")
    before = mounts(first)
    checkpoint(first, saved).check()
    second = restore(runtime, bundle, saved)
    assert mounts(second) == before
    assert not (bundle.rootfs / "tmp").exists()
    for path in ("/readonly/file", "/again/file", "/file", "/proc/keys"):
        assert second.probe("write", path, "x")["errno"] == 30 if path != "/proc/keys" else True


def test_mount_points_are_made_again(
    runtime: Runtime, bundle: Bundle, saved: Saved, make_bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """Another root filesystem with the same program; a mount point in a volume that has been emptied."""
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    outer.mkdir()
    inner.mkdir()
    (inner / "file").write_text("text")
    bundle.add_mount("/data", None, outer, "bind")
    bundle.add_mount("/data/deep/down", None, inner, "bind")
    bundle.add_mount("/etc/name", None, inner / "file", "bind", "ro")
    start_and_save(runtime, bundle, saved, "await-signal")
    shutil.rmtree(outer / "deep")
    other = make_bundle("other")
    other.config = bundle.config
    second = restore(runtime, other, saved)
    assert second.probe("cat", "/data/deep/down/file") == second.probe("cat", "/etc/name") == "text"
    assert (other.rootfs / "data").is_dir()
    assert (other.rootfs / "etc/name").is_file()
    assert not parse_mounts(Path("/proc/self/mountinfo").read_text()).keys() & {str(other.rootfs / "data")}


@pytest.mark.parametrize("source", ["volume/.", "volume/below/.."])
def test_a_source_may_end_in_dots(runtime: Runtime, bundle: Bundle, saved: Saved, source: str) -> None:
    (bundle.path / "volume/below").mkdir(parents=True)
    (bundle.path / "volume/file").write_text("text")
    bundle.add_mount("/data", None, source, "bind", "ro")
    start_and_save(runtime, bundle, saved, "await-signal")
    second = restore(runtime, bundle, saved)
    assert second.probe("cat", "/data/file") == "text"


def test_a_destination_may_lead_through_a_link(runtime: Runtime, bundle: Bundle, saved: Saved, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    bundle.mkdir("/real/conf")
    os.symlink("/real/conf", bundle.rootfs / "conf")
    bundle.add_mount("/conf", None, tmp_path, "bind", "ro")
    start_and_save(runtime, bundle, saved, "await-signal")
    second = restore(runtime, bundle, saved)
    assert second.probe("cat", "/real/conf/file") == "text"


@pytest.mark.needs_capability("SYS_RESOURCE")  # of criu, to read the limits of another user's process
def test_identity_and_limits_are_the_same(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    bundle.process["user"] = {"uid": 1234, "gid": 5678, "additionalGids": [9]}
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 99, "hard": 100}]
    bundle.config["hostname"] = "saved"
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["chroot"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}],
    }
    bundle.set_program("await-signal")
    wanted = ("Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Seccomp")

    def look(container: Container) -> list[str]:
        lines = Path(f"/proc/{container.pid}/status").read_text().splitlines()
        limits = Path(f"/proc/{container.pid}/limits").read_text().splitlines()
        return [line for line in lines if line.partition(":")[0] in wanted] + limits

    # What the tests have as standard error is a file in memory of the host's root.
    first = runtime.start(bundle, stderr=subprocess.DEVNULL)
    first.read_until("ready")
    before = look(first)
    checkpoint(first, saved).check()
    second = restore(runtime, bundle, saved)
    assert look(second) == before
    assert second.probe("uts")["hostname"] == "saved"


@pytest.mark.needs_userns
def test_a_user_namespace_is_the_same(runtime: Runtime, bundle: Bundle, saved: Saved, tmp_path: Path) -> None:
    """Its root reads the images in a directory that is closed to everybody else, and devices are the host's."""
    (tmp_path / "file").write_text("text")
    bundle.map_ids((0, 100_000, 65_536))
    bundle.add_mount("/file", None, tmp_path / "file", "bind", "ro")
    # What the tests have as standard error is a file in memory of the host's root.
    first = runtime.start(bundle, "await-signal", stderr=subprocess.DEVNULL)
    first.read_until("ready")
    before = mounts(first)
    checkpoint(first, saved).check()
    second = restore(runtime, bundle, saved)
    assert mounts(second) == before
    assert Path(f"/proc/{second.pid}/uid_map").read_text().split() == ["0", "100000", "65536"]
    assert saved.images.stat().st_mode & 0o007 == 0
    second.kill("USR1")
    assert second.read_line() == "10"


def test_loopback_is_up_in_a_network_namespace_of_its_own(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    start_and_save(runtime, bundle, saved, "await-signal")
    second = restore(runtime, bundle, saved)
    assert second.probe("interfaces") == {"lo": 1}


def test_exec_joins_all_namespaces_of_a_restored_container(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    """Also the time namespace, which criu adds."""
    start_and_save(runtime, bundle, saved, "await-signal")
    second = restore(runtime, bundle, saved)
    inside = second.probe("namespaces")
    for kind in ("mnt", "pid", "net", "ipc", "uts", "time", "cgroup"):
        assert inside[kind] == os.readlink(f"/proc/{second.pid}/ns/{kind}"), kind


def test_a_restored_container_has_no_key_of_the_caller(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    start_and_save(runtime, bundle, saved, "spawn", "1", ";", "await-signal")
    second = restore(runtime, bundle, saved)
    keys = Path("/proc/keys").read_text()
    assert f"_ses.{second.id}" in keys


def test_the_library_does_the_same(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    """The restored init is a child of the calling process, which learns how it ends."""
    bundle.set_program("await-signal")
    bundle.save()
    id = runtime.new_id()
    runtime.adopt(id, bundle)
    program = f"""
import os
from ocirt import Container, CriuOptions, Options
reader, writer = os.pipe()
os.dup2(writer, 1)
options, criu = Options(root={str(runtime.root)!r}), CriuOptions({str(saved.images)!r})
container = Container.create({id!r}, {str(bundle.path)!r}, options)
container.start()
assert os.read(reader, 6) == b"ready\\n"
container.checkpoint(criu)
restored = Container.restore({id!r}, {str(bundle.path)!r}, criu, options)
assert restored.status() == "running"
restored.kill(12)
assert restored.wait() == 12 << 8
restored.delete()
"""
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert (done.returncode, done.stderr) == (0, "")


# -- cgroups, hooks, state ---------------------------------------------------------------------------------------------


@pytest.mark.needs_controller("pids")
def test_limits_are_those_of_the_configuration_of_the_restore(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    bundle.linux["cgroupsPath"] = f"/{runtime.token}-first"
    bundle.linux["resources"] = {"pids": {"limit": 20}}
    start_and_save(runtime, bundle, saved, "await-signal")
    bundle.linux["resources"] = {"pids": {"limit": 33}}
    second = restore(runtime, bundle, saved, "--manage-cgroups-mode", "ignore")
    state = json.loads((runtime.root / second.id / "state.json").read_text().splitlines()[-1])
    (path,) = [path for names, path, *_ in state["cgroup"]["directories"] if "pids" in names]
    assert path.endswith(f"{runtime.token}-first")
    assert Path(path, "pids.max").read_text().strip() == "33"
    assert str(second.pid) in Path(path, "cgroup.procs").read_text().split()


def test_the_hooks_of_the_runtime_run_at_a_restore(
    runtime: Runtime, bundle: Bundle, saved: Saved, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    kinds = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
    bundle.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", f"echo {kind} >>{trace}; cat >{tmp_path}/{kind}"]}]
        for kind in ("prestart", "createRuntime", "poststop")
    }
    assert set(bundle.config["hooks"]) < set(kinds)
    start_and_save(runtime, bundle, saved, "await-signal")
    assert trace.read_text().split() == ["prestart", "createRuntime", "poststop"]
    trace.write_text("")
    second = restore(runtime, bundle, saved)
    assert trace.read_text().split() == ["prestart", "createRuntime"]
    state = json.loads((tmp_path / "createRuntime").read_text())
    assert (state["id"], state["pid"]) == (second.id, second.pid)


def test_a_failing_hook_undoes_a_restore(runtime: Runtime, bundle: Bundle, saved: Saved, tmp_path: Path) -> None:
    start_and_save(runtime, bundle, saved, "await-signal")
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/false"}],
        "poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"touch {tmp_path}/stopped"]}],
    }
    bundle.save()
    words = ("restore", "--detach", "--bundle", str(bundle.path), *saved.words, runtime.new_id())
    runtime(*words).fails("error running createRuntime hook #0: /bin/false: exit status 1")
    assert runtime.ids() == []
    assert (tmp_path / "stopped").exists()


@pytest.mark.skipif(not os.path.isdir("/run/systemd/system"), reason="needs systemd")
def test_a_scope_of_systemd_is_started_again(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    runtime.global_words = ["--systemd-cgroup"]
    bundle.linux["resources"] = {"pids": {"limit": 33}}
    bundle.config["mounts"].append(CGROUP)
    first = start_and_save(runtime, bundle, saved, "await-signal")
    for id in (first.id, runtime.new_id()):
        second = restore(runtime, bundle, saved, id=id)
        (line,) = [line for line in Path(f"/proc/{second.pid}/cgroup").read_text().splitlines() if line[:2] == "0:"]
        assert f"/ocirt-{id}.scope" in line
        words = ["systemctl", "show", "--value", "--property", "TasksMax", f"ocirt-{id}.scope"]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip() == "33"
        checkpoint(second, saved).check()


@pytest.mark.needs_apparmor
def test_an_apparmor_profile_is_the_saved_one_or_another(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    text = "profile {name} flags=(attach_disconnected,mediate_deleted) {{ file, capability, network, signal, unix, }}"
    names = [f"{runtime.token}-{number}" for number in range(2)]
    profiles = "\n".join(text.format(name=name) for name in names)
    subprocess.run(["apparmor_parser", "--replace"], input=profiles, text=True, check=True)
    try:
        bundle.process["apparmorProfile"] = names[0]
        start_and_save(runtime, bundle, saved, "await-signal")
        same = restore(runtime, bundle, saved)
        assert Path(f"/proc/{same.pid}/attr/apparmor/current").read_text().split()[0] == names[0]
        same.delete("--force")
        other = restore(runtime, bundle, saved, "--lsm-profile", f"apparmor:{names[1]}")
        assert Path(f"/proc/{other.pid}/attr/apparmor/current").read_text().split()[0] == names[1]
        other.delete("--force")
    finally:
        subprocess.run(["apparmor_parser", "--remove"], input=profiles, text=True, check=True)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


def test_a_container_that_does_not_run_is_not_saved(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    container = runtime.create(bundle, "pause")
    checkpoint(container, saved).fails("Container cannot be checkpointed in created state")
    assert container.status == "created"
    assert not saved.images.exists()


@pytest.mark.parametrize("kind", ["pid", "mount"])
def test_the_hosts_namespaces_cannot_be_saved(runtime: Runtime, bundle: Bundle, saved: Saved, kind: str) -> None:
    bundle.remove_namespace(kind)
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    checkpoint(container, saved).fails(f"a {kind} namespace", "config.json#/linux/namespaces")
    assert container.status == "running"


def test_a_failure_of_criu_is_told_and_the_container_goes_on(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    """An open file below a mount of the container's own, over which another has been mounted."""
    bundle.add_mount("/data", "tmpfs", "tmpfs")
    bundle.process["capabilities"] = {key: ["CAP_SYS_ADMIN"] for key in ("bounding", "effective", "permitted")}
    words = ("write-file", "/data/file", "x", ";", "open", "/data/file", ";", "mount", "tmpfs", "/data", "tmpfs", "0")
    container = runtime.start(bundle, "chdir", "/data", ";", *words, ";", "await-signal")
    container.read_until("ready")
    result = checkpoint(container, saved)
    result.fails("criu cannot checkpoint the container: ", f"(log: {saved.work}/dump.log)")
    assert container.status == "running"
    container.kill("USR1")
    assert container.read_line() == "10"


def test_images_that_are_not_there_are_named(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    bundle.save()
    words = ("restore", "--detach", "--bundle", str(bundle.path), *saved.words)
    runtime(*words, runtime.new_id()).fails(str(saved.images), "no such file or directory")
    saved.images.mkdir()
    result = runtime(*words, runtime.new_id())
    result.fails("descriptors.json", "no such file or directory", "hint: is it the directory of a checkpoint's images?")
    assert runtime.ids() == []


def test_damaged_images_leave_nothing_behind(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    start_and_save(runtime, bundle, saved, "await-signal")
    for image in saved.images.glob("core-*.img"):
        image.write_bytes(b"no image")
    words = ("restore", "--detach", "--bundle", str(bundle.path), *saved.words, runtime.new_id())
    runtime(*words).fails("criu cannot restore the container: ", f"(log: {saved.work}/restore.log)")
    assert runtime.ids() == []


def test_the_cgroup2_of_the_host_keeps_its_options(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    """All mounts of cgroup2 have the same ones, and whoever mounts it without takes them from all."""
    point, before = cgroup2_options()
    if "nsdelegate" not in before:
        pytest.skip("needs a cgroup2 with options, as systemd mounts it")
    start_and_save(runtime, bundle, saved, "await-signal")
    assert cgroup2_options() == (point, before), "after a checkpoint"
    images = shutil.copytree(saved.images, saved.work / "damaged")
    for image in images.glob("core-*.img"):
        image.write_bytes(b"no image")
    words = ("restore", "--detach", "--bundle", str(bundle.path), "--image-path", str(images))
    runtime(*words, "--work-path", str(saved.work), runtime.new_id()).fails("criu cannot restore the container: ")
    assert cgroup2_options() == (point, before), "after a restore that has failed"
    restore(runtime, bundle, saved)
    assert cgroup2_options() == (point, before), "after a restore"


def cgroup2_options() -> tuple[str, list[str]]:
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text()).values()
    return next(((mount.point, mount.super_options) for mount in mounts if mount.type == "cgroup2"), ("", []))


def test_an_id_that_is_in_use_is_not_restored(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    checkpoint(container, saved, "--leave-running").check()
    words = ("restore", "--detach", "--bundle", str(bundle.path), *saved.words, container.id)
    runtime(*words).fails("container with given ID already exists")
    assert container.status == "running"


# -- terminals ---------------------------------------------------------------------------------------------------------


def test_a_terminal_is_that_of_the_restore(runtime: Runtime, bundle: Bundle, saved: Saved, tmp_path: Path) -> None:
    bundle.process["terminal"] = True
    console = Console(tmp_path / "console.sock")
    flags = ("--console-socket", str(console.path))
    container = runtime.create(bundle, "print", "ready", ";", "echo", flags=flags)
    try:
        first = console.master()
        container.start()
        read_until(first, b"ready")
        checkpoint(container, saved).check()
        restored = restore(runtime, bundle, saved, *flags)
        second = console.master()
        os.write(second, b"typed\n")
        read_until(second, b"typed\ntyped")  # the echo, and what the program says; its mode is the saved one
        assert restored.status == "running"
    finally:
        console.close()


def test_a_terminal_needs_a_socket(runtime: Runtime, bundle: Bundle, saved: Saved) -> None:
    bundle.process["terminal"] = True
    bundle.save()
    saved.images.mkdir()
    words = ("restore", "--detach", "--bundle", str(bundle.path), *saved.words, runtime.new_id())
    runtime(*words).fails("cannot allocate tty if ocirt will detach without setting console socket")
