"""Masked and read-only paths, and sysctls: what of /proc and /sys a container may see and change."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from support import PROC, SYSFS, Bundle, Runtime

pytestmark = pytest.mark.needs_root


# -- maskedPaths -------------------------------------------------------------------------------------------------------


def test_a_masked_file_is_empty_and_cannot_be_changed(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("etc/secret", "secret")
    bundle.linux["maskedPaths"] = ["/etc/secret", "/proc/keys"]
    values = runtime.probe(
        bundle,
        *("cat", "/etc/secret", ";", "cat", "/proc/keys", ";", "stat", "/etc/secret", ";", "remove", "/etc/secret"),
    )
    assert values[:2] == ["", ""]
    assert (values[2]["type"], values[2]["major"], values[2]["minor"]) == ("char", 1, 3)
    assert values[3]["errno"] == errno.EBUSY
    assert (bundle.rootfs / "etc/secret").read_text() == "secret"


def test_a_masked_directory_is_empty_and_cannot_be_filled(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("secret/file", "secret")
    bundle.linux["maskedPaths"] = ["/secret", "/sys/firmware"]
    bundle.config["mounts"].append(SYSFS)
    values = runtime.probe(
        bundle,
        *("ls", "/secret", ";", "ls", "/sys/firmware", ";", "write-file", "/secret/x", "", ";", "stat", "/secret"),
    )
    assert values[:2] == [[], []]
    assert values[2]["errno"] == errno.EROFS
    assert (values[3]["type"], values[3]["mode"] & 0o222) == ("dir", values[3]["mode"] & 0o222)


def test_a_masked_path_that_is_missing_is_left_out(runtime: Runtime, bundle: Bundle) -> None:
    """The list is the same for all kernels."""
    bundle.write("file")
    bundle.linux["maskedPaths"] = ["/proc/nowhere", "/nowhere/at/all", "/file/below"]
    assert runtime.probe(bundle, "ls", "/proc/nowhere")["errno"] == errno.ENOENT


def test_a_masked_path_that_is_a_link_masks_what_it_leads_to_inside(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("etc/secret", "secret")
    (bundle.rootfs / "link").symlink_to("/etc/secret")
    bundle.linux["maskedPaths"] = ["/link"]
    assert runtime.probe(bundle, "cat", "/etc/secret") == ""


def test_many_masked_directories_share_one_filesystem(runtime: Runtime, bundle: Bundle) -> None:
    paths = [f"/secret/{number}" for number in range(50)]
    for path in paths:
        bundle.write(f"{path}/file", "secret")
    bundle.linux["maskedPaths"] = paths
    text = runtime.probe(bundle, "cat", "/proc/self/mountinfo")
    devices = {line.split()[2] for line in text.splitlines() if line.split()[4].startswith("/secret/")}
    assert len(devices) == 1


@pytest.mark.parametrize("node", ["link", "file", "wrong device", "missing"])
def test_a_false_null_device_masks_nothing_else(runtime: Runtime, bundle: Bundle, node: str) -> None:
    """CVE-2025-31133: a link in place of the container's /dev/null made the masked file a writable one of the
    host's."""
    bundle.config["mounts"] = [PROC]
    null = bundle.mkdir("dev") / "null"
    if node == "link":
        null.symlink_to("/proc/sys/kernel/core_pattern")
    elif node == "file":
        null.write_text("false")
    elif node == "wrong device":
        os.mknod(null, 0o020666, os.makedev(1, 5))
    bundle.linux["maskedPaths"] = ["/proc/keys"]
    result = runtime.run(bundle, "stat", "/proc/keys", ";", "cat", "/proc/keys")
    if result.status == 0:
        assert (result.values[0]["major"], result.values[0]["minor"], result.values[1]) == (1, 3, "")
    else:
        result.fails("/dev/null")


# -- readonlyPaths -----------------------------------------------------------------------------------------------------


def test_a_readonly_path_can_be_read_and_not_written(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("etc/settings", "text")
    bundle.linux["readonlyPaths"] = ["/etc/settings", "/proc/sys"]
    values = runtime.probe(
        bundle,
        *("cat", "/etc/settings", ";", "write", "/etc/settings", "x", ";", "cat", "/proc/sys/net/ipv4/ip_forward", ";"),
        *("write", "/proc/sys/net/ipv4/ip_forward", "1"),
    )
    assert values[0] == "text"
    assert values[2] in ("0\n", "1\n")
    assert [values[1]["errno"], values[3]["errno"]] == [errno.EROFS, errno.EROFS]


def test_what_is_mounted_below_a_readonly_path_stays_as_it_is(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/data", "tmpfs", "tmpfs")
    bundle.add_mount("/data/below", "tmpfs", "tmpfs")
    bundle.linux["readonlyPaths"] = ["/data"]
    values = runtime.probe(bundle, "touch", "/data/x", ";", "touch", "/data/below/x")
    assert [each["errno"] for each in values] == [errno.EROFS, 0]


def test_a_readonly_path_keeps_the_attributes_that_it_has(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/data", "tmpfs", "tmpfs", "noexec", "nosuid", "nodev", "noatime")
    bundle.linux["readonlyPaths"] = ["/data"]
    text = runtime.probe(bundle, "cat", "/proc/self/mountinfo")
    options = [set(line.split()[5].split(",")) for line in text.splitlines() if line.split()[4] == "/data"]
    assert {"ro", "noexec", "nosuid", "nodev", "noatime"} <= options[-1]


def test_a_readonly_path_that_is_missing_is_left_out(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["readonlyPaths"] = ["/proc/nowhere", "/nowhere/at/all"]
    assert runtime.probe(bundle, "pids")["pid"] == 1


def test_a_path_may_be_masked_below_a_readonly_one(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("data/secret", "secret")
    bundle.linux.update(readonlyPaths=["/data"], maskedPaths=["/data/secret"])
    values = runtime.probe(bundle, "cat", "/data/secret", ";", "touch", "/data/x")
    assert (values[0], values[1]["errno"]) == ("", errno.EROFS)


@pytest.mark.parametrize("name", ["maskedPaths", "readonlyPaths"])
def test_a_relative_path_is_refused(runtime: Runtime, bundle: Bundle, name: str) -> None:
    """config-linux.md: "The values MUST be absolute paths in the container namespace.\""""
    bundle.linux[name] = ["proc/kcore"]
    runtime.run(bundle).fails(f"config.json#/linux/{name}/0", "absolute")


# -- sysctl ------------------------------------------------------------------------------------------------------------


def sysctl_path(key: str) -> str:
    return "/proc/sys/" + key.replace(".", "/")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv4.ping_group_range", "1 2"),
        ("net.core.somaxconn", "256"),
        ("kernel.shm_rmid_forced", "1"),
        ("kernel.msgmax", "8000"),
        ("kernel.sem", "32000 1024000000 500 32000"),
        ("fs.mqueue.msg_max", "12"),
    ],
)
def test_a_sysctl_of_a_namespace_is_set_inside_alone(runtime: Runtime, bundle: Bundle, key: str, value: str) -> None:
    path = Path(sysctl_path(key))
    before = path.read_text()
    bundle.linux["sysctl"] = {key: value}
    assert runtime.probe(bundle, "cat", str(path)).split() == value.split()
    assert path.read_text() == before


def test_a_key_may_have_slashes(runtime: Runtime, bundle: Bundle) -> None:
    """sysctl(8): for interfaces whose names have dots."""
    bundle.linux["sysctl"] = {"net/ipv4/conf/lo/forwarding": "1"}
    assert runtime.probe(bundle, "cat", "/proc/sys/net/ipv4/conf/lo/forwarding") == "1\n"


def test_a_sysctl_is_set_without_a_proc_in_the_container(runtime: Runtime, bundle: Bundle) -> None:
    container_proc = {**PROC, "destination": "/elsewhere"}
    bundle.config["mounts"] = [container_proc]
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert runtime.probe(bundle, "cat", "/elsewhere/sys/net/ipv4/ip_forward") == "1\n"


def test_sysctls_are_set_although_proc_sys_is_readonly(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux.update(sysctl={"net.ipv4.ip_forward": "1"}, readonlyPaths=["/proc/sys"])
    assert runtime.probe(bundle, "cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("net.ipv4.ip_forward", "network"),
        ("kernel.shm_rmid_forced", "ipc"),
        ("fs.mqueue.msg_max", "ipc"),
        ("kernel.domainname", "uts"),
    ],
)
def test_a_sysctl_without_its_namespace_is_refused(runtime: Runtime, bundle: Bundle, key: str, kind: str) -> None:
    """It would change the host."""
    path = Path(sysctl_path(key))
    before = path.read_text()
    bundle.remove_namespace(kind)
    bundle.linux["sysctl"] = {key: "7"}
    runtime.run(bundle, "id").fails(key)
    assert path.read_text() == before


@pytest.mark.parametrize("key", ["kernel.panic", "vm.swappiness", "kernel.core_pattern", "kernel.hostname"])
def test_a_sysctl_of_the_whole_host_is_refused(runtime: Runtime, bundle: Bundle, key: str) -> None:
    path = Path(sysctl_path(key))
    before = path.read_text()
    bundle.linux["sysctl"] = {key: "1"}
    result = runtime.run(bundle, "id").fails(key)
    assert "config.json#/linux/sysctl" in result.err
    assert path.read_text() == before


@pytest.mark.parametrize(
    "key", ["net.ipv4.nowhere", "net.ipv4..", "net/../kernel/panic", "net.ipv4/../../kernel/panic"]
)
def test_a_sysctl_that_is_none_is_refused(runtime: Runtime, bundle: Bundle, key: str) -> None:
    before = Path("/proc/sys/kernel/panic").read_text()
    bundle.linux["sysctl"] = {key: "1"}
    runtime.run(bundle, "id").fails("config.json#/linux/sysctl")
    assert Path("/proc/sys/kernel/panic").read_text() == before


def test_a_value_that_the_kernel_refuses_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "many"}
    runtime.run(bundle, "id").fails(
        "net.ipv4.ip_forward", "invalid argument", "config.json#/linux/sysctl/net.ipv4.ip_forward"
    )


def test_a_sysctl_of_a_joined_network_is_set_there(runtime: Runtime, bundle: Bundle, make_bundle: Any) -> None:
    other = runtime.start_paused_program(make_bundle("other"))
    bundle.add_namespace("network", f"/proc/{other.pid}/ns/net")
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    runtime.run(bundle, "id").check()
    assert other.probe("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"


def test_a_sysctl_of_the_hosts_own_network_by_path_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    path = Path(sysctl_path("net.ipv4.conf.lo.forwarding"))
    before = path.read_text()
    bundle.add_namespace("network", f"/proc/{os.getpid()}/ns/net")
    bundle.linux["sysctl"] = {"net.ipv4.conf.lo.forwarding": str(1 - int(before))}
    result = runtime.run(bundle, "id")
    after = path.read_text()
    path.write_text(before)
    assert after == before
    result.fails("config.json#/linux/sysctl")
