"""The state store: one directory per container below a root directory.

    ROOT/ID/state.json    what the runtime has to remember, from before it makes anything else: a document each time
                          that it changes, each in one line; the last whole line counts
    ROOT/ID/config.json   the configuration as it was at create: changes to the bundle have no effect afterwards
    (runtime.md#create) ROOT/ID/start.json    the words for the steps of start
    ROOT/ID/start.sock    where the init waits for start; gone once the program runs

Directories are 0700, files 0600. Everything is reached through the container's directory descriptor.
"""

from __future__ import annotations

import os

from ocirt.errors import (
    ContainerExists,
    ContainerNotFound,
    InvalidContainerId,
    OcirtError,
    StepError,
    WrongStatus,
)
from ocirt.json_parse import parse_json
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.,")
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 64 << 10
_FILE_LIMIT = 128 << 20

# Beside the containers: a name that no id can have.
CACHE_NAME = "@seccomp"

STATE = "state.json"

#: The socket in a container's directory, at which its init waits for start.
LISTENER = "start.sock"

#: The version of the specification that this runtime follows.
SPEC_VERSION = "1.3.0"


def state_document(id: str, status: str, pid: int, bundle: str, annotations: Any) -> dict[str, Any]:
    """The state of a container as runtime.md#state has it; a pid only where there is a process."""
    document: dict[str, Any] = {"ociVersion": SPEC_VERSION, "id": id, "status": status}
    if pid:
        document["pid"] = pid
    document["bundle"] = bundle
    if annotations:
        document["annotations"] = annotations
    return document


def _is_id(name: str) -> bool:
    """Whether *name* can be the name of a directory and is what runc accepts."""
    return _ALLOWED.issuperset(name) and 0 < len(name) <= 255 and name not in (".", "..")


def check_id(id: str) -> None:
    """Raises InvalidContainerId, with the reason, unless `_is_id`."""
    if _is_id(id):
        return
    if not id:
        raise InvalidContainerId(id, "it is empty")
    if id in (".", ".."):
        raise InvalidContainerId(id, f"{id!r} is no name")
    if not _ALLOWED.issuperset(id):
        character = next(character for character in id if character not in _ALLOWED)
        raise InvalidContainerId(id, f"{character!r} is none of letters, digits, '_', '+', '-', '.', ','")
    raise InvalidContainerId(id, f"it has {len(id)} characters, 255 is the limit of a file name")


def default_root() -> str:
    """/run/ocirt, or $XDG_RUNTIME_DIR/ocirt for an ordinary user or inside an engine's user namespace.

    An XDG_RUNTIME_DIR that is empty counts as absent: podman calls with it as root.
    """
    runtime_dir = os.getenv("XDG_RUNTIME_DIR")
    if runtime_dir:
        from ocirt.host import is_rootless

        if is_rootless():
            return runtime_dir + "/ocirt"
    return "/run/ocirt"


def make_root(root: str) -> None:
    """Makes the root directory, 0700, where it is missing, and what leads to it, for its owner to write; StepError."""
    missing = []
    path = root
    while not os.path.lexists(path):
        missing.append(path)
        path = os.path.dirname(path)
    for path in reversed(missing):
        try:
            # Not os.makedirs(): what leads to it would be writable for everybody where the caller's umask is 0.
            os.mkdir(path, 0o700 if path == root else 0o755)
        except FileExistsError:
            pass  # another command makes it at the same time
        except OSError as error:
            raise StepError(f"create state directory {root}", error.errno or 0, filename=root) from None


class Entry:
    """One container's directory, held open."""

    __slots__ = ("fd", "id", "root")

    def __init__(self, root: str, id: str, fd: int) -> None:
        self.root = root
        self.id = id
        self.fd = fd

    @classmethod
    def reserve(cls, root: str, id: str) -> Entry:
        """Makes the directory, which takes the id. Raises InvalidContainerId, ContainerExists, StepError."""
        check_id(id)
        make_root(root)
        path = f"{root}/{id}"
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            raise ContainerExists(id) from None
        except OSError as error:
            raise StepError(f"create state directory {path}", error.errno or 0, filename=path) from None
        entry = cls(root, id, os.open(path, _OPEN))
        entry._lock()
        return entry

    @classmethod
    def open(cls, root: str, id: str) -> Entry:
        """Raises InvalidContainerId, ContainerNotFound, StepError."""
        check_id(id)
        path = f"{root}/{id}"
        try:
            return cls(root, id, os.open(path, _OPEN))
        except FileNotFoundError:
            raise ContainerNotFound(id) from None
        except OSError as error:
            raise StepError(f"open state directory {path}", error.errno or 0, filename=path) from None

    @property
    def path(self) -> str:
        return f"{self.root}/{self.id}"

    def lock(self) -> None:
        """Waits until no other command works on this container; held until `close`. ContainerNotFound when it is gone
        then."""
        self._lock()
        if os.fstat(self.fd).st_nlink == 0:
            raise ContainerNotFound(self.id)

    def _lock(self) -> None:
        from ocirt._shim import lib
        from ocirt.launch.channel import check

        check(lib.ocirt_lock(self.fd), f"lock {self.path}")

    def write(self, name: str, content: str | bytes) -> None:
        """Writes a file whole: under another name first, so that a reader finds the old one or the new one."""
        data = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        temporary = f"{name}.new"
        try:
            fd = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd
            )
            try:
                _write_all(fd, data)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as error:
            raise StepError(f"write {self.path}/{name}", error.errno or 0, filename=f"{self.path}/{name}") from None

    def read(self, name: str) -> bytes | None:
        """A file's content, None when there is none."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StepError(f"read {self.path}/{name}", error.errno or 0, filename=f"{self.path}/{name}") from None
        try:
            data = os.read(fd, _CHUNK)
            if len(data) == _CHUNK:  # else that was all: a regular file gives what there is
                data += os.read(fd, min(os.fstat(fd).st_size, _FILE_LIMIT))
            return data
        finally:
            os.close(fd)

    def write_document(self, name: str, document: Any) -> None:
        self.write(name, dumps(document))

    def read_document(self, name: str) -> Any:
        """A JSON file's content, None when there is none. OcirtError when it is damaged."""
        text = self.read(name)
        return None if text is None else self._parse(name, text)

    def _parse(self, name: str, text: bytes) -> Any:
        try:
            return parse_json(text, name)
        except OcirtError as error:
            raise damaged(f"{self.path}/{name} is damaged: {error}") from None

    def write_state(self, document: Any) -> None:
        """What `read_state` gives from now on; StepError.

        Added to what was there and not renamed over it: ext4 would write that to disk, and a removal wait for it.
        """
        line = (dumps(document) + "\n").encode("utf-8", "surrogateescape")
        try:
            fd = os.open(STATE, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                _write_all(fd, line)
            finally:
                os.close(fd)
        except FileNotFoundError:
            self.write(STATE, line)
        except OSError as error:
            raise StepError(f"write {self.path}/{STATE}", error.errno or 0, filename=f"{self.path}/{STATE}") from None

    def read_state(self) -> Any:
        """The document that was written last, None when there is none. OcirtError when it is damaged."""
        text = self.read(STATE)
        if text is None:
            return None
        end = text.rfind(b"\n")
        if end < 0:
            end = len(text)  # of an ocirt that wrote one document, and no end of line
        return self._parse(STATE, text[text.rfind(b"\n", 0, end) + 1 : end])

    def unlink(self, name: str) -> None:
        try:
            os.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass

    def remove(self) -> None:
        """Removes the directory with all that is in it. The id is free afterwards."""
        try:
            _empty(self.fd)
            os.rmdir(self.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StepError(f"remove state directory {self.path}", error.errno or 0, filename=self.path) from None

    def make_directory(self, name: str) -> None:
        """Makes a directory that others than its owner may look into; StepError."""
        try:
            os.mkdir(name, 0o755, dir_fd=self.fd)
            os.chmod(name, 0o755, dir_fd=self.fd)  # whatever the caller's umask is
        except OSError as error:
            raise StepError(f"create {self.path}/{name}", error.errno or 0, filename=f"{self.path}/{name}") from None

    def remove_directory(self, name: str) -> None:
        """Removes a directory with all that is in it, if it is there; StepError."""
        try:
            fd = os.open(name, _OPEN, dir_fd=self.fd)
            try:
                _empty(fd)
            finally:
                os.close(fd)
            os.rmdir(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StepError(f"remove {self.path}/{name}", error.errno or 0, filename=f"{self.path}/{name}") from None

    def socket_path(self, name: str) -> str:
        """A path to a file in the directory that fits into sun_path (108 bytes) whatever the root's length: unix(7)."""
        return f"/proc/self/fd/{self.fd}/{name}"

    def connect(self) -> int:
        """A connection to the init that waits for start. WrongStatus when nobody listens: it has been started."""
        from ocirt._shim import ffi, lib
        from ocirt.launch.channel import check

        result = lib.ocirt_connect(ffi.from_buffer(os.fsencode(self.socket_path(LISTENER)) + b"\0"))
        if result in (-2, -111):  # ENOENT, ECONNREFUSED
            raise WrongStatus(
                "cannot start an already running container", status="running", operation="start", allowed=("created",)
            )
        return check(result, "connect to the container's init")

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def damaged(text: str) -> OcirtError:
    """The error *text* of a file without which nobody knows what a container has made."""
    error = OcirtError(text)
    error.hint = "end its processes, remove its cgroups, and then that directory"
    return error


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _empty(fd: int) -> None:
    """Removes all that is in a directory. Another version of ocirt may have made others in it than this one does."""
    for name in os.listdir(fd):
        try:
            os.unlink(name, dir_fd=fd)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            inner_fd = os.open(name, _OPEN, dir_fd=fd)
            try:
                _empty(inner_fd)
            finally:
                os.close(inner_fd)
            os.rmdir(name, dir_fd=fd)


def ids(root: str) -> list[str]:
    """The ids below *root*, sorted. FileNotFoundError is the caller's business."""
    return sorted(filter(_is_id, os.listdir(root)))
