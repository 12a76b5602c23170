"""The annotations of crun that ocirt knows as well: what each does to a real container, and what it may not hold."""

from __future__ import annotations

import base64
import errno
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
from host_view import wait_readable
from support import CGROUP, SYSFS, Bundle, Runtime

from ocirt.cgroup import detect

pytestmark = pytest.mark.needs_root

KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


def cgroup_mode() -> str:
    return detect().mode


def add_hook(bundle: Bundle, kind: str, *words: str) -> None:
    """startContainer hooks are looked for in the container, all others on the host."""
    path = "/init" if kind == "startContainer" else str(bundle.rootfs / "init")
    hooks = bundle.config.setdefault("hooks", {})
    hooks.setdefault(kind, []).append({"path": path, "args": ["init", *words]})


def annotate(bundle: Bundle, **annotations: str) -> None:
    """``run.oci.NAME``; a name's "__" stands for a dot."""
    known = bundle.config.setdefault("annotations", {})
    known.update({f"run.oci.{name.replace('__', '.')}": value for name, value in annotations.items()})


# -- hooks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start_at_once", [True, False])
def test_the_output_of_all_hooks_goes_to_the_end_of_the_files(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, start_at_once: bool
) -> None:
    (tmp_path / "out").write_text("before\n")
    annotate(bundle, hooks__stdout=str(tmp_path / "out"), hooks__stderr=str(tmp_path / "err"))
    for kind in KINDS:
        add_hook(bundle, kind, "print", kind, ";", "print-error", f"{kind} complains")
    if start_at_once:
        runtime.run(bundle, "exit", "0").check()
    else:
        container = runtime.start_paused_program(bundle)
        container.kill("KILL")
        container.wait()
        container.delete()
    out, err = (tmp_path / "out").read_text(), (tmp_path / "err").read_text()
    assert out.startswith("before\n")
    assert [kind for kind in KINDS if kind in out] == list(KINDS)
    assert [kind for kind in KINDS if f"{kind} complains" in err] == list(KINDS)
    assert "complains" not in out
    assert (tmp_path / "err").stat().st_mode & 0o7777 == 0o600


def test_a_relative_file_for_hooks_is_the_bundles(runtime: Runtime, bundle: Bundle) -> None:
    annotate(bundle, hooks__stdout="hooks.log")
    add_hook(bundle, "createRuntime", "print", "hello")
    runtime.run(bundle, "exit", "0").check()
    assert "hello" in (bundle.path / "hooks.log").read_text()


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_what_a_failing_hook_says_is_in_its_error_where_it_has_no_file(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    annotate(bundle, hooks__stdout=str(tmp_path / "out"))
    add_hook(bundle, kind, "print", "into the file", ";", "print-error", "the reason", ";", "exit", "3")
    result = runtime.run(bundle, "exit", "0")
    result.fails(f"error running {kind} hook #0", "the reason")
    assert "into the file" not in result.err
    assert "into the file" in (tmp_path / "out").read_text()
    assert runtime.ids() == []


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "poststop"])
def test_a_file_for_hooks_that_cannot_be_opened_is_the_hooks_failure(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, kind: str
) -> None:
    annotate(bundle, hooks__stderr=str(tmp_path / "missing/err"))
    add_hook(bundle, kind, "exit", "0")
    result = runtime.run(bundle, "exit", "0", flags=["--detach"])
    result.fails(f"error running {kind} hook #0", str(tmp_path / "missing/err"), "no such file or directory")
    assert runtime.ids() == []


def test_a_fifo_without_a_reader_does_not_keep_the_runtime_waiting(
    runtime: Runtime, bundle: Bundle, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")
    annotate(bundle, hooks__stdout=str(tmp_path / "fifo"))
    add_hook(bundle, "createRuntime", "exit", "0")
    runtime.run(bundle, "exit", "0").fails("error running createRuntime hook #0", "no such device or address")


# -- a cgroup below the container's ------------------------------------------------------------------------------------


@pytest.mark.needs_cgroup2
@pytest.mark.skipif(cgroup_mode() != "v2", reason="needs cgroup v2 alone")
@pytest.mark.parametrize("user_namespace", [False, True])
def test_the_process_is_in_a_cgroup_below_that_of_the_limits(
    runtime: Runtime, bundle: Bundle, user_namespace: bool
) -> None:
    annotate(bundle, **{"delegate-cgroup": "payload/init"})
    bundle.add_namespace("cgroup")
    if user_namespace:
        bundle.map_ids((0, 100_000, 1000))
    bundle.config["mounts"] += [SYSFS, {**CGROUP, "options": ["rw"]}]
    container = runtime.start(
        bundle, "cat", "/proc/self/cgroup", ";", "mkdir", "/sys/fs/cgroup/payload/init/mine", ";", "pause"
    )
    assert "0::/payload/init" in container.read_value().splitlines()
    assert container.read_value()["errno"] == 0
    path = Path(f"/proc/{container.pid}/cgroup").read_text().strip().rpartition("0::")[2]
    assert path.endswith("/payload/init")
    assert container.exec("/init", "exit", "0").status == 0


@pytest.mark.needs_cgroup2
@pytest.mark.skipif(cgroup_mode() != "v2", reason="needs cgroup v2 alone")
def test_a_process_enters_a_cgroup_that_was_given_to_a_user_namespace(runtime: Runtime, bundle: Bundle) -> None:
    """Its rights over the cgroup are those that it has in the namespace, whose group the cgroup therefore has."""
    bundle.add_namespace("cgroup")
    bundle.map_ids((0, 100_000, 1000))
    bundle.config["mounts"] += [SYSFS, {**CGROUP, "options": ["rw"]}]
    container = runtime.start_paused_program(bundle)
    assert "0::/" in container.probe("cat", "/proc/self/cgroup").splitlines()


@pytest.mark.skipif(cgroup_mode() == "v2", reason="needs a host with cgroup v1")
def test_a_delegated_cgroup_needs_cgroup_v2_alone(runtime: Runtime, bundle: Bundle) -> None:
    annotate(bundle, **{"delegate-cgroup": "payload"})
    result = runtime.run(bundle, "exit", "0")
    result.fails(
        "a cgroup below the container's is not supported here: needs cgroup v2 alone", "run.oci.delegate-cgroup"
    )
    assert runtime.ids() == []


# -- groups ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "kept"), [("1", True), ("", True), ("0", False)])
@pytest.mark.parametrize("user_namespace", [False, True])
def test_the_groups_of_the_runtime_are_kept(
    runtime: Runtime, bundle: Bundle, value: str, kept: bool, user_namespace: bool
) -> None:
    annotate(bundle, keep_original_groups=value)
    bundle.process["user"]["additionalGids"] = [77]
    if user_namespace:
        bundle.map_ids((0, 0, 100_000))
    runtime.wrapper = ["setpriv", "--groups", "1234,5678"]
    container = runtime.start(bundle, "id", ";", "pause")
    inside = container.read_value()
    assert inside["groups"] == ([1234, 5678] if kept else [77])
    assert container.exec("/init", "id").value["groups"] == ([1234, 5678] if kept else [77])


# -- the pidfd ---------------------------------------------------------------------------------------------------------


def test_the_pidfd_receiver_gets_a_pidfd_of_the_container(runtime: Runtime, bundle: Bundle) -> None:
    annotate(bundle, pidfd_receiver="pidfd.sock")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(bundle.path / "pidfd.sock"))
        server.listen()
        container = runtime.create(bundle, "pause")
        wait_readable(server.fileno(), "the connection")
        connection, _ = server.accept()
        with connection:
            wait_readable(connection.fileno(), "the pidfd")
            _, (pidfd,), _, _ = socket.recv_fds(connection, 100, 1)
    info = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    os.close(pidfd)
    assert f"Pid:\t{container.pid}\n" in info


def test_a_pidfd_receiver_that_is_missing_undoes_all(runtime: Runtime, bundle: Bundle) -> None:
    annotate(bundle, pidfd_receiver="/nowhere/x.sock")
    result = runtime.run(bundle, "exit", "0")
    result.fails("/nowhere/x.sock", "no such file or directory", "config.json#/annotations/run.oci.pidfd_receiver")
    assert runtime.ids() == []


# -- seccomp -----------------------------------------------------------------------------------------------------------


def refuse_getcwd(number: int = 79) -> str:
    """BPF that lets getcwd(2) fail with EXDEV, in base64: load the number, compare, return one or the other."""
    instructions = [
        (0x20, 0, 0, 0),
        (0x15, 0, 1, number),
        (0x06, 0, 0, 0x00050000 | errno.EXDEV),
        (0x06, 0, 0, 0x7FFF0000),
    ]
    return base64.b64encode(b"".join(struct.pack("=HBBI", *each) for each in instructions)).decode()


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the filter has numbers of x86_64")
@pytest.mark.parametrize("profile", [None, {"defaultAction": "SCMP_ACT_KILL"}])
def test_raw_bpf_takes_the_place_of_the_profile(
    runtime: Runtime, bundle: Bundle, profile: dict[str, Any] | None
) -> None:
    annotate(bundle, seccomp_bpf_data=refuse_getcwd())
    if profile:
        bundle.linux["seccomp"] = profile
    container = runtime.start(bundle, "syscall", "79", ";", "syscall", "39", ";", "pause")
    assert container.read_value() == {"result": -1, "errno": errno.EXDEV}
    assert container.read_value() == {"result": 1, "errno": 0}
    assert container.exec("/init", "syscall", "79").value == {"result": -1, "errno": errno.EXDEV}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "found 0 bytes"),
        ("!!!!", 'wanted base64, found "!!!!"'),
        ("AAAA", "found 3 bytes"),
        (base64.b64encode(bytes(8 * 4097)).decode(), "found 32776 bytes"),
    ],
)
def test_raw_bpf_that_cannot_be_is_refused(runtime: Runtime, bundle: Bundle, text: str, words: str) -> None:
    annotate(bundle, seccomp_bpf_data=text)
    result = runtime.run(bundle, "exit", "0")
    result.fails(words, "config.json#/annotations/run.oci.seccomp_bpf_data")
    assert runtime.ids() == []


def test_raw_bpf_that_the_kernel_refuses_is_named(runtime: Runtime, bundle: Bundle) -> None:
    annotate(bundle, seccomp_bpf_data=base64.b64encode(b"\xff" * 8).decode())
    result = runtime.run(bundle, "exit", "0")
    result.fails("load the seccomp filter of 1 instructions", "config.json#/annotations/run.oci.seccomp_bpf_data")
    assert runtime.ids() == []


def test_an_unknown_system_call_is_refused_where_the_annotation_says_so(runtime: Runtime, bundle: Bundle) -> None:
    rules = [
        {
            "names": ["read", "no_such_call"],
            "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 0, "value": 99, "op": "SCMP_CMP_EQ"}],
        }
    ]
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    runtime.run(bundle, "exit", "0").check()
    annotate(bundle, seccomp_fail_unknown_syscall="0")
    runtime.run(bundle, "exit", "0").check()
    annotate(bundle, seccomp_fail_unknown_syscall="1")
    result = runtime.run(bundle, "exit", "0")
    result.fails('found "no_such_call"', "config.json#/linux/seccomp/syscalls/0/names/1")
    assert runtime.ids() == []
    rules[0]["names"] = ["read"]
    runtime.run(bundle, "exit", "0").check()
