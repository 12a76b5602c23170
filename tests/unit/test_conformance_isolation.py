"""Nothing that an isolated command does stays: conformance/isolation.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import isolation
from conformance.hierarchies import Subtree, hierarchies

pytestmark = pytest.mark.needs_root

PROGRAM = Path(isolation.__file__)


def isolated(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *options, "--", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def cgroups() -> list[str]:
    return [str(path) for each in hierarchies() for path in Path(each.own_path).glob("isolated-*")]


def test_the_exit_status_and_the_outputs_are_those_of_the_command() -> None:
    answer = isolated("echo out; echo err >&2; exit 7")
    assert (answer.returncode, answer.stdout, answer.stderr) == (7, "out\n", "err\n")


def test_a_signal_that_ends_the_command_is_in_the_exit_status() -> None:
    assert isolated("kill -TERM $$").returncode == 128 + 15


def test_a_command_that_is_not_there_is_named() -> None:
    answer = subprocess.run(
        [sys.executable, str(PROGRAM), "no-such-program"], capture_output=True, text=True, check=False
    )
    assert answer.returncode == 125
    assert "No such file or directory" in answer.stderr


def test_processes_and_mounts_and_files_in_run_end_with_the_command(tmp_path: Path) -> None:
    answer = isolated(
        f"mount -t tmpfs tmpfs {tmp_path}; touch {tmp_path}/x /run/x; sleep 1000 & echo $$; readlink /proc/self"
    )
    pids = answer.stdout.split()
    assert answer.returncode == 0
    assert all(int(pid) < 100 for pid in pids), "no pid namespace of its own"
    assert list(tmp_path.iterdir()) == []
    assert not Path("/run/x").exists()


def test_cgroups_that_the_command_has_made_are_removed() -> None:
    script = (
        "for d in $(awk '$3 ~ /^cgroup/ {print $2}' /proc/mounts); do mkdir -p $d/left/behind; done;"
        " ls -d /sys/fs/cgroup/left /sys/fs/cgroup/*/left 2>/dev/null"
    )
    answer = isolated(script)
    assert answer.stdout.count("left") >= 1
    assert cgroups() == []


def test_the_command_sees_its_cgroup_as_the_root() -> None:
    paths = [line.split(":", 2)[2] for line in isolated("cat /proc/self/cgroup").stdout.splitlines()]
    assert paths
    assert all(path in ("/", "/programs") for path in paths)


def test_cgroup2_alone_can_be_had() -> None:
    answer = isolated("stat -f -c %T /sys/fs/cgroup; ls /sys/fs/cgroup/cgroup.procs", "--cgroup", "v2")
    assert answer.stdout == "cgroup2fs\n/sys/fs/cgroup/cgroup.procs\n"


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        answer = isolated(f"exec 3>{fifo}; sleep 1000 & sleep 1000", "--timeout", "0.5")
        assert answer.returncode == 124
        assert "not done after 0.5 seconds" in answer.stderr
        assert os.read(reader, 1) == b""  # the end: nobody has it open any more
        assert cgroups() == []
    finally:
        os.close(reader)


def test_the_machines_null_device_stays_as_it_is() -> None:
    before = os.stat("/dev/null")
    answer = isolated(
        "chown 1000 /dev/null; chmod 600 /dev/null; chown 1000 /proc/self/fd/0; stat -L -c %u /proc/self/fd/0"
    )
    after = os.stat("/dev/null")
    assert answer.stdout == "1000\n"
    assert (after.st_uid, after.st_mode) == (before.st_uid, before.st_mode)


def test_a_subtree_is_in_every_hierarchy_and_removed_again() -> None:
    subtree = Subtree(f"isolated-test-{os.getpid()}")
    try:
        assert len(subtree.paths) == len(hierarchies())
        assert all(Path(path).is_dir() for path in subtree.paths)
    finally:
        paths = list(subtree.paths)
        assert subtree.remove() == []
    assert not any(Path(path).exists() for path in paths)
