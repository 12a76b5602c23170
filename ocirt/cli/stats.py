"""``ocirt stats``: what containers use, as a table for people that is drawn again and again.

``row`` is the pure part: two samples of a container's stats, of which the times make the share of the CPU.
"""

from __future__ import annotations

import os
import time

from ocirt.cli.events import parse_duration
from ocirt.cli.output import write
from ocirt.cli.parser import Command, Flag
from ocirt.container import Container
from ocirt.errors import OcirtError, WrongStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ocirt.cli.parser import Call

    Stats = Mapping[str, Any]

TITLES = ("ID", "CPU %", "MEMORY / LIMIT", "MEM %", "PIDS / LIMIT", "READ / WRITE", "RECEIVED / SENT")
# More than any machine has: what v1 calls no limit is a little less than v2's.
_NO_LIMIT_BYTES = 1 << 62
_CLEAR = "\033[H\033[2J"
_LIVE = ("created", "running", "paused")


def size(count: int) -> str:
    """*count* bytes for people: "12.3MiB", three or four digits."""
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    value, index = float(count), 0
    while value >= 999.5 and index < len(units) - 1:
        value, index = value / 1024, index + 1
    return f"{value:.0f}{units[index]}" if index == 0 or value >= 99.95 else f"{value:.1f}{units[index]}"


def row(id: str, before: Stats, after: Stats, elapsed_sec: float) -> tuple[str, ...]:
    """The cells of the container *id*, by its stats *before* and *elapsed_sec* later, *after*."""
    used = _cpu_nsec(after) - _cpu_nsec(before)
    memory = after["memory"].get("usage", {})
    usage, limit = memory.get("usage", 0), memory.get("limit", 0)
    limited = 0 < limit < _NO_LIMIT_BYTES
    pids = after["pids"]
    return (
        id,
        f"{max(used, 0) / elapsed_sec / 10**7:.1f}",
        f"{size(usage)} / {size(limit) if limited else '-'}",
        f"{100 * usage / limit:.1f}" if limited else "-",
        f"{pids.get('current', 0)} / {pids.get('limit', '-')}",
        " / ".join([size(_transferred(after, operation)) for operation in ("Read", "Write")]),
        _network(after["network_interfaces"]),
    )


def _cpu_nsec(stats: Stats) -> int:
    return int(stats["cpu"].get("usage", {}).get("total", 0))


def _transferred(stats: Stats, operation: str) -> int:
    entries = stats["blkio"].get("ioServiceBytesRecursive", ())
    return sum([entry.get("value", 0) for entry in entries if entry.get("op") == operation])


def _network(interfaces: Sequence[Stats] | None) -> str:
    """Of all but the loopback; a container in the host's network namespace has none of its own."""
    if interfaces is None:
        return "-"
    outer = [interface for interface in interfaces if interface["Name"] != "lo"]
    return " / ".join([size(sum([interface[name] for interface in outer])) for name in ("RxBytes", "TxBytes")])


def table(rows: Sequence[Sequence[str]]) -> str:
    """*rows* below the titles, the numbers at the right."""
    columns = list(zip(TITLES, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for cells in (TITLES, *rows):
        aligned = [f"{cell:{'<' if index == 0 else '>'}{widths[index]}}" for index, cell in enumerate(cells)]
        lines.append("   ".join(aligned).rstrip() + "\n")
    return "".join(lines)


def run(call: Call) -> int:
    words = call.words
    interval_sec = parse_duration("interval", words.text("interval") or "")
    named = [Container.load(id, root=call.root) for id in words.arguments]
    samples, at = _samples(call, named), time.monotonic()
    for container in named:
        if container.id not in samples:
            text = f"container with id {container.id} is not running"
            raise WrongStatus(text, status=container.status(), operation="stats", allowed=_LIVE)
    clear = _CLEAR if os.isatty(1) and not words.flag("no-stream") else ""
    while True:
        time.sleep(interval_sec)
        later, later_at = _samples(call, named), time.monotonic()
        rows = [row(id, samples.get(id, stats), stats, later_at - at) for id, stats in later.items()]
        write(clear + table(rows))
        samples, at = later, later_at
        if words.flag("no-stream") or (named and not later):
            return 0


def _samples(call: Call, named: Sequence[Container]) -> dict[str, Stats]:
    """The stats by id of the containers *named*, or of all that there are. Those that do not live are left out."""
    found: dict[str, Stats] = {}
    for container in named or Container.list(root=call.root):
        try:
            found[container.id] = container.stats()
        except OcirtError:
            # Stopped, or deleted at this moment.
            continue
    return found


COMMAND = Command(
    "stats",
    run,
    arguments="[container-id...]",
    description="""\
Display what the containers use, all that live or those that are named, and draw it again every
--interval. CPU % is of one CPU. A dash stands where there is no limit, or no network of the
container's own. For programs there is {program} events --stats.""",
    flags=(
        Flag("interval", "how long to wait between two looks", default="1s"),
        Flag("no-stream", "draw one table, of the first --interval, then exit", kind="bool"),
    ),
    minimum=0,
    maximum=None,
    examples=(
        ("All containers, every second", "{program} stats"),
        ("Two of them, once", "{program} stats --no-stream web db"),
    ),
)
