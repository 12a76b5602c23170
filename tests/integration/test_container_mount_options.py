"""``mounts[].options``: every word has its effect, on the mount alone or on the tree below."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from host_view import MS_BIND, mount, mounts_of, unmount
from support import Bundle, Runtime

from ocirt.plan.mount_options import OPTION_WORDS

pytestmark = pytest.mark.needs_root


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


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["size=1m,mode=700"], {"size=1024k", "mode=700"}),
        (["size=1m,,mpol=bind:0,0,mode=700"], {"size=1024k", "mpol=bind:0", "mode=700"}),
    ],
)
def test_options_of_a_filesystem_may_have_commas_between_them(
    runtime: Runtime, bundle: Bundle, words: list[str], found: set[str]
) -> None:
    """As for mount(2), to which runc and crun hand them."""
    bundle.add_mount("/on", "tmpfs", "tmpfs", *words)
    assert found <= set(mounts_of(runtime, bundle)["/on"].super_options)


def test_a_flag_among_options_of_a_filesystem_is_none_of_them(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/on", "tmpfs", "tmpfs", "size=1m,nosuid")
    runtime.run(bundle, "pids").fails("cannot mount tmpfs on /on", "Unknown parameter 'nosuid'", "config.json#/mounts/")


def test_a_comma_behind_a_backslash_belongs_to_the_path_of_a_layer(
    runtime: Runtime, bundle: Bundle, mount_tmpfs: Callable[..., None], source: Path
) -> None:
    mount_tmpfs(source)
    (source / "a,b").mkdir()
    (source / "a,b/mark").touch()
    (source / "c").mkdir()
    bundle.add_mount("/on", "overlay", "overlay", f"lowerdir={source}/a\\,b:{source}/c,xino=off")
    assert runtime.probe(bundle, "ls", "/on") == ["mark"]


@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
@pytest.mark.parametrize(("words", "found"), [(("rro", "rw"), "ro"), (("ro", "rrw"), "rw")])
def test_a_recursive_word_has_the_last_say(
    runtime: Runtime, bundle: Bundle, source: Path, kind: str, words: tuple[str, ...], found: str
) -> None:
    """ "rro" and "rw" of one mount: to be writable is not what was asked for below."""
    bundle.add_mount("/on", *((None, source, "rbind") if kind == "bind" else ("tmpfs", "tmpfs")), *words)
    assert found in mounts_of(runtime, bundle)["/on"].options
