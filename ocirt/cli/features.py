"""``ocirt features``: what this runtime supports, for engines and people."""

from __future__ import annotations

from ocirt.cli.output import write
from ocirt.cli.parser import Command
from ocirt.features import features
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(_call: Call) -> int:
    write(dumps(features(), indent=4) + "\n")
    return 0


COMMAND = Command(
    "features",
    run,
    description="""\
Show what this runtime supports on this host, as the JSON document of the runtime specification's
features.md.""",
    examples=(("The mount options that may stand in config.json", "{program} features | jq -r '.mountOptions[]'"),),
)
