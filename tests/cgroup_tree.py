"""Cgroups of the tests themselves on this host's cgroupfs, and processes in them."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ocirt.cgroup import Cgroup, Layout, detect, v1
from ocirt.cgroup.directory import Directory

LAYOUT = detect() if os.path.exists("/proc/self/cgroup") else Layout("none")
NAME = f"ocirt-test-{os.getpid()}"


def needs_v1(controller: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(LAYOUT.version_of(controller) != 1, reason=f"needs the v1 controller {controller}")


def needs_v2() -> pytest.MarkDecorator:
    return pytest.mark.skipif(LAYOUT.mode != "v2", reason="needs cgroup v2 alone")


def needs(controller: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not LAYOUT.version_of(controller), reason=f"needs the controller {controller}")


def mounts() -> list[str]:
    found = [hierarchy.mount for hierarchy in LAYOUT.hierarchies]
    return found + ([LAYOUT.v2_mount] if LAYOUT.v2_mount else [])


def left_cgroups() -> list[Path]:
    return [path for mount in mounts() if (path := Path(mount, NAME)).exists()]


def remove_tree(path: Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            if child.is_dir():
                remove_tree(child)
        path.rmdir()


def new(path: str | None = f"/{NAME}/c1", **options: Any) -> Cgroup:
    return Cgroup.resolve(LAYOUT, path, NAME, **options)


def created(path: str = f"/{NAME}/c1") -> Cgroup:
    cgroup = new(path)
    cgroup.create()
    return cgroup


def directory_of(cgroup: Cgroup, controller: str) -> Directory:
    for directory in cgroup.directories:
        if controller in directory.controllers:
            return directory
    raise AssertionError(controller)


def content(cgroup: Cgroup, controller: str, file: str) -> str:
    return Path(directory_of(cgroup, controller).path, file).read_text().strip()


def run_in(cgroup: Cgroup, children: list[int], action: Callable[[], object] = signal.pause, sub: str = "") -> int:
    """A child that enters *cgroup*, or *sub* below it, says so and then does *action*; its pid."""
    fds = cgroup.open_entry_fds()
    ready_fd, child_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            for fd in fds:
                os.write(fd, b"0")
            for directory in cgroup.directories:
                if directory.version == 2 or sub:
                    path = Path(directory.path, sub)
                    path.mkdir(exist_ok=True)
                    if directory.version == 1 and "cpuset" in directory.controllers:
                        v1.fill_cpuset(str(path), directory.mount, {})
                    (path / "cgroup.procs").write_text("0")
            os.write(child_fd, b"1")
            os.close(child_fd)
            action()
        finally:
            os._exit(77)
    for fd in (*fds, child_fd):
        os.close(fd)
    children.append(pid)
    assert os.read(ready_fd, 1) == b"1"
    os.close(ready_fd)
    return pid


def status_of(pid: int, timeout_sec: float = 10) -> int:
    pidfd = os.pidfd_open(pid)
    try:
        assert select.select([pidfd], [], [], timeout_sec)[0], f"process {pid} does not end"
    finally:
        os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
