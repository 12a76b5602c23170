"""CVE-2025-52881 (runc before 1.2.8, 1.3.3), CVE-2025-62596 (youki): what is written into /proc goes to another
file.

Labels and sysctl values are written by path, and a mount over that path, or a race with another container, makes
them end in /proc/sysrq-trigger or nowhere. They go through a procfs here that is mounted nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from support import Bundle, Runtime

from security.attack import Victim, assert_refused_or_confined, without_mounts

pytestmark = pytest.mark.needs_root

RANGE = "net.ipv4.ping_group_range"
RANGE_PATH = "/proc/sys/net/ipv4/ping_group_range"
RUNS = 60


@pytest.mark.parametrize("covered", ["/proc/sys/net", "/proc/sys", "/proc/self", "/proc/thread-self", RANGE_PATH])
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_mount_over_what_is_written_is_refused(
    runtime: Runtime, bundle: Bundle, victim: Victim, covered: str, kind: str
) -> None:
    bundle.linux["sysctl"] = {RANGE: "1 2"}
    if kind == "bind":
        bundle.add_mount(covered, "bind", victim.path, "bind")
    else:
        bundle.add_mount(covered, "tmpfs", "tmpfs")
    runtime.run(bundle, "cat", RANGE_PATH).fails("/proc")


def test_a_value_is_set_in_the_container_and_not_on_the_host(runtime: Runtime, bundle: Bundle) -> None:
    before = Path(RANGE_PATH).read_text()
    bundle.linux["sysctl"] = {RANGE: "1 2", "kernel.shmmni": "4001"}
    values = runtime.probe(bundle, "cat", RANGE_PATH, ";", "cat", "/proc/sys/kernel/shmmni")
    assert values == ["1\t2\n", "4001\n"]
    assert Path(RANGE_PATH).read_text() == before


def test_a_proc_of_the_image_takes_no_value(runtime: Runtime, bundle: Bundle) -> None:
    """Seen to be written by what resolves the path below the container's root."""
    without_mounts(bundle, "/proc")
    fake = bundle.write(RANGE_PATH, "untouched")
    bundle.linux["sysctl"] = {RANGE: "1 2"}
    bundle.add_mount("/real", "proc", "proc")
    assert runtime.probe(bundle, "cat", RANGE_PATH.replace("/proc", "/real")) == "1\t2\n"
    assert fake.read_text() == "untouched"


@pytest.mark.parametrize(
    "key",
    [
        "net/../kernel/core_pattern",
        "net/ipv4/../../kernel/core_pattern",
        "net/../../sysrq-trigger",
        "net.ipv4./../../kernel/core_pattern",
        "net.//..//..//kernel",
        "net",
        "net/",
    ],
)
def test_no_key_leads_out_of_the_family_that_is_allowed(runtime: Runtime, bundle: Bundle, key: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    bundle.linux["sysctl"] = {key: "|/owned"}
    runtime.run(bundle, "ls", "/").fails("sysctl")
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_the_way_to_proc_may_be_exchanged_meanwhile(
    runtime: Runtime,
    bundle: Bundle,
    victim: Victim,
    exchanging: Callable[[Path, Path], AbstractContextManager[None]],
) -> None:
    """/proc lies in a directory that another container exchanges for a link to one with decoys."""
    decoy = "sys/net/ipv4/ping_group_range"
    bundle.mkdir("vol/a/proc")
    decoys = bundle.write(f"/vol/c/proc/{decoy}", "untouched")
    (bundle.rootfs / "vol/b").symlink_to("c")
    (bundle.rootfs / "proc").rmdir() if (bundle.rootfs / "proc").exists() else None
    without_mounts(bundle, "/proc")
    bundle.add_mount("/vol/a/proc", "proc", "proc")
    bundle.add_mount("/real", "proc", "proc")
    bundle.linux["sysctl"] = {RANGE: "1 2"}
    runs = 0
    with exchanging(bundle.rootfs / "vol/a", bundle.rootfs / "vol/b"):
        for _ in range(RUNS):
            result = runtime.run(bundle, "cat", f"/real/{decoy}")
            if assert_refused_or_confined(result, victim):
                runs += 1
                assert result.value == "1\t2\n"
    assert decoys.read_text() == "untouched"
    assert runs > 0
