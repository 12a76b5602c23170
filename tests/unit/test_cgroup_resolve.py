"""Where a container's cgroups are, by cgroupsPath, id and layout. Nothing is touched on the host."""

from __future__ import annotations

import pytest

from ocirt.cgroup import Cgroup, Hierarchy, Layout
from ocirt.errors import ConfigError, InvalidContainerId, UnsupportedError

V1 = Layout(
    "v1",
    hierarchies=(
        Hierarchy(("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "/"),
        Hierarchy(("memory",), "/sys/fs/cgroup/memory", "/process_api/f9a3"),
    ),
)
HYBRID = Layout(
    "hybrid",
    v2_mount="/sys/fs/cgroup/unified",
    v2_own="/user.slice",
    v2_controllers=("hugetlb",),
    hierarchies=V1.hierarchies,
)
V2 = Layout(
    "v2",
    v2_mount="/sys/fs/cgroup",
    v2_own="/user.slice/session-1.scope",
    v2_controllers=("cpu", "memory"),
)
IN_CONTAINER = Layout(
    "v1",
    hierarchies=(Hierarchy(("memory",), "/sys/fs/cgroup/memory", "/docker/4f1c/inner", "/docker/4f1c"),),
)


def paths(layout: Layout, cgroups_path: str | None, id: str = "c1") -> list[str]:
    return [directory.path for directory in Cgroup.resolve(layout, cgroups_path, id).directories]


def test_an_absolute_path_is_below_the_mount_points() -> None:
    assert paths(HYBRID, "/docker/4f1c") == [
        "/sys/fs/cgroup/cpu,cpuacct/docker/4f1c",
        "/sys/fs/cgroup/memory/docker/4f1c",
        "/sys/fs/cgroup/unified/docker/4f1c",
    ]
    assert paths(V2, "/docker/4f1c") == ["/sys/fs/cgroup/docker/4f1c"]


def test_a_relative_path_is_below_the_own_cgroup() -> None:
    assert paths(HYBRID, "group/c1") == [
        "/sys/fs/cgroup/cpu,cpuacct/group/c1",
        "/sys/fs/cgroup/memory/process_api/f9a3/group/c1",
        "/sys/fs/cgroup/unified/user.slice/group/c1",
    ]


def test_on_v2_a_relative_path_is_beside_the_own_cgroup() -> None:
    assert paths(V2, "group/c1") == ["/sys/fs/cgroup/user.slice/group/c1"]


@pytest.mark.parametrize("absent", [None, ""])
def test_without_a_path_it_is_the_id(absent: str | None) -> None:
    assert paths(V1, absent) == ["/sys/fs/cgroup/cpu,cpuacct/c1", "/sys/fs/cgroup/memory/process_api/f9a3/c1"]
    assert paths(V2, absent) == ["/sys/fs/cgroup/user.slice/c1"]


def test_in_a_container_only_the_visible_part_of_the_own_path_counts() -> None:
    assert paths(IN_CONTAINER, None) == ["/sys/fs/cgroup/memory/inner/c1"]
    assert paths(IN_CONTAINER, "/a") == ["/sys/fs/cgroup/memory/a"]


def test_a_runtime_in_the_root_of_v2_puts_the_container_there() -> None:
    assert paths(Layout("v2", v2_mount="/sys/fs/cgroup"), None) == ["/sys/fs/cgroup/c1"]


def test_empty_components_and_dots_are_dropped() -> None:
    assert paths(V2, "//a/./b//") == ["/sys/fs/cgroup/a/b"]


def test_the_syntax_of_the_systemd_manager_is_an_ordinary_name() -> None:
    assert paths(V2, "system.slice:runc:c1") == ["/sys/fs/cgroup/user.slice/system.slice:runc:c1"]


@pytest.mark.parametrize("path", ["../x", "/../x", "/a/../../x", "/a/..", "..", "/", "//", "/."])
def test_a_path_with_dots_or_to_the_root_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="below the root of the cgroup hierarchies") as caught:
        Cgroup.resolve(V1, path, "c1")
    assert caught.value.pointer == "/linux/cgroupsPath"
    assert repr(path) in caught.value.message


@pytest.mark.parametrize("id", ["..", "a/../b", "."])
def test_an_id_that_leads_out_is_refused(id: str) -> None:
    with pytest.raises(InvalidContainerId, match="cannot name a cgroup"):
        Cgroup.resolve(V1, None, id)


def test_the_disabled_manager_gives_no_directory() -> None:
    cgroup = Cgroup.resolve(V1, "/a", "c1", manager="disabled")
    assert cgroup.directories == ()
    cgroup.create()
    cgroup.apply([])
    assert cgroup.open_entry_fds() == []
    assert cgroup.open_v2_fd() is None
    assert cgroup.pids() == []
    assert not cgroup.frozen
    cgroup.kill(9)
    cgroup.delete()


def test_freezing_without_a_cgroup_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="freezing the container is not supported here"):
        Cgroup.resolve(V1, "/a", "c1", manager="disabled").freeze()


def test_an_unknown_manager_is_named() -> None:
    with pytest.raises(UnsupportedError, match="the cgroup manager 'cgmanager'"):
        Cgroup.resolve(V1, "/a", "c1", manager="cgmanager")


def test_a_host_without_cgroups_gives_no_directory() -> None:
    assert Cgroup.resolve(Layout("none"), "/a", "c1").directories == ()


def test_the_state_comes_back_as_it_was() -> None:
    cgroup = Cgroup.resolve(HYBRID, None, "c1", rootless=True)
    cgroup.made = ["/sys/fs/cgroup/memory/process_api/f9a3/c1"]
    cgroup.skipped = [(("cpu", "cpuacct"), "permission denied")]
    again = Cgroup.from_state(cgroup.to_state())
    assert repr(again.directories) == repr(cgroup.directories)
    assert (again.made, again.skipped, again.rootless) == (cgroup.made, cgroup.skipped, True)
