"""What is wrong with a bundle is said in one clear line, and nothing is left: through the command, as a user meets
it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import pytest
from support import CGROUP, SYSFS, Bundle, Runtime

pytestmark = pytest.mark.needs_root

VERBS = ("create", "run")
TOO_LONG = "wanted a path of at most 4095 bytes, found 70001"


def refuse(runtime: Runtime, bundle: Bundle, *texts: str, text: str | None = None) -> None:
    """Both create and run fail with these texts, and leave nothing."""
    if text is None:
        bundle.save()
    else:
        (bundle.path / "config.json").write_text(text)
    for verb in VERBS:
        result = runtime(verb, "--bundle", str(bundle.path), runtime.new_id())
        result.fails(f"ocirt {verb} failed: ", *texts)
        assert result.out == ""
        assert runtime.ids() == []


# -- the file ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "line 1, column 1"),
        ("{", "line 1, column 2"),
        ('{\n  "ociVersion": "1.3.0",\n  oops\n}', "line 3, column 3"),
        ('{"ociVersion": "1.3.0"} trailing', "line 1, column 25"),
        ('{"ociVersion": NaN}', "line 1, column 16"),
        ('{"a": "\t"}', "line 1"),
    ],
)
def test_what_is_not_json_is_told_by_line_and_column(runtime: Runtime, bundle: Bundle, text: str, place: str) -> None:
    refuse(runtime, bundle, "config.json", place, text=text)


def test_json_that_nests_without_end_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    refuse(runtime, bundle, "nested too deeply", text="[" * 200_000)


@pytest.mark.parametrize("text", ["null", "[]", "5", '"text"'])
def test_json_that_is_no_object_is_refused(runtime: Runtime, bundle: Bundle, text: str) -> None:
    refuse(runtime, bundle, "config.json", text=text)


def test_bytes_that_are_not_utf8_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "config.json").write_bytes(b'{"ociVersion": "\xff"}')
    runtime("run", "-b", str(bundle.path), runtime.new_id()).fails("UTF-8", "line 1, column 17")


def test_a_missing_configuration_is_told(runtime: Runtime, bundle: Bundle) -> None:
    runtime("run", "-b", str(bundle.path), runtime.new_id()).fails("JSON specification file config.json not found")


def test_a_missing_bundle_is_named(runtime: Runtime) -> None:
    runtime("run", "-b", "/no/such/bundle", runtime.new_id()).fails("/no/such/bundle", "no such file or directory")


def test_a_bundle_that_is_a_file_is_named(runtime: Runtime, bundle: Bundle) -> None:
    runtime("run", "-b", str(bundle.rootfs / "init"), runtime.new_id()).fails("not a directory")


def test_a_configuration_that_is_a_directory_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "config.json").mkdir()
    runtime("run", "-b", str(bundle.path), runtime.new_id()).fails("config.json", "directory")


def test_a_configuration_that_is_a_fifo_is_not_waited_for(runtime: Runtime, bundle: Bundle) -> None:
    os.mkfifo(bundle.path / "config.json")
    runtime("run", "-b", str(bundle.path), runtime.new_id()).fails("config.json", "regular file")


# -- properties --------------------------------------------------------------------------------------------------------


def change(pointer: str, value: Any) -> Callable[[Any], None]:
    """Sets the property at the JSON pointer."""

    def apply(config: Any) -> None:
        *way, last = pointer.strip("/").split("/")
        for name in way:
            config = config[int(name)] if isinstance(config, list) else config.setdefault(name, {})
        config[int(last) if isinstance(config, list) else last] = value

    return apply


#: Change -> the pointer at which the error is, and what else it says.
WRONG: dict[str, tuple[str, Any, str, list[str]]] = {
    "uid is text": ("/process/user/uid", "root", "/process/user/uid", ["integer", '"root"']),
    "uid is negative": ("/process/user/uid", -1, "/process/user/uid", ["-1"]),
    "args is text": ("/process/args", "sh", "/process/args", ["array", '"sh"']),
    "args has a number": ("/process/args", ["/init", 5], "/process/args/1", ["string", "5"]),
    "env without a sign": ("/process/env", ["PATH"], "/process/env/0", ["PATH"]),
    "cwd is relative": ("/process/cwd", "srv", "/process/cwd", ["absolute"]),
    "cwd has a null": ("/process/cwd", "/a\x00b", "/process/cwd", []),
    "args has a null": ("/process/args", ["/init", "a\x00b"], "/process/args/1", []),
    "root is text": ("/root", "rootfs", "/root", ["object"]),
    "root path is a number": ("/root/path", 5, "/root/path", ["string"]),
    "mounts is an object": ("/mounts", {}, "/mounts", ["array"]),
    "mount without a destination": ("/mounts", [{"type": "proc"}], "/mounts/0", ["destination"]),
    "options is text": ("/mounts/0/options", "ro", "/mounts/0/options", ["array"]),
    "namespace of no kind": ("/linux/namespaces", [{"type": "pids"}], "/linux/namespaces/0/type", ['"pids"']),
    "namespace without a kind": ("/linux/namespaces", [{}], "/linux/namespaces/0", ["type"]),
    "propagation of no kind": ("/linux/rootfsPropagation", "wide", "/linux/rootfsPropagation", ['"wide"']),
    "an rlimit of no kind": (
        "/process/rlimits",
        [{"type": "LUCK", "soft": 1, "hard": 1}],
        "/process/rlimits/0/type",
        ['"LUCK"'],
    ),
    "a version of no kind": ("/ociVersion", "one", "/ociVersion", ['"one"']),
    "a version of tomorrow": ("/ociVersion", "2.0.0", "/ociVersion", ["2.0.0"]),
    "annotation is a number": ("/annotations", {"key": 5}, "/annotations/key", ["string"]),
    "a seccomp action of no kind": (
        "/linux/seccomp",
        {"defaultAction": "SCMP_ACT_SMILE"},
        "/linux/seccomp/defaultAction",
        ["SCMP_ACT_SMILE"],
    ),
    "a memory limit that is text": (
        "/linux/resources",
        {"memory": {"limit": "1G"}},
        "/linux/resources/memory/limit",
        [],
    ),
}


@pytest.mark.parametrize("case", sorted(WRONG))
def test_a_wrong_property_is_named_with_what_was_wanted_and_found(runtime: Runtime, bundle: Bundle, case: str) -> None:
    pointer, value, place, texts = WRONG[case]
    change(pointer, value)(bundle.config)
    refuse(runtime, bundle, f"config.json#{place}", *texts)


def test_several_errors_are_all_told(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = 5
    bundle.process["user"]["uid"] = "root"
    bundle.save()
    result = runtime("run", "-b", str(bundle.path), runtime.new_id()).fails("and 1 more")
    assert "#/process/cwd" in result.err
    assert "#/process/user/uid" in result.err


def test_unknown_properties_are_ignored(runtime: Runtime, bundle: Bundle) -> None:
    """config.md: "Runtimes ... MUST NOT generate an error if they encounter an unknown property.\""""
    bundle.config["org.example.future"] = {"a": 1}
    bundle.process["colour"] = "blue"
    assert runtime.probe(bundle, "pids")["pid"] == 1


def test_properties_that_are_null_are_absent(runtime: Runtime, bundle: Bundle) -> None:
    """Go programs write them."""
    bundle.config["hooks"] = None
    bundle.linux["seccomp"] = None
    bundle.process["rlimits"] = None
    assert runtime.probe(bundle, "pids")["pid"] == 1


@pytest.mark.parametrize("name", ["process", "root"])
def test_what_a_container_cannot_be_without_is_told(runtime: Runtime, bundle: Bundle, name: str) -> None:
    del bundle.config[name]
    bundle.save()
    result = runtime("run", "-b", str(bundle.path), runtime.new_id())
    result.fails(name)
    assert runtime.ids() == []


def test_a_namespace_that_is_given_twice_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["namespaces"].append({"type": "pid"})
    refuse(runtime, bundle, "config.json#/linux/namespaces/5", "pid")


@pytest.mark.parametrize("path", ["/../../x", "../../../x", "/a/../../b"])
def test_a_cgroups_path_does_not_leave_the_hierarchy(runtime: Runtime, bundle: Bundle, path: str) -> None:
    bundle.linux["cgroupsPath"] = path
    refuse(runtime, bundle, "cgroupsPath", "..")


# -- size --------------------------------------------------------------------------------------------------------------


def test_a_namespace_path_of_70000_characters_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2021-43784: a length of 16 bits went round, and other namespaces were joined."""
    bundle.add_namespace("network", "/" + "x" * 70_000)
    refuse(runtime, bundle, TOO_LONG, "config.json#/linux/namespaces/4/path")


def test_a_mount_target_of_70000_characters_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/" + "x" * 70_000, "tmpfs", "tmpfs")
    refuse(runtime, bundle, TOO_LONG, "config.json#/mounts/3/destination")


def test_a_source_of_70000_characters_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/x", None, "/" + "y" * 70_000, "bind")
    refuse(runtime, bundle, TOO_LONG, "config.json#/mounts/3/source")


def test_a_root_path_of_70000_characters_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = "/" + "x" * 70_000
    refuse(runtime, bundle, TOO_LONG, "config.json#/root/path")


def test_an_argument_that_the_kernel_cannot_take_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """execve(2): 128 KiB for one string."""
    bundle.set_program("args", "x" * 200_000)
    bundle.save()
    result = runtime("run", "-b", str(bundle.path), runtime.new_id())
    assert (result.status, result.err) == (255, "exec /init: argument list too long\n")
    assert runtime.ids() == []


def test_a_thousand_mounts_are_made(runtime: Runtime, bundle: Bundle) -> None:
    source = bundle.path / "source"
    source.mkdir()
    for number in range(1000):
        bundle.add_mount(f"/many/{number}", None, source, "bind")
    assert len(runtime.probe(bundle, "ls", "/many")) == 1000


def test_a_thousand_variables_arrive(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["env"] = [f"NAME{number}=value" for number in range(1000)] + ["HOME=/"]
    assert runtime.probe(bundle, "env") == bundle.process["env"]


# -- links in the root filesystem --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["proc", "sys"])
def test_a_link_in_the_place_of_a_kernel_filesystem_is_refused(runtime: Runtime, bundle: Bundle, name: str) -> None:
    """CVE-2019-19921: what is not mounted there cannot protect."""
    bundle.mkdir("elsewhere")
    (bundle.rootfs / name).symlink_to("elsewhere")
    bundle.config["mounts"] += [SYSFS] if name == "sys" else []
    refuse(runtime, bundle, f"/{name}", "symbolic link")


def test_a_link_as_dev_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2026-41579: devices and links were made through it, on the host."""
    bundle.mkdir("elsewhere")
    (bundle.rootfs / "dev").symlink_to("/elsewhere")
    refuse(runtime, bundle, "/dev", "too many levels of symbolic links")
    assert list((bundle.rootfs / "elsewhere").iterdir()) == []


def test_a_link_that_leads_to_itself_is_told(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "loop").symlink_to("loop")
    bundle.add_mount("/loop/x", "tmpfs", "tmpfs")
    refuse(runtime, bundle, "too many levels of symbolic links", "config.json#/mounts/3")


# -- the command line --------------------------------------------------------------------------------------------------


def test_a_root_filesystem_that_is_missing_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = "nowhere"
    refuse(runtime, bundle, f"{bundle.path}/nowhere", "no such file or directory", "config.json#/root/path")


def test_a_root_filesystem_that_is_a_file_is_named(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.path / "file").touch()
    bundle.config["root"]["path"] = "file"
    refuse(runtime, bundle, f"{bundle.path}/file", "not a directory", "config.json#/root/path")


def test_control_characters_of_a_configuration_do_not_reach_the_terminal(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["root"]["path"] = "a\x1b[2J\nb"
    bundle.save()
    result = runtime("run", "-b", str(bundle.path), runtime.new_id())
    assert result.status == 1
    assert "\x1b" not in result.err
    assert result.err.count("\n") <= 2


@pytest.mark.needs_controller("pids")
def test_a_failure_late_in_create_removes_the_cgroups(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 100}}
    bundle.config["mounts"] += [SYSFS, CGROUP]
    bundle.process["args"] = ["/no/such/program"]
    refuse(runtime, bundle, "/no/such/program", "no such file or directory")


def test_a_large_configuration_is_read(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["annotations"] = {f"key.{number}": "x" * 100 for number in range(20_000)}
    bundle.set_program("pids")
    (bundle.path / "config.json").write_text(json.dumps(bundle.config))
    assert runtime("run", "-b", str(bundle.path), runtime.new_id()).check().value["pid"] == 1
