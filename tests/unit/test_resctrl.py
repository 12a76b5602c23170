"""``linux.intelRdt`` on a tree of files that is like resctrl."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from resctrl_tree import SCHEMATA, fill, imitate

from ocirt import resctrl
from ocirt.errors import ConfigError, StepError, UnsupportedError
from ocirt.resctrl import Group

PID = 4711


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return imitate(tmp_path / "resctrl", monkeypatch)


def enter(root: Path, **rdt: Any) -> Group:
    group = Group.resolve(rdt, "box", str(root))
    group.create(rdt)
    group.join(PID)
    return group


def tasks(path: Path) -> str:
    return (path / "tasks").read_text()


def test_without_a_name_the_group_is_the_container_s_and_goes_with_it(root: Path) -> None:
    group = enter(root, l3CacheSchema="L3:0=f", memBwSchema="MB:0=20", schemata=["L2:0=3"])
    assert (root / "box/schemata").read_text().startswith("L3:0=f\nMB:0=20\nL2:0=3\n")
    assert tasks(root / "box") == str(PID)
    Group.from_state(group.to_state()).delete()
    assert not (root / "box").exists()


@pytest.mark.parametrize("rdt", [{"l3CacheSchema": "L3:0=f"}, {"memBwSchema": "MB:0=20"}], ids=str)
def test_either_schema_is_written_alone(root: Path, rdt: dict[str, str]) -> None:
    enter(root, **rdt)
    (line,) = rdt.values()
    assert (root / "box/schemata").read_text().startswith(f"{line}\n")
    assert (root / "box/schemata").read_text()[len(line) + 1 :] == SCHEMATA[len(line) + 1 :]


def test_nothing_is_written_to_schemata_that_are_not_given(root: Path) -> None:
    enter(root)
    assert (root / "box/schemata").read_text() == SCHEMATA


def test_a_directory_that_was_there_before_stays(root: Path) -> None:
    (root / "box").mkdir()
    fill(root / "box")
    enter(root).delete()
    assert tasks(root / "box") == str(PID)


def test_a_named_group_is_made_and_stays(root: Path) -> None:
    enter(root, closID="gold", schemata=["MB:0=50"]).delete()
    assert (root / "gold/schemata").read_text().startswith("MB:0=50\n")
    assert tasks(root / "gold") == str(PID)


def test_a_named_group_without_schemata_has_to_be_there(root: Path) -> None:
    with pytest.raises(StepError, match="use resctrl group gold: no such file") as raised:
        enter(root, closID="gold")
    assert raised.value.origin == "/linux/intelRdt/closID"
    assert not (root / "gold").exists()


def test_a_named_group_that_is_there_is_joined(root: Path) -> None:
    (root / "gold").mkdir()
    fill(root / "gold")
    enter(root, closID="gold", l3CacheSchema="L3:1=07FF", memBwSchema="MB:0=100")
    assert tasks(root / "gold") == str(PID)


def test_a_named_group_with_another_schema_is_refused(root: Path) -> None:
    (root / "gold").mkdir()
    fill(root / "gold")
    with pytest.raises(ConfigError, match="wanted f for L3 domain 1, but the group has 7ff") as raised:
        enter(root, closID="gold", l3CacheSchema="L3:0=7ff;1=f")
    assert raised.value.pointer == "/linux/intelRdt/l3CacheSchema"
    assert ((root / "gold/schemata").read_text(), tasks(root / "gold")) == (SCHEMATA, "")


def test_the_default_group_is_the_root(root: Path) -> None:
    enter(root, closID="/").delete()
    assert tasks(root) == str(PID)


def test_a_monitoring_group_is_the_container_s_and_goes_with_it(root: Path) -> None:
    (root / "gold").mkdir()
    fill(root / "gold")
    group = enter(root, closID="gold", enableMonitoring=True)
    assert tasks(root / "gold/mon_groups/box") == str(PID)
    group.delete()
    assert [path.name for path in (root / "gold").iterdir() if path.name == "mon_groups"] == ["mon_groups"]
    assert list((root / "gold/mon_groups").iterdir()) == []


def test_what_the_kernel_says_is_part_of_the_error(root: Path) -> None:
    (root / "gold").mkdir()
    (root / "info/last_cmd_status").write_text("Too many groups\n")
    with pytest.raises(StepError, match=r"to .*gold/tasks: no such file or directory \[Too many groups\]") as raised:
        enter(root, closID="gold")
    assert raised.value.errno == errno.ENOENT


def test_a_host_without_resctrl_is_told_what_is_missing() -> None:
    if " - resctrl " in Path("/proc/self/mountinfo").read_text():
        pytest.skip("needs a host without resctrl")
    with pytest.raises(UnsupportedError, match="a mounted resctrl filesystem") as raised:
        resctrl.find_root()
    assert raised.value.pointer == "/linux/intelRdt"
