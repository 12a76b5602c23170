"""What a container's process holds while it waits and when it runs: descriptors, memory, its program file; pid files,
sockets."""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_view import PATIENCE, wait_readable
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

#: What a created container's process may have open beside stdio.
ALLOWED = (r"socket:\[\d+\]", r"anon_inode:.*", r"/proc/1/.*", r"pipe:\[\d+\]")


def descriptors(pid: int) -> dict[int, str]:
    directory = f"/proc/{pid}/fd"
    return {int(name): os.readlink(f"{directory}/{name}") for name in os.listdir(directory)}


# -- a created container -----------------------------------------------------------------------------------------------


def test_a_created_process_holds_allowed_descriptors_alone(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2024-21626, and runc's create.bats: "detect fd leak as comprehensively as possible"."""
    container = runtime.create(bundle, "pause")
    found = {fd: target for fd, target in descriptors(container.pid).items() if fd > 2}
    strange = {fd: target for fd, target in found.items() if not any(re.fullmatch(each, target) for each in ALLOWED)}
    assert strange == {}
    assert len(found) <= 4


def test_a_created_process_does_not_hold_what_its_caller_has_leaked(runtime: Runtime, bundle: Bundle) -> None:
    leaked = [os.open(path, os.O_RDONLY) for path in ("/", "/etc/passwd", "/sys/fs/cgroup", "/proc/self/fd")]
    try:
        container = runtime.create(bundle, "fds", pass_fds=leaked)
    finally:
        for fd in leaked:
            os.close(fd)
    targets = {target for fd, target in descriptors(container.pid).items() if fd > 2}
    assert [target for target in targets if target.startswith("/")] == []
    container.start()
    assert sorted(container.read_value()) == ["0", "1", "2"]


def test_a_created_process_is_no_file_of_the_host(runtime: Runtime, bundle: Bundle) -> None:
    """CVE-2019-5736: /proc/PID/exe was the way to the host's runtime."""
    container = runtime.create(bundle, "pause")
    assert os.readlink(f"/proc/{container.pid}/exe").startswith("/memfd:")
    maps = Path(f"/proc/{container.pid}/maps").read_text()
    files = {line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) > 5}
    assert {file for file in files if not file.startswith(("[", "/memfd:"))} == set()
    assert "python" not in maps


def test_a_created_process_needs_less_than_half_a_megabyte(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    sizes = {
        name: int(value.split()[0])
        for name, _, value in (
            line.partition(":") for line in Path(f"/proc/{container.pid}/smaps_rollup").read_text().splitlines()[1:]
        )
    }
    assert sizes["Private_Dirty"] + sizes["Private_Clean"] < 512


def test_create_leaves_one_process_for_each_container(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    assert list(runtime.orphans.living()) == [container.pid]


def test_a_process_of_exec_leaves_no_other_behind(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    container.exec("/init", "id").check()
    assert list(runtime.orphans.living()) == [container.pid]


# -- the program -------------------------------------------------------------------------------------------------------


def test_a_program_has_stdio_alone(runtime: Runtime, bundle: Bundle) -> None:
    assert sorted(runtime.probe(bundle, "fds")) == ["0", "1", "2"]


def test_an_executed_program_has_stdio_alone(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    assert sorted(container.probe("fds")) == ["0", "1", "2"]


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_stdio_that_the_caller_has_closed_is_not_another_file(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, closed: tuple[int, ...]
) -> None:
    """A descriptor of the runtime must not come to lie there."""
    (tmp_path / "record").mkdir()
    bundle.add_mount("/record", None, tmp_path / "record", "bind")
    bundle.set_program("record", "/record/line", "word")
    bundle.save()

    def close() -> None:
        for fd in closed:
            os.close(fd)

    process = runtime.popen("run", "--bundle", str(bundle.path), runtime.new_id(), preexec_fn=close)
    assert process.wait(PATIENCE) == 0
    fds = json.loads((tmp_path / "record/line").read_text())["fds"]
    for fd in closed:
        assert fds.get(str(fd), "/dev/null") in ("/dev/null", "/null"), fds


# -- --preserve-fds, LISTEN_FDS ----------------------------------------------------------------------------------------


@pytest.fixture
def passed() -> Any:
    """Descriptors 3, 4 and 5 of the command, as pipes."""
    pipes = [os.pipe() for _ in range(3)]
    yield [reader for reader, _ in pipes], [writer for _, writer in pipes]
    for reader, writer in pipes:
        os.close(reader)
        os.close(writer)


def as_3_and_more(fds: list[int]) -> Any:
    """A preexec_fn that puts *fds* at 3, 4, ..."""

    def place() -> None:
        copies = [os.dup(fd) for fd in fds]
        high = [os.dup2(fd, 100 + index, inheritable=False) for index, fd in enumerate(copies)]
        for index, fd in enumerate(high):
            os.dup2(fd, 3 + index, inheritable=True)

    return place


def test_preserved_descriptors_are_those_and_no_others(runtime: Runtime, bundle: Bundle, passed: Any) -> None:
    readers, writers = passed
    options = {"preexec_fn": as_3_and_more(writers), "close_fds": False}
    values = runtime.probe(
        bundle, *("fds", ";", "send", "3", "a", ";", "send", "4", "b"), flags=["--preserve-fds", "2"], **options
    )
    assert sorted(values[0]) == ["0", "1", "2", "3", "4"]
    assert [os.read(reader, 10) for reader in readers[:2]] == [b"a", b"b"]


def test_descriptors_are_preserved_over_create_and_start(runtime: Runtime, bundle: Bundle, passed: Any) -> None:
    readers, writers = passed
    options = {"preexec_fn": as_3_and_more(writers), "close_fds": False}
    container = runtime.start(bundle, "fds", ";", "send", "5", "c", flags=["--preserve-fds", "3"], **options)
    assert sorted(container.read_value()) == ["0", "1", "2", "3", "4", "5"]
    assert os.read(readers[2], 10) == b"c"


def test_descriptors_are_preserved_for_exec(runtime: Runtime, bundle: Bundle, passed: Any) -> None:
    readers, writers = passed
    container = runtime.start_paused_program(bundle)
    options = {"preexec_fn": as_3_and_more(writers), "close_fds": False}
    values = container.probe("fds", ";", "send", "3", "a", flags=["--preserve-fds", "1"], **options)
    assert sorted(values[0]) == ["0", "1", "2", "3"]
    assert os.read(readers[0], 10) == b"a"


@pytest.mark.parametrize("verb", ["run", "create", "exec"])
def test_a_descriptor_that_was_not_passed_on_cannot_be_preserved(runtime: Runtime, bundle: Bundle, verb: str) -> None:
    """Otherwise it would be one of the runtime's own (CVE-2024-21626)."""
    if verb == "exec":
        container = runtime.start_paused_program(bundle)
        result = container.exec("/init", "fds", flags=["--preserve-fds", "1"])
        result.fails("file descriptor 3", "--preserve-fds", status=255)
    else:
        bundle.set_program("fds")
        bundle.save()
        result = runtime(verb, "--preserve-fds", "1", "--bundle", str(bundle.path), runtime.new_id())
        result.fails("file descriptor 3", "--preserve-fds")


@pytest.mark.parametrize("count", ["-1", "x", "", "1000000"])
def test_a_count_of_descriptors_that_is_none_is_refused(runtime: Runtime, bundle: Bundle, count: str) -> None:
    bundle.save()
    runtime("run", f"--preserve-fds={count}", "--bundle", str(bundle.path), runtime.new_id()).fails()


#: A shell that becomes the command, which so learns its own pid, as systemd tells it to a service.
ACTIVATE = ["sh", "-c", 'LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web exec "$@"', "sh"]


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_an_activated_service_gets_its_sockets(runtime: Runtime, bundle: Bundle, server: socket.socket) -> None:
    """sd_listen_fds(3)"""
    runtime.wrapper = ACTIVATE
    options = {"preexec_fn": as_3_and_more([server.fileno()]), "close_fds": False}
    values = runtime.probe(bundle, "fds", ";", "env", **options)
    assert sorted(values[0]) == ["0", "1", "2", "3"]
    assert values[0]["3"].startswith("socket:")
    assert {"LISTEN_FDS=1", "LISTEN_PID=1", "LISTEN_FDNAMES=web"} <= set(values[1])


def test_sockets_of_another_process_are_not_the_containers(
    runtime: Runtime, bundle: Bundle, server: socket.socket
) -> None:
    env = {"LISTEN_FDS": "1", "LISTEN_PID": "1"}
    options = {"preexec_fn": as_3_and_more([server.fileno()]), "close_fds": False, "env": env}
    values = runtime.probe(bundle, "fds", ";", "env", **options)
    assert sorted(values[0]) == ["0", "1", "2"]
    assert [entry for entry in values[1] if entry.startswith("LISTEN")] == []


def test_sockets_and_preserved_descriptors_come_one_after_the_other(
    runtime: Runtime, bundle: Bundle, passed: Any, server: socket.socket
) -> None:
    runtime.wrapper = ACTIVATE
    options = {"preexec_fn": as_3_and_more([server.fileno(), passed[1][0]]), "close_fds": False}
    found = runtime.probe(bundle, "fds", flags=["--preserve-fds", "1"], **options)
    assert [found[fd].partition(":")[0] for fd in ("3", "4")] == ["socket", "pipe"]


# -- pid files, pidfds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["create", "run", "exec"])
def test_a_pid_file_has_the_digits_and_nothing_else(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, verb: str
) -> None:
    path = tmp_path / "the.pid"
    if verb == "exec":
        container = runtime.start_paused_program(bundle)
        container.exec("/init", "pause", flags=["--detach", "--pid-file", str(path)], stdout=2).check()
        assert path.read_text() in map(str, runtime.orphans.living())
    else:
        make = runtime.create if verb == "create" else runtime.run_detached
        container = make(bundle, "pause", flags=["--pid-file", str(path)])
        assert path.read_text() == str(container.state()["pid"])
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_relative_pid_file_lies_in_the_callers_directory(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    bundle.set_program("pause")
    bundle.save()
    id = runtime.new_id()
    runtime("create", "-b", str(bundle.path), "--pid-file", "my.pid", id, cwd=tmp_path / "here").check()
    assert int((tmp_path / "here/my.pid").read_text()) == runtime.adopt(id, bundle).state()["pid"]
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["my.pid"]


def test_an_old_pid_file_is_replaced(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / "the.pid"
    path.write_text("12345678901234567890")
    container = runtime.create(bundle, "pause", flags=["--pid-file", str(path)])
    assert path.read_text() == str(container.pid)


def test_a_pid_file_that_is_a_link_is_replaced_not_followed(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("text")
    (tmp_path / "the.pid").symlink_to(tmp_path / "victim")
    runtime.create(bundle, "pause", flags=["--pid-file", str(tmp_path / "the.pid")])
    assert (tmp_path / "victim").read_text() == "text"


@pytest.mark.parametrize("verb", ["create", "run", "exec"])
def test_a_pid_file_that_cannot_be_written_undoes_all(runtime: Runtime, bundle: Bundle, verb: str) -> None:
    if verb == "exec":
        container = runtime.start_paused_program(bundle)
        result = container.exec("/init", "pause", flags=["--pid-file", "/nowhere/the.pid"])
        result.fails("/nowhere/the.pid", "no such file or directory", status=255)
        assert list(runtime.orphans.living()) == [container.pid]
    else:
        bundle.set_program("write-file", "/ran", "")
        bundle.save()
        result = runtime(verb, "--pid-file", "/nowhere/the.pid", "-b", str(bundle.path), runtime.new_id())
        result.fails("/nowhere/the.pid", "no such file or directory")
        assert not (bundle.rootfs / "ran").exists()
        assert runtime.ids() == []


@pytest.mark.parametrize("verb", ["create", "exec"])
def test_a_pidfd_socket_gets_a_pidfd(runtime: Runtime, bundle: Bundle, tmp_path: Path, verb: str) -> None:
    path = tmp_path / "pidfd.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        if verb == "create":
            container = runtime.create(bundle, "pause", flags=["--pidfd-socket", str(path)])
            pid = container.pid
        else:
            container = runtime.start_paused_program(bundle)
            pid_file = tmp_path / "exec.pid"
            flags = ["--detach", "--pidfd-socket", str(path), "--pid-file", str(pid_file)]
            container.exec("/init", "pause", flags=flags).check()
            pid = int(pid_file.read_text())
        wait_readable(server.fileno(), "the connection")
        connection, _ = server.accept()
        with connection:
            wait_readable(connection.fileno(), "the pidfd")
            _, fds, _, _ = socket.recv_fds(connection, 100, 1)
    (pidfd,) = fds
    info = Path(f"/proc/self/fdinfo/{pidfd}").read_text()
    os.close(pidfd)
    assert f"Pid:\t{pid}\n" in info


def test_a_pidfd_socket_that_is_missing_undoes_all(runtime: Runtime, bundle: Bundle) -> None:
    bundle.set_program("pause")
    bundle.save()
    result = runtime("create", "--pidfd-socket", "/nowhere/x.sock", "-b", str(bundle.path), runtime.new_id())
    result.fails("/nowhere/x.sock", "no such file or directory")
    assert runtime.ids() == []
