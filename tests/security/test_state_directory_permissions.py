"""Who is not root can read or change nothing of the state: the socket of start, the saved configuration, its
secrets.
"""

from __future__ import annotations

import os
import stat

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def test_the_state_is_for_its_owner_alone_whatever_the_umask(runtime: Runtime, bundle: Bundle) -> None:
    runtime.wrapper = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}],
    }
    container = runtime.create(bundle, "pause")
    looked_at = 0
    for directory, names, files in os.walk(runtime.root):
        for name in [".", *names, *files]:
            status = os.lstat(os.path.join(directory, name))
            assert status.st_uid == 0
            if not stat.S_ISSOCK(status.st_mode) and not stat.S_ISDIR(status.st_mode):
                assert status.st_mode & 0o077 == 0, name
            assert status.st_mode & 0o022 == 0 or status.st_mode & 0o170000 == stat.S_IFSOCK, name
            looked_at += 1
    assert looked_at > 4
    assert os.stat(runtime.root).st_mode & 0o7777 == 0o700
    assert os.stat(runtime.root / container.id).st_mode & 0o7777 == 0o700
    container.start()


def test_a_missing_parent_of_the_state_is_writable_by_nobody_else(runtime: Runtime, bundle: Bundle) -> None:
    top = bundle.path / "top"
    runtime.root = top / "a/b"
    runtime.wrapper = ["sh", "-c", 'umask 0; exec "$@"', "sh"]
    runtime.run(bundle, "exit", "0").check()
    for directory in (top, top / "a"):
        assert os.stat(directory).st_mode & 0o022 == 0, directory


def test_a_link_in_place_of_the_state_is_not_followed(runtime: Runtime, bundle: Bundle) -> None:
    runtime.root.mkdir(mode=0o700)
    elsewhere = bundle.path / "elsewhere"
    elsewhere.mkdir()
    (runtime.root / f"{runtime.token}-1").symlink_to(elsewhere)
    runtime.run(bundle, "exit", "0").fails("already exists")
    assert runtime("state", f"{runtime.token}-1").status != 0
    assert runtime("delete", "--force", f"{runtime.token}-1").status in (0, 1)
    assert os.listdir(elsewhere) == []
    (runtime.root / f"{runtime.token}-1").unlink(missing_ok=True)
