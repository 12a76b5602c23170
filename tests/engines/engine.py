"""How a test speaks to a container engine, and the image that all of them run.

An ``Engine`` is a command line that ends where the words of the test begin, with one runtime below it. No registry is
asked: the image is a root filesystem with a static busybox, packed as ``docker save`` does it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from host_view import PATIENCE as PATIENCE_OF_STEPS

#: Seconds: one command of an engine is many steps.
PATIENCE = 3 * PATIENCE_OF_STEPS
IMAGE = "localhost/box:latest"
#: Programs that a container cannot execute, the exit status by which engines tell it, and what the runtime says.
NOT_EXECUTABLE = (
    ("nosuch", 127, "executable file not found in $PATH"),
    ("/no/such", 127, "no such file or directory"),
    ("/etc/text", 126, "permission denied"),
)
SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: How many links to busybox a test may count on.
APPLETS = (
    *("cat", "chmod", "echo", "env", "grep", "head", "id", "kill", "ls", "mkdir", "mount", "nc", "ping", "ps", "pwd"),
    *("readlink", "sh", "sleep", "stat", "stty", "test", "touch", "tr", "true", "tty", "wc", "wget", "httpd"),
)


class Done(NamedTuple):
    """A command that has ended: its status, and what it wrote."""

    status: int
    out: str
    err: str


class Engine:
    """``engine("run", "--rm", IMAGE, "true")`` is that command of the engine, with *runtime* below it."""

    def __init__(self, runtime: Path, words: Sequence[str], env: dict[str, str] | None = None) -> None:
        self.runtime = runtime
        self.words = list(words)
        self.env = {**os.environ, **(env or {})}

    def __call__(self, *words: str, stdin: str = "") -> Done:
        command = [*self.words, *words]
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, env=self.env, timeout=PATIENCE, start_new_session=True
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def checked(self, *words: str, stdin: str = "") -> str:
        """The standard output of a command that succeeds, without the line feed at its end."""
        done = self(*words, stdin=stdin)
        assert done.status == 0, done
        return done.out.rstrip("\n")

    def on_terminal(self, *words: str, rows: int = 24, columns: int = 80, reply: str = "") -> Done:
        """As from a user's terminal of that size, who types *reply* when something is shown; the output of both streams
        is ``out``."""
        pid, terminal_fd = pty.fork()
        if pid == 0:
            subprocess.run(["stty", "rows", str(rows), "cols", str(columns)], check=True)
            os.execvpe(self.words[0], [*self.words, *words], self.env)
        output = b""
        try:
            while chunk := os.read(terminal_fd, 65536):
                if reply and not output:
                    os.write(terminal_fd, reply.encode())
                output += chunk
        except OSError:  # EIO: nobody has the other end any more
            pass
        os.close(terminal_fd)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Done(status, output.decode().replace("\r", ""), "")


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Waits for what only the engine knows, by asking it again and again."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.1)


class Daemon:
    """An engine's server, in namespaces of its own: its mounts, bridge and packet filter end with it."""

    #: The pids of those that have not been stopped.
    running: ClassVar[set[int]] = set()

    def __init__(self, words: Sequence[str], log_path: Path) -> None:
        self._log_path = log_path
        inside = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh", *words]
        with log_path.open("w") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--mount", *inside], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.running.add(self.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until(self, ready: Callable[[], bool]) -> None:
        eventually(lambda: self._process.poll() is not None or ready(), "the daemon")
        assert self._process.poll() is None, self._log_path.read_text()[-2000:]

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)
        self.running.remove(self.pid)


def ulimits() -> dict[str, int]:
    """Limits that an engine may set here: its own defaults can be more than those of a session without
    CAP_SYS_RESOURCE."""
    most = {"nofile": 1048576, "nproc": int(Path("/proc/sys/kernel/pid_max").read_text())}
    numbers = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    found = {}
    for name, number in numbers.items():
        hard = resource.getrlimit(number)[1]
        found[name] = most[name] if hard == resource.RLIM_INFINITY else min(hard, most[name])
    return found


# -- the image ---------------------------------------------------------------------------------------------------------


def make_rootfs(path: Path) -> None:
    """A root filesystem of busybox, with a file that may not be executed."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    for name in ("bin", "dev", "etc", "home/user", "proc", "root", "run", "sys", "tmp", "var"):
        (path / name).mkdir(parents=True)
    (path / "tmp").chmod(0o1777)
    shutil.copy(busybox, path / "bin/busybox")
    for name in APPLETS:
        (path / "bin" / name).symlink_to("busybox")
    (path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n")
    (path / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    (path / "etc/text").write_text("text\n")
    (path / "etc/text").chmod(0o644)


def make_archive(rootfs: Path, archive: Path, name: str = IMAGE, program: Sequence[str] = ("/bin/sh",)) -> None:
    """*rootfs* as an image of one layer, in the form of ``docker save``."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.add(rootfs, ".", filter=_of_root)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config: dict[str, Any] = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine],
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Env": [f"PATH={SEARCH_PATH}", "FOO=bar"], "Cmd": [*program], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created": "2024-01-01T00:00:00Z", "created_by": "busybox"}],
    }
    text = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(archive, "w") as tar:
        for member, content in (
            ("manifest.json", json.dumps(manifest).encode()),
            (config_name, text),
            (f"{digest}/layer.tar", layer.getvalue()),
        ):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _of_root(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info
