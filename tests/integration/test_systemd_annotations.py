"""Annotations about the unit of systemd that a container's cgroup belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import CGROUP, SYSFS, Bundle, Runtime
from systemd_view import cgroup_of, needs_systemd, needs_v2_alone, shown, unit_of, update

pytestmark = pytest.mark.needs_root


@needs_systemd
@pytest.mark.parametrize("delegated", ["", "payload"])
def test_the_process_is_in_a_cgroup_below_that_of_the_unit(systemd: Runtime, bundle: Bundle, delegated: str) -> None:
    """crun's annotations; the cgroup namespace begins at the first of the two cgroups."""
    needs_v2_alone()
    bundle.config["annotations"] = {"run.oci.systemd.subgroup": "inner", "run.oci.delegate-cgroup": delegated}
    bundle.linux["resources"] = {"pids": {"limit": 50}}
    bundle.add_namespace("cgroup")
    container = systemd.start(bundle, "cat", "/proc/self/cgroup", ";", "pause")
    assert container.read_value() == f"0::/{delegated}\n"
    unit = f"/system.slice/{unit_of(container)}"
    assert cgroup_of(container.pid) == f"{unit}/inner/{delegated}".rstrip("/")
    assert shown(unit_of(container), "ControlGroup") == unit
    assert Path(f"/sys/fs/cgroup{unit}/pids.max").read_text() == "50\n"
    assert container.probe("cat", "/proc/self/cgroup") == f"0::/{delegated}\n"
    update(systemd, container, {"pids": {"limit": 60}}).check()
    assert Path(f"/sys/fs/cgroup{unit}/pids.max").read_text() == "60\n"
    systemd("pause", container.id).check()
    assert container.status == "paused"
    container.delete("--force")
    assert not Path(f"/sys/fs/cgroup{unit}").exists()


@needs_systemd
def test_the_cgroup_below_that_of_the_unit_is_what_a_user_of_the_container_gets(
    systemd: Runtime, bundle: Bundle
) -> None:
    needs_v2_alone()
    bundle.config["annotations"] = {"run.oci.systemd.subgroup": "inner"}
    bundle.add_namespace("cgroup")
    bundle.map_ids((0, 100_000, 1000))
    bundle.config["mounts"] += [SYSFS, {**CGROUP, "options": ["rw"]}]
    container = systemd.start(bundle, "mkdir", "/sys/fs/cgroup/mine", ";", "pause")
    assert container.read_value()["errno"] == 0
    unit = Path(f"/sys/fs/cgroup/system.slice/{unit_of(container)}")
    assert (unit / "inner").stat().st_uid == 100_000
    assert unit.stat().st_uid == 0
    assert (unit / "inner/mine").is_dir()


@pytest.mark.parametrize("sub", ["..", "a/../b", "/"])
def test_a_cgroup_that_is_not_below_that_of_the_unit_is_refused(runtime: Runtime, bundle: Bundle, sub: str) -> None:
    bundle.config["annotations"] = {"run.oci.systemd.subgroup": sub}
    result = runtime.run(bundle, "true")
    result.fails("config.json#/annotations/run.oci.systemd.subgroup", 'wanted the path of a cgroup without ".."', sub)
    assert runtime.ids() == []


def test_without_systemd_there_is_no_cgroup_below(runtime: Runtime, bundle: Bundle) -> None:
    """As with crun, the annotation is about units."""
    bundle.config["annotations"] = {"run.oci.systemd.subgroup": "inner"}
    container = runtime.start_paused_program(bundle)
    assert "inner" not in Path(f"/proc/{container.pid}/cgroup").read_text()


@needs_systemd
def test_annotations_are_properties(systemd: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {
        "org.systemd.property.TimeoutStopSec": "uint32 7",
        "org.systemd.property.CollectMode": "'inactive'",
        "org.systemd.property.After": "['a.service', 'b.service']",
    }
    container = systemd.start_paused_program(bundle)
    assert shown(unit_of(container), "TimeoutStopUSec") == "7s"
    assert shown(unit_of(container), "CollectMode") == "inactive"
    assert {"a.service", "b.service"} <= set(shown(unit_of(container), "After").split())


@needs_systemd
def test_an_annotation_that_is_no_value_is_named(systemd: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {"org.systemd.property.TasksMax": "uint64 many"}
    systemd.run(bundle).fails("org.systemd.property.TasksMax", "unrecognized type 'many'")


@needs_systemd
def test_a_property_that_systemd_does_not_know_is_named_with_the_unit_and_the_method(
    systemd: Runtime, bundle: Bundle
) -> None:
    bundle.config["annotations"] = {"org.systemd.property.NoSuchThing": "true"}
    result = systemd.run(bundle)
    result.fails("StartTransientUnit", f"ocirt-{systemd.token}-1.scope", "org.freedesktop.DBus.Error", "NoSuchThing")
    assert systemd.ids() == []
