"""CVE-2016-9962 (runc before 1.0.0-rc3): a process that enters the container is looked into by the container.

Between entering the namespaces and becoming the program, the process of ``exec`` held descriptors of the host, and
the root of the container could open them or trace it. Here a hostile program looks at every process in its PID
namespace without a pause while the runtime sends others there: their links, descriptors, mappings, environments.

With CAP_SYS_PTRACE it was seen to reach the host's root directory in two ways that are closed now: through a
descriptor of the host's procfs, and upwards from that of the container's cgroup (v2). The processes of the runtime
have no secrets to show even to one who may trace them. Without that capability, or with one that holds in a user
namespace only, nothing can be seen before the program runs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Bundle, Container, Runtime

from security.attack import Victim, install

pytestmark = pytest.mark.needs_root

ROUNDS = 200
FEWER_ROUNDS = 30

# What a process may be seen to have that is on its way to become /init of the container.
HARMLESS_FILES = {
    "/init",
    "/memfd:ocirt-init (deleted)",
    "/memfd:ocirt-plan (deleted)",
    "/memfd:ocirt-clock (deleted)",
}
HARMLESS = {"exe": HARMLESS_FILES, "map_files": HARMLESS_FILES, "maps": HARMLESS_FILES, "cwd": {"/"}, "root": {"/"}}


def grant_tracing(bundle: Bundle) -> None:
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_PTRACE")


def spy_on(runtime: Runtime, bundle: Bundle, spy: Path, victim: Victim) -> Container:
    install(bundle, spy, "spy")
    bundle.process["args"] = ["/spy", victim.mark, str(victim.mark_path)]
    container = runtime.start(bundle)
    container.read_until("ready")
    return container


def stop(container: Container) -> dict[str, set[str]]:
    """Ends the spy; what it has seen, by kind."""
    container.kill("KILL")
    container.wait()
    seen: dict[str, set[str]] = {}
    for line in container.read_rest().splitlines():
        kind, _, text = line.partition(" ")
        seen.setdefault(kind, set()).add(text)
    return seen


def assert_harmless(seen: dict[str, set[str]]) -> None:
    assert seen.pop("read", set()) == set(), "the host's files were reached"
    fds = seen.pop("fd", set())
    kinds = ("pipe:[", "socket:[", "anon_inode:", "/memfd:")
    assert {text for text in fds if not text.startswith(kinds)} <= {"/null", "/dev/null", "/", "/init"}
    assert seen.pop("environ", set()) <= {"PATH=/", "HOME=/"}
    for kind, texts in seen.items():
        assert texts <= HARMLESS[kind], kind


def assert_has_seen_the_program_only(seen: dict[str, set[str]]) -> None:
    """That it has seen it proves that it was awake."""
    assert seen["exe"] == {"/init"}
    assert_harmless(seen)


@pytest.fixture
def spy(program: Callable[[str], Path]) -> Path:
    return program("spy")


def test_exec_shows_nothing_of_the_host_to_one_who_may_trace(
    runtime: Runtime, bundle: Bundle, spy: Path, victim: Victim
) -> None:
    grant_tracing(bundle)
    container = spy_on(runtime, bundle, spy, victim)
    for _ in range(ROUNDS):
        container.exec("/init").check()
    seen = stop(container)
    assert "/memfd:ocirt-init (deleted)" in seen["exe"], "it was too slow to see anything"
    assert_harmless(seen)


def test_exec_shows_nothing_at_all_to_an_ordinary_root(
    runtime: Runtime, bundle: Bundle, spy: Path, victim: Victim
) -> None:
    container = spy_on(runtime, bundle, spy, victim)
    for _ in range(FEWER_ROUNDS):
        container.exec("/init", "spawn", "1").check()
    assert_has_seen_the_program_only(stop(container))


@pytest.mark.needs_userns
def test_exec_shows_nothing_at_all_to_one_who_may_trace_in_a_user_namespace(
    runtime: Runtime, bundle: Bundle, spy: Path, victim: Victim
) -> None:
    bundle.map_ids((0, 100000, 65536))
    grant_tracing(bundle)
    container = spy_on(runtime, bundle, spy, victim)
    for _ in range(FEWER_ROUNDS):
        container.exec("/init", "spawn", "1").check()
    assert_has_seen_the_program_only(stop(container))


@pytest.mark.parametrize("user_namespace", [False, True], ids=["same-user-namespace", "own-user-namespace"])
@pytest.mark.needs_userns
def test_a_container_in_a_shared_pid_namespace_is_not_looked_into_while_it_is_made(
    runtime: Runtime,
    bundle: Bundle,
    make_bundle: Callable[[str], Bundle],
    spy: Path,
    victim: Victim,
    user_namespace: bool,
) -> None:
    container = spy_on(runtime, bundle, spy, victim)
    other = make_bundle("other")
    if user_namespace:
        other.map_ids((0, 100000, 65536))
    other.add_namespace("pid", f"/proc/{container.pid}/ns/pid")
    # A procfs of a PID namespace that another user namespace owns cannot be mounted.
    other.config["mounts"] = [each for each in other.config["mounts"] if each["type"] != "proc" or not user_namespace]
    for _ in range(FEWER_ROUNDS):
        runtime.run(other, "spawn", "1").check()
    seen = stop(container)
    assert_harmless(seen)
    assert seen.get("exe", set()) <= {"/init"}


@pytest.mark.needs_userns
def test_the_process_that_enters_belongs_to_nobody_in_the_container(runtime: Runtime, bundle: Bundle) -> None:
    """Its files in /proc are those of the root of the host, whom the container knows as nobody, until it executes."""
    bundle.map_ids((0, 100000, 65536))
    container = runtime.create(bundle, "pause")
    assert os.stat(f"/proc/{container.pid}/fd").st_uid == 0
    container.start()
    container.read_until("ready")
    assert os.stat(f"/proc/{container.pid}/fd").st_uid == 100000
