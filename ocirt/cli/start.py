"""``ocirt start``: the command of a created container runs."""

from __future__ import annotations

from ocirt.cli.parser import Command
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    container = Container.load(call.words.arguments[0], root=call.root)
    container.warn = call.log.warning
    container.timeline = call.timeline
    container.start()
    return 0


COMMAND = Command(
    "start",
    run,
    arguments="<container-id>",
    description="Execute the user-defined process in a created container.",
    minimum=1,
    maximum=1,
    examples=(("Create and start", "{program} create hello && {program} start hello"),),
)
