"""``ocirt plan``: the operations that would create the container of a bundle, in their order. Nothing is done."""

from __future__ import annotations

from ocirt.cli.create import BUNDLE_FLAG
from ocirt.cli.output import printable, write
from ocirt.cli.parser import Command, Flag
from ocirt.container import Container
from ocirt.json_text import dumps
from ocirt.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirt.cli.parser import Call
    from ocirt.plan import Op


def table(ops: Sequence[Op]) -> str:
    """*ops* in four columns: the number, who does it, what it does, and the property that asks for it."""
    rows = [(str(number), op.where, printable(op.describe()), op.origin) for number, op in enumerate(ops)]
    widths = [max(map(len, column), default=0) for column in zip(*rows, strict=True)]
    return "".join(
        f"{number:>{widths[0]}}  {where:{widths[1]}}  {step:{widths[2]}}  {origin}".rstrip() + "\n"
        for number, where, step, origin in rows
    )


def run(call: Call) -> int:
    words = call.words
    options = Options(root=call.root, cgroup_manager=call.cgroup_manager)
    ops = Container.plan(words.text("bundle") or ".", options).ops
    if words.flag("json"):
        write(dumps([{"where": op.where, "step": op.describe(), "origin": op.origin} for op in ops], indent=2) + "\n")
    else:
        write(table(ops))
    return 0


COMMAND = Command(
    "plan",
    run,
    description="""\
Show the steps that create and start would take for the bundle, one line for each: its number, who
takes it (the runtime on the host, or init in the container), what it is, and the property of
config.json that asks for it. An error names the same steps.""",
    flags=(BUNDLE_FLAG, Flag("json", "print a JSON array", kind="bool")),
    examples=(
        ("What a change of config.json changes", "diff <({program} plan --bundle OLD) <({program} plan --bundle NEW)"),
        ("The mounts alone", "{program} plan | grep '/mounts/'"),
    ),
)
