"""config.json is replaced between create and start: what was checked is not what runs.

"Any changes made to the config.json file after this operation will not have an effect on the container"
(runtime.md#create).
"""

from __future__ import annotations

import shutil

import pytest
from support import Bundle, Runtime

from security.attack import Victim

pytestmark = pytest.mark.needs_root


def test_start_and_exec_use_what_create_has_read(runtime: Runtime, bundle: Bundle, victim: Victim) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    container = runtime.create(bundle, "id", ";", "args", "pause")
    bundle.process["user"] = {"uid": 0, "gid": 0}
    bundle.set_program("print", "another")
    hook = {"path": str(bundle.rootfs / "init"), "args": ["init", "touch", str(victim.path / "owned")]}
    bundle.config["hooks"] = {kind: [hook] for kind in ("startContainer", "poststart", "poststop")}
    bundle.save()
    container.start()
    assert container.read_value()["uid"] == 1000
    container.delete("--force")
    victim.assert_unharmed()


def test_a_bundle_that_is_gone_changes_nothing(runtime: Runtime, bundle: Bundle) -> None:
    container = runtime.create(bundle, "id", ";", "pause")
    (bundle.path / "config.json").unlink()
    container.start()
    assert container.read_value()["uid"] == 0
    container.read_until("ready")
    assert container.probe("id")["uid"] == 0
    container.delete("--force")
    shutil.rmtree(bundle.path)
