"""Where criu finds the cgroup hierarchies, so that it mounts none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocirt.criu import yard
from ocirt.criu.yard import Yard, hierarchies
from ocirt.state import Entry

V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
HYBRID = (
    "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
    "32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
    "33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)
HYBRID_OWN = "2:cpu,cpuacct:/user\n1:name=systemd:/user\n0::/user\n"


def test_every_hierarchy_has_criu_s_name() -> None:
    assert hierarchies(V2, "0::/init.scope\n") == {"unified": "/sys/fs/cgroup"}
    assert hierarchies(HYBRID, HYBRID_OWN) == {
        "cpu,cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "systemd": "/sys/fs/cgroup/systemd",
        "unified": "/sys/fs/cgroup/unified",
    }
    beside_v2 = V2 + "40 23 0:40 / /mnt/net_cls rw - cgroup cgroup rw,net_cls\n"
    assert hierarchies(beside_v2, "4:net_cls:/\n0::/\n") == {"net_cls": "/mnt/net_cls", "unified": "/sys/fs/cgroup"}


@pytest.mark.parametrize(
    ("mountinfo", "own"),
    [
        pytest.param("".join(HYBRID.splitlines(True)[1:]), "2:cpu,cpuacct:/\n1:name=systemd:/\n", id="no cgroup2"),
        pytest.param(HYBRID, "3:freezer:/\n" + HYBRID_OWN, id="one that is not mounted"),
        pytest.param(V2.replace(" / /sys", " /pod /sys"), "0::/pod\n", id="a part of it"),
        pytest.param("", "0::/\n", id="nothing mounted"),
    ],
)
def test_there_is_no_yard_that_lacks_something(mountinfo: str, own: str) -> None:
    assert hierarchies(mountinfo, own) == {}


def test_a_yard_leads_to_the_hierarchies_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unified = tmp_path / "cgroup"
    unified.mkdir()
    # A path through a link has not as many parents as it has names.
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "root").symlink_to(tmp_path / "far" / "away")
    texts = {"/proc/self/mountinfo": V2.replace("/sys/fs/cgroup", str(unified)), "/proc/self/cgroup": "0::/\n"}
    monkeypatch.setattr(yard, "read", texts.__getitem__)
    entry = Entry.reserve(str(tmp_path / "root"), "box")
    try:
        with Yard(entry) as made:
            path = made.fields["cgroup_yard"]
            assert os.path.samefile(f"{path}/unified", unified)
            assert not os.readlink(f"{path}/unified").startswith("/")
        assert os.listdir(entry.path) == []
    finally:
        entry.close()
