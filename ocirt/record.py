"""class Record: what this host knows of a container, from its state directory, its cgroup and procfs.

Nothing here changes anything.
"""

from __future__ import annotations

import os

from ocirt import host
from ocirt.cgroup.directory import Directory
from ocirt.cgroup.freezer import freezes, is_container_frozen
from ocirt.errors import InternalError, WrongStatus
from ocirt.state import LISTENER, SPEC_VERSION, STATE, Entry, damaged, state_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.cgroup import Cgroup
    from ocirt.processes import ProcessInfo

#: What /proc/PID/exe of an init is, see ocirt.launch.walk.seal_init.
_INIT_LINK = "/memfd:ocirt-init (deleted)"


class Record:
    """A container that there is or was; the document is that of its state.json."""

    __slots__ = ("_document", "id", "root")

    def __init__(self, id: str, root: str, document: dict[str, Any]) -> None:
        self.id = id
        self.root = root
        self._document = document

    @property
    def pid(self) -> int:
        """Process id of the init on the host, 0 before there is one. It may be dead: see `status`."""
        return int(self._document.get("pid") or 0)

    @property
    def bundle(self) -> str:
        """Absolute path of the bundle, without symbolic links."""
        return str(self._document.get("bundle", ""))

    @property
    def directory(self) -> str:
        """Absolute path of the directory in which its state lies."""
        return f"{self.root}/{self.id}"

    @property
    def hears_of_ready(self) -> bool:
        """Whether it has a socket at which it can say that it is ready: see ocirt.notify."""
        return os.path.isdir(f"{self.directory}/notify")

    @property
    def rootfs(self) -> str:
        """Absolute path of the root filesystem on the host, without symbolic links."""
        return str(self._document.get("rootfs", ""))

    @property
    def created(self) -> str:
        """Time of creation, RFC 3339 with nanoseconds, UTC."""
        return str(self._document.get("created", ""))

    @property
    def annotations(self) -> dict[str, str]:
        """Those of the configuration (config.md#annotations)."""
        return dict(self._document.get("annotations") or {})

    @property
    def has_terminal(self) -> bool:
        """Whether its process has a terminal (config.md#process)."""
        return bool(self._document.get("terminal"))

    @property
    def streams(self) -> list[str]:
        """Where its standard streams led to when it was made: the pipes among them are somebody else's."""
        return list(self._document.get("streams") or [])

    @property
    def uid(self) -> int:
        """User id of who created the container."""
        return int(self._document.get("uid", 0))

    @property
    def owner(self) -> str:
        """Name of the user who created the container, or the number where it has none."""
        import pwd

        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def cgroup(self) -> Cgroup:
        """Its place in the cgroup hierarchies; the directories may be gone. It has no directory where a create did not
        come that far."""
        from ocirt.cgroup.group import Cgroup

        return Cgroup.from_state(self._document.get("cgroup") or {"directories": ()})

    def _is_frozen(self) -> bool:
        return is_container_frozen(
            Directory(controllers, path, version, mount)
            for controllers, path, version, mount in self._document["cgroup"]["directories"]
            if freezes(controllers, version)
        )

    def _is_alive(self) -> bool:
        pid = self.pid
        stat = host.process_stat(pid) if pid else None
        return stat is not None and stat.state not in "ZX" and stat.start_time == self._document["startTime"]

    def status(self, *, locked: bool = False) -> str:
        """creating, created, running, paused or stopped (runtime.md#state). *locked*: the caller has locked the entry,
        so that nobody creates the container."""
        if not self.pid:
            in_the_making = not locked and self._document.get("status") == "creating" and self._is_being_created()
            return "creating" if in_the_making else "stopped"
        if not self._is_alive():
            return "stopped"
        if self._is_frozen():
            return "paused"
        return "created" if self._waits_for_start() else "running"

    def _waits_for_start(self) -> bool:
        """A start that was killed may have left the socket behind a program that runs."""
        if not os.access(f"{self.directory}/{LISTENER}", os.F_OK):
            return False
        try:
            return os.readlink(f"/proc/{self.pid}/exe") == _INIT_LINK
        except OSError:
            return self._listens()  # not ours to look at, for an ordinary user: it cannot be traced

    def _listens(self) -> bool:
        """Whether the init still waits. It has to accept the connection, which takes longer than to look at it."""
        entry = self._entry()
        try:
            os.close(entry.connect())
        except WrongStatus:
            return False
        finally:
            entry.close()
        return True

    def _is_being_created(self) -> bool:
        """Whether its creator still holds the lock; one that was killed has left a container that can only be
        deleted."""
        from ocirt._shim import lib

        entry = self._entry()
        try:
            return bool(lib.ocirt_is_locked(entry.fd))
        finally:
            entry.close()

    def state(self, status: str | None = None) -> dict[str, Any]:
        """The state document of runtime.md#state: ociVersion, id, status, pid, bundle, annotations."""
        status = status or self.status()
        return state_document(self.id, status, 0 if status == "stopped" else self.pid, self.bundle, self.annotations)

    def describe(self) -> dict[str, Any]:
        """What ``ocirt state`` prints: the state document with runc's further fields, in runc's order."""
        status = self.status()
        described: dict[str, Any] = {
            "ociVersion": SPEC_VERSION,
            "id": self.id,
            "pid": 0 if status == "stopped" else self.pid,
            "status": status,
            "bundle": self.bundle,
            "rootfs": self.rootfs,
            "created": self.created,
        }
        if annotations := self.annotations:
            described["annotations"] = annotations
        described["owner"] = ""
        return described

    def config(self) -> dict[str, Any]:
        """The configuration as it was at create, with what has been changed since. ContainerNotFound when it has been
        deleted meanwhile, WrongStatus where a create did not come that far."""
        entry = self._entry()
        try:
            text = entry.read("config.json")
        finally:
            entry.close()
        if text is None:
            if not self.pid:
                status = self.status()
                raise WrongStatus(
                    f"container {self.id} is {status}, and has no configuration",
                    status=status,
                    operation="read the configuration of",
                    allowed=("created", "running", "paused"),
                )
            raise InternalError(f"the saved configuration of {self.id} is missing")
        from ocirt.config.load import parse_config

        return parse_config(text)  # type: ignore[return-value]  # was validated at create

    def process_template(self) -> dict[str, Any]:
        """The container's own process, from which exec's options make another."""
        return dict(self.config()["process"])

    def pids(self) -> list[int]:
        """Host process ids of everything in the container's cgroup; of the init alone where it has no cgroup.
        StepError."""
        cgroup = self.cgroup()
        if cgroup.directories:
            return sorted(cgroup.pids())
        return [self.pid] if self._is_alive() else []

    def processes(self) -> list[ProcessInfo]:
        """What `pids` has, with parent, user, name, state and arguments of each, from procfs."""
        from ocirt.processes import describe

        return describe(self.pids())

    def _entry(self) -> Entry:
        return Entry.open(self.root, self.id)


def find_state(root: str, id: str) -> dict[str, Any]:
    """`read_state` of a container below *root*. Raises what `Entry.open` does as well."""
    entry = Entry.open(root, id)
    try:
        return read_state(entry)
    finally:
        entry.close()


def read_state(entry: Entry) -> dict[str, Any]:
    """The document of state.json; one of a container in the making where there is none yet. OcirtError.

    The state of another version of ocirt is taken when it has what is needed to say what the container is, to end it
    and to remove it. What it has beyond, or lacks otherwise, does not matter for these.
    """
    document = entry.read_state()
    if document is None:
        # Reserved a moment ago, or left by a create that was killed.
        return {"status": "creating", "pid": 0}
    if not isinstance(document, dict) or not (document.get("version") == 1 or _has_what_is_needed(document)):
        raise damaged(f"{entry.path}/{STATE} is of another version of ocirt")
    return document


def _has_what_is_needed(document: dict[str, Any]) -> bool:
    cgroup = document.get("cgroup")
    numbers = isinstance(document.get("pid"), int) and isinstance(document.get("startTime"), int)
    return numbers and isinstance(cgroup, dict) and isinstance(cgroup.get("directories"), list)
