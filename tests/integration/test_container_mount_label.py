"""linux.mountLabel, on a kernel that seems to have SELinux.

What it seems by: the command takes it that there is SELinux (`host.facts`), and runs under a filter that notifies
fsconfig(2), fsetxattr(2) and mount(2). The agent is the test. It notes the options for labels and answers as SELinux
does, which takes them from the filesystem; without it the kernel refuses them. All else goes its way.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from host_view import wait_readable
from support import CGROUP, MQUEUE, SYSFS, Bundle, Runtime

from ocirt.seccomp import Filter, compile_filter
from ocirt.seccomp_agent import _FLAG_CONTINUE, _NOTIF_BYTES, _NOTIF_RECV, Call

pytestmark = [
    pytest.mark.needs_root,
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the agent knows the numbers of x86_64"),
]

LABEL = "system_u:object_r:container_file_t:s0:c1,c2"
FSCONFIG, FSETXATTR, MOUNT, SECCOMP = 431, 190, 165, 317
FSCONFIG_SET_STRING = 1
COMMAND = """
import sys
from ocirt import cli, host
facts = host.facts
def with_selinux(*words, **more):
    found = facts(*words, **more)
    found.selinux = True
    return found
host.facts = with_selinux
sys.exit(cli.main(["ocirt", *sys.argv[1:]]))
"""


def load_filter(compiled: Filter) -> int:
    """seccomp(2) with SECCOMP_SET_MODE_FILTER: the listener."""
    program = ctypes.create_string_buffer(compiled.program, len(compiled.program))
    sock_fprog = struct.pack("=HxxxxxxQ", len(compiled.program) // 8, ctypes.addressof(program))
    return int(ctypes.CDLL(None).syscall(SECCOMP, 1, compiled.flags, sock_fprog))


class FakeSelinux:
    """Runs the command; ``labels`` are (option or attribute, value) in the order in which they were set."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.labels: list[tuple[str, str]] = []
        self.mounts: list[str] = []
        names = ["fsconfig", "fsetxattr", "mount"]
        rules = [{"names": names, "action": "SCMP_ACT_NOTIFY"}]
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/x", "syscalls": rules}
        self._filter = compile_filter(profile, cache_directory=None)
        self._end, self._stop = os.pipe()

    def run(self, bundle: Bundle, *program: str) -> subprocess.CompletedProcess[str]:
        if program:
            bundle.set_program(*program)
        bundle.save()
        ours, theirs = socket.socketpair()

        def enter() -> None:
            socket.send_fds(theirs, [b"x"], [load_filter(self._filter)])

        command = [sys.executable, "-Ic", COMMAND, "--root", str(self.runtime.root)]
        thread = threading.Thread(target=self._serve, args=(ours,))
        thread.start()
        try:
            words = ["run", "--bundle", str(bundle.path), self.runtime.new_id()]
            return subprocess.run([*command, *words], preexec_fn=enter, capture_output=True, text=True, timeout=60)
        finally:
            os.write(self._stop, b"x")
            thread.join()
            for each in (ours, theirs):
                each.close()
            os.close(self._end)
            os.close(self._stop)

    def _serve(self, ours: socket.socket) -> None:
        wait_readable(ours.fileno(), "the listener")
        _, (listener_fd,), _, _ = socket.recv_fds(ours, 1, 1)
        try:
            while True:
                ready, _, _ = select.select([listener_fd, self._end], [], [])
                if self._end in ready:
                    return
                notification = bytearray(_NOTIF_BYTES)
                try:
                    fcntl.ioctl(listener_fd, _NOTIF_RECV, notification)
                    self._answer(listener_fd, bytes(notification))
                except FileNotFoundError:  # whoever called is gone
                    continue
        finally:
            os.close(listener_fd)

    def _answer(self, listener_fd: int, notification: bytes) -> None:
        call = Call(listener_fd, notification, {})
        try:
            call._send(0, 0, 0 if self._take(call) else _FLAG_CONTINUE)
        finally:
            call._close()

    def _take(self, call: Call) -> bool:
        """Whether SELinux answers the call."""
        if call.number == MOUNT and call.args[4]:
            data = call.read_string(call.args[4]).decode()
            self.mounts.append(data)
            return "context=" in data
        if call.number == FSETXATTR:
            name = call.read_string(call.args[1]).decode()
            value = call.read(call.args[2], call.args[3]).decode()
            self.labels.append((name, value))
            return name == "security.selinux"
        if call.number == FSCONFIG and call.args[1] == FSCONFIG_SET_STRING:
            key, value = (call.read_string(address).decode() for address in call.args[2:4])
            if key in ("context", "fscontext", "defcontext", "rootcontext"):
                self.labels.append((key, value))
                return True
        return False


@pytest.fixture
def selinux(runtime: Runtime) -> FakeSelinux:
    return FakeSelinux(runtime)


def label(bundle: Bundle, context_type: str | None = None, **mounts: Any) -> None:
    bundle.linux["mountLabel"] = LABEL
    if context_type:
        bundle.config["annotations"] = {"run.oci.mount_context_type": context_type}


def test_the_filesystems_of_the_container_get_the_label(selinux: FakeSelinux, bundle: Bundle) -> None:
    label(bundle)
    bundle.config["mounts"] += [SYSFS, MQUEUE]
    bundle.add_mount("/scratch", "tmpfs", "tmpfs")
    result = selinux.run(bundle, "ls", "/scratch")
    assert (result.returncode, result.stderr) == (0, "")
    # /dev, /dev/pts, /dev/mqueue, /scratch
    context = ("context", LABEL)
    assert selinux.labels == [context, context, ("security.selinux", LABEL), context]


def test_a_cgroup_tree_gets_the_label_and_its_hierarchies_do_not(selinux: FakeSelinux, bundle: Bundle) -> None:
    label(bundle)
    bundle.config["mounts"] = [SYSFS, CGROUP]
    result = selinux.run(bundle, "exit", "0")
    assert (result.returncode, result.stderr) == (0, "")
    with open("/proc/self/mountinfo") as lines:
        has_v1 = any(" - cgroup " in line for line in lines)
    assert selinux.labels == [("context", LABEL)] * has_v1


def test_masked_directories_get_the_label(selinux: FakeSelinux, bundle: Bundle) -> None:
    label(bundle)
    bundle.config["mounts"] = []
    bundle.mkdir("/secret")
    bundle.mkdir("/other")
    bundle.linux["maskedPaths"] = ["/secret", "/other"]
    result = selinux.run(bundle, "ls", "/secret")
    assert (result.returncode, result.stderr) == (0, "")
    # One filesystem for both.
    assert selinux.labels == [("context", LABEL)]


@pytest.mark.parametrize("word", ["context", "defcontext", "fscontext", "rootcontext"])
def test_an_annotation_says_which_option_the_label_is(selinux: FakeSelinux, bundle: Bundle, word: str) -> None:
    label(bundle, word)
    bundle.config["mounts"] = []
    bundle.add_mount("/scratch", "tmpfs", "tmpfs")
    result = selinux.run(bundle, "exit", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert selinux.labels == [(word, LABEL)]


def test_a_bind_keeps_its_label(selinux: FakeSelinux, bundle: Bundle, tmp_path: Path) -> None:
    label(bundle)
    bundle.config["mounts"] = []
    bundle.add_mount("/volume", None, tmp_path, "rbind")
    result = selinux.run(bundle, "exit", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert selinux.labels == []


def test_a_mount_with_a_label_of_its_own_keeps_it(selinux: FakeSelinux, bundle: Bundle) -> None:
    label(bundle)
    bundle.config["mounts"] = []
    bundle.add_mount("/scratch", "tmpfs", "tmpfs", 'context="a:b:c:s0:c3,c4"')
    result = selinux.run(bundle, "exit", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert selinux.labels == [("context", "a:b:c:s0:c3,c4")]


def test_a_label_beside_an_option_that_is_too_long_for_fsconfig_is_quoted(
    selinux: FakeSelinux, bundle: Bundle, tmp_path: Path
) -> None:
    """mount(2) has one string for all options, and a label has commas."""
    label(bundle)
    lower = ":".join(f"{tmp_path}/{'x' * 60}{number}" for number in range(5))
    for path in lower.split(":"):
        os.mkdir(path)
    bundle.config["mounts"] = []
    bundle.add_mount("/merged", "overlay", "overlay", f"lowerdir={lower}")
    result = selinux.run(bundle, "exit", "0")
    assert (result.returncode, result.stderr) == (0, "")
    assert selinux.mounts == [f'lowerdir={lower},context="{LABEL}"']


def test_without_selinux_the_label_is_ignored(runtime: Runtime, bundle: Bundle) -> None:
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("this kernel has SELinux")
    label(bundle)
    runtime.run(bundle, "exit", "0").check()


def test_a_kernel_that_knows_no_labels_says_so(runtime: Runtime, bundle: Bundle) -> None:
    """So that the tests above show what reaches the kernel, and not what it does without."""
    if os.path.exists("/sys/fs/selinux/enforce"):
        pytest.skip("this kernel has SELinux")
    label(bundle)
    bundle.set_program("exit", "0")
    bundle.save()
    words = ["--root", str(runtime.root), "run", "--bundle", str(bundle.path), runtime.new_id()]
    result = subprocess.run([sys.executable, "-Ic", COMMAND, *words], capture_output=True, text=True)
    assert result.returncode == 1
    assert "cannot mount tmpfs on /dev" in result.stderr
    assert "context" in result.stderr
