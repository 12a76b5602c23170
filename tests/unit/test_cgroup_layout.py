"""The layout of a host, read from its mountinfo and its /proc/self/cgroup."""

from __future__ import annotations

import pytest

from ocirt.cgroup.layout import Layout, detect, place


def mount(mount_point: str, kind: str, options: str, root: str = "/", optional: str = "") -> str:
    return f"30 25 0:26 {root} {mount_point} rw,nosuid,nodev,noexec,relatime {optional}- {kind} {kind} {options}\n"


ROOT_MOUNT = "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
SEPARATE = (
    ROOT_MOUNT
    + mount("/sys/fs/cgroup/cpu", "cgroup", "rw,cpu")
    + mount("/sys/fs/cgroup/cpuacct", "cgroup", "rw,cpuacct")
    + mount("/sys/fs/cgroup/memory", "cgroup", "rw,memory")
    + mount("/sys/fs/cgroup/freezer", "cgroup", "rw,freezer")
)
SEPARATE_OWN = "4:freezer:/\n3:memory:/process_api/f9a3\n2:cpuacct:/\n1:cpu:/\n"
SYSTEMD_HYBRID = (
    ROOT_MOUNT
    + mount("/sys/fs/cgroup/unified", "cgroup2", "rw,nsdelegate", optional="shared:10 ")
    + mount("/sys/fs/cgroup/systemd", "cgroup", "rw,xattr,name=systemd", optional="shared:11 ")
    + mount("/sys/fs/cgroup/cpu,cpuacct", "cgroup", "rw,cpu,cpuacct", optional="shared:12 ")
    + mount("/sys/fs/cgroup/net_cls,net_prio", "cgroup", "rw,net_cls,net_prio", optional="shared:13 ")
)
SYSTEMD_HYBRID_OWN = (
    "5:net_cls,net_prio:/\n"
    "3:cpu,cpuacct:/user.slice\n"
    "1:name=systemd:/user.slice/user-0.slice/session-1.scope\n"
    "0::/user.slice/user-0.slice/session-1.scope\n"
)
UNIFIED = ROOT_MOUNT + mount("/sys/fs/cgroup", "cgroup2", "rw,nsdelegate,memory_recursiveprot")
UNIFIED_OWN = "0::/user.slice/user-0.slice/session-1.scope\n"


def facts(layout: Layout) -> list[tuple[tuple[str, ...], str, str, str]]:
    return [(h.controllers, h.mount, h.own, h.root) for h in layout.hierarchies]


def test_separate_v1_hierarchies_come_in_ascending_order_with_the_own_path_of_each() -> None:
    layout = detect(SEPARATE, SEPARATE_OWN, "")
    assert layout.mode == "v1"
    assert layout.v2_mount is None
    assert facts(layout) == [
        (("cpu",), "/sys/fs/cgroup/cpu", "/", "/"),
        (("cpuacct",), "/sys/fs/cgroup/cpuacct", "/", "/"),
        (("memory",), "/sys/fs/cgroup/memory", "/process_api/f9a3", "/"),
        (("freezer",), "/sys/fs/cgroup/freezer", "/", "/"),
    ]


def test_controllers_that_are_mounted_together_are_one_hierarchy() -> None:
    layout = detect(SYSTEMD_HYBRID, SYSTEMD_HYBRID_OWN, "")
    assert facts(layout) == [
        (("name=systemd",), "/sys/fs/cgroup/systemd", "/user.slice/user-0.slice/session-1.scope", "/"),
        (("cpu", "cpuacct"), "/sys/fs/cgroup/cpu,cpuacct", "/user.slice", "/"),
        (("net_cls", "net_prio"), "/sys/fs/cgroup/net_cls,net_prio", "/", "/"),
    ]


def test_cgroup2_beside_v1_is_hybrid() -> None:
    layout = detect(SYSTEMD_HYBRID, SYSTEMD_HYBRID_OWN, "hugetlb\n")
    assert layout.mode == "hybrid"
    assert layout.v2_mount == "/sys/fs/cgroup/unified"
    assert layout.v2_own == "/user.slice/user-0.slice/session-1.scope"
    assert layout.v2_controllers == ("hugetlb",)


def test_a_controller_is_found_in_the_hierarchy_that_has_it() -> None:
    layout = detect(SYSTEMD_HYBRID, SYSTEMD_HYBRID_OWN, "hugetlb\n")
    found = [layout.version_of(name) for name in ("cpuacct", "hugetlb", "memory", "name=systemd")]
    assert found == [1, 2, 0, 1]


def test_cgroup2_alone_is_v2() -> None:
    layout = detect(UNIFIED, UNIFIED_OWN, "cpuset cpu io memory hugetlb pids rdma misc\n")
    assert layout.mode == "v2"
    assert layout.v2_mount == "/sys/fs/cgroup"
    assert layout.v2_controllers == ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
    assert layout.hierarchies == ()


def test_a_v1_hierarchy_that_somebody_mounted_elsewhere_does_not_make_a_v2_host_hybrid() -> None:
    mountinfo = UNIFIED + mount("/mnt/net_cls", "cgroup", "rw,net_cls")
    layout = detect(mountinfo, "1:net_cls:/\n" + UNIFIED_OWN, "memory\n")
    assert layout.mode == "v2"
    assert layout.hierarchies == ()


def test_cgroup2_is_found_where_there_is_no_sys_fs_cgroup() -> None:
    layout = detect(ROOT_MOUNT + mount("/dev/cg2", "cgroup2", "rw"), "0::/\n", "memory\n")
    assert (layout.mode, layout.v2_mount) == ("v2", "/dev/cg2")


def test_a_host_without_cgroup_mounts_has_none() -> None:
    layout = detect(ROOT_MOUNT, "3:memory:/\n0::/\n", "")
    assert layout.mode == "none"
    assert layout.hierarchies == ()
    assert layout.v2_mount is None


def test_a_hierarchy_that_is_not_mounted_is_left_out() -> None:
    layout = detect(SEPARATE, "9:pids:/\n" + SEPARATE_OWN, "")
    assert ("pids",) not in [hierarchy.controllers for hierarchy in layout.hierarchies]


@pytest.mark.parametrize("bind_first", [True, False])
def test_the_mount_below_sys_fs_cgroup_counts_before_a_bind_of_it(bind_first: bool) -> None:
    bind = mount("/srv/root/sys/fs/cgroup/memory", "cgroup", "rw,memory", root="/docker/x")
    layout = detect(bind + SEPARATE if bind_first else SEPARATE + bind, SEPARATE_OWN, "")
    assert [h.mount for h in layout.hierarchies if h.controllers == ("memory",)] == ["/sys/fs/cgroup/memory"]


def test_the_root_of_a_mount_in_a_container_is_kept() -> None:
    mountinfo = ROOT_MOUNT + mount("/sys/fs/cgroup/memory", "cgroup", "ro,memory", root="/docker/4f1c")
    layout = detect(mountinfo, "7:memory:/docker/4f1c/inner\n0::/\n", "")
    assert facts(layout) == [(("memory",), "/sys/fs/cgroup/memory", "/docker/4f1c/inner", "/docker/4f1c")]


def test_octal_escapes_of_a_mount_point_are_undone() -> None:
    mountinfo = ROOT_MOUNT + mount("/mnt/my\\040cgroups\\134v1", "cgroup", "rw,memory")
    assert detect(mountinfo, "1:memory:/\n", "").hierarchies[0].mount == "/mnt/my cgroups\\v1"


def test_an_own_path_may_have_colons_and_commas() -> None:
    layout = detect(SEPARATE, "3:memory:/slice:prefix:name,x\n", "")
    assert layout.hierarchies[0].own == "/slice:prefix:name,x"


def test_a_mount_of_another_kind_with_a_name_like_cgroup_is_not_taken() -> None:
    mountinfo = ROOT_MOUNT + mount("/x", "cgroupfs-fuse", "rw,memory")
    assert detect(mountinfo, "1:memory:/\n", "").mode == "none"


@pytest.mark.parametrize(
    ("root", "own", "expected"),
    [
        ("/", "/", "/m"),
        ("/", "/user.slice/x", "/m/user.slice/x"),
        ("/docker/4f1c", "/docker/4f1c", "/m"),
        ("/docker/4f1c", "/docker/4f1c/inner", "/m/inner"),
        # A longer name is not a sub-cgroup.
        ("/docker/4f1c", "/docker/4f1cx/inner", "/m"),
        ("/docker/4f1c", "/", "/m"),
        # Outside the cgroup namespace.
        ("/", "/../other", "/m"),
        ("/..", "/", "/m"),
    ],
)
def test_an_own_cgroup_is_placed_below_the_part_that_is_mounted(root: str, own: str, expected: str) -> None:
    assert place("/m", root, own) == expected
