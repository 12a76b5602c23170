"""``/dev``: the devices and links that every container has, those of ``linux.devices``, and who may use which."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest
from host_view import MS_BIND, mount, unmount
from support import Bundle, Runtime

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_capability("MKNOD")]

DEFAULT = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}


def test_the_default_devices_are_there_for_everybody(runtime: Runtime, bundle: Bundle) -> None:
    words = [word for name in DEFAULT for word in ("stat", f"/dev/{name}", ";")]
    found = dict(zip(DEFAULT, runtime.probe(bundle, *words), strict=True))
    assert {name: (each["type"], each["major"], each["minor"]) for name, each in found.items()} == {
        name: ("char", *numbers) for name, numbers in DEFAULT.items()
    }
    assert {(each["mode"], each["uid"], each["gid"]) for each in found.values()} == {(0o666, 0, 0)}


def test_the_default_devices_work(runtime: Runtime, bundle: Bundle) -> None:
    words = []
    for name in ("null", "zero", "full", "random", "urandom"):
        words += ["open", f"/dev/{name}", "rw", ";"]
    values = runtime.probe(bundle, *words, "write", "/dev/full", "x")
    assert [each["errno"] for each in values] == [0, 0, 0, 0, 0, errno.ENOSPC]


def test_the_links_lead_where_the_spec_says(runtime: Runtime, bundle: Bundle) -> None:
    words = [word for name in LINKS for word in ("readlink", f"/dev/{name}", ";")]
    assert dict(zip(LINKS, runtime.probe(bundle, *words), strict=True)) == LINKS


def test_the_hosts_null_device_is_not_the_containers(runtime: Runtime, bundle: Bundle) -> None:
    """Its owner is the user of a container that has it as stdin; the host's must stay root's."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    runtime.run(bundle, "exit", "0").check()
    assert os.stat("/dev/null").st_uid == 0


@pytest.mark.parametrize(
    ("kind", "major", "minor", "found"), [("c", 10, 229, "char"), ("u", 1, 5, "char"), ("b", 7, 0, "block")]
)
def test_an_own_device_is_made(runtime: Runtime, bundle: Bundle, kind: str, major: int, minor: int, found: str) -> None:
    bundle.linux["devices"] = [
        {"path": "/dev/deep/own", "type": kind, "major": major, "minor": minor, "fileMode": 0o640, "uid": 3, "gid": 4}
    ]
    each = runtime.probe(bundle, "stat", "/dev/deep/own")
    assert (each["type"], each["major"], each["minor"]) == (found, major, minor)
    assert (each["mode"], each["uid"], each["gid"]) == (0o640, 3, 4)


def test_a_fifo_needs_no_numbers(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]
    each = runtime.probe(bundle, "stat", "/dev/pipe")
    assert (each["type"], each["mode"]) == ("fifo", 0o600)


def test_a_device_without_a_mode_is_everybodys(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/dev/own", "type": "c", "major": 10, "minor": 229}]
    assert runtime.probe(bundle, "stat", "/dev/own")["mode"] == 0o666


def test_type_bits_in_a_mode_are_ignored(runtime: Runtime, bundle: Bundle) -> None:
    """podman --privileged passes on st_mode as it finds it."""
    mode = stat.S_IFCHR | 0o660
    bundle.linux["devices"] = [{"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": mode}]
    assert runtime.probe(bundle, "stat", "/dev/own")["mode"] == 0o660


def test_an_own_device_replaces_a_default_one(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600}]
    assert runtime.probe(bundle, "stat", "/dev/full")["mode"] == 0o600


def test_a_device_may_lie_outside_of_dev(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/etc/zero", "type": "c", "major": 1, "minor": 5}]
    assert runtime.probe(bundle, "stat", "/etc/zero")["type"] == "char"


def test_devices_are_made_in_a_dev_of_the_image_too(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if not each["destination"].startswith("/dev")]
    names = runtime.probe(bundle, "ls", "/dev")
    assert set(DEFAULT) | set(LINKS) <= set(names)


def test_a_dev_of_the_image_that_has_them_already_is_used_twice(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if not each["destination"].startswith("/dev")]
    for _ in range(2):
        assert runtime.probe(bundle, "stat", "/dev/null")["minor"] == 3


def test_a_bound_dev_is_left_as_it_is(runtime: Runtime, bundle: Bundle) -> None:
    directory = bundle.path / "dev"
    directory.mkdir()
    (directory / "mine").touch()
    os.mknod(directory / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if not each["destination"].startswith("/dev")]
    bundle.add_mount("/dev", None, directory, "bind")
    assert runtime.probe(bundle, "ls", "/dev") == ["mine", "null"]
    assert sorted(path.name for path in directory.iterdir()) == ["mine", "null"]


# -- who may use which -------------------------------------------------------------------------------------------------


def test_by_default_no_other_device_can_be_opened(runtime: Runtime, bundle: Bundle) -> None:
    """GHSA-g54h-m393-cpwq: without rules, everything was allowed."""
    values = runtime.probe(bundle, "mknod", "/tmp-mem", "c", "1", "1", ";", "open", "/tmp-mem")
    (bundle.rootfs / "tmp-mem").unlink(missing_ok=True)
    assert values[1]["errno"] == errno.EPERM


@pytest.fixture
def harmless() -> tuple[int, int]:
    """A device of the host that can be opened, and that containers may not by default."""
    for name in ("fuse", "loop-control", "rtc0", "hwrng", "vga_arbiter"):
        try:
            with open(f"/dev/{name}", "rb") as file:
                number = os.fstat(file.fileno()).st_rdev
        except OSError:
            continue
        return os.major(number), os.minor(number)
    pytest.skip("needs a device that is not one of the default ones")


def test_a_device_that_a_rule_allows_can_be_opened(runtime: Runtime, bundle: Bundle, harmless: tuple[int, int]) -> None:
    major, minor = harmless
    bundle.linux["resources"] = {
        "devices": [
            {"allow": False, "access": "rwm"},
            {"allow": True, "type": "c", "major": major, "minor": minor, "access": "r"},
        ]
    }
    bundle.linux["devices"] = [{"path": "/dev/own", "type": "c", "major": major, "minor": minor}]
    values = runtime.probe(bundle, "open", "/dev/own", "r", ";", "open", "/dev/own", "w")
    assert [each["errno"] for each in values] == [0, errno.EPERM]


def test_a_device_that_no_rule_allows_cannot_be_opened(
    runtime: Runtime, bundle: Bundle, harmless: tuple[int, int]
) -> None:
    bundle.linux["devices"] = [{"path": "/dev/own", "type": "c", "major": harmless[0], "minor": harmless[1]}]
    assert runtime.probe(bundle, "open", "/dev/own", "r")["errno"] == errno.EPERM


def test_a_nodev_mount_makes_devices_useless(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/plain", "tmpfs", "tmpfs", "nodev")
    bundle.linux["devices"] = [{"path": "/plain/zero", "type": "c", "major": 1, "minor": 5}]
    assert runtime.probe(bundle, "open", "/plain/zero")["errno"] == errno.EACCES


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_a_device_on_a_file_of_another_kind_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """config-linux.md: "If a file already exists at path that does not match the requested device, the runtime MUST
    generate an error.\""""
    bundle.write("etc/own", "a file")
    bundle.linux["devices"] = [{"path": "/etc/own", "type": "c", "major": 1, "minor": 5}]
    runtime.run(bundle, "id").fails("/etc/own", "config.json#/linux/devices/0")
    assert (bundle.rootfs / "etc/own").read_text() == "a file"


def test_a_device_without_numbers_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """config-linux.md: "major, minor (int64, REQUIRED unless type is p)"."""
    bundle.linux["devices"] = [{"path": "/dev/own", "type": "c"}]
    runtime.run(bundle).fails("config.json#/linux/devices/0")


def test_two_devices_of_one_path_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    """config-linux.md: "The same type, major and minor SHOULD NOT be used for multiple devices"; one path cannot be
    two."""
    device = {"path": "/dev/own", "type": "c", "major": 1, "minor": 5}
    bundle.linux["devices"] = [device, {**device, "minor": 3}]
    runtime.run(bundle, "id").fails("config.json#/linux/devices/1")


def test_a_link_as_dev_leads_nowhere_outside(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2026-41579: devices were made through the link, on the host."""
    outside = bundle.path / "outside"
    outside.mkdir()
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if not each["destination"].startswith("/dev")]
    (bundle.rootfs / "dev").symlink_to(outside)
    runtime.run(bundle, "id")
    assert list(outside.iterdir()) == []


def test_the_hosts_null_may_be_a_plain_bind(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    """As in a container in a container: /dev/null is bound from elsewhere, and is used as it is."""
    copy = tmp_path / "null"
    os.mknod(copy, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    mount(copy, "/dev/null", flags=MS_BIND)
    try:
        assert runtime.probe(bundle, "stat", "/dev/null")["minor"] == 3
    finally:
        unmount("/dev/null")
