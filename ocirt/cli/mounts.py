"""``ocirt mounts add`` and ``ocirt mounts remove``: mounts of a container that runs."""

from __future__ import annotations

from ocirt.cli.parser import Command, UsageError
from ocirt.config.load import load_array
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirt.cli.parser import Call

    #: Of a container, by the objects of a file.
    Change = Callable[[Container, list[Any]], None]


def change(call: Call, add: Change, remove: Change) -> int:
    """Adds what the file of *call* holds, or removes it, as the first of its words says."""
    word, id, path = call.words.arguments
    if word not in ("add", "remove"):
        raise UsageError(f"wanted add or remove, found {word}")
    container = Container.load(id, root=call.root)
    container.warn = call.log.warning
    objects = load_array(path)
    if word == "add":
        add(container, objects)
    else:
        remove(container, objects)
    return 0


def run(call: Call) -> int:
    return change(call, Container.add_mounts, Container.remove_mounts)


COMMAND = Command(
    "mounts",
    run,
    arguments="add|remove <container-id> <file>",
    description="""\
Mount something in a container that runs, or unmount it there. The file, or standard input with
"-", holds an array of objects as in mounts of config.json; to remove, their destinations are
enough:

    [{"destination": "/data", "source": "/srv/data", "options": ["rbind", "ro"]}]

All of the mounts are made, or none. A filesystem of type proc or cgroup cannot be added, and files
of the host only by its root. What is to be removed is named by a path without symbolic links, since
those are the container's.""",
    minimum=3,
    maximum=3,
    examples=(("Give a directory to hello", "{program} mounts add hello mounts.json"),),
)
