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
        self._add(_COMMAND, "begin the command (CPU time)", self._began - time.process_time_ns(), self._began, "")

    def command(self, name: str, begin: int, origin: str = "") -> None:
        """The command did *name* from *begin* (ns) until now."""
        self._add(_COMMAND, name, begin, time.monotonic_ns(), origin)

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

    def text(self, name: str) -> str:
        """The whole command, called *name*, which ends now: what the file holds."""
        self.command(name, self._began)
        pid = os.getpid()
        tracks = [
            {"name": "thread_name", "ph": "M", "pid": pid, "tid": track, "args": {"name": title}}
            for track, title in ((_COMMAND, "ocirt"), (_INIT, "ocirt-init"))
        ]
        # https://www.w3.org/TR/trace-context/: whose work this was a part of.
        parent = os.getenv("TRACEPARENT")
        document = {
            "traceEvents": tracks + sorted(self._spans, key=lambda span: span["ts"]),
            "displayTimeUnit": "ms",
            "otherData": {"traceparent": parent} if parent else {},
        }
        return dumps(document)
