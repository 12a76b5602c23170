"""``ocirt kill``: a signal for a container."""

from __future__ import annotations

from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.errors import WrongStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


#: Those that engines send; their numbers are the same everywhere (kill(1p)).
_NUMBERS = {"HUP": 1, "INT": 2, "QUIT": 3, "KILL": 9, "TERM": 15}
_LAST_OF_ALL = 31  # behind it come the real-time signals, of which not every machine has the same number


def parse_signal(text: str) -> int:
    """The number of the signal *text*: a number from 0, or a name with or without "SIG", in upper or lower case.

    The real-time signals are RTMIN to RTMAX, and as kill(1) has them RTMIN+1 and RTMAX-1. UsageError for anything else.
    """
    name = text.upper().removeprefix("SIG")
    number = int(text) if text.isascii() and text.isdecimal() else _NUMBERS.get(name, -1)
    if 0 <= number <= _LAST_OF_ALL:
        return number
    import _signal

    if number >= 0:
        if number <= _signal.SIGRTMAX:
            return number
        raise UsageError(f'unknown signal "{text}"')
    base, sign, distance = name.partition("+") if "+" in name else name.partition("-")
    number = getattr(_signal, f"SIG{base}", 0) if base.isalnum() else 0
    if sign:
        in_range = base in ("RTMIN", "RTMAX") and distance.isascii() and distance.isdecimal()
        number = number + int(sign + distance) if in_range else 0
        number = number if _signal.SIGRTMIN <= number <= _signal.SIGRTMAX else 0
    if not number:
        raise UsageError(f'unknown signal "{text}"')
    return int(number)


def run(call: Call) -> int:
    words = call.words
    container = Container.load(words.arguments[0], root=call.root)
    signal = parse_signal(words.arguments[1] if len(words.arguments) > 1 else "SIGTERM")
    everyone = words.flag("all")
    try:
        container.kill(signal, all=everyone)
    except WrongStatus:
        # Engines clean up by "kill --all" behind a container that has ended by itself.
        if not everyone:
            raise
    return 0


COMMAND = Command(
    "kill",
    run,
    arguments="<container-id> [signal]",
    description="""\
Send a signal to the container's init process. [signal] is a name, with or without SIG, or a
number; the default is SIGTERM.""",
    flags=(
        Flag(
            "all",
            "send the signal to every process of the container, and accept that there is none",
            short="a",
            kind="bool",
        ),
    ),
    minimum=1,
    maximum=2,
    examples=(("Send SIGKILL to the init process of ubuntu01", "{program} kill ubuntu01 KILL"),),
)
