"""containerd's CRI plugin, what kubelet speaks to, by crictl: pods whose RuntimeClass is ocirt, and such of runc."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from host_view import Orphans
from support import OCIRT

from engines.conftest import PAUSE, Remains, need, need_metrics
from engines.engine import IMAGE, Daemon, Engine, eventually, make_archive, make_rootfs
from engines.recipes import file_of

pytestmark = [pytest.mark.needs_root, pytest.mark.needs_program("iptables")]

CGROUP = "ocirt-cri"
PLUGINS = Path("/usr/lib/cni")
SLEEP = ("sleep", "1000")


class Crictl(Engine):
    """crictl(1) in the network of its containerd, where the streams of exec are served."""

    def __init__(self, runtime: Path, daemon: Daemon, folder: Path, documents: Path) -> None:
        self.folder = documents
        inside = ["nsenter", "--net", f"--target={daemon.pid}"]
        super().__init__(runtime, [*inside, "crictl", f"--config={folder}/crictl.yaml", "--timeout=60s"])

    def pod(self, name: str = "pod", **config: Any) -> str:
        """Runs a pod sandbox with the runtime; its id."""
        return self.checked("runp", f"--runtime={self.runtime.name}", str(self.described(name, **config)))

    def described(self, name: str, **config: Any) -> Path:
        path = self.folder / f"{name}.json"
        metadata = {"name": name, "namespace": "default", "uid": f"{name}-uid", "attempt": 1}
        document = {"metadata": metadata, "hostname": name, "log_directory": str(self.folder / "logs")}
        path.write_text(json.dumps({**document, "linux": {"cgroup_parent": f"/{CGROUP}"}, **config}))
        return path

    def container(self, pod: str, *command: str, name: str = "box", of: str = "pod", **config: Any) -> str:
        """Creates a container in that pod; its id."""
        path = self.folder / f"{of}-{name}.json"
        document = {
            "metadata": {"name": name},
            "image": {"image": IMAGE},
            "command": command,
            "log_path": f"{name}.log",
        }
        path.write_text(json.dumps({**document, **config}))
        return self.checked("create", pod, str(path), str(self.folder / f"{of}.json"))

    def started(self, pod: str, *command: str, **config: Any) -> str:
        container = self.container(pod, *(command or SLEEP), **config)
        self.checked("start", container)
        return container

    def status(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.checked("inspect", container))["status"]
        return found

    def address(self, pod: str) -> str:
        return str(json.loads(self.checked("inspectp", pod))["status"]["network"]["ip"])

    def ended(self, container: str) -> dict[str, Any]:
        eventually(lambda: self.status(container)["state"] == "CONTAINER_EXITED", "the end of the container")
        return self.status(container)


def write_configuration(folder: Path) -> None:
    """The page's configuration, with a network and an image for sandboxes; and runc beside it."""
    plugin = 'plugins."io.containerd.grpc.v1.cri"'
    page = file_of("containerd", "toml", OCIRT)
    beside = file_of("containerd", "toml", Path(shutil.which("runc") or "/nowhere/runc"))
    (folder / "config.toml").write_text(
        f'root = "{folder}/root"\nstate = "{folder}/state"\n{page}{beside.replace("version = 2", "")}'
        f'[{plugin}]\nsandbox_image = "{PAUSE}"\nrestrict_oom_score_adj = true\n'
        f'[{plugin}.cni]\nbin_dir = "{PLUGINS}"\nconf_dir = "{folder}/net.d"\n'
        f'[grpc]\naddress = "{folder}/c.sock"\n[ttrpc]\naddress = "{folder}/t.sock"\n'
    )
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.77.0.0/16"}]], "dataDir": f"{folder}/addresses"}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipam": {**ipam, "routes": [{"dst": "0.0.0.0/0"}]}}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    (folder / "crictl.yaml").write_text(
        f"runtime-endpoint: unix://{folder}/c.sock\nimage-endpoint: unix://{folder}/c.sock\n"
    )
    (folder / "net.d").mkdir()
    network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}
    (folder / "net.d/10-pods.conflist").write_text(json.dumps(network))


@pytest.fixture(scope="module")
def cri(archive: Path, orphans: Orphans, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Daemon, Path]]:
    """A containerd with its CRI plugin, which has the image, and its folder."""
    need("containerd", "crictl")
    if not (PLUGINS / "bridge").exists():
        pytest.skip("needs the package containernetworking-plugins")
    folder = tmp_path_factory.mktemp("cri")
    write_configuration(folder)
    make_rootfs(folder / "rootfs")
    make_archive(folder / "rootfs", folder / "pause.tar", PAUSE, ("/bin/sleep", "100000"))
    remains = Remains(folder, orphans, CGROUP, "k8s.io")
    daemon = Daemon(["containerd", "--config", f"{folder}/config.toml"], folder / "log")
    ctr = Engine(OCIRT, ["ctr", "--address", f"{folder}/c.sock", "--namespace", "k8s.io"])
    crictl = Crictl(OCIRT, daemon, folder, folder)
    try:
        daemon.wait_until(lambda: ctr("version").status == 0 and crictl("info").status == 0)
        for path in (archive, folder / "pause.tar"):
            ctr.checked("images", "import", str(path))
        eventually(lambda: crictl("inspecti", PAUSE).status == 0 == crictl("inspecti", IMAGE).status, "the images")
        yield daemon, folder
    finally:
        daemon.stop()
        remains.remove()


@pytest.fixture
def crictl(oci_runtime: Path, cri: tuple[Daemon, Path], tmp_path: Path) -> Iterator[Crictl]:
    """crictl beside its containerd. After the test all pods are removed."""
    crictl = Crictl(oci_runtime, *cri, tmp_path)
    yield crictl
    crictl.checked("rmp", "--all", "--force")
    assert crictl.checked("ps", "--all", "--quiet") == ""


def test_a_runtime_class_names_the_runtime_of_the_configuration(crictl: Crictl) -> None:
    (handler,) = re.findall("^handler: (.*)$", file_of("Kubernetes", "yaml", crictl.runtime), re.MULTILINE)
    assert handler == crictl.runtime.name
    refused = crictl("runp", "--runtime=nosuch", str(crictl.described("pod")))
    assert refused.status == 1
    assert r"no runtime for \"nosuch\" is configured" in refused.err
    pod = crictl.pod()
    assert json.loads(crictl.checked("inspectp", pod))["status"]["runtimeHandler"] == handler


def test_a_container_has_what_its_pod_and_its_configuration_say(crictl: Crictl) -> None:
    pod = crictl.pod()
    script = "echo $A $FOO $(pwd) $(id -u) $(cat /proc/sys/kernel/hostname); echo err >&2; exit 42"
    more = {"envs": [{"key": "A", "value": "1"}], "working_dir": "/home/user"}
    user = {"security_context": {"run_as_user": {"value": 1000}}}
    box = crictl.started(pod, "sh", "-c", script, **more, linux=user)
    assert crictl.ended(box)["exitCode"] == 42
    assert crictl("logs", box) == (0, "1 bar /home/user 1000 pod\n", "err\n")


def test_exec_has_the_streams_and_the_status_of_the_process(crictl: Crictl) -> None:
    box = crictl.started(crictl.pod())
    assert crictl.checked("exec", "--sync", box, "echo", "in") == "in"
    done = crictl("exec", "--interactive", box, "sh", "-c", "cat; echo err >&2; exit 9", stdin="data\n")
    assert (done.status, done.out) == (1, "data\n")
    assert done.err.startswith("err\n")
    assert "exit code 9" in done.err
    done = crictl.on_terminal("exec", "-it", box, "sh", "-c", "tty")
    assert done.out.splitlines()[-1] == "/dev/pts/0"


@pytest.mark.parametrize(
    ("program", "text"),
    [("nosuch", "executable file not found in $PATH"), ("/etc/text", "permission denied")],
)
def test_a_program_that_cannot_be_executed_is_named(crictl: Crictl, program: str, text: str) -> None:
    box = crictl.container(crictl.pod(), program)
    done = crictl("start", box)
    assert done.status == 1
    assert program in done.err
    assert text in done.err
    status = crictl.status(box)
    assert (status["state"], status["exitCode"], status["reason"]) == ("CONTAINER_EXITED", 128, "StartError")


def test_the_containers_of_a_pod_share_its_network(crictl: Crictl) -> None:
    pod = crictl.pod()
    serve = "mkdir /tmp/w && echo page >/tmp/w/index.html && exec httpd -f -p 80 -h /tmp/w"
    crictl.started(pod, "sh", "-c", serve)
    beside = crictl.started(pod, name="beside")
    fetch = ("wget", "-q", "-O", "-")
    here = ("exec", "--sync", beside, *fetch, "http://127.0.0.1/index.html")
    eventually(lambda: crictl(*here).out.rstrip() == "page", "the server")
    address = crictl.address(pod)
    elsewhere = crictl.started(crictl.pod("other"), of="other")
    assert crictl.checked("exec", "--sync", elsewhere, *fetch, f"http://{address}/index.html") == "page"
    assert crictl("exec", "--sync", elsewhere, *fetch, "http://127.0.0.1/index.html").status != 0


@pytest.mark.needs_cgroup1
def test_limits_are_in_force_and_can_be_updated(crictl: Crictl) -> None:
    resources = {"memory_limit_in_bytes": 67108864, "cpu_quota": 50000, "cpu_period": 100000}
    box = crictl.started(crictl.pod(), linux={"resources": resources})
    names = ("memory/memory.limit_in_bytes", "cpu/cpu.cfs_quota_us")
    read = ("exec", "--sync", box, "cat", *(f"/sys/fs/cgroup/{name}" for name in names))
    assert crictl.checked(*read).split() == ["67108864", "50000"]
    crictl.checked("update", "--memory=134217728", "--cpu-quota=25000", "--cpu-period=100000", box)
    assert crictl.checked(*read).split() == ["134217728", "25000"]


def test_stats_show_what_a_container_uses(crictl: Crictl) -> None:
    need_metrics()
    box = crictl.started(crictl.pod())
    (stats,) = json.loads(crictl.checked("stats", "--output=json", box))["stats"]
    assert int(stats["memory"]["workingSetBytes"]["value"]) > 0


def test_a_stopped_pod_ends_its_containers_and_leaves_no_state(crictl: Crictl, oci_runtime: Path) -> None:
    pod = crictl.pod()
    trap = "trap 'exit 17' TERM; echo ready; while :; do sleep 0.1; done"
    box = crictl.started(pod, "sh", "-c", trap)
    eventually(lambda: crictl.checked("logs", box) == "ready", "the trap")
    crictl.checked("stop", "--timeout=30", box)
    assert crictl.status(box)["exitCode"] == 17
    killed = crictl.started(pod, name="killed")
    crictl.checked("stopp", pod)
    assert crictl.ended(killed)["exitCode"] == 137
    crictl.checked("rmp", pod)
    assert crictl.checked("pods", "--quiet") == ""
    assert Engine(oci_runtime, [str(oci_runtime), "--root", "/run/containerd/runc/k8s.io"]).checked("list", "-q") == ""
