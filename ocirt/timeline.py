"""``--trace FILE``: where the time of a command goes, in the Trace Event Format of Perfetto and chrome://tracing.

One track is the command, another the init, whose operations carry the property that they come from. All times are those
of CLOCK_MONOTONIC, which both sides read.
"""

from __future__ import annotations

import os
import time

from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_COMMAND, _INIT = 1, 2


class Timeline:
    """What one command did, and when."""

    __slots__ = ("_began", "_spans")

    def __init__(self) -> None:
        self._began = time.monotonic_ns()
        self._spans: list[dict[str, Any]] = []
        # The start of the interpreter is not on the clock; it does nothing but compute.
        self._add(_COMMAND, "start Python (CPU time)", self._began - time.process_time_ns(), self._began, "")

    def command(self, name: str, begin: int, end: int | None = None, origin: str = "") -> None:
        """The command did *name* from *begin* to *end*, or until now (ns)."""
        self._add(_COMMAND, name, begin, time.monotonic_ns() if end is None else end, origin)

    def init(self, name: str, begin: int, end: int, origin: str) -> None:
        """ocirt-init did the operation *name* of the property *origin* from *begin* to *end* (ns)."""
        self._add(_INIT, name, begin, end, origin)

    def _add(self, track: int, name: str, begin: int, end: int, origin: str) -> None:
        self._spans.append(
            {
                "name": name,
                "ph": "X",
                "pid": os.getpid(),
                "tid": track,
                "ts": begin / 1000,
                "dur": max(0, end - begin) / 1000,
                "args": {"origin": origin} if origin else {},
            }
        )

    def write(self, path: str, name: str) -> None:
        """Write the whole command, called *name*, to the file *path*. OSError if that cannot be done."""
        self.command(name, self._began)
        pid = os.getpid()
        tracks = [
            {"name": "thread_name", "ph": "M", "pid": pid, "tid": track, "args": {"name": title}}
            for track, title in ((_COMMAND, "ocirt"), (_INIT, "ocirt-init"))
        ]
        # https://www.w3.org/TR/trace-context/: whose work this was a part of.
        parent = os.environ.get("TRACEPARENT")
        document = {
            "traceEvents": tracks + sorted(self._spans, key=lambda span: span["ts"]),
            "displayTimeUnit": "ms",
            "otherData": {"traceparent": parent} if parent else {},
        }
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            data = dumps(document).encode()
            while data:
                data = data[os.write(fd, data) :]
        finally:
            os.close(fd)
