"""CVE-2026-88265 (crun before 1.30): a file of the host becomes the program's standard input, and the container's
user's.

The image has /dev/null as a link to a file in a volume; the runtime replaces standard streams that are the null
device by what it finds there, and gives them to the container's user.
"""

from __future__ import annotations

import subprocess

import pytest
from support import Bundle, Runtime

from security.attack import Victim, assert_refused_or_confined, without_mounts

pytestmark = pytest.mark.needs_root

STREAMS = ["null", "pipe", "closed"]


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("has_dev", [False, True], ids=["no-dev", "dev-is-a-volume"])
def test_no_file_of_a_volume_becomes_a_standard_stream(
    runtime: Runtime, bundle: Bundle, victim: Victim, stream: str, has_dev: bool
) -> None:
    without_mounts(bundle, "/dev")
    bundle.add_mount("/vol/f", "bind", victim.mark_path, "bind")
    if has_dev:
        dev = bundle.path / "dev"
        dev.mkdir()
        (dev / "null").symlink_to("/vol/f")
        bundle.add_mount("/dev", "bind", dev, "bind")
    else:
        bundle.mkdir("dev")
        (bundle.rootfs / "dev/null").symlink_to("/vol/f")
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    if stream == "closed":
        runtime.wrapper = ["sh", "-c", 'exec "$@" <&-', "sh"]
    stdin = subprocess.PIPE if stream == "pipe" else subprocess.DEVNULL
    assert_refused_or_confined(runtime.run(bundle, "fds", ";", "cat", "/proc/self/fd/0", stdin=stdin), victim)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_is_the_null_device(runtime: Runtime, bundle: Bundle, closed: str) -> None:
    """No descriptor of the runtime takes its place."""
    out = bundle.mkdir("out")
    out.chmod(0o777)
    runtime.wrapper = ["sh", "-c", f'exec "$@" {closed}', "sh"]
    # The record's own descriptor is 3.
    runtime.run(bundle, "record", "/out/record", "word")
    text = (out / "record").read_text()
    for fd, stream in enumerate(("<&-", ">&-", "2>&-")):
        if stream in closed and fd != 1:
            assert f'"{fd}":"/null"' in text
