"""Many containers at once: by threads of one process that uses the library, and by processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from support import Bundle, Runtime

from ocirt import (
    ConfigError,
    Container,
    ContainerExists,
    ContainerNotFound,
    HookError,
    OcirtError,
    Options,
    ProgramError,
    StepError,
    WrongStatus,
)

pytestmark = pytest.mark.needs_root

THREADS = 6
EACH = 3
PROCESSES = 20


@pytest.fixture
def bundles(make_bundle: Callable[[str], Bundle]) -> list[Bundle]:
    """One for each thread, so that no two share a root filesystem; the program writes the container's id there."""
    return [make_bundle(f"bundle-{number}") for number in range(THREADS)]


def raised(function: Callable[[], object]) -> OcirtError:
    with pytest.raises(OcirtError) as caught:
        function()
    return caught.value


def threads_of(function: Callable[[int], object]) -> None:
    """Calls it once in each thread, with the thread's number; raises what one of them raises."""
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(function, range(THREADS)))


def test_threads_create_start_and_delete_containers_side_by_side(runtime: Runtime, bundles: list[Bundle]) -> None:
    ids = [[runtime.new_id() for _ in range(EACH)] for _ in range(THREADS)]
    root = str(runtime.root)

    def live(number: int) -> None:
        bundle = bundles[number]
        for turn, id in enumerate(ids[number]):
            bundle.set_program("write-file", "/result", id, ";", "exit", str(number + turn))
            bundle.save()
            container = Container.create(id, str(bundle.path), Options(root=root))
            assert container.status() == "created"
            assert not (bundle.rootfs / "result").exists()
            container.start()
            assert os.waitstatus_to_exitcode(container.wait()) == number + turn
            assert (bundle.rootfs / "result").read_text() == id
            (bundle.rootfs / "result").unlink()
            container.delete()
            assert isinstance(raised(partial(Container.load, id, root)), ContainerNotFound)

    threads_of(live)
    assert Container.list(root) == []


def test_containers_of_all_threads_run_at_the_same_time(runtime: Runtime, bundles: list[Bundle]) -> None:
    ids = [runtime.new_id() for _ in range(THREADS)]
    root = str(runtime.root)

    def begin(number: int) -> None:
        bundles[number].set_program("pause")
        bundles[number].save()
        Container.create(ids[number], str(bundles[number].path), Options(root=root)).start()

    def end(number: int) -> None:
        container = Container.load(ids[number], root)
        container.kill(signal.SIGKILL)
        assert os.waitstatus_to_exitcode(container.wait()) == -signal.SIGKILL
        container.delete()

    try:
        threads_of(begin)
        running = Container.list(root)
        assert sorted(container.id for container in running) == sorted(ids)
        assert {container.status() for container in running} == {"running"}
        assert len({container.pid for container in running}) == THREADS
        threads_of(end)
    finally:
        for container in Container.list(root):
            container.delete(force=True)


def test_of_threads_that_want_one_id_a_single_one_gets_it(runtime: Runtime, bundles: list[Bundle]) -> None:
    id, root = runtime.new_id(), str(runtime.root)
    made: list[Container] = []
    refused: list[OcirtError] = []

    def create(number: int) -> None:
        bundles[number].save()
        try:
            made.append(Container.create(id, str(bundles[number].path), Options(root=root)))
        except OcirtError as error:
            refused.append(error)

    threads_of(create)
    (container,) = made
    try:
        assert [(type(error), getattr(error, "id", None)) for error in refused] == [(ContainerExists, id)] * (
            THREADS - 1
        )
        assert container.status() == "created"
    finally:
        container.delete(force=True)


def test_every_thread_gets_its_own_error_with_its_data(runtime: Runtime, bundles: list[Bundle]) -> None:
    root = str(runtime.root)
    ids = [runtime.new_id() for _ in range(THREADS)]
    faults: list[Callable[[Bundle], object]] = [
        lambda bundle: bundle.config.update(hostname=7),
        lambda bundle: bundle.process.update(args=["/nothing"]),
        lambda bundle: bundle.add_mount("/data", None, "/nowhere", "bind"),
        lambda bundle: bundle.config.update(hooks={"createRuntime": [{"path": "/bin/false"}]}),
    ]
    found: dict[int, OcirtError] = {}

    def fail(number: int) -> None:
        bundle = bundles[number]
        faults[number % len(faults)](bundle)
        bundle.save()
        found[number] = raised(lambda: Container.create(ids[number], str(bundle.path), Options(root=root)))

    threads_of(fail)
    for number, error in found.items():
        match number % len(faults):
            case 0:
                assert isinstance(error, ConfigError)
                assert error.pointer == "/hostname"
                assert (error.filename, error.line is not None) == ("config.json", True)
            case 1:
                assert isinstance(error, ProgramError)
                assert "/nothing" in error.text
            case 2:
                assert isinstance(error, StepError)
                assert (error.origin, error.errno) == ("/mounts/3", 2)
            case _:
                assert isinstance(error, HookError)
                assert (error.kind, error.index, error.path, error.status) == ("createRuntime", 0, "/bin/false", 1)
    assert len(found) == THREADS


def test_a_call_in_the_wrong_status_says_what_would_be_right(runtime: Runtime, bundle: Bundle) -> None:
    bundle.save()
    container = Container.create(runtime.new_id(), str(bundle.path), Options(root=str(runtime.root)))
    try:
        error = raised(container.delete)
        assert isinstance(error, WrongStatus)
        assert (error.status, error.operation, tuple(error.allowed)) == ("created", "delete", ("stopped",))
    finally:
        container.delete(force=True)


def test_twenty_processes_run_a_container_each(runtime: Runtime, bundle: Bundle) -> None:
    bundle.set_program("uts")
    bundle.config["hostname"] = "box"
    bundle.save()
    outputs = [runtime.keep(os.memfd_create("out")) for _ in range(PROCESSES)]
    processes = [
        runtime.popen("run", "--bundle", str(bundle.path), runtime.new_id(), stdout=output, stderr=output)
        for output in outputs
    ]
    assert [process.wait() for process in processes] == [0] * PROCESSES
    texts = [os.pread(output, 4096, 0).decode() for output in outputs]
    assert [text.count('"hostname":"box"') for text in texts] == [1] * PROCESSES, texts
    assert runtime.ids() == []
