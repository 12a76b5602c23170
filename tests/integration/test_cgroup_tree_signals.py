"""A cgroup on this host's own cgroupfs that is frozen, thawed and killed. Needs root."""

from __future__ import annotations

import os
import select
import signal
import time
from pathlib import Path

import pytest
from cgroup_tree import LAYOUT, NAME, created, run_in, status_of

from ocirt.cgroup.resources import compile
from ocirt.errors import StepError

pytestmark = [
    pytest.mark.usefixtures("no_cgroup_is_left"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(LAYOUT.mode == "none", reason="needs a mounted cgroup hierarchy"),
]


def test_a_container_is_frozen_when_freeze_returns_and_runs_when_thaw_does(children: list[int]) -> None:
    cgroup = created()
    count_fd, tick_fd = os.pipe()
    os.set_blocking(count_fd, False)

    def tick() -> None:
        while True:
            os.write(tick_fd, b".")

    run_in(cgroup, children, tick)
    assert not cgroup.frozen
    cgroup.freeze()
    assert cgroup.frozen
    while True:
        try:
            os.read(count_fd, 65536)
        except BlockingIOError:
            break
    assert not select.select([count_fd], [], [], 0.05)[0]
    cgroup.freeze()
    cgroup.thaw()
    assert not cgroup.frozen
    assert select.select([count_fd], [], [], 10)[0]
    os.close(count_fd)
    os.close(tick_fd)
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()


def test_thawing_below_a_frozen_cgroup_is_an_error() -> None:
    parent, cgroup = created(f"/{NAME}"), created()
    parent.freeze()
    assert not cgroup.frozen
    with pytest.raises(StepError, match="a cgroup above it is frozen"):
        cgroup.thaw()
    parent.thaw()
    cgroup.delete()
    parent.delete()


@pytest.mark.parametrize("frozen", [False, True], ids=["running", "frozen"])
def test_sigkill_ends_every_process_also_in_sub_cgroups(children: list[int], frozen: bool) -> None:
    cgroup = created()
    pids = [run_in(cgroup, children, sub="inner"), run_in(cgroup, children, sub="inner")]
    if LAYOUT.mode != "v2":
        pids.append(run_in(cgroup, children))
    if frozen:
        cgroup.freeze()
    assert sorted(cgroup.pids()) == sorted(pids)
    cgroup.kill(signal.SIGKILL)
    assert [status_of(pid) for pid in pids] == [-signal.SIGKILL] * len(pids)
    assert not frozen or LAYOUT.mode == "v2" or not cgroup.frozen
    cgroup.delete()


def test_sigkill_finds_processes_that_only_v1_knows_of(children: list[int]) -> None:
    if LAYOUT.mode != "hybrid":
        pytest.skip("needs cgroup v2 beside v1")
    cgroup = created()
    pid = run_in(cgroup, children)
    assert LAYOUT.v2_mount is not None
    Path(LAYOUT.v2_mount, "cgroup.procs").write_text(str(pid))
    cgroup.freeze()
    cgroup.kill(signal.SIGKILL)
    assert status_of(pid) == -signal.SIGKILL
    cgroup.delete()


def test_another_signal_reaches_every_process(children: list[int]) -> None:
    cgroup = created()
    pids = [run_in(cgroup, children), run_in(cgroup, children)]
    cgroup.kill(signal.SIGTERM)
    assert [status_of(pid) for pid in pids] == [-signal.SIGTERM] * 2
    assert not cgroup.frozen
    cgroup.delete()


def test_another_signal_leaves_a_frozen_container_frozen(children: list[int]) -> None:
    """And so the process, when it handles the signal: of one that does not, cgroup v2 does not hold up the end
    (cgroup-v2.rst: "Processes in the frozen cgroup can be killed by a fatal signal")."""
    cgroup = created()
    ready_fd, child_fd = os.pipe()

    def end_when_told() -> None:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.write(child_fd, b"1")
        while True:
            signal.pause()

    pid = run_in(cgroup, children, end_when_told)
    assert os.read(ready_fd, 1) == b"1"
    os.close(ready_fd)
    os.close(child_fd)
    cgroup.freeze()
    cgroup.kill(signal.SIGTERM)
    assert cgroup.frozen
    time.sleep(0.05)  # in which a process that the signal ends would be gone
    assert cgroup.pids() == [pid]
    cgroup.thaw()
    assert status_of(pid) == 7
    cgroup.delete()


def test_a_fork_bomb_is_killed(children: list[int]) -> None:
    cgroup = created()
    if LAYOUT.version_of("pids"):
        cgroup.apply(compile({"pids": {"limit": 40}}, LAYOUT))

    def bomb() -> None:
        while True:
            try:
                if os.fork() == 0:
                    continue
                os.wait()
            except OSError:
                time.sleep(0.001)

    run_in(cgroup, children, bomb)
    cgroup.kill(signal.SIGKILL)
    cgroup.delete()
    assert cgroup.pids() == []
