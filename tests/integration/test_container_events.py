"""``ocirt events`` and ``ocirt stats``, and what the library tells of a container that runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess

import pytest
from cgroup_view import throttled
from support import Bundle, Container, Runtime

from ocirt import Container as LibraryContainer
from ocirt import WrongStatus

MIB = 1 << 20

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.needs_controller("memory"),
    pytest.mark.needs_controller("pids"),
    pytest.mark.needs_controller("cpu"),
]


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle) -> Container:
    bundle.linux["resources"] = {
        "memory": {"limit": 32 * MIB, "swap": 32 * MIB},
        "pids": {"limit": 50},
        "cpu": {"quota": 1000, "period": 10000},
    }
    return runtime.start_paused_program(bundle)


def loaded(container: Container) -> LibraryContainer:
    return LibraryContainer.load(container.id, str(container.runtime.root))


def run_out_of_memory(container: Container) -> None:
    assert container.exec("/init", "touch-memory", "64").status == 128 + signal.SIGKILL


def test_stats_is_one_line_of_what_is_in_use(container: Container) -> None:
    event = container.runtime("events", "--stats", container.id).check().value
    assert list(event) == ["type", "id", "data"]
    assert (event["type"], event["id"]) == ("stats", container.id)
    data = event["data"]
    assert data["pids"] == {"current": 1, "limit": 50}
    assert data["memory"]["usage"]["limit"] == 32 * MIB
    assert 0 < data["memory"]["usage"]["usage"] < 32 * MIB
    assert data["cpu"]["usage"]["total"] > 0
    assert [interface["Name"] for interface in data["network_interfaces"]] == ["lo"]


def test_stats_grow_with_what_is_done(container: Container) -> None:
    before = loaded(container).stats()
    container.exec("/init", "fork-bomb", "40").check()
    after = loaded(container).stats()
    assert after["cpu"]["usage"]["total"] > before["cpu"]["usage"]["total"]
    assert 0 < after["cpu"]["throttling"]["throttledPeriods"] <= throttled(container.pid)


def test_events_are_stats_at_an_interval_until_the_container_stops(container: Container) -> None:
    process = container.runtime.popen("events", "--interval", "20ms", container.id, stdout=subprocess.PIPE)
    assert process.stdout is not None
    events = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert [event["type"] for event in events] == ["stats"] * 3
    container.kill("KILL")
    process.stdout.read()
    assert process.wait() == 0


def test_an_oom_kill_is_told(container: Container) -> None:
    process = container.runtime.popen("events", "--interval", "20ms", container.id, stdout=subprocess.PIPE)
    assert process.stdout is not None
    # It watches before it has anything to say.
    assert json.loads(process.stdout.readline())["type"] == "stats"
    run_out_of_memory(container)
    events = map(json.loads, process.stdout)
    assert next(event for event in events if event["type"] != "stats") == {"type": "oom", "id": container.id}
    container.kill("KILL")
    process.stdout.read()
    assert process.wait() == 0


def test_the_library_hears_of_an_oom_kill(container: Container) -> None:
    with loaded(container).events() as events:
        run_out_of_memory(container)
        assert next(events).type == "oom"


def test_the_oom_kill_of_the_init_is_told_before_the_end(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["resources"] = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}}
    container = runtime.create(bundle, "touch-memory", "64")
    events = loaded(container).events()
    container.start()
    types = [event.type for event in events]
    assert types
    assert set(types) == {"oom"}
    assert container.wait() == -signal.SIGKILL


def test_a_quiet_end_is_no_oom(container: Container) -> None:
    events = loaded(container).events()
    container.kill("KILL")
    assert [event.type for event in events] == []


def test_events_come_to_asyncio_too(container: Container) -> None:
    async def collect() -> list[str]:
        types = []
        async for event in loaded(container).events(interval_sec=0.01):
            types.append(event.type)
            if len(types) == 3:
                os.kill(container.pid, signal.SIGKILL)
        return types

    types = asyncio.run(collect())
    assert len(types) >= 3
    assert set(types) == {"stats"}


def test_asyncio_hears_of_an_oom_kill(container: Container) -> None:
    async def first() -> str:
        events = loaded(container).events()
        killed = asyncio.get_running_loop().run_in_executor(None, run_out_of_memory, container)
        event = await anext(events)
        events.close()
        await killed
        return event.type

    assert asyncio.run(first()) == "oom"


def test_nothing_stays_open_behind_events(container: Container) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    events = loaded(container).events(interval_sec=0.001)
    next(events)
    events.close()
    events.close()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert list(events) == []


def test_a_container_that_does_not_run_has_no_events(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start(bundle, "pids")
    container.wait()
    for words in (("events",), ("events", "--stats"), ("stats", "--no-stream")):
        runtime(*words, container.id).fails(f"container with id {container.id} is not running")
    with pytest.raises(WrongStatus, match="is not running"):
        loaded(container).stats()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--interval", "0"), "duration interval must be greater than 0"),
        (("--interval", "soon"), 'invalid value "soon" for flag -interval: parse error'),
    ],
)
def test_an_interval_that_is_none_is_named(container: Container, words: tuple[str, ...], text: str) -> None:
    container.runtime("events", *words, container.id).fails(text)


def test_the_table_has_a_row_for_each_container(runtime: Runtime, bundle: Bundle, container: Container) -> None:
    created = runtime.create(bundle, "pause")
    lines = runtime("stats", "--no-stream", "--interval", "10ms").check().out.splitlines()
    assert lines[0].split()[:3] == ["ID", "CPU", "%"]
    assert [line.split()[0] for line in lines[1:]] == [container.id, created.id]
    assert "/ 32.0MiB" in lines[1]
    (line,) = runtime("stats", "--no-stream", "--interval", "10ms", created.id).check().out.splitlines()[1:]
    assert line.split()[0] == created.id


def test_the_table_ends_with_the_containers_that_it_is_about(container: Container) -> None:
    process = container.runtime.popen("stats", "--interval", "10ms", container.id, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"ID")
    container.kill("KILL")
    process.stdout.read()
    assert process.wait() == 0


def test_processes_are_described(container: Container) -> None:
    (init,) = loaded(container).processes()
    assert (init.pid, init.container_pid) == (container.pid, 1)
    assert (init.uid, init.gid) == (0, 0)
    assert init.command == ("/init", "pause")
    assert init.name == "init"
    assert init.state == "S"
