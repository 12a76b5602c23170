"""``ocirt start``: the command of a created container runs."""

from __future__ import annotations

import os

from ocirt.cli.parser import Command
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    container = Container.load(call.words.arguments[0], root=call.root)
    container.warn = call.log.warning
    container.timeline = call.timeline
    host = os.getenv("NOTIFY_SOCKET")
    if host and container.hears_of_ready:
        from ocirt.notify import start_and_wait

        start_and_wait(container.start, container.directory, host, container.pid, call.log.warning)
    else:
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
