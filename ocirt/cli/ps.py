"""``ocirt ps``: the processes of a container, by the host's ps(1) or as a list of pids."""

from __future__ import annotations

from ocirt.cli.list import FORMAT_FLAG, check_format
from ocirt.cli.output import write
from ocirt.cli.parser import Command
from ocirt.container import Container
from ocirt.errors import OcirtError
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    format = check_format(call)
    pids = Container.load(call.words.arguments[0], root=call.root).pids()
    if format == "json":
        write(dumps(pids) + "\n")
    else:
        write(only_pids(_host_processes(call.words.arguments[1:] or ["-ef"]), pids))
    return 0


def only_pids(listing: str, pids: Sequence[int]) -> str:
    """The lines of *listing*, as ps(1) prints it, whose column PID is one of *pids*, below their header.

    OcirtError if there is no such column.
    """
    lines = listing.splitlines()
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise OcirtError("couldn't find PID field in ps output")
    column = titles.index("PID")
    wanted = {str(pid) for pid in pids}
    chosen = [line for line in lines[1:] if line.split()[column : column + 1] and line.split()[column] in wanted]
    return "\n".join([lines[0], *chosen]) + "\n"


def _host_processes(options: Sequence[str]) -> str:
    import subprocess

    done = subprocess.run(
        ["ps", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="surrogateescape"
    )
    if done.returncode != 0:
        raise OcirtError(f"ps: exit status {done.returncode}: {done.stdout.strip()}")
    return done.stdout


COMMAND = Command(
    "ps",
    run,
    arguments="<container-id> [ps options]",
    description="""\
Display the processes that run inside a container. [ps options] are those of ps(1), by default
-ef; the output needs a column PID. The pids are those of the host.""",
    flags=(FORMAT_FLAG,),
    minimum=1,
    maximum=None,
    stops_early=True,
    examples=(
        ("With the columns of your choice", "{program} ps hello -o pid,rss,args"),
        ("Only the pids", "{program} ps --format json hello"),
    ),
)
