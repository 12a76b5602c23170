"""A container goes on although the hook that was to confine it has failed.

"If any poststart hook fails, the runtime MUST generate an error, stop the container" (runtime.md#lifecycle, since
1.3).
"""

from __future__ import annotations

import pytest
from host_view import is_alive
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize("reason", ["fails", "is-missing", "hangs"])
def test_a_container_whose_poststart_hook_fails_is_gone(runtime: Runtime, bundle: Bundle, reason: str) -> None:
    init = str(bundle.rootfs / "init")
    bundle.config["hooks"] = {
        "poststart": [
            {
                "fails": {"path": init, "args": ["init", "exit", "3"]},
                "is-missing": {"path": "/nowhere"},
                "hangs": {"path": init, "args": ["init", "pause"], "timeout": 1},
            }[reason]
        ]
    }
    container = runtime.create(bundle, "spawn", "2", ";", "pause")
    runtime("start", container.id).fails("poststart")
    assert not is_alive(container.pid)
    assert runtime.ids() == []
