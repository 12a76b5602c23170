"""What tests of attacks are made of: a host that can be harmed, and the verdict.

Every test of this directory is named after one attack, and says how the attack goes and against what it was seen to
succeed. The verdict is the same in all: either the start is refused in clear words, or the container stays confined.
That the host's mounts, cgroups, processes and state are as before is seen to by the fixture ``runtime``.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from pathlib import Path

from host_view import PATIENCE
from support import Bundle, Result


class Victim:
    """A directory of the host that holds a secret: ``mark`` in the file ``mark_path``. No container may see or change
    it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mark = f"MARK-{secrets.token_hex(8)}"
        self.mark_path = path / "mark"
        path.mkdir()
        self.mark_path.write_text(self.mark)
        self._before = self.look()

    def add(self, name: str, text: str, mode: int = 0o644) -> Path:
        """A further file, part of what must stay as it is."""
        path = self.path / name
        path.write_text(text)
        path.chmod(mode)
        self._before = self.look()
        return path

    def look(self) -> dict[str, tuple[object, ...]]:
        """Everything below ``path``: type, mode, owner, device number, content."""
        found: dict[str, tuple[object, ...]] = {}
        for directory, names, files in os.walk(self.path):
            for name in [".", *names, *files]:
                path = os.path.join(directory, name)
                status = os.lstat(path)
                is_file = os.path.isfile(path) and not os.path.islink(path)
                content = Path(path).read_text() if is_file else ""
                found[path] = (status.st_mode, status.st_uid, status.st_gid, status.st_rdev, content)
        return found

    def is_unharmed(self) -> bool:
        return self.look() == self._before

    def assert_unharmed(self) -> None:
        assert self.look() == self._before, "the host was changed"

    def assert_unseen(self, *texts: str) -> None:
        for text in texts:
            assert self.mark not in text, "the container has seen the host's secret"


def install(bundle: Bundle, path: Path, name: str) -> None:
    """Makes a program of the host one of the image."""
    target = bundle.rootfs / name
    shutil.copyfile(path, target)
    target.chmod(0o755)


def assert_refused_or_confined(result: Result, victim: Victim, status: int = 0) -> bool:
    """The verdict. True when the container has run (with exit status *status*), False when it was refused."""
    victim.assert_unseen(result.out, result.err)
    victim.assert_unharmed()
    if result.status == status and not result.err:
        return True
    result.fails()
    return False


class ConsoleSocket:
    """What an engine passes as --console-socket: receives the master of the terminal."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "console.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
        self._socket.listen(8)
        self._socket.settimeout(PATIENCE)

    def receive(self) -> int:
        """The master; the caller closes it."""
        connection, _ = self._socket.accept()
        with connection:
            _, fds, _, _ = socket.recv_fds(connection, 64, 1)
        (fd,) = fds
        return fd

    def close(self) -> None:
        self._socket.close()
        self.path.unlink()


def without_mounts(bundle: Bundle, *prefixes: str) -> None:
    """Takes away the mounts at or below these paths: the image is to provide what is there."""
    bundle.config["mounts"] = [
        each
        for each in bundle.config["mounts"]
        if not any(each["destination"] == prefix or each["destination"].startswith(prefix + "/") for prefix in prefixes)
    ]
