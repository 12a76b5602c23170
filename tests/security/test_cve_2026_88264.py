"""CVE-2026-88264 (crun before 1.30): /dev/console is made through a link of the image, a file of root on the host.
Seen to succeed with runc 1.1.5, which has the same fault.
"""

from __future__ import annotations

import pytest
from support import Bundle, Runtime

from security.attack import ConsoleSocket, Victim

pytestmark = pytest.mark.needs_root


@pytest.mark.parametrize("target", ["{victim}/new", "../../../../../../../../../..{victim}/new", "/vol/new"])
def test_the_console_is_not_made_through_a_link(
    runtime: Runtime, bundle: Bundle, victim: Victim, console_socket: ConsoleSocket, target: str
) -> None:
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["destination"] != "/dev"]
    bundle.mkdir("dev/pts")
    (bundle.rootfs / "dev/console").symlink_to(target.format(victim=victim.path))
    bundle.add_mount("/vol", "bind", victim.path, "bind")
    bundle.process["terminal"] = True
    bundle.save()
    words = ("--console-socket", str(console_socket.path), "--bundle", str(bundle.path))
    runtime("create", *words, runtime.new_id()).fails("too many levels of symbolic links")
