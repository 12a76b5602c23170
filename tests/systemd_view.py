"""What systemd says of the units that a container's cgroup belongs to."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cgroup_view import version_of
from support import USER, Container, Runtime

IS_BOOTED = os.path.isdir("/run/systemd/system")


needs_systemd = pytest.mark.skipif(not IS_BOOTED, reason="needs systemd")
needs_user_manager = pytest.mark.skipif(
    not os.path.exists(f"/run/user/{USER}/bus"), reason=f"needs a systemd of the user {USER}"
)


def systemctl(*words: str, user: bool = False) -> str:
    manager = ["--user", f"--machine={pwd.getpwuid(USER).pw_name}@.host"] if user else []
    return subprocess.run(["systemctl", *manager, *words], capture_output=True, text=True, check=True).stdout


def unit_of(container: Container) -> str:
    return f"ocirt-{container.id}.scope"


def shown(unit: str, name: str, *, user: bool = False) -> str:
    return systemctl("show", "--value", "--property", name, unit, user=user).strip()


def cgroup_of(pid: int) -> str:
    """In the hierarchy that systemd calls its own."""
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return next(line.split(":", 2)[2] for line in lines if line.startswith("0::") or ":name=systemd:" in line)


def needs_v2_alone() -> None:
    if version_of("memory") != 2:
        pytest.skip("needs cgroup v2 alone")


def update(runtime: Runtime, container: Container, resources: dict[str, Any]) -> Any:
    return runtime("update", "--resources", "-", container.id, input=json.dumps(resources))
