"""Host and domain names, and what the program is started with: user, groups, umask, working directory, environment."""

from __future__ import annotations

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def test_the_hostname_is_that_of_the_configuration(runtime: Runtime, bundle: Bundle) -> None:
    bundle.config["hostname"] = "box"
    assert runtime.probe(bundle, "uts")["hostname"] == "box"


def test_a_created_container_waits_for_start(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "pids", ";", "pause")
    assert container.status == "created"
    container.start()
    assert container.read_value()["pid"] == 1
    assert container.read_line() == "ready"
    assert container.probe("pids")["pid"] != 1
    container.kill("KILL")
    assert container.wait() == -9
    container.delete()
