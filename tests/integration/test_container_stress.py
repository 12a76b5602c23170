"""Containers by the hundred, by eight processes at a time, also such as are killed in the middle of what they do: none
fails that could go on, and no cgroup, unit, process, mount or state is left of any of them."""

from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from host_view import PATIENCE, cgroups_named, wait_until
from support import Bundle, Runtime

WORKERS = 8
#: Fewer where the tests are told to be patient, for there each takes as much longer.
CONTAINERS = max(2 * WORKERS, int(200 * 20 / PATIENCE))
LIMITS = {
    "memory": {"limit": 64 << 20},
    "pids": {"limit": 20},
    "cpu": {"shares": 100, "quota": 50000, "period": 100000},
}
CHANGES = {"memory": {"limit": 96 << 20}, "pids": {"limit": 30}, "cpu": {"quota": 60000}}
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_controller("memory"),
    pytest.mark.needs_controller("pids"),
    pytest.mark.needs_controller("cpu"),
]


@pytest.fixture(
    params=[
        "cgroupfs",
        pytest.param(
            "systemd",
            marks=pytest.mark.skipif(not os.path.isdir("/run/systemd/system"), reason="needs systemd"),
        ),
    ]
)
def manager(request: pytest.FixtureRequest, runtime: Runtime) -> Iterator[str]:
    """The manager of the cgroups, which has no unit of any container when the test is over."""
    runtime.global_words = ["--cgroup-manager", request.param]
    yield request.param
    if request.param == "systemd":
        words = ["systemctl", "list-units", "--all", "--plain", "--no-legend", f"*{runtime.token}*"]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout == ""


@pytest.fixture
def bundles(make_bundle: Callable[[str], Bundle]) -> list[Bundle]:
    """One for each worker."""
    made = [make_bundle(f"bundle-{number}") for number in range(WORKERS)]
    for bundle in made:
        bundle.set_program("pause")
        bundle.linux["resources"] = LIMITS
        bundle.save()
        (bundle.path / "changes.json").write_text(json.dumps(CHANGES))
    return made


def commands(bundle: Bundle, id: str) -> list[list[str]]:
    """The life of a container, all but its end."""
    return [
        ["create", "--bundle", str(bundle.path), id],
        ["start", id],
        ["update", "--resources", str(bundle.path / "changes.json"), id],
        ["pause", id],
        ["resume", id],
    ]


def by_all_workers(bundles: list[Bundle], live: Callable[[Bundle, int], None]) -> None:
    """Calls *live* once for each container; every worker has a bundle of its own. Raises what one of them raises."""

    def work(worker: int) -> None:
        for number in range(worker, CONTAINERS, WORKERS):
            live(bundles[worker], number)

    with ThreadPoolExecutor(WORKERS) as pool:
        list(pool.map(work, range(WORKERS)))


def assert_nothing_is_left(runtime: Runtime) -> None:
    assert runtime.ids() == []
    wait_until(lambda: not runtime.orphans.living(), "the end of all processes")
    assert cgroups_named(runtime.token) == []


def test_hundreds_live_side_by_side_and_leave_nothing(runtime: Runtime, bundles: list[Bundle], manager: str) -> None:
    def live(bundle: Bundle, number: int) -> None:
        id = f"{runtime.token}-{number}"
        for words in commands(bundle, id):
            process = runtime.popen(*words, **QUIET)
            assert process.wait(PATIENCE) == 0, f"{words[0]} of container {number} has failed"
        limits = json.loads(runtime("events", "--stats", id).check().out)["data"]
        assert limits["memory"]["usage"]["limit"] == CHANGES["memory"]["limit"]
        assert limits["pids"]["limit"] == CHANGES["pids"]["limit"]
        runtime("delete", "--force", id).check()

    by_all_workers(bundles, live)
    assert_nothing_is_left(runtime)


def test_delete_force_ends_what_a_killed_command_has_begun(
    runtime: Runtime, bundles: list[Bundle], manager: str
) -> None:
    """In the life of each container one command is killed, at any moment."""
    killed: list[int] = []
    chance = random.Random(runtime.token)

    def live(bundle: Bundle, number: int) -> None:
        id = f"{runtime.token}-{number}"
        life = [*commands(bundle, id), ["delete", "--force", id]]
        unlucky = chance.randrange(len(life))
        for words in life[: unlucky + 1]:
            process = runtime.popen(*words, **QUIET)
            if words is not life[unlucky]:
                assert process.wait(PATIENCE) == 0, f"{words[0]} of container {number} has failed"
                continue
            pidfd = os.pidfd_open(process.pid)
            try:
                if not select.select([pidfd], [], [], chance.uniform(0, PATIENCE / 400))[0]:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            finally:
                os.close(pidfd)
            status = process.wait(PATIENCE)
            assert status in (0, -signal.SIGKILL)
            if status != 0:
                killed.append(number)
        runtime("delete", "--force", id).check()

    by_all_workers(bundles, live)
    assert killed, "all commands have ended before"
    assert_nothing_is_left(runtime)
