"""maskedPaths and readonlyPaths that are links, missing, nested or oddly spelt protect what they name, inside only."""

from __future__ import annotations

import errno

import pytest
from support import Bundle, Runtime

from security.attack import Victim

pytestmark = pytest.mark.needs_root

SPELLINGS = ["/secret", "//secret", "/secret/", "/./secret", "/x/../secret", "/../secret", "/link", "/deep/link"]


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    bundle.write("/secret/file", "secret")
    bundle.mkdir("x")
    bundle.mkdir("deep")
    (bundle.rootfs / "link").symlink_to("secret")
    (bundle.rootfs / "deep/link").symlink_to("/link")
    return bundle


@pytest.mark.parametrize("path", SPELLINGS)
def test_a_masked_directory_is_empty_however_it_is_spelt(runtime: Runtime, bundle: Bundle, path: str) -> None:
    bundle.linux["maskedPaths"] = [path]
    assert runtime.probe(bundle, "ls", "/secret") == []


@pytest.mark.parametrize("path", SPELLINGS)
def test_a_readonly_directory_cannot_be_written_however_it_is_spelt(
    runtime: Runtime, bundle: Bundle, path: str
) -> None:
    bundle.linux["readonlyPaths"] = [path]
    assert runtime.probe(bundle, "write-file", "/secret/file", "x")["errno"] == errno.EROFS


def test_paths_within_each_other_are_all_protected(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["/secret/file", "/secret", "/secret/file"]
    bundle.linux["readonlyPaths"] = ["/secret", "/secret/file", "/"]
    names, written = runtime.probe(bundle, "ls", "/secret", ";", "write-file", "/x/new", "x")
    assert (names, written["errno"]) == ([], errno.EROFS)


@pytest.mark.parametrize("path", ["/", "//", "/.", "/x/..", "/root"])
def test_the_root_itself_can_be_made_read_only(runtime: Runtime, bundle: Bundle, path: str) -> None:
    """A mount over the root is out of sight of a program whose root is the mount below."""
    (bundle.rootfs / "root").symlink_to("/")
    bundle.linux["readonlyPaths"] = [path]
    assert runtime.probe(bundle, "touch", "/x/new")["errno"] == errno.EROFS


def test_the_root_itself_can_be_neither_masked_nor_covered(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["/"]
    runtime.run(bundle, "ls", "/").fails("/linux/maskedPaths/0")
    del bundle.linux["maskedPaths"]
    bundle.add_mount("/", "tmpfs", "tmpfs")
    runtime.run(bundle, "ls", "/").fails("/mounts/3")


@pytest.mark.parametrize("path", ["/missing", "/missing/deeper", "/secret/file/no-directory", "/dangling"])
@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
def test_what_is_missing_is_not_made(runtime: Runtime, bundle: Bundle, key: str, path: str) -> None:
    (bundle.rootfs / "dangling").symlink_to("/nowhere")
    bundle.linux[key] = [path]
    names = runtime.probe(bundle, "ls", "/")
    assert "missing" not in names
    assert "nowhere" not in names


@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
def test_a_link_to_the_host_protects_nothing_of_it(runtime: Runtime, bundle: Bundle, victim: Victim, key: str) -> None:
    (bundle.rootfs / "out").symlink_to(f"../../../../../../../../..{victim.path}")
    bundle.linux[key] = ["/out", "/out/mark"]
    runtime.probe(bundle, "ls", "/")
    victim.mark_path.write_text(victim.mark)


@pytest.mark.parametrize("key", ["maskedPaths", "readonlyPaths"])
def test_links_in_a_circle_are_refused(runtime: Runtime, bundle: Bundle, key: str) -> None:
    (bundle.rootfs / "circle").symlink_to("circle")
    bundle.linux[key] = ["/circle"]
    runtime.run(bundle, "ls", "/").fails("too many levels of symbolic links", f"/linux/{key}/0")
