"""``ocirt resume``: the processes of a paused container go on."""

from __future__ import annotations

from ocirt.cli.parser import Command
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    Container.load(call.words.arguments[0], root=call.root).resume()
    return 0


COMMAND = Command(
    "resume",
    run,
    arguments="<container-id>",
    description="Let all processes of a paused container run again.",
    minimum=1,
    maximum=1,
    examples=(("Resume the container ubuntu01", "{program} resume ubuntu01"),),
)
