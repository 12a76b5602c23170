"""CVE-2025-52565 (runc 1.0.0-rc3 to 1.3.2): /dev/console is bound from /dev/pts/N by path.

The image has links at /dev/pts/N, so that a file of /proc is bound over /dev/console before it is masked, or it has
a link at /dev/console, whose target is emptied. Seen to succeed with runc 1.1.5.
"""

from __future__ import annotations

import os

import pytest
from support import Bundle, Result, Runtime

from security.attack import ConsoleSocket, Victim, without_mounts

pytestmark = pytest.mark.needs_root


def create_with_terminal(runtime: Runtime, bundle: Bundle, console_socket: ConsoleSocket) -> Result:
    bundle.process["terminal"] = True
    bundle.save()
    words = ("--console-socket", str(console_socket.path), "--bundle", str(bundle.path))
    id = runtime.new_id()
    result = runtime("create", *words, id)
    if result.status == 0:
        runtime.adopt(id, bundle)
    return result


def test_links_for_terminals_are_refused(
    runtime: Runtime, bundle: Bundle, victim: Victim, console_socket: ConsoleSocket
) -> None:
    without_mounts(bundle, "/dev")
    bundle.mkdir("dev/pts")
    for name in ("ptmx", *map(str, range(21))):
        (bundle.rootfs / "dev/pts" / name).symlink_to("/proc/sys/kernel/core_pattern")
    bundle.write("/etc/victim", "X")
    (bundle.rootfs / "dev/console").symlink_to("/etc/victim")
    create_with_terminal(runtime, bundle, console_socket).fails("cannot open the terminal", "devpts")
    assert (bundle.rootfs / "etc/victim").read_text() == "X"


@pytest.mark.parametrize("kind", ["fifo", "file", "null", "directory"])
def test_what_is_no_terminal_is_not_opened_as_one(
    runtime: Runtime, bundle: Bundle, console_socket: ConsoleSocket, kind: str
) -> None:
    without_mounts(bundle, "/dev")
    fake = bundle.mkdir("dev/pts") / "ptmx"
    if kind == "fifo":
        os.mkfifo(fake)
    elif kind == "file":
        fake.touch()
    elif kind == "directory":
        fake.mkdir()
    else:
        os.mknod(fake, 0o20666, os.makedev(1, 3))
    create_with_terminal(runtime, bundle, console_socket).fails("cannot open the terminal", "devpts")


@pytest.mark.parametrize("target", ["/etc/victim", "{victim}/mark", "pts/0", "/proc/sys/kernel/core_pattern"])
def test_a_link_at_the_console_is_refused(
    runtime: Runtime, bundle: Bundle, victim: Victim, console_socket: ConsoleSocket, target: str
) -> None:
    bundle.config["mounts"] = [each for each in bundle.config["mounts"] if each["destination"] != "/dev"]
    bundle.write("/etc/victim", "X")
    bundle.mkdir("dev/pts")
    (bundle.rootfs / "dev/console").symlink_to(target.format(victim=victim.path))
    create_with_terminal(runtime, bundle, console_socket).fails("too many levels of symbolic links")
    assert (bundle.rootfs / "etc/victim").read_text() == "X"


def test_the_console_is_a_terminal(runtime: Runtime, bundle: Bundle, console_socket: ConsoleSocket) -> None:
    bundle.set_program("stat", "/dev/console")
    assert create_with_terminal(runtime, bundle, console_socket).status == 0
    master = console_socket.receive()
    runtime("start", runtime.ids()[0]).check()
    said = os.read(master, 4096).decode()
    os.close(master)
    assert '"type":"char"' in said
    assert '"major":136' in said
