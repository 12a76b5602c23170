"""``ocirt delete``: nothing is left of a container."""

from __future__ import annotations

from ocirt.cli.parser import Command, Flag
from ocirt.container import Container
from ocirt.errors import ContainerNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    force = call.words.flag("force")
    try:
        container = Container.load(call.words.arguments[0], root=call.root)
        container.warn = call.log.warning
        container.delete(force=force)
    except ContainerNotFound:
        # Engines send it behind a delete, or a failed create, to be sure.
        if not force:
            raise
    return 0


COMMAND = Command(
    "delete",
    run,
    arguments="<container-id>",
    description="""\
Delete any resources held by the container: what is left of its processes, its cgroups and its
state. The container must be stopped: --force kills one that is not, also one that was created
and never started.""",
    flags=(
        Flag(
            "force",
            "delete it even if it is still running (by SIGKILL), and accept that it is gone",
            short="f",
            kind="bool",
        ),
    ),
    minimum=1,
    maximum=1,
    examples=(
        ("Delete the stopped container ubuntu01", "{program} delete ubuntu01"),
        ("Whatever its status is", "{program} delete --force ubuntu01"),
    ),
)
