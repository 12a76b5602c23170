"""docs/engines.md: its files are in the fixtures, its commands are run here, and print what the page says."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from support import OCIRT

from engines.conftest import Ctr
from engines.engine import PATIENCE, Engine
from engines.recipes import commands_of

pytestmark = pytest.mark.needs_root


def run(engine: Engine, heading: str) -> None:
    """Runs the commands of a section by a shell, in which the engine's name stands for the engine of the test."""
    commands = commands_of(heading, engine.runtime)
    assert commands
    function = f'{engine.words[0]}() {{ command {shlex.join(engine.words)} "$@"; }}'
    for command, output in commands:
        words = ["sh", "-c", f"{function}\n{command}"]
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=engine.env, timeout=PATIENCE
        )
        assert (done.returncode, done.stdout) == (0, output), (command, done.stderr)


def test_the_commands_for_podman(podman: Engine) -> None:
    run(podman, "podman")


def test_the_commands_for_buildah(buildah: Engine) -> None:
    run(buildah, "buildah")


def test_the_commands_for_docker(docker: Engine) -> None:
    run(docker, "docker")


def test_the_commands_for_containerd(ctr: Ctr) -> None:
    run(ctr, "containerd")


def test_the_configuration_for_kubernetes_gives_containerd_the_runtime(ctr: Ctr) -> None:
    shown = subprocess.run(
        ["containerd", "--config", str(ctr.config), "config", "dump"], capture_output=True, text=True
    )
    table = shown.stdout.partition("containerd.runtimes.ocirt.options]")[2].partition("[")[0]
    assert f'BinaryName = "{OCIRT}"' in table, shown
