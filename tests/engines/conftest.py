"""Fixtures of the tests below container engines.

Every test runs twice, with ocirt and with runc: what it asserts of exit status and output is so with either. Where an
engine is missing, its tests are skipped with the name of its package.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from host_view import Orphans, cgroup_mounts, unmount
from support import OCIRT

from engines.engine import IMAGE, Daemon, Engine, eventually, make_archive, make_rootfs, ulimits
from engines.recipes import file_of

#: Program -> the Debian package that it comes from.
PACKAGES = {
    "podman": "podman",
    "buildah": "buildah",
    "containerd": "containerd",
    "dockerd": "docker.io",
    "runc": "runc",
    "busybox": "busybox-static",
    "crictl": "cri-tools",
}


#: The namespace of containerd, which is the name of a cgroup as well.
NAMESPACE = "ocirt-boxes"
#: The image of the container that keeps the namespaces of a pod.
PAUSE = "localhost/pause:latest"


def need(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs the package {PACKAGES[program]}")


def need_metrics() -> None:
    """containerd's shim reads nothing of a container's cgroups when one of the hierarchies is mounted nowhere."""
    mounted = {name for _, controllers in cgroup_mounts() for name in controllers}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if missing := set(filter(None, line.split(":")[1].split(","))) - mounted:
            pytest.skip(f"needs the cgroup hierarchy of {', '.join(sorted(missing))} to be mounted")


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image, as ``docker save`` writes it."""
    need("busybox")
    folder = tmp_path_factory.mktemp("image")
    make_rootfs(folder / "rootfs")
    make_archive(folder / "rootfs", folder / "image.tar")
    return folder / "image.tar"


@pytest.fixture(scope="module", params=["ocirt", "runc"])
def oci_runtime(request: pytest.FixtureRequest) -> Path:
    """The runtime below the engine."""
    if request.param == "ocirt":
        return OCIRT
    need("runc")
    return Path(str(shutil.which("runc")))


class Remains:
    """What an engine leaves behind: mounts below its folder and empty cgroups of its own, which are taken away, but no
    process and no cgroup that is in use."""

    def __init__(self, folder: Path, orphans: Orphans, *cgroups: str) -> None:
        self._folder = folder
        self._orphans = orphans
        paths = [mount_point / name for mount_point, _ in cgroup_mounts() for name in cgroups]
        self._cgroups = [path for path in paths if not path.exists()]
        self._living = orphans.living()

    def remove(self) -> None:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        for point in reversed([line.split()[4] for line in lines]):
            if Path(point).is_relative_to(self._folder):
                unmount(point)
        eventually(lambda: not self._left(), "the end of what the engine has started")
        for cgroup in self._cgroups:
            for path in sorted(cgroup.rglob("*/"), reverse=True):
                path.rmdir()
            if cgroup.exists():
                cgroup.rmdir()

    def _left(self) -> set[int]:
        return self._orphans.living().keys() - self._living.keys() - Daemon.running


# -- podman and buildah ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def containers_conf(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Writes a containers.conf for a runtime."""
    folder = tmp_path_factory.mktemp("containers")

    def write(runtime: Path) -> Path:
        limits = ", ".join(f'"{name}={value}:{value}"' for name, value in ulimits().items())
        ours = f'[engine]\nevents_logger = "file"\ninfra_image = "{PAUSE}"\n'
        path = folder / f"{runtime.name}.conf"
        path.write_text(
            file_of("podman", "toml", runtime).replace("[engine]\n", ours)
            + f"[containers]\ndefault_ulimits = [{limits}]\n"
        )
        return path

    return write


@pytest.fixture(scope="module")
def podman_store(
    oci_runtime: Path,
    archive: Path,
    orphans: Orphans,
    tmp_path_factory: pytest.TempPathFactory,
    containers_conf: Callable[[Path], Path],
) -> Iterator[Engine]:
    need("podman")
    folder = tmp_path_factory.mktemp("podman")
    words = ["podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp"]
    words += ["--cgroup-manager", "cgroupfs"]
    podman = Engine(oci_runtime, words, {"CONTAINERS_CONF": str(containers_conf(oci_runtime))})
    remains = Remains(folder, orphans, "libpod_parent")
    podman.checked("load", "--quiet", "--input", str(archive))
    podman.checked("create", "--name", "pause", "--network", "none", IMAGE)
    program = ("--change", 'ENTRYPOINT ["/bin/sleep"]', "--change", 'CMD ["1000"]')
    podman.checked("commit", "--quiet", *program, "pause", PAUSE)
    podman.checked("rm", "pause")
    yield podman
    # A clean-up that podman has left to itself may still write its events.
    eventually(lambda: podman("system", "reset", "--force").status == 0, "the reset of podman")
    remains.remove()


@pytest.fixture
def podman(podman_store: Engine) -> Iterator[Engine]:
    """podman with a store of its own. After the test all containers and pods are removed."""
    yield podman_store
    podman_store.checked("pod", "rm", "--force", "--time", "0", "--all")
    podman_store.checked("rm", "--force", "--time", "0", "--all")


@pytest.fixture
def buildah(
    oci_runtime: Path, archive: Path, orphans: Orphans, tmp_path: Path, containers_conf: Callable[[Path], Path]
) -> Iterator[Engine]:
    """buildah with a store of its own, which has the image."""
    need("buildah")
    words = ["buildah", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run"]
    buildah = Engine(oci_runtime, words, {"CONTAINERS_CONF": str(containers_conf(oci_runtime))})
    remains = Remains(tmp_path, orphans)
    buildah.checked("pull", "--quiet", f"docker-archive:{archive}")
    yield buildah
    buildah.checked("rm", "--all")
    remains.remove()


# -- containerd --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def containerd(archive: Path, orphans: Orphans, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A containerd that has the image; the path of its socket."""
    need("containerd")
    folder = tmp_path_factory.mktemp("ctd")
    address = folder / "c.sock"
    config = folder / "config.toml"
    config.write_text(
        f'root = "{folder}/root"\nstate = "{folder}/state"\n{file_of("containerd", "toml", OCIRT)}'
        f'[grpc]\naddress = "{address}"\n[ttrpc]\naddress = "{address}.ttrpc"\n'
    )
    ctr = Engine(OCIRT, ["ctr", "--address", str(address), "--namespace", NAMESPACE])
    remains = Remains(folder, orphans, NAMESPACE)
    daemon = Daemon(["containerd", "--config", str(config)], folder / "log")
    try:
        daemon.wait_until(lambda: ctr("version").status == 0)
        ctr.checked("images", "import", str(archive))
        yield address
    finally:
        daemon.stop()
        remains.remove()


class Ctr(Engine):
    """ctr(8), whose ``run`` is told which runtime to take and where that keeps its state."""

    def __init__(self, runtime: Path, address: Path, root: Path) -> None:
        self.config = address.with_name("config.toml")
        super().__init__(runtime, ["ctr", "--address", str(address), "--namespace", NAMESPACE])
        self.run = ("run", "--runc-binary", str(runtime), "--runc-root", str(root))

    def status(self, name: str) -> str:
        lines = self.checked("tasks", "ls").splitlines()[1:]
        return next((line.split()[2] for line in lines if line.split()[0] == name), "")


@pytest.fixture
def ctr(oci_runtime: Path, containerd: Path, tmp_path: Path) -> Iterator[Ctr]:
    """ctr beside its containerd. After the test all tasks and containers are removed, and the runtime has none."""
    ctr = Ctr(oci_runtime, containerd, tmp_path / "state")
    yield ctr
    for name in ctr.checked("tasks", "ls", "--quiet").split():
        ctr.checked("tasks", "rm", "--force", name)
    for name in ctr.checked("containers", "ls", "--quiet").split():
        ctr.checked("containers", "rm", name)
    state = tmp_path / "state" / NAMESPACE
    assert not state.exists() or [path.name for path in state.iterdir() if path.name != "@seccomp"] == []


# -- docker ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def docker(
    oci_runtime: Path, archive: Path, orphans: Orphans, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """docker with a dockerd of its own, whose default is the runtime."""
    need("dockerd")
    folder = tmp_path_factory.mktemp("docker")
    socket = f"unix://{folder}/d.sock"
    config = {
        **json.loads(file_of("docker", "json", OCIRT)),
        "default-runtime": oci_runtime.name,
        "cgroup-parent": "/ocirt-docker",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "data-root": f"{folder}/data",
        "exec-root": f"{folder}/exec",
        "pidfile": f"{folder}/pid",
        "hosts": [socket],
        "userland-proxy": False,
    }
    (folder / "daemon.json").write_text(json.dumps(config))
    docker = Engine(oci_runtime, ["docker", "--host", socket], {"DOCKER_BUILDKIT": "0", "DOCKER_CONFIG": str(folder)})
    remains = Remains(folder, orphans, "ocirt-docker")
    daemon = Daemon(["dockerd", "--config-file", f"{folder}/daemon.json"], folder / "log")
    docker.env.update(DOCKERD_PID=str(daemon.pid), EXEC_ROOT=f"{folder}/exec")
    try:
        daemon.wait_until(lambda: docker("info").status == 0)
        docker.checked("load", "--quiet", "--input", str(archive))
        yield docker
        docker.checked("container", "prune", "--force")
    finally:
        daemon.stop()
        remains.remove()
