"""``ocirt pause``: no process of a container runs until it is resumed."""

from __future__ import annotations

from ocirt.cli.parser import Command
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    Container.load(call.words.arguments[0], root=call.root).pause()
    return 0


COMMAND = Command(
    "pause",
    run,
    arguments="<container-id>",
    description="""\
Suspend all processes of the container, by the freezer of its cgroup. They keep what they have:
memory, locks, connections. {program} list shows which containers are paused.""",
    minimum=1,
    maximum=1,
    examples=(("Pause the container ubuntu01", "{program} pause ubuntu01"),),
)
