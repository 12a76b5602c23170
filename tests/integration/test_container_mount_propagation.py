"""Propagation of mounts, of ``linux.rootfsPropagation`` and of the root: who gets what is mounted later."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from host_view import MS_PRIVATE, MS_SHARED, mounts_of, parse_mounts, unmount
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


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
        (None, "private"),
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


def test_what_the_host_mounts_in_the_root_later_does_not_arrive(
    runtime: Runtime, bundle: Bundle, mount_tmpfs: Callable[..., None]
) -> None:
    """Engines do so for themselves: docker mounts a container's volumes there once more when it copies files."""
    root = bundle.path / "other"
    mount_tmpfs(root, MS_SHARED)
    (root / "init").write_bytes((bundle.rootfs / "init").read_bytes())
    (root / "init").chmod(0o755)
    (root / "later").mkdir()
    (root / "below").mkdir()
    mount_tmpfs(root / "below", MS_SHARED)
    bundle.config["root"]["path"] = str(root)
    container = runtime.start_paused_program(bundle)
    mount_tmpfs(root / "later")
    (root / "later/mark").touch()
    assert container.probe("ls", "/later") == []


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
