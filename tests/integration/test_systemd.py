"""Containers whose cgroup belongs to systemd: of the host, and of an ordinary user."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cgroup_view import cpu_max, directory, is_frozen, memory_limit, pids_limit, version_of
from host_view import wait_until
from support import DEVPTS, USER, Bundle, Container, Runtime, open_path
from systemd_view import (
    IS_BOOTED,
    cgroup_of,
    needs_systemd,
    needs_user_manager,
    needs_v2_alone,
    shown,
    systemctl,
    unit_of,
    update,
)
from terminal_view import Console, read_until

MIB = 1 << 20

pytestmark = pytest.mark.needs_root


@pytest.mark.skipif(IS_BOOTED, reason="needs a host without systemd")
def test_a_host_without_systemd_is_told_from_a_mistake(runtime: Runtime, bundle: Bundle) -> None:
    runtime.global_words = ["--systemd-cgroup"]
    result = runtime.run(bundle)
    result.fails("systemd not running on this host, cannot use systemd cgroups manager")
    assert runtime.ids() == []


# -- where a container is ----------------------------------------------------------------------------------------------


@needs_systemd
def test_a_container_is_a_scope_of_the_system_slice(systemd: Runtime, bundle: Bundle) -> None:
    container = systemd.start_paused_program(bundle)
    unit = unit_of(container)
    assert shown(unit, "ActiveState") == "active"
    assert shown(unit, "Delegate") == "yes"
    assert cgroup_of(container.pid) == f"/system.slice/{unit}"
    assert shown(unit, "ControlGroup") == f"/system.slice/{unit}"


@needs_systemd
def test_the_path_names_slice_prefix_and_name(systemd: Runtime, bundle: Bundle) -> None:
    slice = f"{systemd.token.replace('-', '_')}-b.slice"
    bundle.linux["cgroupsPath"] = f"{slice}:box:{systemd.token}"
    container = systemd.start_paused_program(bundle)
    above = slice.partition("-")[0] + ".slice"
    try:
        assert cgroup_of(container.pid) == f"/{above}/{slice}/box-{systemd.token}.scope"
        container.delete("--force")
    finally:
        systemctl("stop", above)


@needs_systemd
def test_a_path_of_cgroupfs_is_refused(systemd: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/{systemd.token}"
    systemd.run(bundle).fails('expected cgroupsPath to be of format "slice:prefix:name"', "#/linux/cgroupsPath")


@needs_systemd
def test_a_process_that_is_executed_is_in_the_scope(systemd: Runtime, bundle: Bundle) -> None:
    container = systemd.start_paused_program(bundle)
    lines = container.exec("/init", "cat", "/proc/self/cgroup").check().out
    assert unit_of(container) in lines or "0::/" in lines


@needs_systemd
@pytest.mark.needs_cgroup2
def test_a_cgroup_below_the_scope_has_to_be_there_for_what_is_executed(systemd: Runtime, bundle: Bundle) -> None:
    container = systemd.start_paused_program(bundle)
    result = container.exec("/init", "id", flags=["--cgroup", "below"])
    result.fails("enter cgroup", "/below", "no such file or directory", status=255)


@needs_systemd
def test_a_unit_of_that_name_is_left_alone(systemd: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"system.slice:box:{systemd.token}"
    container = systemd.start_paused_program(bundle)
    result = systemd.run(bundle, "true")
    result.fails("container's cgroup is not empty")
    assert shown(f"box-{systemd.token}.scope", "ActiveState") == "active"
    assert container.status == "running"


@needs_systemd
@pytest.mark.needs_cgroup2
@pytest.mark.parametrize("own", [True, False])
def test_a_cgroup_that_is_frozen_is_refused_before_a_unit_is_started(
    systemd: Runtime, bundle: Bundle, own: bool
) -> None:
    bundle.linux["cgroupsPath"] = f"{systemd.token.replace('-', '_')}.slice:box:{systemd.token}"
    slice = Path("/sys/fs/cgroup", f"{systemd.token.replace('-', '_')}.slice")
    frozen = slice / f"box-{systemd.token}.scope" if own else slice
    frozen.mkdir(parents=True)
    try:
        (frozen / "cgroup.freeze").write_text("1")
        systemd.run(bundle, "true").fails("container's cgroup unexpectedly frozen", "config.json#/linux/cgroupsPath")
        assert shown(f"box-{systemd.token}.scope", "LoadState") == "not-found"
    finally:
        for path in (frozen, slice):
            if path.exists():
                path.rmdir()


@needs_systemd
def test_a_unit_without_processes_in_it_is_named(systemd: Runtime, bundle: Bundle) -> None:
    unit = f"box-{systemd.token}.scope"
    slice = f"{systemd.token.replace('-', '_')}.slice"
    bundle.linux["cgroupsPath"] = f"system.slice:box:{systemd.token}"
    sleep = ["systemd-run", "--scope", "--collect", f"--slice={slice}", f"--unit={unit}", "sleep", "infinity"]
    with subprocess.Popen(sleep, stderr=subprocess.DEVNULL) as other:
        try:
            wait_until(lambda: shown(unit, "ActiveState") == "active", unit)
            result = systemd.run(bundle)
            result.fails("StartTransientUnit", unit, "org.freedesktop.systemd1.UnitExists")
            assert other.poll() is None
        finally:
            other.kill()
            systemctl("stop", slice)


# -- limits ------------------------------------------------------------------------------------------------------------

LIMITS = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 50}, "cpu": {"quota": 50000, "period": 100000}}


def assert_limits(container: Container, memory: int, pids: str, quota: str) -> None:
    assert memory_limit(container.pid) == memory
    assert pids_limit(container.pid) == pids
    assert cpu_max(container.pid) == (quota, 100000)


@needs_systemd
def test_limits_outlive_a_reload_of_systemd(systemd: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = LIMITS
    container = systemd.start_paused_program(bundle)
    assert_limits(container, 64 * MIB, "50", "50000")
    assert shown(unit_of(container), "TasksMax") == "50"
    systemctl("daemon-reload")
    assert_limits(container, 64 * MIB, "50", "50000")


@needs_systemd
def test_an_update_outlives_a_reload_of_systemd(systemd: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = LIMITS
    container = systemd.start_paused_program(bundle)
    changes = {"memory": {"limit": 96 * MIB}, "pids": {"limit": 70}, "cpu": {"quota": 20000}}
    update(systemd, container, changes).check()
    assert_limits(container, 96 * MIB, "70", "20000")
    systemctl("daemon-reload")
    assert_limits(container, 96 * MIB, "70", "20000")
    assert shown(unit_of(container), "CPUQuotaPerSecUSec") == "200ms"


@needs_systemd
@pytest.mark.parametrize("quota", [None, -1])
def test_a_period_without_a_quota_is_kept(systemd: Runtime, bundle: Bundle, quota: int | None) -> None:
    if quota is not None:
        bundle.linux["resources"] = {"cpu": {"quota": 20000, "period": 100000}}
    container = systemd.start_paused_program(bundle)
    update(systemd, container, {"cpu": {"period": 50000, **({} if quota is None else {"quota": quota})}}).check()
    assert cpu_max(container.pid) == ("max", 50000)


@needs_systemd
def test_a_weight_and_an_idle_container_exclude_each_other(systemd: Runtime, bundle: Bundle) -> None:
    if version_of("cpu") != 2:
        pytest.skip("needs cgroup v2 alone")
    container = systemd.start_paused_program(bundle)
    idle = directory(container.pid, "cpu") / "cpu.idle"
    for both in ({"cpu": {"shares": 200, "idle": 1}}, {"unified": {"cpu.idle": "1", "cpu.weight": "8"}}):
        result = update(systemd, container, both)
        assert result.status == 0
        assert "unable to apply both cpu.weight and cpu.idle to systemd, ignoring cpu.weight" in result.err
        assert idle.read_text() == "1\n"
        assert shown(unit_of(container), "CPUWeight") == "idle"
        changes = {name: {key: value for key, value in both[name].items() if "idle" not in key} for name in both}
        assert update(systemd, container, changes).check().err == ""
        assert idle.read_text() == "0\n"


@needs_systemd
def test_an_update_that_fails_changes_nothing(systemd: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = LIMITS
    container = systemd.start_paused_program(bundle)
    wrong = {"unified": {"memory.max": "a lot"}} if version_of("memory") == 2 else {"cpu": {"cpus": "9999"}}
    update(systemd, container, {"pids": {"limit": 70}, **wrong}).fails("invalid argument")
    assert_limits(container, 64 * MIB, "50", "50000")
    systemctl("daemon-reload")
    assert_limits(container, 64 * MIB, "50", "50000")


@needs_systemd
def test_a_quota_is_rounded_up_to_what_systemd_keeps(systemd: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"cpu": {"quota": 5500, "period": 100000}}
    container = systemd.start_paused_program(bundle)
    assert cpu_max(container.pid) == ("6000", 100000)
    systemctl("daemon-reload")
    assert cpu_max(container.pid) == ("6000", 100000)


@needs_systemd
def test_what_systemd_has_no_words_for_is_written_too(systemd: Runtime, bundle: Bundle) -> None:
    needs_v2_alone()
    bundle.linux["resources"] = {"unified": {"memory.oom.group": "1", "cgroup.max.depth": "3"}}
    container = systemd.start_paused_program(bundle)
    assert (directory(container.pid, "") / "memory.oom.group").read_text() == "1\n"
    assert (directory(container.pid, "") / "cgroup.max.depth").read_text() == "3\n"


@needs_systemd
def test_a_unit_knows_which_devices_are_allowed(systemd: Runtime, bundle: Bundle) -> None:
    disk = {"allow": True, "type": "b", "major": 8, "minor": 0, "access": "r"}
    bundle.linux["resources"] = {"devices": [{"allow": False, "access": "rwm"}, disk]}
    container = systemd.start_paused_program(bundle)
    assert shown(unit_of(container), "DevicePolicy") == "strict"
    assert "/dev/block/8:0 r\n" in systemctl("show", "--property", "DeviceAllow", unit_of(container))
    update(systemd, container, {"devices": [{**disk, "minor": 1}]}).check()
    allowed = systemctl("show", "--property", "DeviceAllow", unit_of(container))
    assert "/dev/block/8:0 r\n" in allowed
    assert "/dev/block/8:1 r\n" in allowed
    update(systemd, container, {"devices": [{"allow": True, "access": "rwm"}]}).check()
    assert shown(unit_of(container), "DevicePolicy") == "auto"


# -- the end -----------------------------------------------------------------------------------------------------------


@needs_systemd
def test_a_paused_container_is_deleted(systemd: Runtime, bundle: Bundle) -> None:
    container = systemd.start_paused_program(bundle)
    systemd("pause", container.id).check()
    assert container.status == "paused"
    container.delete("--force")
    assert shown(unit_of(container), "LoadState") == "not-found"


def container_of_a_failed_unit(runtime: Runtime, bundle: Bundle, unit: str) -> Container:
    """It has stopped, but not when systemd asked it to: SIGTERM is nothing to the init of a PID namespace."""
    bundle.linux["cgroupsPath"] = f"system.slice:{unit.removesuffix('.scope').replace('-', ':', 1)}"
    bundle.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "1"}
    container = runtime.start_paused_program(bundle)
    systemctl("stop", unit)
    assert container.wait() == -signal.SIGKILL
    wait_until(lambda: shown(unit, "ActiveState") == "failed", "the failure of the unit")
    assert shown(unit, "Result") == "timeout"
    return container


@needs_systemd
def test_a_unit_that_has_failed_is_shown_until_delete(systemd: Runtime, bundle: Bundle) -> None:
    unit = f"box-{systemd.token}.scope"
    container = container_of_a_failed_unit(systemd, bundle, unit)
    assert container.status == "stopped"
    container.delete()
    assert shown(unit, "LoadState") == "not-found"


@needs_systemd
def test_the_name_of_a_unit_that_has_failed_can_be_used_again(systemd: Runtime, bundle: Bundle) -> None:
    unit = f"box-{systemd.token}.scope"
    container = container_of_a_failed_unit(systemd, bundle, unit)
    del bundle.config["annotations"]
    other = systemd.create(bundle, "pause")
    assert shown(unit, "ActiveState") == "active"
    other.delete("--force")
    container.delete()
    assert shown(unit, "LoadState") == "not-found"


@needs_systemd
def test_a_container_that_systemd_has_stopped_is_deleted(systemd: Runtime, bundle: Bundle) -> None:
    container = systemd.start_paused_program(bundle)
    systemctl("kill", "--signal=KILL", unit_of(container))
    assert container.wait() == -signal.SIGKILL
    assert container.status == "stopped"
    container.delete()


@needs_systemd
def test_processes_that_outlive_the_init_end_with_the_scope(systemd: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("pid")
    container = systemd.start_paused_program(bundle)
    other = systemd("exec", "--detach", container.id, "/init", "pause")
    other.check()
    container.kill("KILL")
    container.delete("--force")
    assert shown(unit_of(container), "LoadState") == "not-found"


# -- a user's systemd --------------------------------------------------------------------------------------------------


@pytest.fixture
def rootless(systemd: Runtime, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """The command as the user, whose processes are not below the user's manager: as after su(1)."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"/run/user/{USER}")
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    bundle.map_ids((0, USER, 1))
    open_path(bundle.path)
    systemd.root.mkdir()
    os.chown(systemd.root, USER, USER)
    os.chown(systemd.root.parent, USER, USER)
    open_path(systemd.root.parent)
    systemd.user = (USER, USER)
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "devpts"]
    yield systemd
    systemd.close()
    left = systemctl("list-units", "--all", "--plain", "--no-legend", f"*{systemd.token}*", user=True)
    assert left == "", "a unit of the user is left behind"


@needs_systemd
@needs_user_manager
def test_a_users_container_is_a_scope_of_the_users_systemd(rootless: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 50}}
    container = rootless.start_paused_program(bundle)
    above = f"/user.slice/user-{USER}.slice/user@{USER}.service"
    assert cgroup_of(container.pid) == f"{above}/user.slice/{unit_of(container)}"
    assert (memory_limit(container.pid), pids_limit(container.pid)) == (64 * MIB, "50")
    assert shown(unit_of(container), "MemoryMax", user=True) == str(64 * MIB)
    container.delete("--force")
    assert shown(unit_of(container), "LoadState", user=True) == "not-found"


@needs_systemd
@needs_user_manager
def test_what_a_user_executes_is_in_the_scope(rootless: Runtime, bundle: Bundle) -> None:
    container = rootless.start_paused_program(bundle)
    rootless("exec", "--detach", "--pid-file", str(rootless.root / "exec.pid"), container.id, "/init", "pause").check()
    pid = int((rootless.root / "exec.pid").read_text())
    assert cgroup_of(pid) == cgroup_of(container.pid)
    os.unlink(rootless.root / "exec.pid")
    container.exec("/init", "id", flags=["--cgroup", "below"]).fails("cgroup", "below", status=255)


@needs_systemd
@needs_user_manager
def test_a_user_has_a_terminal_in_a_container_and_in_what_is_executed_there(
    rootless: Runtime, bundle: Bundle, console: Console
) -> None:
    bundle.process["terminal"] = True
    bundle.config["mounts"].append(DEVPTS)
    console.path.chmod(0o666)
    flags = ["--console-socket", str(console.path)]
    container = rootless.create(bundle, "tty", ";", "pause", flags=flags)
    master = console.master()
    assert container.status == "created"
    container.start()
    assert json.loads(read_until(master, b"ready").splitlines()[0])["0"] == "/dev/pts/0"
    container.exec("/init", "tty", ";", "pause", flags=["--tty", "--detach", *flags]).check()
    assert json.loads(read_until(console.master(), b"ready").splitlines()[0])["0"] == "/dev/pts/1"
    container.kill("KILL")
    assert container.wait() == -signal.SIGKILL
    container.delete()
    assert shown(unit_of(container), "LoadState", user=True) == "not-found"


@needs_systemd
@needs_user_manager
def test_a_user_updates_limits_and_they_outlive_a_reload(rootless: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = LIMITS
    container = rootless.start_paused_program(bundle)
    assert_limits(container, 64 * MIB, "50", "50000")
    update(rootless, container, {"memory": {"limit": 96 * MIB}, "pids": {"limit": 70}, "cpu": {"quota": 20000}}).check()
    systemctl("daemon-reload", user=True)
    assert_limits(container, 96 * MIB, "70", "20000")
    assert shown(unit_of(container), "TasksMax", user=True) == "70"


@needs_systemd
@needs_user_manager
def test_limits_of_a_user_stop_what_is_in_the_container(rootless: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}, "pids": {"limit": 10}}
    container = rootless.start_paused_program(bundle)
    assert container.probe("fork-bomb", "100")["errno"] == errno.EAGAIN
    assert container.exec("/init", "touch-memory", "64").status == 128 + signal.SIGKILL
    assert container.status == "running"


@needs_systemd
@needs_user_manager
def test_a_user_pauses_and_resumes_a_container(rootless: Runtime, bundle: Bundle) -> None:
    container = rootless.start_paused_program(bundle)
    rootless("pause", container.id).check()
    assert (container.status, is_frozen(container.pid)) == ("paused", True)
    rootless("resume", container.id).check()
    assert (container.status, is_frozen(container.pid)) == ("running", False)


@needs_systemd
@needs_user_manager
def test_a_limit_for_a_controller_that_the_user_was_not_given_is_named(rootless: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"unified": {"misc.max": "res_a 5"}}
    rootless.run(bundle).fails("misc", "cannot be enabled in")


@needs_systemd
@needs_user_manager
def test_the_log_says_which_controllers_the_user_was_not_given(rootless: Runtime, bundle: Bundle) -> None:
    rootless.global_words = ["--systemd-cgroup", "--debug"]
    result = rootless.run(bundle, "exit", "0")
    assert result.status == 0
    assert re.search(
        r"without the cgroup controllers .*hugetlb.*: /sys/fs/cgroup/user\.slice.* was not given them", result.err
    )


@needs_systemd
def test_a_user_without_a_session_is_told_what_is_missing(rootless: Runtime, bundle: Bundle) -> None:
    os.environ["XDG_RUNTIME_DIR"] = str(rootless.root)
    rootless.run(bundle).fails("the user's systemd", f"unix:path={rootless.root}/bus", "XDG_RUNTIME_DIR")
