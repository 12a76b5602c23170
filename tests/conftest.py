"""Fixtures and markers of all tests.

``runtime`` and ``bundle`` are what a test on a real container takes: see support.py. What a test needs is said by
markers, and a test whose needs the machine does not meet is skipped with the reason; the end of the run counts them::

    needs_root            the host's root, not that of a user namespace
    needs_userns          user namespaces           needs_capability("SYS_RESOURCE")   root may lack some in a sandbox
    needs_cgroup1         a v1 hierarchy            needs_controller("pids")   that controller, in whichever version
    needs_cgroup2         cgroup v2 and no v1
    needs_kernel("6.3")   that kernel or a later one
    needs_program("ss")   a program on the PATH
    needs_filesystem("overlay")
    needs_criu            a criu that works on this kernel; needs_criu("mem_dirty_track"): with that feature
    needs_apparmor        AppArmor, and the program that loads its profiles
    slow                  runs with --slow only
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from cgroup_tree import left_cgroups, remove_tree
from host_view import (
    CAPABILITY_NUMBERS,
    MS_SHARED,
    Leftovers,
    Orphans,
    cgroup_mounts,
    enter_own_mount_namespace,
    mount,
    under_reaper,
    unmount,
)
from support import OCIRT, USER, Bundle, Runtime, open_path
from systemd_view import systemctl
from terminal_view import Console

_INIT_SOURCES = Path(__file__).parent / "container_init"


# -- what tests need ---------------------------------------------------------------------------------------------------


def _root() -> str | None:
    if os.geteuid() != 0:
        return "needs root"
    if Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"]:
        return "needs the root of the host, not that of a user namespace"
    return None


def _capability(name: str) -> str | None:
    number = CAPABILITY_NUMBERS[f"CAP_{name}"]
    status = Path("/proc/self/status").read_text()
    (effective,) = (line.split()[1] for line in status.splitlines() if line.startswith("CapEff:"))
    return None if int(effective, 16) >> number & 1 else f"needs CAP_{name}"


@cache
def _userns() -> str | None:
    """Whether a process may make one: sysctls, LSMs and build options can forbid it."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(0x10000000) == 0 else 1)
    return None if os.waitpid(pid, 0)[1] == 0 else "needs user namespaces"


def _cgroup1() -> str | None:
    return None if any(controllers for _, controllers in cgroup_mounts()) else "needs a cgroup v1 hierarchy"


def _cgroup2() -> str | None:
    return None if cgroup_mounts() and _cgroup1() else "needs cgroup v2 alone"


def _controller(name: str) -> str | None:
    for point, controllers in cgroup_mounts():
        if name in (controllers or (point / "cgroup.controllers").read_text().split()):
            return None
    return f"needs the cgroup controller {name}"


def _kernel(version: str) -> str | None:
    release = os.uname().release.partition("-")[0].split(".")
    if tuple(map(int, release[:2])) >= tuple(map(int, version.split("."))):
        return None
    return f"needs Linux {version}"


def _program(name: str) -> str | None:
    return None if shutil.which(name) else f"needs the program {name}"


def _filesystem(name: str) -> str | None:
    return None if name in Path("/proc/filesystems").read_text().split() else f"needs the filesystem {name}"


def _apparmor() -> str | None:
    enabled = Path("/sys/module/apparmor/parameters/enabled")
    if not enabled.exists() or enabled.read_text().strip() != "Y":
        return "needs a kernel with AppArmor enabled"
    return _program("apparmor_parser")


@cache
def _criu(*features: str) -> str | None:
    """Whether criu can work here, as it finds by itself."""
    if shutil.which("criu") is None:
        return "needs the program criu"
    # A configuration of the host may name a log file, which would be made here.
    check = ["criu", "check", "--no-default-config"]
    words = [check, *([*check, "--feature", feature] for feature in features)]
    for command in words:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            return f"needs a criu that works on this kernel: `{' '.join(command)}` says no"
    return None


#: Marker -> what it means, and what is missing (None: nothing) for the marker's arguments.
NEEDS: dict[str, tuple[str, Callable[..., str | None]]] = {
    "needs_root": ("the host's root", _root),
    "needs_capability(name)": ("that the tests themselves have a capability", _capability),
    "needs_userns": ("user namespaces", _userns),
    "needs_cgroup1": ("a cgroup v1 hierarchy", _cgroup1),
    "needs_cgroup2": ("cgroup v2 alone", _cgroup2),
    "needs_controller(name)": ("a cgroup controller", _controller),
    "needs_kernel(version)": ("that kernel or a later one", _kernel),
    "needs_program(name)": ("a program on the PATH", _program),
    "needs_filesystem(name)": ("a filesystem that the kernel has", _filesystem),
    "needs_criu(*features)": ("a criu that works on this kernel", _criu),
    "needs_apparmor": ("AppArmor, and the program that loads its profiles", _apparmor),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that are marked slow, too")


def pytest_configure(config: pytest.Config) -> None:
    # Under nohup, or in the background of a shell without job control, these are ignored, and what a test starts would
    # inherit that and pass none of them on.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name, (meaning, _) in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    config.addinivalue_line("markers", "slow: takes longer than all others together; runs with --slow")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, (_, missing) in NEEDS.items():
        for marker in item.iter_markers(name.partition("(")[0]):
            reason = missing(*marker.args)
            if reason is not None:
                pytest.skip(reason)
    if item.get_closest_marker("slow") and not item.config.getoption("--slow"):
        pytest.skip("slow: runs with --slow")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", ()):
        reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1
    if reasons:
        terminalreporter.section("what was skipped, and why")
        for reason, count in reasons.most_common():
            terminalreporter.write_line(f"{count} skipped: {reason}")


# -- fixtures ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def container_init(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The static program that is /init in the root filesystems of the tests, built from tests/container_init."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        pytest.skip("needs a C compiler")
    program = tmp_path_factory.mktemp("container-init") / "init"
    sources = [str(path) for path in sorted(_INIT_SOURCES.glob("*.c"))]
    flags = ["-static", "-O2", "-s", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *flags, "-o", str(program), *sources], check=True)
    program.chmod(0o755)
    return program


@pytest.fixture(scope="session")
def orphans() -> Orphans:
    """From the first test on a real container, the tests see all of what they start and nothing of anybody else's: they
    are in a mount namespace of their own, and orphans have nowhere else to go."""
    if _root() is None:
        enter_own_mount_namespace()
    return under_reaper()


@pytest.fixture
def runtime(tmp_path: Path, orphans: Orphans) -> Iterator[Runtime]:
    """The command with a state directory of its own. When the test is over, its containers are deleted, and then
    nothing may be left behind of them."""
    token = f"ocirt-test-{secrets.token_hex(4)}"
    runtime = Runtime(tmp_path, token, orphans)
    leftovers = Leftovers(token, runtime.root, orphans)
    yield runtime
    try:
        runtime.close()
    finally:
        left = leftovers.found()
        if left:
            leftovers.remove()
    assert left == [], "something is left behind"


@pytest.fixture
def systemd(runtime: Runtime) -> Iterator[Runtime]:
    """The command whose containers' cgroups belong to systemd. No unit may be left behind."""
    runtime.global_words = ["--systemd-cgroup"]
    yield runtime
    runtime.close()
    left = systemctl("list-units", "--all", "--plain", "--no-legend", f"*{runtime.token}*")
    assert left == "", "a unit is left behind"


def command_is_out_of_reach() -> str | None:
    """Why the user cannot execute the command that the tests run; None: the user can."""
    try:
        result = subprocess.run(
            [OCIRT, "--version"], user=USER, group=USER, extra_groups=[], cwd="/", capture_output=True, text=True
        )
    except PermissionError:
        return f"needs an installation that uid {USER} can read: {OCIRT} is not"
    if result.returncode != 0 and ("Permission denied" in result.stderr or "No module named" in result.stderr):
        return f"needs an installation that uid {USER} can read: {OCIRT} says {result.stderr.strip().splitlines()[-1]}"
    return None


@pytest.fixture
def rootless(runtime: Runtime, bundle: Bundle) -> Runtime:
    """The command as the user, with a state directory and a bundle of the user's."""
    reason = command_is_out_of_reach()
    if reason is not None:
        pytest.skip(reason)
    bundle.map_ids((0, USER, 1))
    bundle.linux["namespaces"] = [each for each in bundle.linux["namespaces"] if each["type"] != "network"]
    bundle.add_namespace("network")
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "devpts"]
    runtime.root.mkdir()
    for path in (runtime.root, runtime.root.parent, bundle.path):
        os.chown(path, USER, USER)
    open_path(runtime.root.parent)
    runtime.user = (USER, USER)
    return runtime


@pytest.fixture
def make_bundle(tmp_path: Path, container_init: Path) -> Callable[[str], Bundle]:
    """Makes further bundles, by name."""
    return lambda name: Bundle(tmp_path / name, container_init)


@pytest.fixture
def bundle(make_bundle: Callable[[str], Bundle]) -> Bundle:
    """A bundle whose program is the init of the tests: an ordinary container with its own pid, network, ipc, uts and
    mount namespaces, /proc and /dev."""
    return make_bundle("bundle")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    """A console socket, and who listens there."""
    console = Console(tmp_path / "console.sock")
    yield console
    console.close()


@pytest.fixture
def source(bundle: Bundle) -> Path:
    """A directory of the host, with a file in it."""
    directory = bundle.path / "source"
    directory.mkdir()
    (directory / "file").write_text("of the host")
    return directory


@pytest.fixture
def mount_tmpfs() -> Iterator[Callable[..., None]]:
    """Mounts a tmpfs on the host, with that propagation, until the end of the test."""
    points: list[Path] = []

    def mount_one(point: Path, propagation: int = MS_SHARED) -> None:
        point.mkdir(exist_ok=True)
        mount("tmpfs", point, "tmpfs")
        points.append(point)
        mount(None, point, flags=propagation)

    yield mount_one
    for point in reversed(points):
        unmount(point)


@pytest.fixture
def no_cgroup_is_left() -> Iterator[None]:
    """Of those that tests/cgroup_tree.py makes."""
    yield
    left = left_cgroups()
    for path in left:
        remove_tree(path)
    assert left == []


@pytest.fixture
def children() -> Iterator[list[int]]:
    """Pids of processes that end with the test."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass
