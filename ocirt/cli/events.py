"""``ocirt events``: what happens in a container, and what it uses, as lines of JSON."""

from __future__ import annotations

from ocirt.cli.output import write
from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call

_NSEC = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
# The greatest of Go's time.Duration, some 292 years.
_GREATEST_NSEC = 2**63 - 1


def parse_duration(flag: str, text: str) -> float:
    """Seconds of *text*, which is a sequence of numbers with units as "1m30s", "0.5s" or "100ms", as Go writes it.

    UsageError, which names *flag*, for anything else, and for a duration that is not more than 0.
    """
    rest, nsec = text, 0.0
    bad = UsageError(f'invalid value "{text}" for flag -{flag}: parse error')
    if text.startswith("-") or text.strip("0.") == "":
        raise UsageError(f"duration {flag} must be greater than 0") if text.strip("-0.") == "" and text else bad
    while rest:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(digits) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµμmsh"))]
        rest = rest[len(unit) :]
        if unit not in _NSEC or not digits.replace(".", "", 1).isdecimal():
            raise bad
        nsec += float(digits) * _NSEC[unit]
    if nsec > _GREATEST_NSEC:
        raise bad
    if nsec < 1:
        raise UsageError(f"duration {flag} must be greater than 0")
    return nsec / 10**9


def run(call: Call) -> int:
    words = call.words
    container = Container.load(words.arguments[0], root=call.root)
    interval_sec = parse_duration("interval", words.text("interval") or "")
    if words.flag("stats"):
        write(dumps({"type": "stats", "id": container.id, "data": container.stats()}) + "\n")
        return 0
    for event in container.events(interval_sec):
        write(dumps(event.document()) + "\n")
    return 0


COMMAND = Command(
    "events",
    run,
    arguments="<container-id>",
    description="""\
Display what happens in the container, one line of JSON for each event, until it stops: "oom"
when it runs out of memory, and every --interval "stats" with what it uses of the CPU, memory,
processes, block devices, huge pages and the network, and how long it had to wait for them.
Times are in nanoseconds, but in microseconds where they are those of pressure (psi); sizes
are in bytes.""",
    flags=(
        Flag("interval", "set the stats collection interval", default="5s"),
        Flag("stats", "display the container's stats then exit", kind="bool"),
    ),
    minimum=1,
    maximum=1,
    examples=(
        ("Wait for the container to run out of memory", "{program} events hello | grep -m1 '\"oom\"'"),
        ("The bytes of memory in use", "{program} events --stats hello | jq .data.memory.usage.usage"),
    ),
)
