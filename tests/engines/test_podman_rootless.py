"""podman of an ordinary user, who is root in a user namespace, with ocirt below it as with runc."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host_view import MS_BIND, Orphans, mount, unmount
from support import open_path

from engines.conftest import Remains, need
from engines.engine import IMAGE, NOT_EXECUTABLE, Engine, eventually

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_userns, pytest.mark.needs_program("newuidmap")]

USER = 1000
AS_USER = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups")
RUN = ("run", "--network", "none")
SLEEP = ("sleep", "1000")


@pytest.fixture(scope="module")
def subordinate_ids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """65536 ids for the user, in the files of this mount namespace."""
    table = tmp_path_factory.mktemp("ids") / "table"
    table.write_text(f"{USER}:100000:65536\n")
    files = [Path(name) for name in ("/etc/subuid", "/etc/subgid")]
    for file in files:
        if not file.exists():
            pytest.skip(f"needs {file}")
        mount(str(table), file, None, MS_BIND)
    yield
    for file in files:
        unmount(file)


@pytest.fixture(scope="module")
def podman(
    oci_runtime: Path,
    archive: Path,
    orphans: Orphans,
    subordinate_ids: None,
    tmp_path_factory: pytest.TempPathFactory,
    containers_conf: Callable[[Path], Path],
) -> Iterator[Engine]:
    need("podman")
    folder = tmp_path_factory.mktemp("rootless")
    os.chown(folder, USER, USER)
    shutil.copy(archive, folder / "image.tar")
    shutil.copy(containers_conf(oci_runtime), folder / "containers.conf")
    for path in (folder, folder / "image.tar", folder / "containers.conf"):
        path.chmod(0o755)
    open_path(folder)
    called = subprocess.run([*AS_USER, str(oci_runtime), "--version"], cwd="/", capture_output=True, text=True)
    if called.returncode != 0:
        pytest.skip(f"needs an installation that uid {USER} can read: {called.stderr.strip()}")
    words = [*AS_USER, "podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp"]
    words += ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    places = {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder), "CONTAINERS_CONF": f"{folder}/containers.conf"}
    podman = Engine(oci_runtime, ["env", "--chdir=/", *words], places)
    remains = Remains(folder, orphans)
    podman.checked("load", "--quiet", "--input", f"{folder}/image.tar")
    yield podman
    podman.checked("system", "reset", "--force")
    pause = folder / "libpod/tmp/pause.pid"
    for path in (pause, *folder.rglob("pause.pid")):
        if path.exists():
            os.kill(int(path.read_text()), 9)
            break
    remains.remove()


@pytest.fixture(autouse=True)
def empty(podman: Engine) -> Iterator[None]:
    yield
    podman.checked("rm", "--force", "--time", "0", "--all")


def test_a_user_is_root_in_a_container(podman: Engine) -> None:
    script = "id -u; cat /proc/self/uid_map; chown 1000:1000 /tmp && stat -c %u /tmp; exit 42"
    done = podman(*RUN, "--rm", IMAGE, "sh", "-c", script)
    assert done.status == 42
    assert done.out.split() == ["0", "0", str(USER), "1", "1", "100000", "65536", "1000"]


@pytest.mark.parametrize(("program", "expected", "text"), NOT_EXECUTABLE)
def test_a_program_that_cannot_be_executed_is_told_by_the_exit_status(
    podman: Engine, program: str, expected: int, text: str
) -> None:
    done = podman(*RUN, "--rm", IMAGE, program)
    assert (done.status, done.out) == (expected, "")
    assert text in done.err


def test_a_container_stays_takes_exec_and_is_stopped(podman: Engine) -> None:
    podman.checked(*RUN, "--detach", "--name", "box", IMAGE, *SLEEP)
    assert podman.checked("exec", "--user", "user", "box", "id", "-u") == "1000"
    podman.checked("stop", "--time", "0", "box")
    status = ("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "box")
    eventually(lambda: podman.checked(*status) == "exited 137", "the end of the container")
