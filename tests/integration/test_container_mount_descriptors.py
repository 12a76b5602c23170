"""Sources of bind mounts that a program which hosts ocirt has opened itself."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import Bundle, Runtime

from ocirt import Container, OcirtError, Options, StepError

pytestmark = pytest.mark.needs_root

OPEN_TREE, OPEN_TREE_CLONE = 428, 1


@pytest.fixture
def opened() -> Iterator[Callable[..., int]]:
    fds = []

    def open_path(path: Path, flags: int = os.O_PATH) -> int:
        fds.append(os.open(path, flags | os.O_CLOEXEC))
        return fds[-1]

    yield open_path
    for fd in fds:
        os.close(fd)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/file").write_text("of the volume")
    return tmp_path / "volume"


def make(runtime: Runtime, bundle: Bundle, fds: dict[str, int]) -> str:
    """A container that waits for start, made in this process; the test runs it by the command."""
    bundle.save()
    id = runtime.new_id()
    container = Container.create(id, str(bundle.path), Options(root=str(runtime.root), mount_fds=fds))
    runtime.adopt(id, bundle, container.pid)
    return id


@pytest.mark.parametrize("user_namespace", [False, True])
def test_a_directory_is_mounted_wherever_its_path_leads_by_now(
    runtime: Runtime, bundle: Bundle, volume: Path, opened: Callable[..., int], user_namespace: bool
) -> None:
    if user_namespace:
        bundle.map_ids((0, 100_000, 1000))
    fd = opened(volume)
    volume.rename(volume.with_name("moved"))
    bundle.add_mount("/data", None, "/nowhere", "rbind", "ro")
    bundle.set_program("pause")
    id = make(runtime, bundle, {"/data": fd})
    assert runtime("exec", id, "/init", "cat", "/data/file").check().value == "of the volume"
    os.fstat(fd)  # is still the caller's


def test_a_source_need_not_be_named(runtime: Runtime, bundle: Bundle, volume: Path, opened: Callable[..., int]) -> None:
    bundle.add_mount("/data/file", None, "", "bind")
    bundle.set_program("pause")
    id = make(runtime, bundle, {"/data/file": opened(volume / "file", os.O_RDONLY)})
    assert runtime("exec", id, "/init", "cat", "/data/file").check().value == "of the volume"


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="the number of open_tree(2)")
def test_a_mount_that_is_attached_nowhere_is_attached(runtime: Runtime, bundle: Bundle, volume: Path) -> None:
    fd = int(ctypes.CDLL(None).syscall(OPEN_TREE, -100, str(volume).encode(), OPEN_TREE_CLONE | os.O_CLOEXEC))
    try:
        bundle.add_mount("/data", None, "", "bind")
        bundle.set_program("pause")
        id = make(runtime, bundle, {"/data": fd})
    finally:
        os.close(fd)
    assert runtime("exec", id, "/init", "cat", "/data/file").check().value == "of the volume"


def test_a_container_that_runs_takes_one_too(
    runtime: Runtime, bundle: Bundle, volume: Path, opened: Callable[..., int]
) -> None:
    container = runtime.start_paused_program(bundle)
    loaded = Container.load(container.id, root=str(runtime.root))
    loaded.add_mounts([{"destination": "/data", "options": ["bind"]}], fds={"/data": opened(volume)})
    assert container.probe("cat", "/data/file") == "of the volume"


def test_a_descriptor_that_no_mount_is_there_for_is_refused(
    runtime: Runtime, bundle: Bundle, volume: Path, opened: Callable[..., int]
) -> None:
    bundle.add_mount("/scratch", "tmpfs", "tmpfs")
    for destination in ("/scratch", "/data"):
        with pytest.raises(OcirtError, match=f"source of {destination}, but no bind mount has that destination"):
            make(runtime, bundle, {destination: opened(volume)})
    assert runtime.ids() == []


def test_a_descriptor_that_is_not_open_is_an_error(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/data", None, "", "bind")
    with pytest.raises(StepError, match="bad file descriptor"):
        make(runtime, bundle, {"/data": 999})
    assert runtime.ids() == []
