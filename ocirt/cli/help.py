"""What ``--help`` and ``--version`` print: the tables of the commands as text."""

from __future__ import annotations

from ocirt._version import __version__, commit, oci_version
from ocirt.cli import COMMANDS, GLOBAL_FLAGS
from ocirt.cli.output import write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirt.cli.parser import Command, Flag

_ABOUT = """\
{program} runs containers as the Open Container Initiative describes them: a bundle, which is a
directory with a root filesystem and the file config.json, becomes a running, isolated process.
It takes the place of runc below podman, containerd, docker and Kubernetes, and works by hand:

    # mkdir -p hello/rootfs && cd hello
    # tar -xf busybox.tar -C rootfs
    # {program} spec
    # {program} run hello"""

_EXAMPLES: tuple[tuple[str, str], ...] = (
    ("Run the bundle in the current directory, with this terminal", "{program} run hello"),
    ("The same in two steps, as engines do it", "{program} create --bundle DIR hello && {program} start hello"),
    ("Look into a running container", "{program} exec -t hello sh"),
    ("See what create would do, step by step", "{program} plan --bundle DIR"),
    ("Stop it, and remove what is left of it", "{program} kill hello && {program} delete hello"),
)


def print_version(program: str) -> None:
    """Print the version in the form that engines read: ``NAME version X`` first, then ``commit:`` and ``spec:``."""
    lines = [f"{program} version {__version__}"]
    if commit:
        lines.append(f"commit: {commit}")
    lines.append(f"spec: {oci_version}")
    write("\n".join(lines) + "\n")


def print_help(program: str, *, complaint: str = "") -> None:
    """Print the help of the command as a whole, after the *complaint* about its words."""
    sections = [
        _section("NAME", f"{program} - Open Container Initiative runtime"),
        _named(_ABOUT, program),
        _section("USAGE", f"{program} [global options] command [command options] [arguments...]"),
        _section("VERSION", __version__),
        _section("COMMANDS", *_columns([*COMMANDS.items(), ("help, h", "show this, or the help of one command")])),
        _section("GLOBAL OPTIONS", *_columns(_flag_rows(GLOBAL_FLAGS))),
        _section("EXAMPLES", *_examples(program, _EXAMPLES)),
    ]
    _print(complaint, sections)


def print_command_help(program: str, command: Command, *, complaint: str = "") -> None:
    """Print the help of *command*, after the *complaint* about its words."""
    usage = f"{program} {command.name} [command options] {command.arguments}".rstrip()
    sections = [
        _section("NAME", f"{program} {command.name} - {COMMANDS[command.name]}"),
        _section("USAGE", usage),
        _section("OPTIONS", *_columns(_flag_rows(command.flags))),
    ]
    if command.description:
        lines = _named(command.description, program).splitlines()
        sections.insert(2, _section("DESCRIPTION", *lines))
    if command.examples:
        sections.append(_section("EXAMPLES", *_examples(program, command.examples)))
    _print(complaint, sections)


def _print(complaint: str, sections: Sequence[str]) -> None:
    write((f"{complaint}\n\n" if complaint else "") + "\n\n".join(sections) + "\n")


def _named(text: str, program: str) -> str:
    # Not str.format: the text may show JSON.
    return text.replace("{program}", program)


def _section(title: str, *lines: str) -> str:
    return "\n".join([f"{title}:", *(f"   {line}".rstrip() for line in lines)])


def _columns(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(left) for left, _ in rows)
    return [f"{left:{width}}  {right}" for left, right in rows]


def _flag_rows(flags: Sequence[Flag]) -> list[tuple[str, str]]:
    rows = []
    for flag in flags:
        if flag.hidden:
            continue
        value = "" if flag.kind == "bool" else " value"
        names = f"--{flag.name}{value}" + (f", -{flag.short}{value}" if flag.short else "")
        default = f" (default: {flag.default})" if flag.default else ""
        rows.append((names, flag.help + default))
    return rows


def _examples(program: str, examples: Sequence[tuple[str, str]]) -> list[str]:
    lines = []
    for purpose, line in examples:
        lines += [f"{purpose}:", f"    # {_named(line, program)}", ""]
    return lines[:-1]
