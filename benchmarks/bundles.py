"""The bundles of the benchmark: one root filesystem with a static busybox, and a configuration for each case."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess

from benchmarks.commands import BenchmarkError
from benchmarks.docker_like_profile import profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from benchmarks.commands import Runtime

# Old runtimes refuse a later version; nothing that is measured here is newer.
OCI_VERSION = "1.0.2"
TRUE = ["true"]
SLEEP = ["sleep", "100000"]

_DYNAMIC_LINKER = b"/ld-"  # the end of its folder and the begin of its name on every architecture
_FOLDERS = ("bin", "dev", "etc", "proc", "sys", "tmp")
_LINKS = ("sh", "sleep", "true")


class Bundles:
    """Makes bundles below *work*. They start from what the runtime itself writes as its default configuration."""

    __slots__ = ("_default", "_work", "seccomp", "sleep", "true")

    def __init__(self, work: str, runtime: Runtime) -> None:
        self._work = work
        _make_root_filesystem(f"{work}/rootfs")
        self._default = self._ask_default(runtime)
        self.true = self.write("true", self.config(TRUE))
        self.sleep = self.write("sleep", self.config(SLEEP))
        seccomp = self.config(TRUE)
        seccomp["linux"]["seccomp"] = profile()
        self.seccomp = self.write("seccomp", seccomp)

    def _ask_default(self, runtime: Runtime) -> dict[str, Any]:
        folder = f"{self._work}/default"
        os.mkdir(folder)
        answer = subprocess.run([runtime.path, "spec"], cwd=folder, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            raise BenchmarkError(f"{runtime.path} spec: {answer.stderr.strip()}")
        with open(f"{folder}/config.json") as file:
            default: dict[str, Any] = json.load(file)
        return default

    def config(self, args: list[str]) -> dict[str, Any]:
        """A new copy of the default configuration, for this program and without a terminal."""
        config = copy.deepcopy(self._default)
        config["ociVersion"] = OCI_VERSION
        config["root"]["path"] = f"{self._work}/rootfs"
        config["process"]["terminal"] = False
        config["process"]["args"] = args
        return config

    def write(self, name: str, config: dict[str, Any]) -> str:
        """Writes a bundle and returns its path."""
        path = f"{self._work}/bundle-{name}"
        os.makedirs(path, exist_ok=True)
        with open(f"{path}/config.json", "w") as file:
            json.dump(config, file, indent=1)
        return path


def _make_root_filesystem(path: str) -> None:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise BenchmarkError("no busybox: install busybox-static")
    with open(busybox, "rb") as file:
        if _DYNAMIC_LINKER in file.read(4096):
            raise BenchmarkError(f"{busybox} is not static: install busybox-static")
    for folder in _FOLDERS:
        os.makedirs(f"{path}/{folder}")
    shutil.copy(busybox, f"{path}/bin/busybox")
    for link in _LINKS:
        os.symlink("busybox", f"{path}/bin/{link}")
