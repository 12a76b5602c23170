"""Device rules: what a container may open and make, by the v1 controller or by a program, and how that changes."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cgroup_view import version_of
from host_view import cgroup_mounts
from support import Bundle, Container, Runtime

from ocirt._shim import ffi, lib
from ocirt.cgroup import device_filter
from ocirt.cgroup.device_program import assemble
from ocirt.cgroup.device_rules import Policy
from ocirt.errors import StepError

DENY_ALL = {"allow": False, "access": "rwm"}
ALLOW_ALL = {"allow": True, "access": "rwm"}
KMSG = {"type": "c", "major": 1, "minor": 11}
REFUSED = {"result": -1, "errno": errno.EPERM}
DONE = {"result": 0}

pytestmark = pytest.mark.needs_root


def rules(*rules: dict[str, Any]) -> dict[str, Any]:
    return {"devices": list(rules)}


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    """With a node for /dev/kmsg, which exists everywhere and is no default device."""
    bundle.linux["devices"] = [{"path": "/dev/kmsg", **KMSG}]
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYSLOG")
    return bundle


def test_core_is_linked_where_the_kernel_has_it(runtime: Runtime, bundle: Bundle) -> None:
    names = runtime.probe(bundle, "ls", "/dev")
    assert ("core" in names) == Path("/proc/kcore").exists()
    assert {"fd", "stdin", "stdout", "stderr", "ptmx"} < {*names}


def opened(container: Container, *ways: str) -> list[Any]:
    words: list[str] = []
    for way in ways:
        words += ["open", "/dev/kmsg", way, ";"]
    values = container.exec("/init", *words[:-1]).check().values
    return [{name: value for name, value in each.items() if value or name == "result"} for each in values]


def update(container: Container, resources: dict[str, Any]) -> Any:
    return container.runtime("update", "-r", "-", container.id, input=json.dumps(resources))


def test_a_device_without_a_rule_is_refused_though_its_node_is_there(runtime: Runtime, bundle: Bundle) -> None:
    assert opened(runtime.start_paused_program(bundle), "r", "w") == [REFUSED, REFUSED]


def test_a_device_is_allowed_for_the_access_of_its_rule(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = rules(DENY_ALL, {**KMSG, "allow": True, "access": "r"})
    assert opened(runtime.start_paused_program(bundle), "r", "w", "rw") == [DONE, REFUSED, REFUSED]


def test_a_privileged_container_may_use_all_but_what_is_taken_from_it(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = rules(ALLOW_ALL, {**KMSG, "allow": False, "access": "w"})
    assert opened(runtime.start_paused_program(bundle), "r", "w", "rw") == [DONE, REFUSED, REFUSED]


def test_default_devices_can_be_used_whatever_the_rules_say(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = rules(DENY_ALL)
    words: list[str] = []
    for name in ("null", "zero", "full", "random", "urandom"):
        words += ["open", f"/dev/{name}", "r", ";"]
    values = runtime.run(bundle, *words[:-1]).check().values
    assert [value["result"] for value in values] == [0] * 5


def test_any_node_may_be_made_and_none_more_be_used(runtime: Runtime, bundle: Bundle) -> None:
    made, used = runtime.probe(bundle, "mknod", "/dev/mine", "c", "1", "11", ";", "open", "/dev/mine")
    assert made["result"] == 0
    assert used == REFUSED


def test_an_update_allows_and_refuses_while_the_container_runs(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    update(container, rules({**KMSG, "allow": True, "access": "r"})).check()
    assert opened(container, "r", "w") == [DONE, REFUSED]
    update(container, rules({**KMSG, "allow": True, "access": "w"})).check()
    assert opened(container, "r", "w") == [DONE, DONE]
    update(container, rules({**KMSG, "allow": False, "access": "rw"})).check()
    assert opened(container, "r", "w") == [REFUSED, REFUSED]


def test_an_update_can_allow_everything_and_deny_everything(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    update(container, rules(ALLOW_ALL)).check()
    assert opened(container, "rw") == [DONE]
    assert container.status == "running"
    update(container, rules(DENY_ALL)).check()
    assert opened(container, "r") == [REFUSED]
    assert container.status == "running"


def test_an_update_that_fails_elsewhere_changes_no_device(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = rules(DENY_ALL, {**KMSG, "allow": True, "access": "r"})
    container = runtime.start_paused_program(bundle)
    impossible = {"cpu": {"cpus": "4095"}}
    update(container, {**rules(ALLOW_ALL), **impossible}).fails("cpuset.cpus")
    assert opened(container, "r", "w") == [DONE, REFUSED]
    update(container, {**rules({**KMSG, "allow": True, "access": "w"}), **impossible}).fails("cpuset.cpus")
    assert opened(container, "r", "w") == [DONE, REFUSED]


def test_an_update_of_other_limits_leaves_devices_alone(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = rules(DENY_ALL, {**KMSG, "allow": True, "access": "r"})
    container = runtime.start_paused_program(bundle)
    runtime("update", "--pids-limit", "30", container.id).check()
    assert opened(container, "r", "w") == [DONE, REFUSED]


def test_a_rule_that_cannot_be_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = rules({"allow": True, "type": "x", "access": "r"})
    runtime.run(bundle, "pids").fails("/linux/resources/devices/0/type")
    assert runtime.ids() == []


@pytest.mark.needs_cgroup1
@pytest.mark.skipif(version_of("devices") != 1, reason="needs the v1 controller devices")
def test_v1_refuses_a_hole_in_a_wildcard_that_its_kernel_would_ignore(runtime: Runtime, bundle: Bundle) -> None:
    wide = {"allow": True, "type": "c", "major": 1, "access": "rw"}
    bundle.linux["resources"] = rules(DENY_ALL, wide, {**KMSG, "allow": False, "access": "w"})
    runtime.run(bundle, "pids").fails("denying the device c 1:11 w after c 1:* rw", "/linux/resources/devices/2")


@pytest.mark.needs_cgroup2
def test_v2_makes_a_hole_in_a_wildcard(runtime: Runtime, bundle: Bundle) -> None:
    wide = {"allow": True, "type": "c", "major": 1, "access": "rw"}
    bundle.linux["resources"] = rules(DENY_ALL, wide, {**KMSG, "allow": False, "access": "w"})
    assert opened(runtime.start_paused_program(bundle), "r", "w") == [DONE, REFUSED]


@pytest.mark.needs_cgroup2
def test_the_program_is_a_step_of_the_plan(runtime: Runtime, bundle: Bundle) -> None:
    bundle.save()
    text = runtime("plan", "--bundle", str(bundle.path)).check().out
    assert "attach a device program (" in text


# -- the program in the kernel, also beside v1 -------------------------------------------------------------------------


@pytest.fixture
def v2_directory(runtime: Runtime) -> Iterator[Path]:
    """A v2 cgroup, on any host that has one."""
    points = [point for point, controllers in cgroup_mounts() if not controllers]
    if not points:
        pytest.skip("needs a cgroup2 mount")
    path = points[0] / f"{runtime.token}-program"
    path.mkdir()
    yield path
    path.rmdir()


def attach(path: Path, *rules: dict[str, Any]) -> None:
    device_filter.attach(str(path), assemble(Policy(rules, holes=True)))


def programs(path: Path) -> list[int]:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        ids, count = ffi.new("uint32_t[8]"), ffi.new("uint32_t *", 8)
        assert lib.ocirt_bpf_query(fd, ids, count) == 0
        return list(ids[0 : count[0]])
    finally:
        os.close(fd)


def error_of(path: Path, action: Any) -> int:
    """The errno of *action* in a process that is in the cgroup *path*; 0 when it succeeds."""
    pid = os.fork()
    if pid == 0:
        try:
            (path / "cgroup.procs").write_text("0")
            action()
            os._exit(0)
        except OSError as error:
            os._exit(error.errno or 255)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def open_kmsg(flags: int) -> Any:
    return lambda: os.close(os.open("/dev/kmsg", flags | os.O_NONBLOCK))


def test_the_kernel_takes_the_program_and_does_what_it_says(v2_directory: Path, tmp_path: Path) -> None:
    attach(v2_directory, DENY_ALL, {**KMSG, "allow": True, "access": "r"})
    assert error_of(v2_directory, open_kmsg(os.O_RDONLY)) == 0
    assert error_of(v2_directory, open_kmsg(os.O_WRONLY)) == errno.EPERM
    assert error_of(v2_directory, lambda: os.mknod(tmp_path / "node", 0o020666, os.makedev(1, 11))) == 0


def test_a_program_takes_the_place_of_the_one_before_it(v2_directory: Path) -> None:
    attach(v2_directory, DENY_ALL)
    (first,) = programs(v2_directory)
    attach(v2_directory, ALLOW_ALL)
    (second,) = programs(v2_directory)
    assert first != second
    assert error_of(v2_directory, open_kmsg(os.O_RDWR)) == 0


def test_the_program_of_somebody_else_stays_and_has_its_say(v2_directory: Path) -> None:
    # "mov r0, 0; exit": denies everything.
    deny = bytes.fromhex("b700000000000000 9500000000000000")
    program_fd = lib.ocirt_bpf_load(ffi.from_buffer(deny), 2, b"sd_devices", ffi.NULL, 0)
    assert program_fd >= 0
    directory_fd = os.open(v2_directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        assert lib.ocirt_bpf_attach(directory_fd, program_fd, -1) == 0
        attach(v2_directory, ALLOW_ALL)
        attach(v2_directory, ALLOW_ALL)
        assert len(programs(v2_directory)) == 2
        assert error_of(v2_directory, open_kmsg(os.O_RDONLY)) == errno.EPERM
        assert lib.ocirt_bpf_detach(directory_fd, program_fd) == 0
        assert error_of(v2_directory, open_kmsg(os.O_RDONLY)) == 0
    finally:
        os.close(directory_fd)
        os.close(program_fd)


def test_a_program_that_the_kernel_refuses_leaves_the_old_one(v2_directory: Path) -> None:
    attach(v2_directory, DENY_ALL)
    before = programs(v2_directory)
    with pytest.raises(StepError) as caught:
        device_filter.attach(str(v2_directory), bytes.fromhex("9500000000000000"))
    assert "load the device program (1 instructions)" in str(caught.value)
    assert "R0 !read_ok" in str(caught.value)
    assert programs(v2_directory) == before


def test_a_thousand_rules_are_a_program_too(v2_directory: Path) -> None:
    many = [{"allow": True, "type": "b", "major": 8, "minor": minor, "access": "rw"} for minor in range(1000)]
    attach(v2_directory, DENY_ALL, {**KMSG, "allow": True, "access": "r"}, *many)
    assert error_of(v2_directory, open_kmsg(os.O_RDONLY)) == 0
    assert error_of(v2_directory, open_kmsg(os.O_WRONLY)) == errno.EPERM
