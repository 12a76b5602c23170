"""A whole distribution as the root filesystem: what its own programs meet in a container."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from support import SHM, SYSFS, Bundle, Runtime, open_path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.needs_root,
    pytest.mark.needs_userns,
    pytest.mark.needs_program("debootstrap"),
]

RELEASE = "bookworm"
#: Where the packages come from, if not from where debootstrap(8) takes them; seconds that fetching them may take.
MIRROR = os.environ.get("OCIRT_TEST_DEBIAN_MIRROR", "")
FETCHING = 600
FIRST_HOST_ID, IDS = 100000, 65536


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The least that Debian calls a system. Its files are never written to: containers get it read-only."""
    root = tmp_path_factory.mktemp("debian") / "root"
    words = ["debootstrap", "--variant=minbase", RELEASE, str(root), *([MIRROR] if MIRROR else [])]
    result = subprocess.run(words, capture_output=True, text=True, timeout=FETCHING)
    if result.returncode != 0:
        last = (result.stdout + result.stderr).strip().splitlines()[-1:]
        shutil.rmtree(root, ignore_errors=True)
        pytest.skip(f"needs packages of Debian: debootstrap says {last}")
    open_path(root)
    return root


@pytest.fixture(params=["the host's users", "a user namespace"])
def system(request: pytest.FixtureRequest, debian: Path, bundle: Bundle) -> Bundle:
    bundle.config["root"] = {"path": str(debian), "readonly": True}
    bundle.config["mounts"] += [SHM, SYSFS, {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"}]
    bundle.process["env"] = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TERM=dumb", "HOME=/tmp"]
    if request.param == "a user namespace":
        bundle.map_ids((0, FIRST_HOST_ID, IDS))
    return bundle


def out(runtime: Runtime, system: Bundle, *args: str) -> str:
    system.process["args"] = list(args)
    return runtime.run(system).check().out


def test_the_shell_runs_pipelines(runtime: Runtime, system: Bundle) -> None:
    script = "set -e; cd /tmp; for n in 3 1 2; do echo $n; done | sort >list; echo $(cat list) $(wc -l <list)"
    assert out(runtime, system, "bash", "-c", script) == "1 2 3 3\n"


def test_the_package_manager_tells_its_version(runtime: Runtime, system: Bundle) -> None:
    assert re.match(r"apt \d+\.\d+", out(runtime, system, "apt-get", "--version"))


def test_the_package_database_is_whole(runtime: Runtime, system: Bundle) -> None:
    assert out(runtime, system, "dpkg", "--audit") == ""
    assert "ii  bash" in out(runtime, system, "dpkg", "-l", "bash")


def test_perl_forks_and_reads_the_system(runtime: Runtime, system: Bundle) -> None:
    script = 'my $pid = fork; exit 7 unless $pid; waitpid $pid, 0; print $? >> 8, " $> ", (getpwuid $>)[0], "\\n";'
    assert out(runtime, system, "perl", "-e", script) == "7 0 root\n"


def test_a_program_changes_its_user(runtime: Runtime, system: Bundle) -> None:
    assert out(runtime, system, "setpriv", "--reuid=33", "--regid=33", "--clear-groups", "id", "-un") == "www-data\n"


def test_the_root_filesystem_stays_as_it_is(runtime: Runtime, system: Bundle, debian: Path) -> None:
    system.process["args"] = ["bash", "-c", "echo x >/etc/made"]
    result = runtime.run(system)
    assert result.status == 1
    assert "Read-only file system" in result.err
    assert not (debian / "etc/made").exists()
