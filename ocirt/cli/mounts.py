"""``ocirt mounts add`` and ``ocirt mounts remove``: mounts of a container that runs."""

from __future__ import annotations

from ocirt.cli.parser import Command, UsageError
from ocirt.config.load import load_array
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def verb(call: Call) -> str:
    word = call.words.arguments[0]
    if word not in ("add", "remove"):
        raise UsageError(f"wanted add or remove, found {word}")
    return word


def run(call: Call) -> int:
    word = verb(call)
    _, id, path = call.words.arguments
    container = Container.load(id, root=call.root)
    container.warn = call.log.warning
    mounts = load_array(path)
    if word == "add":
        container.add_mounts(mounts)
    else:
        container.remove_mounts(mounts)
    return 0


COMMAND = Command(
    "mounts",
    run,
    arguments="add|remove <container-id> <file>",
    description="""\
Mount something in a container that runs, or unmount it there. The file, or standard input with
"-", holds an array of objects as in mounts of config.json; to remove, their destinations are
enough:

    [{"destination": "/data", "source": "/srv/data", "options": ["rbind", "ro"]}]

All of the mounts are made, or none. A filesystem of type proc or cgroup cannot be added. What is
to be removed is named by a path without symbolic links, since those are the container's.""",
    minimum=3,
    maximum=3,
    examples=(("Give a directory to hello", "{program} mounts add hello mounts.json"),),
)
