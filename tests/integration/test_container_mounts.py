"""``mounts``: filesystems, binds, their targets, and every option word, as the program finds them in its mountinfo."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from host_view import MS_BIND, MS_PRIVATE, MS_SHARED, Mount, mount, parse_mounts, unmount
from support import MQUEUE, SHM, SYSFS, Bundle, Runtime

from ocirt.plan.mount_options import OPTION_WORDS

pytestmark = pytest.mark.needs_root


def mounts_of(runtime: Runtime, bundle: Bundle) -> dict[str, Mount]:
    return parse_mounts(runtime.probe(bundle, "cat", "/proc/self/mountinfo"))


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory of the host, with a file in it."""
    directory = bundle.path / "source"
    directory.mkdir()
    (directory / "file").write_text("of the host")
    return directory


@pytest.fixture
def mount_tmpfs() -> Iterator[Callable[..., None]]:
    """Mounts a tmpfs on the host, with that propagation, until the end of the test."""
    points: list[Path] = []

    def mount_one(point: Path, propagation: int = MS_SHARED) -> None:
        point.mkdir(exist_ok=True)
        mount("tmpfs", point, "tmpfs")
        points.append(point)
        mount(None, point, flags=propagation)

    yield mount_one
    for point in reversed(points):
        unmount(point)


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


# -- option words ------------------------------------------------------------------------------------------------------

#: Option word -> (words in front of it, what is among the mount's options then, what is not).
EFFECTS: dict[str, tuple[list[str], set[str], set[str]]] = {
    "ro": ([], {"ro"}, {"rw"}),
    "rw": (["ro"], {"rw"}, {"ro"}),
    "nosuid": ([], {"nosuid"}, set()),
    "suid": (["nosuid"], set(), {"nosuid"}),
    "nodev": ([], {"nodev"}, set()),
    "dev": (["nodev"], set(), {"nodev"}),
    "noexec": ([], {"noexec"}, set()),
    "exec": (["noexec"], set(), {"noexec"}),
    "nodiratime": ([], {"nodiratime"}, set()),
    "diratime": (["nodiratime"], set(), {"nodiratime"}),
    "nosymfollow": ([], {"nosymfollow"}, set()),
    "symfollow": (["nosymfollow"], set(), {"nosymfollow"}),
    "relatime": (["noatime"], {"relatime"}, {"noatime"}),
    "norelatime": ([], {"relatime"}, {"noatime"}),
    "noatime": ([], {"noatime"}, {"relatime"}),
    "atime": (["noatime"], {"relatime"}, {"noatime"}),
    "strictatime": ([], set(), {"noatime", "relatime"}),
    "nostrictatime": (["strictatime"], {"relatime"}, {"noatime"}),
}
#: Words that are about the filesystem, and about how a bind is made: told apart below.
OTHERS = {
    *("async", "sync", "dirsync", "lazytime", "nolazytime", "mand", "nomand", "silent", "loud"),
    *("iversion", "noiversion", "defaults", "bind", "rbind", "tmpcopyup", "idmap", "ridmap"),
    *("src-nofollow", "dest-nofollow", "copy-symlink"),
    *("private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable"),
}


def test_these_tests_know_every_option_word() -> None:
    assert set(OPTION_WORDS) == {*EFFECTS, *("r" + word for word in EFFECTS), *OTHERS}


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_an_option_word_has_its_effect(runtime: Runtime, bundle: Bundle, source: Path, kind: str) -> None:
    for word, (before, _, _) in EFFECTS.items():
        if kind == "bind":
            bundle.add_mount(f"/on/{word}", None, source, "bind", *before, word)
        else:
            bundle.add_mount(f"/on/{word}", "tmpfs", "tmpfs", *before, word)
    found = mounts_of(runtime, bundle)
    wrong = []
    for word, (_, present, absent) in EFFECTS.items():
        options = set(found[f"/on/{word}"].options)
        if not present <= options or absent & options:
            wrong.append(f"{word}: {options}")
    assert wrong == []


@pytest.mark.parametrize("word", sorted(EFFECTS))
def test_a_recursive_option_word_has_its_effect_on_the_tree_below(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None], word: str
) -> None:
    mount_tmpfs(source / "below")
    before, present, absent = EFFECTS[word]
    bundle.add_mount("/tree", None, source, "rbind", *("r" + each for each in before), "r" + word)
    found = mounts_of(runtime, bundle)
    for point in ("/tree", "/tree/below"):
        options = set(found[point].options)
        assert present <= options
        assert not absent & options


def test_a_word_without_r_leaves_the_tree_below_as_it_is(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None]
) -> None:
    mount_tmpfs(source / "below")
    bundle.add_mount("/tree", None, source, "rbind", "ro", "noexec")
    found = mounts_of(runtime, bundle)
    assert {"ro", "noexec"} <= set(found["/tree"].options)
    assert not {"ro", "noexec"} & set(found["/tree/below"].options)


#: Of the host's mount, what the binds of the next tests are made from.
STRICT = {"ro", "nosuid", "nodev", "noexec", "nosymfollow", "noatime"}


@pytest.fixture
def strict(source: Path) -> Iterator[Path]:
    mount(source, source, flags=MS_BIND)
    try:
        # MS_REMOUNT, MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_NOSYMFOLLOW, MS_NOATIME
        mount(None, source, flags=MS_BIND | 1 << 5 | 1 | 2 | 4 | 8 | 1 << 8 | 1 << 10)
        yield source
    finally:
        unmount(source)


def strict_ones(runtime: Runtime, bundle: Bundle) -> set[str]:
    return STRICT & set(mounts_of(runtime, bundle)["/bound"].options)


@pytest.mark.parametrize("words", [(), ("rprivate",), ("defaults",), ("rrelatime", "rro")], ids=str)
def test_a_bind_without_a_word_about_the_mount_is_as_its_source(
    runtime: Runtime, bundle: Bundle, strict: Path, words: tuple[str, ...]
) -> None:
    bundle.add_mount("/bound", None, strict, "rbind", *words)
    assert strict_ones(runtime, bundle) == STRICT - ({"noatime"} if "rrelatime" in words else set())


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (("ro",), {"ro"}),
        (("rw",), set()),
        (("nosuid", "exec"), {"nosuid"}),
        (("nosuid", "rnodev"), {"nosuid", "nodev"}),
        (("nosymfollow", "relatime"), {"nosymfollow"}),
    ],
    ids=str,
)
def test_a_bind_with_words_has_what_they_say_and_no_more_but_for_access_times(
    runtime: Runtime, bundle: Bundle, strict: Path, words: tuple[str, ...], left: set[str]
) -> None:
    """As mount(8) and runc do."""
    bundle.add_mount("/bound", None, strict, "bind", *words)
    assert strict_ones(runtime, bundle) == left | (set() if "relatime" in words else {"noatime"})


def test_in_a_user_namespace_a_bind_keeps_what_no_word_takes_away(
    runtime: Runtime, bundle: Bundle, strict: Path
) -> None:
    """What the kernel does not lock is not kept."""
    bundle.map_ids((0, 0, 65536))
    bundle.add_mount("/bound", None, strict, "bind", "nosuid")
    assert strict_ones(runtime, bundle) == STRICT - {"nosymfollow"}


#: MS_* of mount(2), by the words of config.json.
ACCESS_TIMES = {"noatime": 1 << 10, "nodiratime": 1 << 11, "relatime": 1 << 21, "strictatime": 1 << 24}


@pytest.fixture
def timed(source: Path) -> Iterator[Callable[..., Path]]:
    """A source whose mount has these words for times of access, and MS_RDONLY with "ro"."""
    mount(source, source, flags=MS_BIND)

    def remounted(*words: str) -> Path:
        flags = sum({**ACCESS_TIMES, "ro": 1}[word] for word in words)
        mount(None, source, flags=MS_BIND | 1 << 5 | flags)
        return source

    try:
        yield remounted
    finally:
        unmount(source)


def access_times(options: Iterable[str]) -> set[str]:
    """The kernel shows "strictatime" as neither of the others."""
    words = {"noatime", "relatime", "nodiratime"} & set(options)
    return words if words & {"noatime", "relatime"} else words | {"strictatime"}


#: Words of the source, words of the bind, what that has then. As mount(8) and runc have it.
TIMES_OF_BINDS = [
    (["noatime"], [], {"noatime"}),
    (["noatime"], ["norelatime"], {"noatime"}),
    (["noatime"], ["atime"], {"noatime"}),
    (["noatime"], ["relatime"], {"relatime"}),
    (["noatime"], ["relatime", "noatime", "atime"], {"noatime"}),
    (["noatime"], ["nodiratime"], {"nodiratime", "relatime"}),
    (["noatime"], ["nodiratime", "diratime"], {"noatime"}),
    (["noatime"], ["nodiratime", "strictatime"], {"nodiratime", "strictatime"}),
    (["noatime"], ["nodiratime", "norelatime"], {"nodiratime", "relatime"}),
    (["nodiratime"], ["diratime"], {"nodiratime", "relatime"}),
    (["nodiratime"], ["strictatime"], {"strictatime"}),
    (["strictatime"], ["nostrictatime"], {"strictatime"}),
    (["strictatime"], ["noatime", "relatime"], {"relatime"}),
]


def test_words_for_times_of_access_say_all_of_them(
    runtime: Runtime, bundle: Bundle, timed: Callable[..., Path]
) -> None:
    wrong = []
    for of_source, words, expected in TIMES_OF_BINDS:
        del bundle.config["mounts"][3:]
        bundle.add_mount("/bound", None, timed(*of_source), "bind", *words)
        found = access_times(mounts_of(runtime, bundle)["/bound"].options)
        if found != expected:
            wrong.append((of_source, words, found))
    assert wrong == []


#: Words of the source, words of the bind; what that has then, or None where it is refused.
LOCKED_TIMES = [
    (["strictatime"], [], {"strictatime"}),
    (["noatime", "nodiratime"], ["norelatime"], {"noatime", "nodiratime"}),
    (["strictatime"], ["nostrictatime"], {"strictatime"}),
    (["nodiratime"], ["diratime"], {"nodiratime", "relatime"}),
    (["noatime"], ["atime"], {"noatime"}),
    (["noatime"], ["noatime"], {"noatime"}),
    (["relatime"], ["relatime"], {"relatime"}),
    (["nodiratime"], ["strictatime"], None),
    (["relatime"], ["strictatime"], None),
    (["relatime"], ["noatime"], None),
    (["relatime"], ["nodiratime"], None),
    (["strictatime"], ["relatime"], None),
    (["strictatime"], ["nodiratime"], None),
    (["noatime"], ["relatime"], None),
    (["noatime"], ["rstrictatime"], None),
]


def test_in_a_user_namespace_a_bind_keeps_the_times_of_access(
    runtime: Runtime, bundle: Bundle, timed: Callable[..., Path]
) -> None:
    bundle.map_ids((0, 0, 65536))
    wrong = []
    for of_source, words, expected in LOCKED_TIMES:
        del bundle.config["mounts"][3:]
        bundle.add_mount("/bound", None, timed(*of_source), "bind", *words)
        if expected is None:
            result = runtime.run(bundle, "id").fails("cannot bind ", "operation not permitted (config.json#/mounts/3)")
            assert "has locked times of access for a container with a user namespace" in result.err
        elif access_times(mounts_of(runtime, bundle)["/bound"].options) != expected:
            wrong.append((of_source, words))
    assert wrong == []


@pytest.mark.parametrize("word", ["rw", "suid", "dev", "exec", "rrw", "rexec"])
def test_in_a_user_namespace_no_word_takes_away_what_protects_the_host(
    runtime: Runtime, bundle: Bundle, strict: Path, word: str
) -> None:
    """As the kernel has it for those who mount in there (mount_namespaces(7)), and so for runc."""
    bundle.map_ids((0, 0, 65536))
    bundle.add_mount("/bound", None, strict, "rbind", word)
    result = runtime.run(bundle, "id").fails("cannot rbind ", "operation not permitted (config.json#/mounts/3)")
    attribute = {"rw": "ro", "rrw": "ro"}.get(word, "no" + word.removeprefix("r"))
    assert f"hint: the host's mount has locked {attribute} for a container with a user namespace" in result.err
    assert runtime.ids() == []


@pytest.mark.needs_program("unshare")
@pytest.mark.needs_program("newuidmap")
def test_what_is_locked_for_a_runtime_in_a_user_namespace_stays(
    runtime: Runtime, bundle: Bundle, strict: Path, tmp_path: Path
) -> None:
    """As below an engine of an ordinary user, which is root of a user namespace."""
    ids = tmp_path / "subordinate"
    ids.write_text("root:0:65536\n")
    files = ["/etc/subuid", "/etc/subgid"]
    maps = ["--map-users=0,0,65536", "--map-groups=0,0,65536"]
    runtime.wrapper = ["unshare", "--user", *maps, "--mount", "--propagation", "unchanged"]
    runtime.global_words = ["--cgroup-manager", "disabled"]
    bundle.add_mount("/bound", None, strict, "bind", "nosuid")
    for file in files:
        mount(ids, file, flags=MS_BIND)
    try:
        assert strict_ones(runtime, bundle) == STRICT
    finally:
        for file in files:
            unmount(file)


@pytest.mark.parametrize("word", ["sync", "dirsync", "lazytime", "mand"])
def test_an_option_of_the_superblock_has_its_effect(runtime: Runtime, bundle: Bundle, word: str) -> None:
    bundle.add_mount("/on", "tmpfs", "tmpfs", word)
    found = mounts_of(runtime, bundle)["/on"]
    # "mand" has had no effect since Linux 5.15, and is shown no more.
    assert word in found.super_options or word == "mand"


@pytest.mark.parametrize(
    "word", ["async", "nolazytime", "nomand", "silent", "loud", "iversion", "noiversion", "defaults"]
)
def test_a_word_for_what_is_so_anyway_is_accepted(runtime: Runtime, bundle: Bundle, word: str) -> None:
    bundle.add_mount("/on", "tmpfs", "tmpfs", word)
    assert mounts_of(runtime, bundle)["/on"].type == "tmpfs"


def test_words_about_the_superblock_do_no_harm_to_a_bind(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    """Engines pass on what a user has written, as in "-v /a:/b:defaults"."""
    bundle.add_mount("/bound", "bind", source, "rbind", "defaults", "async", "nolazytime")
    assert runtime.probe(bundle, "ls", "/bound") == ["file"]


# -- propagation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("private", "private"),
        ("rprivate", "private"),
        ("slave", "slave"),
        ("rslave", "slave"),
        ("shared", "shared"),
        ("rshared", "shared"),
        ("unbindable", "unbindable"),
        ("runbindable", "unbindable"),
    ],
)
def test_a_propagation_word_has_its_effect(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None], word: str, found: str
) -> None:
    mount_tmpfs(source, MS_SHARED)
    (source / "below").mkdir()
    mount_tmpfs(source / "below", MS_SHARED)
    bundle.linux["rootfsPropagation"] = "shared"
    bundle.add_mount("/tree", None, source, "rbind", word)
    mounts = mounts_of(runtime, bundle)
    assert mounts["/tree"].propagation_word == found
    assert mounts["/tree/below"].propagation_word == (found if word.startswith("r") else "shared")


def test_without_a_word_a_bind_sends_nothing_to_the_host(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None]
) -> None:
    mount_tmpfs(source, MS_SHARED)
    (source / "below").mkdir()
    bundle.process["capabilities"]["bounding"] = bundle.process["capabilities"]["effective"] = [
        *bundle.process["capabilities"]["permitted"],
        "CAP_SYS_ADMIN",
    ]
    bundle.process["capabilities"]["permitted"] = bundle.process["capabilities"]["effective"]
    bundle.add_mount("/tree", None, source, "rbind")
    values = runtime.probe(bundle, "mount", "none", "/tree/below", "tmpfs", "0", ";", "touch", "/tree/below/x")
    assert values[0]["errno"] == 0
    assert list((source / "below").iterdir()) == []


def test_what_the_host_mounts_later_arrives_in_a_slave(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None]
) -> None:
    mount_tmpfs(source, MS_SHARED)
    bundle.add_mount("/slave", None, source, "rbind", "rslave")
    bundle.add_mount("/private", None, source, "rbind", "rprivate")
    container = runtime.start_paused_program(bundle)
    mount_tmpfs(source / "later")
    (source / "later/mark").touch()
    assert container.probe("ls", "/slave/later", ";", "ls", "/private/later") == [["mark"], []]


def test_what_a_shared_mount_gets_in_the_container_arrives_on_the_host(
    runtime: Runtime, bundle: Bundle, source: Path, mount_tmpfs: Callable[..., None]
) -> None:
    mount_tmpfs(source, MS_SHARED)
    (source / "below").mkdir()
    for kind in ("bounding", "effective", "permitted"):
        bundle.process["capabilities"][kind] = ["CAP_SYS_ADMIN"]
    bundle.linux["rootfsPropagation"] = "shared"
    bundle.add_mount("/tree", None, source, "rbind", "rshared")
    container = runtime.start_paused_program(
        bundle, "mount", "none", "/tree/below", "tmpfs", "0", ";", "touch", "/tree/below/mark", ";"
    )
    try:
        assert [path.name for path in (source / "below").iterdir()] == ["mark"]
    finally:
        unmount(source / "below")
    container.delete("--force")


@pytest.mark.parametrize(
    ("word", "found"),
    [
        (None, "slave"),
        ("private", "private"),
        ("rprivate", "private"),
        ("slave", "slave"),
        ("rslave", "slave"),
        ("shared", "shared"),
        ("rshared", "shared"),
        ("unbindable", "unbindable"),
    ],
)
def test_the_root_has_the_propagation_of_rootfs_propagation(
    runtime: Runtime, bundle: Bundle, word: str | None, found: str
) -> None:
    if word is not None:
        bundle.linux["rootfsPropagation"] = word
    assert found in mounts_of(runtime, bundle)["/"].propagation_word.split()


@pytest.mark.parametrize("word", ["shared", "rshared"])
def test_a_shared_root_sends_the_containers_own_mounts_nowhere(runtime: Runtime, bundle: Bundle, word: str) -> None:
    bundle.linux["rootfsPropagation"] = word
    bundle.add_mount("/made", "tmpfs", "tmpfs")
    container = runtime.start_paused_program(bundle)
    host = parse_mounts(Path("/proc/self/mountinfo").read_text())
    assert [point for point in host if point.startswith(str(bundle.path))] == []
    container.delete("--force")


def test_a_root_on_a_private_mount_can_be_used(
    runtime: Runtime, bundle: Bundle, mount_tmpfs: Callable[..., None]
) -> None:
    other = bundle.path / "other"
    mount_tmpfs(other, MS_PRIVATE)
    (other / "init").write_bytes((bundle.rootfs / "init").read_bytes())
    (other / "init").chmod(0o755)
    bundle.config["root"]["path"] = str(other)
    assert runtime.probe(bundle, "pids")["pid"] == 1


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


# -- the root filesystem -----------------------------------------------------------------------------------------------


def test_a_readonly_root_cannot_be_written_to(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = True
    bundle.add_mount("/scratch", "tmpfs", "tmpfs")
    values = runtime.probe(
        bundle, "write-file", "/x", "", ";", "mkdir", "/y", ";", "write-file", "/scratch/x", "", ";", "touch", "/dev/x"
    )
    assert [value["errno"] for value in values] == [errno.EROFS, errno.EROFS, 0, 0]


def test_targets_are_made_before_the_root_becomes_readonly(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.config["root"]["readonly"] = True
    bundle.process["cwd"] = "/some/where"
    bundle.add_mount("/a/b/c", None, source, "bind")
    assert runtime.probe(bundle, "ls", "/a/b/c", ";", "cwd") == [["file"], "/some/where"]


def test_a_root_without_readonly_can_be_written_to(runtime: Runtime, bundle: Bundle) -> None:
    runtime.probe(bundle, "write-file", "/new", "text")
    assert (bundle.rootfs / "new").read_text() == "text"


def test_an_absolute_root_path_is_used_as_it_is(
    runtime: Runtime, bundle: Bundle, make_bundle: Callable[[str], Bundle]
) -> None:
    other = make_bundle("other")
    other.write("mark", "of the other")
    bundle.config["root"]["path"] = str(other.rootfs)
    assert runtime.probe(bundle, "cat", "/mark") == "of the other"


def test_a_root_that_is_a_link_is_followed_once(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "link").symlink_to("rootfs")
    bundle.config["root"]["path"] = "link"
    assert runtime.probe(bundle, "pids")["pid"] == 1


def test_mounts_below_the_root_come_with_it(runtime: Runtime, bundle: Bundle, mount_tmpfs: Callable[..., None]) -> None:
    mount_tmpfs(bundle.rootfs / "below")
    (bundle.rootfs / "below/mark").touch()
    assert runtime.probe(bundle, "ls", "/below") == ["mark"]


def test_no_pivot_gives_the_same_root(runtime: Runtime, bundle: Bundle) -> None:
    values = runtime.probe(bundle, "ls", "/", ";", "cat", "/proc/self/mountinfo", flags=["--no-pivot"])
    assert values[0] == ["dev", "init", "proc"]
    assert "/" in parse_mounts(values[1])


def test_no_pivot_propagates_as_the_configuration_says(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["rootfsPropagation"] = "shared"
    mounts = parse_mounts(runtime.probe(bundle, "cat", "/proc/self/mountinfo", flags=["--no-pivot"]))
    assert mounts["/"].propagation_word == "shared"


def test_a_file_over_a_directory_and_a_directory_over_a_file_are_told_in_the_words_of_mount(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.mkdir("directory")
    bundle.write("file")
    for source, target in (("/etc/hostname", "/directory"), (str(tmp_path), "/file")):
        bundle.config["mounts"] = [{"destination": target, "source": source, "type": "bind", "options": ["rbind"]}]
        runtime.run(bundle, "id").fails(f"on {target}", "not a directory", "config.json#/mounts/0")
