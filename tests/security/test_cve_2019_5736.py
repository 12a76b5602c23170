"""CVE-2019-5736 (runc before 1.0.0-rc7, crun, LXC): the container overwrites the runtime.

``#!/proc/self/exe`` as a program makes the runtime execute its own file again, inside the container, whose root
keeps it open and writes into it when it has ended. Here the process that enters is a copy of ocirt-init in memory,
sealed against every change. That the hostile program can do what it wants to do is seen at a program of the
container's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support import OCIRT, Bundle, Runtime

import ocirt
from security.attack import install

pytestmark = pytest.mark.needs_root

ROUNDS = 60


def assert_not_owned() -> None:
    """Nothing that is executed or imported when the command runs has been written into."""
    package = Path(ocirt.__file__).parent
    for path in [OCIRT, Path(sys.executable).resolve(), *package.rglob("*")]:
        if path.is_file():
            with path.open("rb") as file:
                assert file.read(5) != b"OWNED", path


def evil(bundle: Bundle) -> None:
    bundle.write("/evil", "#!/proc/self/exe\n", 0o755)


def test_a_program_that_is_the_runtime_itself_runs_nothing_of_the_host(runtime: Runtime, bundle: Bundle) -> None:
    evil(bundle)
    bundle.process["args"] = ["/evil"]
    result = runtime.run(bundle)
    assert (result.status, result.out) == (2, "")
    assert result.err == "ocirt-init is started by ocirt, with the number of its channel\n"
    assert_not_owned()


def test_nothing_that_enters_the_container_can_be_overwritten(
    runtime: Runtime, bundle: Bundle, program: Callable[[str], Path]
) -> None:
    evil(bundle)
    install(bundle, program("overwrite"), "overwrite")
    install(bundle, bundle.rootfs / "init", "prey")
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_PTRACE")
    bundle.process["args"] = ["/overwrite"]
    container = runtime.start(bundle)
    container.read_until("ready")
    for _ in range(ROUNDS):
        assert container.exec("/evil").status == 2
        container.exec("/prey")  # fails once it has been overwritten
    container.kill("KILL")
    container.wait()
    said = container.read_rest().splitlines()
    assert "opened /memfd:ocirt-init (deleted)" in said, "it has never met the runtime"
    assert [line for line in said if line.startswith("written")] == ["written /prey"]
    assert_not_owned()


def test_the_process_of_a_created_container_maps_no_file_of_the_host(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pause")
    lines = Path(f"/proc/{container.pid}/maps").read_text().splitlines()
    mapped = {line.split(None, 5)[5] for line in lines if "/" in line}
    assert mapped == {"/memfd:ocirt-init (deleted)", "/memfd:ocirt-plan (deleted)", "/memfd:ocirt-clock (deleted)"}
