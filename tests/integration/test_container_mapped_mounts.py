"""Mounts whose ids are mapped, and mounts of what has been mounted before."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime, open_path

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_kernel("5.12")]

HOST_ID, SIZE = 300000, 65536
OVERFLOW_ID = 65534


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory of the host with a file of user 7 and group 8; only root may enter it."""
    directory = bundle.path / "source"
    directory.mkdir(mode=0o700)
    (directory / "file").touch()
    os.chown(directory / "file", 7, 8)
    return directory


def ids(stat: Any) -> tuple[int, int]:
    return stat["uid"], stat["gid"]


def own(uid: int, gid: int) -> dict[str, Any]:
    """Maps ids 7 and 8 of the filesystem to these of the host."""
    return {
        "uidMappings": [{"containerID": 7, "hostID": uid, "size": 1}],
        "gidMappings": [{"containerID": 8, "hostID": gid, "size": 1}],
    }


def test_two_mounts_of_one_source_are_mapped_differently(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    source.chmod(0o755)
    for number in (1, 2):
        bundle.add_mount(f"/m{number}", None, source, "bind")
        bundle.config["mounts"][-1].update(own(1000 * number, 2000 * number))
    bundle.add_mount("/plain", None, source, "bind")
    files = ("stat", "/m1/file", ";", "stat", "/m2/file", ";", "stat", "/plain/file")
    assert [ids(stat) for stat in runtime.probe(bundle, *files)] == [(1000, 2000), (2000, 4000), (7, 8)]
    assert ((source / "file").stat().st_uid, (source / "file").stat().st_gid) == (7, 8)


def test_the_option_alone_maps_by_the_container_s_user_namespace(
    runtime: Runtime, bundle: Bundle, source: Path
) -> None:
    bundle.map_ids((0, HOST_ID, SIZE))
    bundle.add_mount("/mapped", None, source, "bind", "idmap")
    bundle.add_mount("/plain", None, source, "bind")
    source.chmod(0o755)
    mapped, plain = runtime.probe(bundle, "stat", "/mapped/file", ";", "stat", "/plain/file")
    assert (ids(mapped), ids(plain)) == ((7, 8), (OVERFLOW_ID, OVERFLOW_ID))


def test_the_option_alone_maps_by_a_user_namespace_that_is_joined(
    runtime: Runtime, bundle: Bundle, make_bundle: Any, source: Path
) -> None:
    first = make_bundle("first")
    first.map_ids((0, HOST_ID, SIZE))
    owner = runtime.start_paused_program(first)
    bundle.add_namespace("user", f"/proc/{owner.pid}/ns/user")
    os.chown(bundle.rootfs, HOST_ID, HOST_ID)
    open_path(bundle.rootfs)
    bundle.add_mount("/mapped", None, source, "bind", "idmap")
    assert ids(runtime.probe(bundle, "stat", "/mapped/file")) == (7, 8)


def test_the_ids_of_the_option_may_be_those_of_the_container(runtime: Runtime, bundle: Bundle, source: Path) -> None:
    bundle.map_ids((0, HOST_ID, SIZE))
    source.chmod(0o755)
    bundle.add_mount("/mapped", None, source, "bind", f"idmap=uids=@7-70-1;gids=8-{HOST_ID + 80}-1")
    assert ids(runtime.probe(bundle, "stat", "/mapped/file")) == (70, 80)


@pytest.mark.needs_kernel("6.3")
def test_a_new_tmpfs_is_mapped_as_well(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/tmpfs", "tmpfs", "tmpfs", "mode=750", "size=1m", "noexec")
    mapping = [{"containerID": 0, "hostID": 4321, "size": 1}]
    bundle.config["mounts"][-1].update(uidMappings=mapping, gidMappings=mapping)
    stat, info = runtime.probe(bundle, "stat", "/tmpfs", ";", "cat", "/proc/self/mountinfo")
    (line,) = (line for line in info.splitlines() if " /tmpfs " in line)
    assert (ids(stat), stat["mode"] & 0o7777) == ((4321, 4321), 0o750)
    assert {"noexec", "idmapped", "size=1024k"} <= set(line.replace(" ", ",").split(","))


def test_a_filesystem_that_cannot_map_ids_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/run/proc", "mqueue", "mqueue")
    bundle.config["mounts"][-1].update(own(1, 1))
    runtime.run(bundle, "pids").fails("map the ids of /run/proc", "invalid argument", "config.json#/mounts/3", "hint:")


def test_a_bad_option_of_a_filesystem_is_told_in_its_own_words(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/tmpfs", "tmpfs", "tmpfs", "colour=red")
    bundle.config["mounts"][-1].update(own(1, 1))
    runtime.run(bundle, "pids").fails("mount tmpfs on /tmpfs", "colour", "config.json#/mounts/3")


@pytest.mark.parametrize("mapped", [False, True])
def test_a_source_in_the_root_filesystem_shows_what_is_mounted_there(
    runtime: Runtime, bundle: Bundle, source: Path, mapped: bool
) -> None:
    """A user namespace keeps the init from the source, so the runtime opens it, as the init would see it."""
    bundle.map_ids((0, HOST_ID, SIZE))
    bundle.add_mount("/first", None, source, "bind")
    bundle.add_mount("/second", None, bundle.rootfs / "first", "rbind", *(["idmap"] if mapped else []))
    expected = (7, 8) if mapped else (OVERFLOW_ID, OVERFLOW_ID)
    source.chmod(0o755)
    assert ids(runtime.probe(bundle, "stat", "/second/file")) == expected


def test_a_source_that_is_missing_in_the_root_filesystem_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.map_ids((0, HOST_ID, SIZE))
    bundle.add_mount("/second", None, bundle.rootfs / "nothing", "bind")
    runtime.run(bundle, "pids").fails("nothing", "no such file or directory", "config.json#/mounts/3")
