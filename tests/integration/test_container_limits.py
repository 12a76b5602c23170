"""Limits that the kernel enforces: on memory, processes and CPU time, and cgroups that are shown but not left."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
from pathlib import Path

import pytest
from cgroup_view import content, cpu_max, directory, throttled
from host_view import Mount, cgroup_mounts, parse_mounts
from support import CGROUP, Bundle, Runtime

MIB = 1 << 20

pytestmark = pytest.mark.needs_root


@pytest.mark.needs_controller("memory")
def test_a_container_that_takes_more_memory_than_its_limit_is_killed(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    container = runtime.start(bundle, "touch-memory", "64")
    assert container.wait() == -signal.SIGKILL
    assert container.read_rest() == ""


@pytest.mark.needs_controller("memory")
def test_run_ends_with_137_when_the_program_is_killed_for_its_memory(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    assert runtime.run(bundle, "touch-memory", "64").status == 128 + signal.SIGKILL
    assert runtime.run(bundle, "touch-memory", "8").check().value["result"] == 0


@pytest.mark.needs_controller("memory")
def test_the_limit_holds_for_what_is_executed_later(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    container = runtime.start_paused_program(bundle)
    assert container.exec("/init", "touch-memory", "64").status == 128 + signal.SIGKILL
    assert container.status == "running"


@pytest.mark.needs_controller("pids")
def test_a_fork_bomb_is_stopped_by_the_limit_of_processes(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 10}}
    bomb = runtime.probe(bundle, "fork-bomb", "1000")
    assert (0 < bomb["count"] <= 9, bomb["errno"]) == (True, errno.EAGAIN)


@pytest.mark.needs_controller("pids")
def test_a_limit_of_no_process_is_one_of_one(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 0}}
    assert runtime.probe(bundle, "fork-bomb", "10") == {"count": 0, "errno": errno.EAGAIN}


@pytest.mark.needs_controller("cpu")
def test_a_container_waits_when_its_quota_of_cpu_time_is_used(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"cpu": {"quota": 1000, "period": 10000}}
    container = runtime.start_paused_program(bundle)
    assert cpu_max(container.pid) == ("1000", 10000)
    container.exec("/init", "fork-bomb", "100").check()
    assert throttled(container.pid) > 0


@pytest.mark.needs_controller("cpuset")
def test_a_container_runs_on_its_cpus_alone(runtime: Runtime, bundle: Bundle) -> None:
    cpu = min(os.sched_getaffinity(0))
    bundle.linux["resources"] = {"cpu": {"cpus": str(cpu)}}
    container = runtime.start_paused_program(bundle)
    assert os.sched_getaffinity(container.pid) == {cpu}
    assert content(container.pid, "cpuset", "cpuset.cpus", "cpuset.cpus") == str(cpu)


def test_the_affinity_of_the_caller_is_not_that_of_the_container(runtime: Runtime, bundle: Bundle) -> None:
    cpus = os.sched_getaffinity(0)
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    os.sched_setaffinity(0, {min(cpus)})
    try:
        container = runtime.start_paused_program(bundle)
    finally:
        os.sched_setaffinity(0, cpus)
    assert os.sched_getaffinity(container.pid) >= cpus


def affinity_of_exec(runtime: Runtime, bundle: Bundle, own: dict[str, str] | None = None) -> set[int]:
    """The CPUs of a process that is executed in the container, by its container's affinity or *own*."""
    container = runtime.start_paused_program(bundle)
    process = {**bundle.process, "args": ["/init", "cat", "/proc/self/status"]}
    process.pop("execCPUAffinity", None)
    if own is not None:
        process["execCPUAffinity"] = own
    path = bundle.path / "process.json"
    path.write_text(json.dumps(process))
    lines = runtime("exec", "--process", str(path), container.id).check().value.splitlines()
    (cpus,) = (line.split()[1] for line in lines if line.startswith("Cpus_allowed_list:"))
    ranges = [part.partition("-") for part in cpus.split(",")]
    return {cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)}


def test_exec_runs_on_the_cpus_of_the_containers_affinity(runtime: Runtime, bundle: Bundle) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    bundle.process["execCPUAffinity"] = {"initial": str(cpus[0]), "final": str(cpus[-1])}
    assert affinity_of_exec(runtime, bundle) == {cpus[-1]}


def test_exec_has_an_affinity_of_its_own(runtime: Runtime, bundle: Bundle) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    bundle.process["execCPUAffinity"] = {"final": str(cpus[0])}
    assert affinity_of_exec(runtime, bundle, {"initial": str(cpus[-1])}) == {cpus[-1]}


def test_exec_on_a_cpu_that_there_is_not_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["execCPUAffinity"] = {"final": "8000"}
    container = runtime.start_paused_program(bundle)
    result = container.exec("/init", "pids")
    result.fails("cannot set the final CPU affinity to 8000", "/execCPUAffinity/final", status=255)


@pytest.mark.parametrize("final", [False, True])
def test_debug_tells_the_affinity_that_is_in_force(runtime: Runtime, bundle: Bundle, final: bool) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if cpus[-1] >= 64:
        pytest.skip("needs a first CPU below 64")
    container = runtime.start_paused_program(bundle)
    process = {**bundle.process, "args": ["/init", "exit", "0"]}
    # The kernel takes the CPUs that there are.
    process["execCPUAffinity"] = {"initial": f"{cpus[-1]},63", **({"final": str(cpus[0])} if final else {})}
    path = bundle.path / "process.json"
    path.write_text(json.dumps(process))
    runtime.global_words = ["--debug"]
    result = runtime("exec", "--process", str(path), container.id)
    assert result.status == 0
    found = re.findall(r"nsexec\[\d+\]: affinity: (0x[0-9a-f]+)", result.err)
    assert found == [hex(1 << cpus[-1] | (1 << 63 if 63 in cpus else 0)), *([hex(1 << cpus[0])] if final else [])]


# -- cgroups inside ----------------------------------------------------------------------------------------------------


@pytest.mark.needs_controller("pids")
@pytest.mark.parametrize("private", [True, False])
def test_a_cgroup_mount_is_read_only_and_its_parent_no_cgroup(runtime: Runtime, bundle: Bundle, private: bool) -> None:
    bundle.add_mount("/sys", "sysfs", "sysfs", "ro")
    bundle.config["mounts"].append(CGROUP)
    if private:
        bundle.add_namespace("cgroup")
    options = {mount.point: mount.super_options for mount in host_mounts()}
    container = runtime.start_paused_program(bundle)
    own = directory(container.pid, "pids")
    unified = own == directory(container.pid, "")
    place = "/sys/fs/cgroup" if unified else "/sys/fs/cgroup/pids"
    # Without a cgroup namespace, v2 shows the host's tree, which /proc/self/cgroup speaks of.
    inside = place + (container.probe("cat", "/proc/self/cgroup").strip()[3:] if unified and not private else "")
    names, above = container.probe("ls", inside, ";", "ls", f"{place}/..")
    assert "pids.max" in names
    assert "cgroup.procs" not in above
    assert container.probe("open", f"{inside}/pids.max", "w")["errno"] == errno.EROFS
    assert {mount.point: mount.super_options for mount in host_mounts()} == options


def host_mounts() -> list[Mount]:
    """The mounts of cgroups. Another one of cgroup2 from the initial namespace would change the options of all."""
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text()).values()
    return [mount for mount in mounts if mount.type in ("cgroup", "cgroup2")]


@pytest.mark.needs_userns
@pytest.mark.parametrize("writable", [True, False], ids=["rw", "ro"])
@pytest.mark.parametrize("private", [True, False], ids=["own namespace", "host's namespace"])
def test_a_cgroup_of_v2_that_may_be_written_to_is_the_users(
    runtime: Runtime, bundle: Bundle, writable: bool, private: bool
) -> None:
    bundle.map_ids((0, 100000, 65536))
    bundle.process["user"] = {"uid": 5, "gid": 0}
    bundle.add_mount("/sys", "sysfs", "sysfs", "ro")
    options = [option for option in CGROUP["options"] if option != "ro" or not writable]
    bundle.config["mounts"].append({**CGROUP, "options": options})
    if private:
        bundle.add_namespace("cgroup")
    container = runtime.start_paused_program(bundle)
    is_v2_alone = all(not names for _, names in cgroup_mounts())
    owner = 100005 if writable and private and is_v2_alone else 0
    path = directory(container.pid, "")
    assert [(path / name).stat().st_uid for name in ("", "cgroup.procs", "cgroup.subtree_control")] == [owner] * 3
    assert {(path / name).stat().st_uid for name in ("cgroup.freeze", "cgroup.max.depth")} == {0}
    if owner:
        assert container.probe("mkdir", "/sys/fs/cgroup/below") == {"result": 0, "errno": 0}


@pytest.mark.needs_controller("pids")
def test_exec_enters_a_sub_cgroup(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    (directory(container.pid, "pids") / "inner").mkdir()
    v2 = directory(container.pid, "pids") == directory(container.pid, "")
    words = ("--cgroup", "inner" if v2 else "pids:inner")
    lines = container.probe("cat", "/proc/self/cgroup", flags=words).splitlines()
    assert any(line.endswith("/inner") for line in lines)
    container.exec("/init", "pids", flags=("--cgroup", "..")).fails("bad sub cgroup path: ..", status=255)
    container.exec("/init", "pids", flags=("--cgroup", "none")).fails("no such file or directory", status=255)
    container.exec("/init", "pids", flags=("--cgroup", "what:/")).fails("unknown controller what", status=255)


@pytest.mark.needs_cgroup2
def test_exec_goes_where_the_init_went_when_it_cannot_stay_above(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    top = directory(container.pid, "")
    (top / "leaf").mkdir()
    (top / "leaf" / "cgroup.procs").write_text(str(container.pid))
    assert container.probe("cat", "/proc/self/cgroup").strip().endswith(top.name)
    (top / "cgroup.subtree_control").write_text("+memory")
    assert container.probe("cat", "/proc/self/cgroup").strip().endswith(f"{top.name}/leaf")
    container.exec("/init", "pids", flags=("--cgroup", "/")).fails("device or resource busy", status=255)
    assert container.probe("cat", "/proc/self/cgroup", flags=("--cgroup", "leaf")).strip().endswith("leaf")


@pytest.mark.needs_controller("pids")
def test_a_create_in_a_cgroup_that_is_in_use_harms_nobody_there(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["cgroupsPath"] = f"/{runtime.token}-shared"
    container = runtime.start_paused_program(bundle)
    bundle.save()
    result = runtime("create", "--bundle", str(bundle.path), runtime.new_id())
    result.fails("container's cgroup is not empty: 1 process(es) found")
    assert container.status == "running"
    assert runtime.ids() == [container.id]
