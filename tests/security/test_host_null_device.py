"""The root of a container changes the host's /dev/null for everybody: chmod 0 on standard input, or on a masked
path.

Engines start most containers with the null device as standard input, and masked files are covered with it. Both are
the host's own inode, of which the root of a container without a user namespace is the owner. Seen to succeed with
ocirt-init when neither was on a read-only mount; runc puts the container's own node in their places.
"""

from __future__ import annotations

import errno
import os

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root


def everything(path: str) -> list[str]:
    return f"chmod {path} 0 ; chown {path} 1000 1000 ; open {path} rw".split()


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    bundle.linux["maskedPaths"] = ["/proc/keys"]
    return bundle


def assert_nothing_changed(values: list[dict[str, int]]) -> None:
    """The device can be used, and not changed. That of the host is compared by the fixture ``runtime`` as well."""
    chmod, chown, opened = values
    assert chmod["errno"] == errno.EROFS
    assert chown["errno"] in (0, errno.EROFS)  # a link of procfs is not followed
    assert opened["result"] == 0
    assert os.stat("/dev/null").st_mode & 0o777 == 0o666


@pytest.mark.parametrize("path", ["/proc/self/fd/0", "/proc/keys"])
def test_the_root_of_a_container_cannot_change_it(runtime: Runtime, bundle: Bundle, path: str) -> None:
    assert_nothing_changed(runtime.probe(bundle, *everything(path)))


@pytest.mark.parametrize("path", ["/proc/self/fd/0", "/proc/1/fd/0", "/proc/keys"])
def test_exec_cannot_change_it(runtime: Runtime, bundle: Bundle, path: str) -> None:
    container = runtime.start_paused_program(bundle)
    assert_nothing_changed(container.probe(*everything(path)))


def test_it_can_be_read_and_written_all_the_same(runtime: Runtime, bundle: Bundle) -> None:
    read, written = runtime.probe(bundle, "cat", "/proc/self/fd/0", ";", "write", "/proc/keys", "text")
    assert (read, written["result"]) == ("", 4)
