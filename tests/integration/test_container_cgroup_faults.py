"""Cgroups that cannot be what the configuration asks for: the error names file, value and property, nothing is half
applied, and nothing is left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cgroup_view import directory, is_frozen, memory_limit, pids_limit, version_of
from host_view import (
    CLONE_NEWNS,
    MS_BIND,
    MS_PRIVATE,
    MS_REC,
    cgroup_mounts,
    cgroups_named,
    mount,
    unshare,
    wait_until,
)
from support import Bundle, Container, Runtime

MIB = 1 << 20
MS_RDONLY, MS_REMOUNT = 1, 1 << 5

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_controller("memory"),
    pytest.mark.needs_controller("pids"),
    pytest.mark.needs_controller("cpu"),
]


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle) -> Container:
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB}, "pids": {"limit": 20}}
    return runtime.start_paused_program(bundle)


def with_read_only_cgroups() -> None:
    """For a command, before it begins: it sees the host's cgroups, and cannot write there."""
    unshare(CLONE_NEWNS)
    mount(None, "/", flags=MS_REC | MS_PRIVATE)
    for point, _ in cgroup_mounts():
        mount(None, point, flags=MS_BIND | MS_REMOUNT | MS_RDONLY)


def update(container: Container, resources: dict[str, Any], **options: Any) -> Any:
    return container.runtime("update", "--resources", "-", container.id, input=json.dumps(resources), **options)


# -- a cgroup that has been killed once --------------------------------------------------------------------------------


@pytest.fixture
def killed_cgroup() -> Iterator[Path]:
    """Linux kills a process that is cloned from there into a cgroup that was never killed, and the other way round."""
    found = [point for point, controllers in cgroup_mounts() if not controllers]
    if not found:
        pytest.skip("no cgroup v2 hierarchy is mounted")
    path = found[0] / "ocirt-test-killed"
    path.mkdir()
    (path / "cgroup.kill").write_text("1")
    yield path
    wait_until(lambda: not (path / "cgroup.procs").read_text(), "the end of the processes")
    path.rmdir()


def test_a_caller_from_a_cgroup_that_was_killed_has_containers(
    runtime: Runtime, bundle: Bundle, killed_cgroup: Path
) -> None:
    def enter() -> None:
        (killed_cgroup / "cgroup.procs").write_text("0")

    bundle.set_program("exit", "7")
    bundle.save()
    words = ("--bundle", str(bundle.path))
    assert runtime("run", *words, runtime.new_id(), preexec_fn=enter).status == 7
    container = runtime.start_paused_program(bundle)
    assert container.runtime("exec", container.id, "/init", "exit", "8", preexec_fn=enter).status == 8
    found = runtime("exec", container.id, "/init", "cat", "/proc/self/cgroup", preexec_fn=enter).value
    assert found == container.probe("cat", "/proc/self/cgroup")


# -- a cgroupfs that is read-only --------------------------------------------------------------------------------------


@pytest.mark.parametrize("resources", [{}, {"memory": {"limit": 64 * MIB}}], ids=["no limits", "limits"])
def test_create_where_no_cgroup_can_be_made_says_so(
    runtime: Runtime, bundle: Bundle, resources: dict[str, Any]
) -> None:
    bundle.linux["resources"] = resources
    result = runtime.run(bundle, "true", preexec_fn=with_read_only_cgroups)
    result.fails(
        "ocirt run failed: ",
        "unable to apply cgroup configuration: cannot create cgroup /sys/fs/cgroup",
        "read-only file system",
    )
    assert runtime.ids() == []
    assert cgroups_named(runtime.token) == []


def test_an_update_where_nothing_can_be_written_names_the_file_and_changes_nothing(container: Container) -> None:
    result = update(container, {"pids": {"limit": 30}}, preexec_fn=with_read_only_cgroups)
    path = directory(container.pid, "pids") / "pids.max"
    result.fails(f"cannot write '30' to {path}: read-only file system", "#/linux/resources/pids/limit")
    assert pids_limit(container.pid) == "20"


def test_a_pause_where_nothing_can_be_written_is_an_error_and_the_container_runs(container: Container) -> None:
    container.runtime("pause", container.id, preexec_fn=with_read_only_cgroups).fails(
        "cannot freeze cgroup", "read-only file system"
    )
    assert container.status == "running"


def test_delete_where_no_cgroup_can_be_removed_says_so_and_can_be_repeated(container: Container) -> None:
    container.kill("KILL")
    container.wait()
    result = container.runtime("delete", container.id, preexec_fn=with_read_only_cgroups)
    result.fails("cannot remove cgroup", "read-only file system")
    assert container.status == "stopped"
    container.delete()


# -- values that the kernel refuses ------------------------------------------------------------------------------------

#: Limits that the kernel refuses, each behind others that it has taken -> file and property.
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "cpus": ({"cpu": {"cpus": "9999"}}, "cpuset.cpus", "/cpu/cpus"),
    "quota": ({"cpu": {"quota": 1, "period": 100000}}, "cpu.", "/cpu/"),
    "unified": ({"unified": {"pids.max": "many"}}, "pids.max", "/unified/pids.max"),
}


@pytest.mark.needs_controller("cpuset")
@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_the_kernel_refuses_leaves_no_container(runtime: Runtime, bundle: Bundle, case: str) -> None:
    resources, file, pointer = REFUSED[case]
    if "unified" in resources and version_of("pids") != 2:
        pytest.skip("needs the v2 controller pids")
    bundle.linux["resources"] = {"memory": {"limit": 64 * MIB}, **resources}
    for _ in range(10):  # its init may be in the cgroup of v2 by then, or not yet
        runtime.run(bundle, "true").fails("cannot write", file, f"config.json#/linux/resources{pointer}")
        assert runtime.ids() == []
        assert cgroups_named(runtime.token) == []


@pytest.mark.needs_controller("cpuset")
@pytest.mark.parametrize("case", REFUSED)
def test_a_value_that_the_kernel_refuses_is_an_update_that_changes_nothing(container: Container, case: str) -> None:
    resources, file, pointer = REFUSED[case]
    if "unified" in resources and version_of("pids") != 2:
        pytest.skip("needs the v2 controller pids")
    changes = {"memory": {"limit": 96 * MIB}, "pids": {"limit": 30}, **resources}
    update(container, changes).fails("cannot write", file, f"#/linux/resources{pointer}")
    assert (memory_limit(container.pid), pids_limit(container.pid)) == (64 * MIB, "20")


#: What can be no limit on any kernel, beside one that can -> property and what is said of it.
IMPOSSIBLE: dict[str, tuple[dict[str, Any], str, str]] = {
    "swap below memory": (
        {"memory": {"limit": 96 * MIB, "swap": 32 * MIB}},
        "/memory/swap",
        "at least the memory limit",
    ),
    "unknown controller": ({"unified": {"nonsense.max": "1"}}, "/unified/nonsense.max", "nonsense"),
    "unknown file": ({"unified": {"pids.nonsense": "1"}}, "/unified/pids.nonsense", "pids.nonsense"),
}


@pytest.mark.needs_cgroup2
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_can_be_no_limit_leaves_no_container(runtime: Runtime, bundle: Bundle, case: str) -> None:
    resources, pointer, text = IMPOSSIBLE[case]
    bundle.linux["resources"] = {"pids": {"limit": 30}, **resources}
    runtime.run(bundle, "true").fails(text, f"config.json#/linux/resources{pointer}")
    assert runtime.ids() == []
    assert cgroups_named(runtime.token) == []


@pytest.mark.needs_cgroup2
@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_what_can_be_no_limit_is_an_update_that_changes_nothing(container: Container, case: str) -> None:
    resources, pointer, text = IMPOSSIBLE[case]
    update(container, {"pids": {"limit": 30}, **resources}).fails(text, pointer)
    assert (memory_limit(container.pid), pids_limit(container.pid)) == (64 * MIB, "20")


# -- cgroups that somebody else has to do with -------------------------------------------------------------------------


def where_frozen(pid: int) -> Path:
    """The cgroup of the container of *pid* in the hierarchy where containers are frozen."""
    return directory(pid, "freezer" if version_of("freezer") == 1 else "")


def freeze(path: Path, *, frozen: bool) -> None:
    """Freeze or thaw the cgroup, as any program of the host can."""
    if version_of("freezer") == 1:
        (path / "freezer.state").write_text("FROZEN" if frozen else "THAWED")
    else:
        (path / "cgroup.freeze").write_text(str(int(frozen)))


@pytest.fixture
def above(runtime: Runtime) -> Iterator[Path]:
    """A cgroup of the host's, directly below the root of the hierarchy where containers are frozen."""
    wanted = ["freezer"] if version_of("freezer") == 1 else []
    (point,) = [point for point, names in cgroup_mounts() if names == wanted]
    path = point / f"{runtime.token}-above"
    path.mkdir()
    yield path
    freeze(path, frozen=False)
    path.rmdir()


def test_a_container_below_a_frozen_cgroup_is_refused(runtime: Runtime, bundle: Bundle, above: Path) -> None:
    bundle.linux["cgroupsPath"] = f"/{above.name}/box"
    freeze(above, frozen=True)
    runtime.run(bundle, "true").fails("container's cgroup unexpectedly frozen", "config.json#/linux/cgroupsPath")
    assert runtime.ids() == []
    assert [path for path in cgroups_named("box") if above.name in path] == []


def test_a_container_that_others_have_frozen_is_paused_and_can_be_deleted(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    freeze(where_frozen(container.pid), frozen=True)
    wait_until(lambda: is_frozen(container.pid), "the freeze")
    assert container.status == "paused"
    container.exec("/init", "pids").fails("cannot exec in a paused container", status=255)
    container.delete("--force")


def test_delete_names_the_process_of_the_host_that_is_in_the_containers_cgroup(
    runtime: Runtime, bundle: Bundle
) -> None:
    container = runtime.start_paused_program(bundle)
    with subprocess.Popen(["sleep", "infinity"]) as other:
        try:
            (where_frozen(container.pid) / "cgroup.procs").write_text(str(other.pid))
            assert sorted(runtime("ps", "-f", "json", container.id).check().value) == sorted([container.pid, other.pid])
            runtime("delete", "--force", container.id).fails("cannot remove cgroup", f"processes in it: [{other.pid}]")
            assert other.poll() is None
        finally:
            other.kill()
    container.delete("--force")
