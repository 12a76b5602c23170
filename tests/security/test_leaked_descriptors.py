"""What a created container has open while it waits for start, perhaps for days: nothing of the host's."""

from __future__ import annotations

import os

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def targets(pid: int) -> dict[int, str]:
    directory = f"/proc/{pid}/fd"
    return {int(name): os.readlink(f"{directory}/{name}") for name in os.listdir(directory)}


def test_a_waiting_process_has_stdio_and_a_socket_alone(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["maskedPaths"] = ["/proc/keys", "/proc/sys"]
    bundle.linux["sysctl"] = {"net.ipv4.ping_group_range": "1 2"}
    bundle.config["hooks"] = {"startContainer": [{"path": "/init"}]}
    container = runtime.create(bundle)
    found = targets(container.pid)
    others = [target for fd, target in found.items() if fd > 2]
    assert len(others) == 1
    assert others[0].startswith("socket:[")
    for fd in range(3):
        assert found[fd].startswith(("pipe:[", "/memfd:test-", "/null"))


def test_a_waiting_process_has_no_environment_and_no_memory_of_the_runtime(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle)
    with open(f"/proc/{container.pid}/environ", "rb") as file:
        assert file.read() == b""
    assert os.readlink(f"/proc/{container.pid}/exe") == "/memfd:ocirt-init (deleted)"


def test_the_command_leaves_no_descriptor_in_a_running_program(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.start_paused_program(bundle)
    assert targets(container.pid).keys() == {0, 1, 2}
