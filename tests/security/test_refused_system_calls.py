"""The runtime runs where system calls are refused, and falls back to something that follows links (crun before
1.29).

There is no fallback in ocirt: what is refused ends the start, or was not needed.
"""

from __future__ import annotations

import errno
import platform
from collections.abc import Callable
from pathlib import Path

import pytest
from support import Bundle, Runtime

from security.attack import Victim, assert_refused_or_confined

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="knows the numbers of x86_64"),
]

CALLS = {
    "openat2": 437,
    "close_range": 436,
    "clone3": 435,
    "mount_setattr": 442,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsmount": 432,
    "pidfd_open": 434,
    "pivot_root": 155,
    "statx": 332,
    "faccessat2": 439,
    "keyctl": 250,
    "memfd_create": 319,
    "capset": 126,
    "setresuid": 117,
    "setgroups": 116,
    "prctl": 157,
}


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOSYS], ids=["EPERM", "ENOSYS"])
@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_is_refused_costs_no_confinement(
    runtime: Runtime, bundle: Bundle, victim: Victim, program: Callable[[str], Path], call: str, error: int
) -> None:
    bundle.mkdir("vol")
    (bundle.rootfs / "vol/out").symlink_to(f"../../../../../../../../..{victim.path}")
    bundle.add_mount("/vol/out/in", "tmpfs", "tmpfs")
    bundle.linux["maskedPaths"] = ["/proc/keys", "/vol/out/mark"]
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [7]}
    bundle.process["capabilities"] = {kind: ["CAP_KILL"] for kind in ("bounding", "effective", "permitted")}
    runtime.wrapper = [str(program("refuse")), str(error), str(CALLS[call]), "--"]
    result = runtime.run(
        bundle, "id", ";", "caps", ";", "cat", "/proc/keys", ";", "cat", f"/proc/self/root{victim.mark_path}"
    )
    victim.assert_unseen(result.out, result.err)
    victim.assert_unharmed()
    if result.status == 0:
        who, sets, keys, mark = result.values
        assert (who["uid"], who["euid"], who["groups"]) == (1000, 1000, [7])
        assert int(sets["bounding"], 16) | 1 << 5 == 1 << 5
        assert keys == ""
        assert mark["result"] == -1
    else:
        assert_refused_or_confined(result, victim)
