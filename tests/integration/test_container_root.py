"""``root``: the root filesystem, as the program finds it."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from host_view import parse_mounts
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


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
