"""``linux.intelRdt``: containers in the groups of a tree that is like resctrl, and a host that has none."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from resctrl_tree import SCHEMATA, fill, imitate
from support import Bundle, Runtime

from ocirt import ConfigError, Container, Options, StepError, resctrl

pytestmark = pytest.mark.needs_root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return imitate(tmp_path / "resctrl", monkeypatch)


def create(runtime: Runtime, bundle: Bundle, **rdt: Any) -> Container:
    """By the library, which imitates resctrl in this process only."""
    bundle.set_program("pause")
    bundle.linux["intelRdt"] = rdt
    bundle.save()
    return Container.create(runtime.new_id(), str(bundle.path), Options(root=str(runtime.root)))


def groups(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()} - {"info", "mon_groups"}


def test_a_host_without_resctrl_refuses_and_leaves_nothing_behind(runtime: Runtime, bundle: Bundle) -> None:
    if " - resctrl " in Path("/proc/self/mountinfo").read_text():
        pytest.skip("needs a host without resctrl")
    bundle.linux["intelRdt"] = {"closID": "gold", "l3CacheSchema": "L3:0=f"}
    runtime.run(bundle, "pids").fails("intelRdt", "a mounted resctrl filesystem", "config.json#/linux/intelRdt")
    assert runtime.ids() == []


def test_a_container_is_in_a_group_of_its_own_which_goes_with_it(runtime: Runtime, bundle: Bundle, root: Path) -> None:
    lines = {"l3CacheSchema": "L3:0=f", "memBwSchema": "MB:0=20", "schemata": ["L2:0=3"]}
    container = create(runtime, bundle, **lines, enableMonitoring=True)
    group = root / container.id
    assert (group / "tasks").read_text() == str(container.pid)
    assert (group / "mon_groups" / container.id / "tasks").read_text() == str(container.pid)
    assert (group / "schemata").read_text().startswith("L3:0=f\nMB:0=20\nL2:0=3\n")
    container.delete(force=True)
    assert groups(root) == set()


def test_a_process_that_enters_the_container_is_in_its_group(runtime: Runtime, bundle: Bundle, root: Path) -> None:
    container = create(runtime, bundle, enableMonitoring=True)
    container.start()
    process = container.exec({**bundle.process, "args": ["/init", "exit", "3"]})
    assert (root / container.id / "tasks").read_text() == str(process.pid)
    assert (root / container.id / "mon_groups" / container.id / "tasks").read_text() == str(process.pid)
    process.wait()
    container.delete(force=True)


def test_a_named_group_is_joined_and_stays(runtime: Runtime, bundle: Bundle, root: Path) -> None:
    (root / "gold").mkdir()
    fill(root / "gold")
    container = create(runtime, bundle, closID="gold", enableMonitoring=True)
    assert (root / "gold/tasks").read_text() == str(container.pid)
    container.delete(force=True)
    assert (groups(root), list((root / "gold/mon_groups").iterdir())) == ({"gold"}, [])
    assert (root / "gold/schemata").read_text() == SCHEMATA


def test_the_default_group_is_joined(runtime: Runtime, bundle: Bundle, root: Path) -> None:
    container = create(runtime, bundle, closID="/")
    assert (root / "tasks").read_text() == str(container.pid)
    container.delete(force=True)
    assert (groups(root), (root / "schemata").read_text()) == (set(), SCHEMATA)


def test_a_group_with_another_schema_ends_the_create(runtime: Runtime, bundle: Bundle, root: Path) -> None:
    (root / "gold").mkdir()
    fill(root / "gold")
    with pytest.raises(ConfigError, match="wanted f for L3 domain 0, but the group has 7ff"):
        create(runtime, bundle, closID="gold", l3CacheSchema="L3:0=f")
    assert (runtime.ids(), (root / "gold/schemata").read_text()) == ([], SCHEMATA)


def test_a_monitoring_group_that_cannot_be_made_ends_the_create_and_takes_the_group_along(
    runtime: Runtime, bundle: Bundle, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has no number left for it."""
    make = resctrl._make_group

    def refuse(path: str) -> None:
        if "mon_groups" in path:
            raise OSError(errno.ENOSPC, "no space left on device")
        make(path)

    monkeypatch.setattr(resctrl, "_make_group", refuse)
    with pytest.raises(StepError, match=r"make resctrl group .*: no space left on device") as raised:
        create(runtime, bundle, enableMonitoring=True)
    assert raised.value.origin == "/linux/intelRdt"
    assert (runtime.ids(), groups(root)) == ([], set())


@pytest.mark.parametrize(
    ("rdt", "place", "found"),
    [
        ({"closID": "../gold"}, "closID", '"../gold"'),
        ({"closID": "/gold"}, "closID", '"/gold"'),
        ({"closID": ".."}, "closID", '".."'),
        ({"closID": "a\0b"}, "closID", "without NUL characters"),
        ({"closID": "info"}, "closID", '"info"'),
        ({"closID": "mon_data"}, "closID", '"mon_data"'),
        ({"closID": 1}, "closID", "found 1"),
        ({"l3CacheSchema": "L3:0=f\nMB:0=10"}, "l3CacheSchema", "a single line"),
        ({"memBwSchema": "L3:0=f"}, "memBwSchema", '"L3:0=f"'),
        ({"schemata": "L3:0=f"}, "schemata", '"L3:0=f"'),
        ({"schemata": ["L3:0=f", "MB:0=1\n"]}, "schemata/1", "a single line"),
        ({"enableMonitoring": "yes"}, "enableMonitoring", '"yes"'),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_bad_input_is_refused_with_its_place(
    runtime: Runtime, bundle: Bundle, rdt: dict[str, Any], place: str, found: str
) -> None:
    bundle.linux["intelRdt"] = rdt
    runtime.run(bundle).fails(f"config.json#/linux/intelRdt/{place}", found)
    assert runtime.ids() == []
