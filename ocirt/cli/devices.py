"""``ocirt devices add`` and ``ocirt devices remove``: devices of a container that runs."""

from __future__ import annotations

from ocirt.cli.mounts import change
from ocirt.cli.parser import Command
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    return change(call, Container.add_devices, Container.remove_devices)


COMMAND = Command(
    "devices",
    run,
    arguments="add|remove <container-id> <file>",
    description="""\
Put devices into a container that runs, or take them out of it. The file, or standard input with
"-", holds an array of objects as in linux.devices of config.json:

    [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 438}]

To add makes the node, which takes the host's root, and allows the device in the container's
cgroup; to remove denies it, also to who has another node of it, and removes the node. What is open
stays open.""",
    minimum=3,
    maximum=3,
    examples=(("Give the device of FUSE to hello", "{program} devices add hello fuse.json"),),
)
