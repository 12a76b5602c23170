"""What a container cannot do to `ocirt mounts` and `ocirt devices`, which work in its mount namespace while it runs."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from host_view import parse_mounts
from support import Bundle, Container, Result, Runtime

from security.attack import Victim

pytestmark = pytest.mark.needs_root


def ask(container: Container, command: str, verb: str, *objects: object) -> Result:
    return container.runtime(command, verb, container.id, "-", input=json.dumps(list(objects)))


def points(container: Container) -> set[str]:
    return set(parse_mounts(container.probe("cat", "/proc/self/mountinfo")))


@pytest.mark.parametrize("prefix", ["", "../../../../../../../.."], ids=["absolute", "relative"])
def test_a_link_as_the_target_is_followed_inside_only(
    runtime: Runtime, bundle: Bundle, victim: Victim, prefix: str
) -> None:
    container = runtime.start_paused_program(bundle, "symlink", f"{prefix}{victim.path}", "/data", ";")
    ask(container, "mounts", "add", {"destination": "/data/sub", "type": "tmpfs"}).check()
    assert f"{victim.path}/sub" in points(container)


@pytest.mark.parametrize("destination", ["/data", "/data/x"])
def test_a_link_to_procfs_gets_no_mount(runtime: Runtime, bundle: Bundle, destination: str) -> None:
    target = "/proc/self" if destination == "/data" else "/proc/self/attr"
    container = runtime.start_paused_program(bundle, "symlink", target, "/data", ";")
    before = points(container)
    result = ask(container, "mounts", "add", {"destination": destination, "type": "tmpfs"})
    assert result.status == 1
    assert points(container) == before


def test_a_link_does_not_lead_a_removal_to_a_mask(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.linux["maskedPaths"] = ["/proc/timer_list"]
    container = runtime.start_paused_program(bundle)
    ask(container, "mounts", "add", {"destination": "/data/timer_list", "type": "tmpfs"}).check()
    ask(container, "mounts", "remove", {"destination": "/data/timer_list"}).check()
    container.probe("remove", "/data/timer_list")
    container.probe("remove", "/data")
    container.probe("symlink", "/proc", "/data")
    result = ask(container, "mounts", "remove", {"destination": "/data/timer_list"})
    result.fails("cannot unmount /data/timer_list", "symbolic links")
    assert container.probe("cat", "/proc/timer_list") == ""


@pytest.mark.parametrize("verb", ["add", "remove"])
def test_a_dev_that_is_a_link_gets_no_device(runtime: Runtime, bundle: Bundle, victim: Victim, verb: str) -> None:
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] == "/proc"]
    bundle.add_mount("/volume", "bind", victim.path, "bind")
    container = runtime.start_paused_program(bundle, "symlink", "/volume", "/dev/sub", ";")
    device = {"path": "/dev/sub/zero", "type": "c", "major": 1, "minor": 5}
    result = ask(container, "devices", verb, device)
    assert result.status == 1
    assert "symbolic links" in result.err


def test_a_device_is_not_made_through_a_link_in_its_place(runtime: Runtime, bundle: Bundle, victim: Victim) -> None:
    bundle.add_mount("/volume", "bind", victim.path, "bind")
    container = runtime.start_paused_program(bundle, "symlink", "/volume/node", "/dev/mine", ";")
    device = {"path": "/dev/mine", "type": "c", "major": 1, "minor": 5}
    ask(container, "devices", "add", device).fails("cannot make device /dev/mine", "file exists")
    assert container.probe("stat", "/volume/node")["errno"] == errno.ENOENT
