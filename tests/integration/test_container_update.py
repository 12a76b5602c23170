"""``ocirt update``: limits that change while the container runs, all of them or none."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest
from cgroup_view import content, cpu_max, directory, memory_limit, pids_limit, version_of
from support import Bundle, Container, Runtime

from ocirt import ConfigError, WrongStatus
from ocirt import Container as LibraryContainer

MIB = 1 << 20

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_controller("memory"),
    pytest.mark.needs_controller("pids"),
    pytest.mark.needs_controller("cpu"),
]


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle) -> Container:
    bundle.linux["resources"] = {
        "memory": {"limit": 64 * MIB},
        "pids": {"limit": 20},
        "cpu": {"shares": 100, "quota": 50000, "period": 100000},
    }
    return runtime.start_paused_program(bundle)


def update(container: Container, *words: str, resources: Any = None) -> Any:
    if resources is not None:
        return container.runtime("update", "--resources", "-", container.id, input=json.dumps(resources))
    return container.runtime("update", *words, container.id)


def saved(container: Container) -> Any:
    text = (container.runtime.root / container.id / "config.json").read_text()
    return json.loads(text)["linux"]["resources"]


def test_flags_change_limits_and_leave_the_others(container: Container) -> None:
    update(container, "--memory", "96M", "--pids-limit", "30").check()
    assert memory_limit(container.pid) == 96 * MIB
    assert pids_limit(container.pid) == "30"
    assert cpu_max(container.pid) == ("50000", 100000)


def test_a_document_may_come_from_a_file_or_from_standard_input(container: Container) -> None:
    path = container.bundle.path / "limits.json"
    path.write_text('{"pids": {"limit": 31}}')
    container.runtime("update", "-r", str(path), container.id).check()
    assert pids_limit(container.pid) == "31"
    update(container, resources={"pids": {"limit": 32}, "cpu": None}).check()
    assert pids_limit(container.pid) == "32"


def test_quota_and_period_change_one_by_one(container: Container) -> None:
    update(container, "--cpu-period", "90000").check()
    assert cpu_max(container.pid) == ("50000", 90000)
    update(container, "--cpu-quota", "60000").check()
    assert cpu_max(container.pid) == ("60000", 90000)
    update(container, "--cpu-quota", "-1").check()
    assert cpu_max(container.pid) == ("max", 90000)


def test_limits_can_be_lifted(container: Container) -> None:
    update(container, "--memory", "-1", "--pids-limit", "-1").check()
    assert pids_limit(container.pid) == "max"
    text = content(container.pid, "memory", "memory.limit_in_bytes", "memory.max")
    assert text == "max" or int(text) > 1 << 62


def test_the_saved_configuration_has_what_is_in_force(container: Container) -> None:
    update(container, "--memory", "96M", "--cpu-share", "300").check()
    resources = saved(container)
    assert resources["memory"] == {"limit": 96 * MIB}
    assert resources["cpu"] == {"shares": 300, "quota": 50000, "period": 100000}
    assert resources["pids"] == {"limit": 20}
    assert LibraryContainer.load(container.id, str(container.runtime.root)).config()["linux"]["resources"] == resources


def test_what_somebody_else_has_set_meanwhile_stays(container: Container) -> None:
    (directory(container.pid, "pids") / "pids.max").write_text("77")
    update(container, "--memory", "96M").check()
    assert pids_limit(container.pid) == "77"


def test_a_failure_leaves_all_as_it_was(container: Container) -> None:
    before = saved(container)
    resources = {"pids": {"limit": 5}, "memory": {"limit": 80 * MIB}, "cpu": {"shares": 500, "cpus": "4095"}}
    update(container, resources=resources).fails("cpuset.cpus")
    assert pids_limit(container.pid) == "20"
    assert memory_limit(container.pid) == 64 * MIB
    assert saved(container) == before


@pytest.mark.needs_cgroup1
def test_a_limit_below_what_is_in_use_is_refused_with_both_numbers(container: Container) -> None:
    result = update(container, "--pids-limit", "6", "--memory", "4096")
    result.fails("memory.limit_in_bytes", "device or resource busy", "current usage: ", "/linux/resources/memory/limit")
    assert memory_limit(container.pid) == 64 * MIB
    assert pids_limit(container.pid) == "20"


@pytest.mark.needs_cgroup2
def test_a_limit_below_what_is_in_use_is_refused_if_that_is_asked_for(container: Container) -> None:
    memory = {"limit": 4096, "checkBeforeUpdate": True}
    update(container, resources={"memory": memory, "pids": {"limit": 6}}).fails("rejecting memory limit 4096 <= usage ")
    assert memory_limit(container.pid) == 64 * MIB
    assert pids_limit(container.pid) == "20"
    assert container.status == "running"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--cpu-idle", "2"), "resources#/cpu/idle: wanted 0 or 1, found 2"),
        (("--memory", "64M", "--memory-swap", "32M"), "resources#/memory/swap: wanted at least the memory limit"),
        (("--memory-swap", "32M"), "resources#/memory/swap: wanted at least the memory limit"),
        (("--blkio-weight", "70000"), "resources#/blockIO/weight: "),
        (("--cpuset-cpus", "a-b"), "cpuset.cpus: invalid argument (config.json#/linux/resources/cpu/cpus)"),
        (("--memory", "much"), "invalid value for memory: invalid size: 'much'"),
        (("--l3-cache-schema", "L3:0=f"), "Intel RDT/CAT: l3 cache schema is not enabled"),
    ],
)
def test_what_cannot_be_is_named_and_changes_nothing(container: Container, words: tuple[str, ...], text: str) -> None:
    before = saved(container)
    update(container, "--pids-limit", "9", *words).fails(text)
    assert pids_limit(container.pid) == "20"
    assert saved(container) == before


def test_a_document_that_is_none_is_named_with_its_place(container: Container) -> None:
    result = container.runtime("update", "-r", "-", container.id, input='{"memory": {"limit": "64M"}}')
    result.fails("standard input#/memory/limit (line 1, column ", "64M")
    container.runtime("update", "-r", "/nowhere", container.id).fails("/nowhere")


def test_a_paused_container_is_updated_and_stays_paused(container: Container) -> None:
    container.runtime("pause", container.id).check()
    update(container, "--pids-limit", "33").check()
    assert pids_limit(container.pid) == "33"
    assert container.status == "paused"


def test_a_created_container_is_updated(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    update(container, "--pids-limit", "34").check()
    assert pids_limit(container.pid) == "34"
    assert container.status == "created"


def test_a_container_that_has_stopped_is_not_updated(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start(bundle, "pids")
    container.wait()
    update(container, "--pids-limit", "5").fails("container not running")


def test_the_library_takes_the_same_document(container: Container) -> None:
    loaded = LibraryContainer.load(container.id, str(container.runtime.root))
    loaded.update({"pids": {"limit": 40}})
    assert pids_limit(container.pid) == "40"
    with pytest.raises(ConfigError) as caught:
        loaded.update({"pids": {"limit": "many"}})
    assert caught.value.pointer == "/pids/limit"
    container.kill("KILL")
    container.wait()
    with pytest.raises(WrongStatus, match="container not running"):
        loaded.update({"pids": {"limit": 5}})


def test_an_idle_container_gets_its_shares_back(container: Container) -> None:
    if not (directory(container.pid, "cpu") / "cpu.idle").exists():
        pytest.skip("needs cpu.idle (Linux 5.15)")
    before = content(container.pid, "cpu", "cpu.shares", "cpu.weight")
    update(container, "--cpu-idle", "1").check()
    assert content(container.pid, "cpu", "cpu.idle", "cpu.idle") == "1"
    update(container, "--cpu-period", "90000").check()
    assert content(container.pid, "cpu", "cpu.idle", "cpu.idle") == "1"
    update(container, "--cpu-idle", "0").check()
    assert content(container.pid, "cpu", "cpu.shares", "cpu.weight") == before


def test_shares_end_that_a_container_is_idle(container: Container) -> None:
    if not (directory(container.pid, "cpu") / "cpu.idle").exists():
        pytest.skip("needs cpu.idle (Linux 5.15)")
    update(container, "--cpu-idle", "1").check()
    update(container, "--cpu-share", "200").check()
    assert content(container.pid, "cpu", "cpu.idle", "cpu.idle") == "0"
    assert content(container.pid, "cpu", "cpu.shares", "cpu.weight") in ("200", "29")


def test_kernel_memory_is_ignored_and_said_so(container: Container) -> None:
    result = update(container, "--kernel-memory", "64M")
    assert result.status == 0
    assert "Kernel memory settings are ignored and will be removed" in result.err


def test_a_limit_that_was_raised_is_one_that_counts(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 8}}
    container = runtime.start_paused_program(bundle)
    before = container.probe("fork-bomb", "100")
    assert (before["count"] <= 6, before["errno"]) == (True, errno.EAGAIN)
    update(container, "--pids-limit", "30").check()
    after = container.probe("fork-bomb", "100")
    assert (15 < after["count"] <= 28, after["errno"]) == (True, errno.EAGAIN)


def test_the_controllers_of_this_host_are_known() -> None:
    assert {version_of(name) for name in ("memory", "pids", "cpu")} <= {1, 2}
