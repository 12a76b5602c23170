"""``ocirt list``: the containers below one root."""

from __future__ import annotations

import os

from ocirt.cli.output import write
from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirt.cli.parser import Call

FORMAT_FLAG = Flag("format", "select one of: table or json", short="f", default="table")

_MINIMUM_WIDTH = 12
_GAP = 3


def check_format(call: Call) -> str:
    """The value of ``--format``. UsageError if it is none of those that there are."""
    format = call.words.text("format") or ""
    if format not in ("table", "json"):
        raise UsageError("invalid format option")
    return format


def table(rows: Sequence[Sequence[str]]) -> str:
    """*rows* as text in columns of at least 12 characters, three blanks apart."""
    columns = list(zip(*rows, strict=True))[:-1]
    widths = [max(_MINIMUM_WIDTH, max(map(len, column)) + _GAP) for column in columns]
    lines = ["".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=False)) + row[-1] for row in rows]
    return "\n".join(lines) + "\n"


def run(call: Call) -> int:
    format = check_format(call)
    if call.root is not None:
        os.stat(call.root)  # a root that was named has to be there; the default one comes with the first container
    containers = Container.iterate(root=call.root, warn=call.log.warning)
    if call.words.flag("quiet"):
        write("".join(f"{container.id}\n" for container in containers))
        return 0
    owners: dict[int, str] = {}  # one look into /etc/passwd for each user
    described = []
    for container in containers:
        owner = owners.get(container.uid) or owners.setdefault(container.uid, container.owner)
        described.append({**container.describe(), "owner": owner})
    if format == "json":
        write(dumps(described) + "\n")
        return 0
    keys = ("id", "pid", "status", "bundle", "created", "owner")
    write(table([[key.upper() for key in keys], *([str(state[key]) for key in keys] for state in described)]))
    return 0


COMMAND = Command(
    "list",
    run,
    description="List the containers of the root that the global option --root names.",
    flags=(FORMAT_FLAG, Flag("quiet", "display only container IDs", short="q", kind="bool")),
    examples=(
        ("List the containers of the default root", "{program} list"),
        ("Those of docker", "{program} --root /run/docker/runtime-runc/moby list"),
        ("Delete everything that has stopped", "{program} list -f json | jq -r '.[]|select(.pid==0).id'"),
    ),
)
