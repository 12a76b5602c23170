"""``linux.intelRdt``: the container's group in the resctrl filesystem (config-linux.md#intelrdt, resctrl.rst).

A group is a directory. The kernel fills it when it is made: ``tasks`` moves a process into it, ``schemata`` says what
of the caches and the memory bandwidth its processes may use, ``mon_groups`` holds groups that only count.
"""

from __future__ import annotations

import os
from errno import EEXIST, ENOENT

from ocirt.errors import ConfigError, StepError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_POINTER = "/linux/intelRdt"
_READ_BYTES = 1 << 16


def find_root() -> str:
    """Where resctrl is mounted. "If no mounted `resctrl` pseudo-filesystem is available in the runtime mount namespace,
    the runtime MUST generate an error.": UnsupportedError."""
    for line in _read("/proc/self/mountinfo").splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.startswith("resctrl "):
            return fields.split(" ")[4]
    raise UnsupportedError(
        "intelRdt", "a mounted resctrl filesystem (mount -t resctrl resctrl /sys/fs/resctrl)", pointer=_POINTER
    )


class Group:
    """Where a container is in resctrl. ``path`` is its group, ``monitor`` its monitoring group or "", ``made`` are the
    directories that go with the container, the last first."""

    __slots__ = ("made", "monitor", "path", "root")

    def __init__(self, root: str, path: str, monitor: str, made: list[str]) -> None:
        self.root = root
        self.path = path
        self.monitor = monitor
        self.made = made

    @classmethod
    def resolve(cls, rdt: Any, id: str, root: str) -> Group:
        """The group that *rdt* asks for. Nothing is made yet.

        StepError when it has to be there and is not: "If `closID` is set, and none of `l3CacheSchema`, `memBwSchema` or
        `schemata` are set, runtime MUST check if corresponding pre-configured directory `closID` is present"."""
        clos = rdt.get("closID") or ""
        path = root if clos == "/" else f"{root}/{clos or id}"
        exists = os.path.isdir(path)
        if clos and not exists and not _lines(rdt):
            raise StepError(f"use resctrl group {clos}", ENOENT, filename=path, origin=_POINTER + "/closID")
        monitor = f"{path}/mon_groups/{id}" if rdt.get("enableMonitoring") else ""
        # "If `closID` is set or the runtime has not created the sub-directory, the runtime MUST NOT remove" it.
        made = [monitor] if monitor else []
        if not clos and not exists:
            made.append(path)
        return cls(root, path, monitor, made)

    @classmethod
    def from_state(cls, state: Any) -> Group:
        """What `to_state` gave."""
        return cls(state["root"], state["path"], state["monitor"], state["made"])

    def to_state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("root", "path", "monitor", "made")}

    def create(self, rdt: Any) -> None:
        """Makes the groups that are missing and writes the schemata. ConfigError when the group is there and has
        another one; StepError with the kernel's words."""
        is_new = self._make(self.path)
        if not is_new and rdt.get("closID"):
            current = _parse(self._schemata())
            for name in ("l3CacheSchema", "memBwSchema"):
                _compare(rdt.get(name) or "", current, f"{_POINTER}/{name}")
        # All in one write: the kernel takes the lines in their order, and what is not named stays as it is.
        lines = _lines(rdt)
        if lines:
            self._write(f"{self.path}/schemata", "".join(f"{line}\n" for line in lines))
        if self.monitor:
            self._make(self.monitor)

    def join(self, pid: int) -> None:
        """Moves a process into the groups; its children will be there, too."""
        for path in filter(None, (self.path, self.monitor)):
            self._write(f"{path}/tasks", str(pid))

    def delete(self) -> None:
        """Removes what was made for the container. Processes that are still there fall back to the default group."""
        for path in self.made:
            try:
                _remove_group(path)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StepError(f"remove resctrl group {path}", error.errno or 0, filename=path) from None

    def _schemata(self) -> str:
        return _read(f"{self.path}/schemata")

    def _make(self, path: str) -> bool:
        try:
            _make_group(path)
        except OSError as error:
            if error.errno == EEXIST:
                return False
            raise self._failure(f"make resctrl group {path}", error, path) from None
        return True

    def _write(self, path: str, text: str) -> None:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, text.encode("utf-8", "surrogateescape"))
            finally:
                os.close(fd)
        except OSError as error:
            raise self._failure(f"write {text.strip()!r} to {path}", error, path) from None

    def _failure(self, step: str, error: OSError, path: str) -> StepError:
        said = _read(f"{self.root}/info/last_cmd_status").strip()
        return StepError(step, error.errno or 0, filename=path, origin=_POINTER, detail="" if said == "ok" else said)


def _make_group(path: str) -> None:
    os.mkdir(path, 0o755)


def _remove_group(path: str) -> None:
    os.rmdir(path)


def _read(path: str) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        content = b""
        while part := os.read(fd, _READ_BYTES):
            content += part
        return content.decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)


def _lines(rdt: Any) -> list[str]:
    """In the order of the spec: `l3CacheSchema` first and `memBwSchema` last; `schemata` after both."""
    lines = [rdt.get("l3CacheSchema"), rdt.get("memBwSchema"), *(rdt.get("schemata") or ())]
    return [line for line in lines if line]


def _parse(text: str) -> dict[str, dict[str, str]]:
    """Resource -> domain -> value, in a form in which equal values are equal texts: the kernel pads what it shows."""
    schemata = {}
    for line in text.splitlines():
        resource, _, domains = line.strip().partition(":")
        pairs = (domain.partition("=") for domain in domains.split(";"))
        schemata[resource.strip()] = {_plain(domain): _plain(value) for domain, _, value in pairs}
    return schemata


def _plain(number: str) -> str:
    return number.strip().lower().lstrip("0") or "0"


def _compare(wanted: str, current: dict[str, dict[str, str]], pointer: str) -> None:
    for resource, domains in _parse(wanted).items():
        have = current.get(resource, {})
        for domain, value in domains.items():
            found = have.get(domain, "no such domain")
            if found != value:
                text = f"wanted {value} for {resource} domain {domain}, but the group has {found}"
                raise ConfigError(text, pointer=pointer)
