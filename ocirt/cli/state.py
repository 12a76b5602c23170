"""``ocirt state``: what is known of one container, as JSON."""

from __future__ import annotations

from ocirt.cli.output import write
from ocirt.cli.parser import Command
from ocirt.container import Container
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    write(dumps(Container.load(call.words.arguments[0], root=call.root).describe(), indent=2) + "\n")
    return 0


COMMAND = Command(
    "state",
    run,
    arguments="<container-id>",
    description="""\
Print the state of a container as JSON. Its status is one of creating, created, running, paused
and stopped; pid is 0 once it is stopped.""",
    minimum=1,
    maximum=1,
    examples=(("The host's pid of a container's process", "{program} state hello | jq .pid"),),
)
