"""What happens in a container, as it happens: OOM notices from the kernel, and samples of its stats.

    for event in container.events(interval_sec=5.0):
        print(event.type)

    async for event in container.events():
        ...

An iteration ends when the container's init does; what the kernel has told until then comes first. Nothing polls a file
in vain: the kernel wakes the reader (v1: an eventfd, memory.rst "OOM Control"; v2: POLLPRI, cgroup-v2.rst).
"""

from __future__ import annotations

import os
import select
import time

from ocirt.cgroup.directory import READ, write
from ocirt.errors import OcirtError, StepError, WrongStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Self

    from ocirt.cgroup import Cgroup
    from ocirt.container import Container

_EVENTFD_BYTES = 8


class Event:
    """One event of the container ``id``: ``type`` is "oom", or "stats" with what `Container.stats` says as ``data``."""

    __slots__ = ("data", "id", "type")

    def __init__(self, type: str, id: str, data: dict[str, Any] | None = None) -> None:
        self.type = type
        self.id = id
        self.data = data

    def __repr__(self) -> str:
        return f"Event({self.type!r}, {self.id!r})"

    def document(self) -> dict[str, Any]:
        """As ``ocirt events`` prints it."""
        document: dict[str, Any] = {"type": self.type, "id": self.id}
        if self.data is not None:
            document["data"] = self.data
        return document


def stats(container: Container) -> dict[str, Any]:
    """See `Container.stats`."""
    _require_init(container)
    from ocirt.cgroup.stats import collect

    namespaces = (container.config().get("linux") or {}).get("namespaces") or ()
    has_network = any(namespace["type"] == "network" for namespace in namespaces)
    return collect(container.cgroup().directories, container.pid if has_network else 0)


def _require_init(container: Container) -> None:
    status = container.status()
    if status not in ("created", "running", "paused"):
        text = f"container with id {container.id} is not running"
        raise WrongStatus(text, status=status, operation="events", allowed=("created", "running", "paused"))


class Events:
    """The events of a container from now on: an iterator, and one for asyncio. Closed at its end, or by `close`."""

    __slots__ = ("_container", "_due", "_ended", "_epoll", "_init_fd", "_interval_sec", "_oom", "_waiting")

    def __init__(self, container: Container, interval_sec: float | None = None) -> None:
        """With *interval_sec* (more than 0), stats come as often as that, the first after it.

        WrongStatus unless there is an init, OcirtError without a memory controller, StepError.
        """
        self._container = container
        self._interval_sec = interval_sec
        self._due = time.monotonic() + (interval_sec or 0)
        self._waiting: list[Event] = []
        self._ended = False
        self._epoll = select.epoll()
        self._init_fd = -1
        self._oom: _OomV1 | _OomV2 | None = None
        try:
            self._init_fd = _open_init(container)
            self._epoll.register(self._init_fd, select.EPOLLIN)
            self._oom = _oom_source(container.cgroup())
            self._epoll.register(self._oom.fd, self._oom.mask)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of all descriptors; the iteration is over. May be called again."""
        self._ended = True
        self._waiting.clear()
        if self._oom is not None:
            self._oom.close()
            self._oom = None
        if self._init_fd >= 0:
            os.close(self._init_fd)
            self._init_fd = -1
        self._epoll.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_oom"):
            self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._waiting:
            if self._ended:
                self.close()
                raise StopIteration
            self._take(self._epoll.poll(self._timeout_sec()))
        return self._waiting.pop(0)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._waiting:
            if self._ended:
                self.close()
                raise StopAsyncIteration
            await self._readable()
            self._take(self._epoll.poll(0))
        return self._waiting.pop(0)

    async def _readable(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        # An epoll descriptor is itself readable when one of those in it has something to tell (epoll(7)).
        loop.add_reader(self._epoll.fileno(), woken.set)
        try:
            await asyncio.wait_for(woken.wait(), self._timeout_sec())
        except TimeoutError:
            pass
        finally:
            loop.remove_reader(self._epoll.fileno())

    def _timeout_sec(self) -> float | None:
        return None if self._interval_sec is None else max(self._due - time.monotonic(), 0.0)

    def _take(self, ready: list[tuple[int, int]]) -> None:
        """Make events of what the kernel says, and of the time."""
        assert self._oom is not None
        fds = [fd for fd, _ in ready]
        # Also when it was the init that ended: the OOM killer may have been the reason.
        if fds and self._oom.happened():
            self._waiting.append(Event("oom", self._container.id))
        if self._init_fd in fds:
            self._ended = True
        elif self._interval_sec is not None and time.monotonic() >= self._due:
            self._due = max(self._due + self._interval_sec, time.monotonic())
            try:
                self._waiting.append(Event("stats", self._container.id, stats(self._container)))
            except WrongStatus:
                self._ended = True


def _open_init(container: Container) -> int:
    _require_init(container)
    try:
        pidfd = os.pidfd_open(container.pid)
    except OSError as error:
        raise StepError(f"watch process {container.pid}", error.errno or 0) from error
    try:
        # The pid may have become another process's between the two.
        _require_init(container)
    except BaseException:
        os.close(pidfd)
        raise
    return pidfd


def _oom_source(cgroup: Cgroup) -> _OomV1 | _OomV2:
    for directory in cgroup.directories:
        if "memory" in directory.controllers:
            try:
                return (_OomV1 if directory.version == 1 else _OomV2)(directory.path)
            except FileNotFoundError:
                break
            except OSError as error:
                step = "ask for OOM notices of cgroup " + directory.path
                raise StepError(step, error.errno or 0, filename=directory.path) from error
    raise OcirtError("memory controller missing")


class _OomV1:
    """The kernel adds to an eventfd when the cgroup runs out of memory, and when it is removed."""

    __slots__ = ("_control_path", "fd", "mask")

    def __init__(self, path: str) -> None:
        self.mask = select.EPOLLIN
        self._control_path = path + "/cgroup.event_control"
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            oom_fd = os.open(path + "/memory.oom_control", READ)
            try:
                write(self._control_path, f"{self.fd} {oom_fd}")
            finally:
                os.close(oom_fd)
        except BaseException:
            self.close()
            raise

    def happened(self) -> bool:
        """Whether it has happened since the last call."""
        try:
            os.read(self.fd, _EVENTFD_BYTES)
        except BlockingIOError:
            return False
        return os.path.exists(self._control_path)

    def close(self) -> None:
        os.close(self.fd)


class _OomV2:
    """The kernel counts in memory.events, of the cgroup and those below it, and wakes whoever polls it."""

    __slots__ = ("_count", "fd", "mask")

    def __init__(self, path: str) -> None:
        self.mask = select.EPOLLPRI
        self.fd = os.open(path + "/memory.events", READ)
        self._count = self._kills()

    def _kills(self) -> int:
        try:
            lines = os.pread(self.fd, 4096, 0).decode().splitlines()
        except OSError:
            # The cgroup is gone (ENODEV).
            return 0
        return sum([int(line.split()[1]) for line in lines if line.startswith("oom_kill ")])

    def happened(self) -> bool:
        """Whether it has happened since the last call."""
        count, self._count = self._count, self._kills()
        return self._count > count

    def close(self) -> None:
        os.close(self.fd)
