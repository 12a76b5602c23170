"""``mounts``: filesystems, binds and their targets, as the program finds them in its mountinfo."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from host_view import mounts_of, parse_mounts
from support import MQUEUE, SHM, SYSFS, Bundle, Runtime

pytestmark = pytest.mark.needs_root


# -- filesystems -------------------------------------------------------------------------------------------------------


def test_the_usual_filesystems_are_mounted_where_they_belong(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"] += [SHM, MQUEUE, SYSFS]
    found = mounts_of(runtime, bundle)
    assert {point: found[point].type for point in found} == {
        "/": found["/"].type,
        "/proc": "proc",
        "/dev": "tmpfs",
        "/dev/pts": "devpts",
        "/dev/shm": "tmpfs",
        "/dev/mqueue": "mqueue",
        "/sys": "sysfs",
    }
    assert {"nosuid", "noexec", "nodev", "ro"} <= set(found["/sys"].options)
    assert {"nosuid", "noexec", "nodev", "rw"} <= set(found["/dev/shm"].options)


def test_nothing_of_the_hosts_mounts_is_left_in_the_container(runtime: Runtime, bundle: Bundle) -> None:
    assert sorted(mounts_of(runtime, bundle)) == ["/", "/dev", "/dev/pts", "/proc"]


def test_proc_shows_the_containers_processes_alone(runtime: Runtime, bundle: Bundle) -> None:
    names = runtime.probe(bundle, "ls", "/proc")
    assert [name for name in names if name.isdecimal()] == ["1"]


def test_a_tmpfs_has_the_size_and_mode_of_its_options(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/scratch", "tmpfs", "tmpfs", "size=1m", "mode=1750", "uid=5", "gid=6")
    statfs, stat = runtime.probe(bundle, "statfs", "/scratch", ";", "stat", "/scratch")
    assert statfs["bytes"] == 1 << 20
    assert (stat["mode"], stat["uid"], stat["gid"]) == (0o1750, 5, 6)


def test_a_tmpfs_without_a_mode_has_that_of_its_target(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("scratch").chmod(0o1733)
    bundle.add_mount("/scratch", "tmpfs", "tmpfs")
    assert runtime.probe(bundle, "stat", "/scratch")["mode"] == 0o1733


def test_a_readonly_tmpfs_holds_the_targets_of_later_mounts(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.add_mount("/ro", "tmpfs", "tmpfs", "ro")
    bundle.add_mount("/ro/deeper/still", None, source, "bind")
    values = runtime.probe(bundle, "write-file", "/ro/x", "", ";", "cat", "/ro/deeper/still/file")
    assert values == [{"result": -1, "errno": errno.EROFS}, "of the host"]


def test_a_new_devpts_has_its_own_terminals(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.probe(bundle, "ls", "/dev/pts") == ["ptmx"]


def test_an_mqueue_is_that_of_the_ipc_namespace(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"].append(MQUEUE)
    assert runtime.probe(bundle, "ls", "/dev/mqueue") == []


@pytest.mark.needs_filesystem("overlay")
def test_an_overlay_joins_its_layers(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None]
) -> None:
    layers = bundle.path / "layers"
    mount_tmpfs(layers)
    for name in ("upper", "work"):
        (layers / name).mkdir()
    options = (f"lowerdir={source}", f"upperdir={layers}/upper", f"workdir={layers}/work")
    bundle.add_mount("/joined", "overlay", "overlay", *options)
    values = runtime.probe(bundle, "cat", "/joined/file", ";", "write-file", "/joined/new", "text")
    assert values == ["of the host", {"result": 4, "errno": 0}]
    assert (layers / "upper/new").read_text() == "text"


def test_tmpcopyup_starts_a_tmpfs_with_what_it_covers(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("etc/app/settings", "of the image", 0o640)
    os.chown(bundle.rootfs / "etc/app/settings", 7, 8)
    (bundle.rootfs / "etc/app/link").symlink_to("settings")
    bundle.add_mount("/etc/app", "tmpfs", "tmpfs", "tmpcopyup")
    stat, content, link, _ = runtime.probe(
        bundle,
        *("stat", "/etc/app/settings", ";", "cat", "/etc/app/settings", ";", "readlink", "/etc/app/link", ";"),
        *("write-file", "/etc/app/settings", "of the container"),
    )
    assert (stat["mode"], stat["uid"], stat["gid"]) == (0o640, 7, 8)
    assert (content, link) == ("of the image", "settings")
    assert (bundle.rootfs / "etc/app/settings").read_text() == "of the image"


def test_an_unknown_filesystem_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/x", "nosuchfs", "none")
    runtime.run(bundle, "id").fails("mount nosuchfs on /x", "no such device", "config.json#/mounts/3")


def test_an_option_that_the_filesystem_refuses_is_told_in_the_kernels_words(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/x", "tmpfs", "tmpfs", "size=1m", "colour=blue")
    runtime.run(bundle, "id").fails(
        "mount tmpfs on /x", "Unknown parameter 'colour'", "invalid argument", "config.json#/mounts/3"
    )


def test_a_mount_that_fails_undoes_all(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.add_mount("/a", None, source, "bind")
    bundle.add_mount("/b", None, "/nowhere", "bind")
    runtime.run(bundle, "id").fails("/nowhere", "no such file or directory", "config.json#/mounts/4")


# -- binds and their targets -------------------------------------------------------------------------------------------


def test_a_bound_directory_is_that_of_the_host(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.add_mount("/bound", None, source, "bind")
    values = runtime.probe(bundle, "cat", "/bound/file", ";", "write-file", "/bound/new", "from inside")
    assert values[0] == "of the host"
    assert (source / "new").read_text() == "from inside"


def test_type_bind_alone_makes_a_recursive_bind(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None]
) -> None:
    mount_tmpfs(source / "below")
    (source / "below/mark").touch()
    bundle.add_mount("/bound", "bind", source)
    assert runtime.probe(bundle, "ls", "/bound/below") == ["mark"]


@pytest.mark.parametrize(("word", "names"), [("bind", []), ("rbind", ["mark"])])
def test_only_rbind_brings_what_is_mounted_below(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None], word: str, names: list[str]
) -> None:
    mount_tmpfs(source / "below")
    (source / "below/mark").touch()
    bundle.add_mount("/bound", None, source, word)
    assert runtime.probe(bundle, "ls", "/bound/below") == names


@pytest.mark.parametrize("target", ["/file", "/a/b/c/file"])
def test_a_missing_target_of_a_bound_file_is_made_as_a_file(
    runtime: Runtime, bundle: Bundle, source: Path, target: str
) -> None:
    bundle.add_mount(target, None, source / "file", "bind", "ro")
    assert runtime.probe(bundle, "cat", target) == "of the host"
    made = bundle.rootfs / target.lstrip("/")
    assert made.is_file()
    assert made.read_text() == ""


def test_a_missing_target_of_a_directory_is_made_with_its_parents(
    runtime: Runtime, bundle: Bundle, source: Path
) -> None:
    bundle.add_mount("/a/b/c", None, source, "bind")
    assert runtime.probe(bundle, "ls", "/a/b/c") == ["file"]
    assert (bundle.rootfs / "a/b/c").is_dir()


def test_a_socket_and_a_device_can_be_bound(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    os.mknod(source / "pipe", 0o010644)
    bundle.add_mount("/pipe", None, source / "pipe", "bind")
    bundle.add_mount("/zero", None, "/dev/zero", "bind")
    pipe, zero = runtime.probe(bundle, "stat", "/pipe", ";", "stat", "/zero")
    assert (pipe["type"], zero["type"], zero["minor"]) == ("fifo", "char", 5)


def test_a_target_that_is_a_link_stays_inside_the_root(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    outside = bundle.path / "outside"
    outside.mkdir()
    (bundle.rootfs / "link").symlink_to(f"../../../../../..{outside}")
    bundle.add_mount("/link/in", None, source, "bind")
    assert runtime.probe(bundle, "ls", f"{outside}/in") == ["file"]
    assert list(outside.iterdir()) == []


def test_a_target_below_an_absolute_link_is_resolved_in_the_root(
    runtime: Runtime, bundle: Bundle, source: Path
) -> None:
    bundle.mkdir("run")
    bundle.mkdir("var")
    (bundle.rootfs / "var/run").symlink_to("/run")
    bundle.add_mount("/var/run/data", None, source, "bind")
    assert runtime.probe(bundle, "ls", "/run/data") == ["file"]


def test_dots_in_a_destination_do_not_leave_the_root(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.add_mount("/a/../../../../b/./c", None, source, "bind")
    assert runtime.probe(bundle, "ls", "/b/c") == ["file"]


def test_a_relative_destination_begins_at_the_root(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    """config.md: "Runtimes SHOULD interpret destination values without a leading slash as relative to "/"."""
    bundle.add_mount("here", None, source, "bind")
    result = runtime.run(bundle, "ls", "/here")
    assert (result.status, result.value) == (0, ["file"])
    assert "level=warning" in result.err
    assert "deprecated" in result.err


def test_a_relative_source_begins_at_the_bundle(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    """config.md: "For bind mounts... an absolute path or relative to the bundle.\""""
    bundle.add_mount("/here", None, "source", "bind")
    assert runtime.probe(bundle, "ls", "/here") == ["file"]


def test_mounts_are_made_in_the_listed_order(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.add_mount("/x", "tmpfs", "tmpfs")
    bundle.add_mount("/x", None, source, "bind")
    assert runtime.probe(bundle, "ls", "/x") == ["file"]


def test_a_file_of_the_root_can_be_covered_by_one_of_the_host(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.write("etc/resolv.conf", "of the image")
    bundle.add_mount("/etc/resolv.conf", None, source / "file", "rbind", "rprivate", "ro")
    values = runtime.probe(bundle, "cat", "/etc/resolv.conf", ";", "write", "/etc/resolv.conf", "x")
    assert values == ["of the host", {"result": -1, "errno": errno.EROFS}]


def test_a_file_of_proc_that_lxcfs_provides_can_be_covered(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.add_mount("/proc/uptime", None, source / "file", "bind")
    assert runtime.probe(bundle, "cat", "/proc/uptime") == "of the host"


@pytest.mark.parametrize("target", ["/proc", "/proc/self/attr", "/proc/1", "/proc/../proc/sys"])
def test_nothing_else_of_proc_can_be_covered(runtime: Runtime, bundle: Bundle, source: Path, target: str) -> None:
    """CVE-2019-16884: a fake /proc takes the labels that were meant for the kernel."""
    bundle.add_mount(target, None, source, "bind")
    runtime.run(bundle, "id").fails("/proc")


# -- links, as crun has them -------------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["", "user-namespace"])
def link(request: pytest.FixtureRequest, bundle: Bundle, source: Path) -> Path:
    """A link of the host to the source's file; with a user namespace the runtime opens it, without one the init."""
    if request.param:
        bundle.map_ids((0, 100_000, 1000))
    path = source.parent / "link"
    path.symlink_to("/target/of/link")
    return path


def test_a_link_is_copied_where_the_options_say_so(runtime: Runtime, bundle: Bundle, link: Path) -> None:
    bundle.add_mount("/deep/copy", None, link, "bind", "copy-symlink")
    found, info = runtime.probe(bundle, "readlink", "/deep/copy", ";", "cat", "/proc/self/mountinfo")
    assert found == "/target/of/link"
    assert "/deep/copy" not in parse_mounts(info)


def test_what_is_no_link_is_bound_in_spite_of_copy_symlink(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.add_mount("/data", None, source, "bind", "copy-symlink")
    assert runtime.probe(bundle, "ls", "/data") == ["file"]


@pytest.mark.parametrize(("there", "works"), [("/target/of/link", True), ("/elsewhere", False), (None, False)])
def test_a_link_is_only_copied_to_where_nothing_else_is(
    runtime: Runtime, bundle: Bundle, link: Path, there: str | None, works: bool
) -> None:
    if there:
        (bundle.rootfs / "copy").symlink_to(there)
    else:
        bundle.write("copy", "a file")
    bundle.add_mount("/copy", None, link, "bind", "copy-symlink")
    result = runtime.run(bundle, "readlink", "/copy")
    if works:
        assert result.check().value == there
    else:
        result.fails("cannot bind", "file exists", "config.json#/mounts/3")


def test_a_link_itself_is_bound_with_src_nofollow(runtime: Runtime, bundle: Bundle, link: Path) -> None:
    bundle.add_mount("/bound", None, link, "bind", "src-nofollow")
    bundle.write("/target/of/link", "followed in the container")
    found, info = runtime.probe(bundle, "cat", "/bound", ";", "cat", "/proc/self/mountinfo")
    assert found == "followed in the container"
    assert "/bound" in parse_mounts(info)


def test_a_link_itself_is_covered_with_dest_nofollow(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    (bundle.rootfs / "way").symlink_to("/init")
    bundle.add_mount("/way", None, source / "file", "bind", "dest-nofollow")
    info = runtime.probe(bundle, "cat", "/proc/self/mountinfo")
    assert {"/way"} == set(parse_mounts(info)) & {"/way", "/init"}


@pytest.mark.parametrize(
    ("mount", "text"),
    [
        ({"type": "tmpfs", "options": ["dest-nofollow"]}, "dest-nofollow is for a bind mount, found one of type"),
        ({"source": "/", "options": ["bind", "copy-symlink", "src-nofollow"]}, "wanted copy-symlink alone"),
    ],
)
def test_words_for_links_in_the_wrong_place_are_refused(
    runtime: Runtime, bundle: Bundle, mount: dict[str, Any], text: str
) -> None:
    bundle.config["mounts"].append({"destination": "/x", **mount})
    runtime.run(bundle, "exit", "0").fails(text, "config.json#/mounts/3/options")


@pytest.mark.parametrize("is_mapped", [False, True])
def test_a_mount_at_the_place_of_a_default_device_is_what_the_program_gets(
    runtime: Runtime, bundle: Bundle, is_mapped: bool
) -> None:
    """`docker run -v /dev/urandom:/dev/random`."""
    if is_mapped:
        bundle.map_ids((0, 0, 65536))
    bundle.add_mount("/dev/random", None, "/dev/urandom", "bind")
    bundle.add_mount("/dev/tty", None, "/dev/null", "bind")
    found = runtime.probe(bundle, "stat", "/dev/random", ";", "stat", "/dev/tty", ";", "stat", "/dev/zero")
    assert [(each["major"], each["minor"]) for each in found] == [(1, 9), (1, 3), (1, 5)]


def test_a_mount_cannot_take_the_place_of_the_null_device(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/dev/null", None, "/dev/zero", "bind")
    runtime.run(bundle, "pids").fails("cannot make device /dev/null: file exists")
