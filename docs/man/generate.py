"""Writes the manual pages: the tables behind ``--help`` and sections.py as roff, one page for each command.

python docs/man/generate.py        or: make man
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from sections import ABOUT, EXIT_STATUS, PAGES  # noqa: E402  # it lies beside this file

from ocirt._version import __version__  # noqa: E402
from ocirt.cli import COMMANDS, GLOBAL_FLAGS, load  # noqa: E402
from ocirt.cli.parser import Command, Flag  # noqa: E402

PROGRAM = "ocirt"


def pages() -> dict[str, str]:
    """File name -> text, of every page."""
    found = {f"{PROGRAM}.8": main_page()}
    for name in COMMANDS:
        found[f"{PROGRAM}-{name}.8"] = command_page(load(name))
    return found


def main_page() -> str:
    commands = [(f"{PROGRAM}-{name}(8)", purpose) for name, purpose in COMMANDS.items()]
    return "".join(
        [
            heading(PROGRAM, "Open Container Initiative runtime"),
            section("SYNOPSIS", f"{PROGRAM} [global options] command [command options] [arguments...]"),
            section("DESCRIPTION", ABOUT),
            ".SH COMMANDS\n",
            entries(commands),
            ".SH GLOBAL OPTIONS\n",
            options(GLOBAL_FLAGS),
            *(section(title, text) for title, text in PAGES[""]),
            section(
                "SEE ALSO",
                ", ".join([*(name for name, _ in commands), "runc(8)", "crun(1)", "podman(1)", "namespaces(7)"]),
            ),
        ]
    )


def command_page(command: Command) -> str:
    own = PAGES.get(command.name, ())
    titles = [title for title, _ in own]
    parts = [
        heading(f"{PROGRAM}-{command.name}", COMMANDS[command.name]),
        section("SYNOPSIS", f"{PROGRAM} {command.name} [command options] {command.arguments}".rstrip()),
        section("DESCRIPTION", command.description.replace("{program}", PROGRAM)),
        ".SH OPTIONS\n",
        options(command.flags),
        *(section(title, text) for title, text in own),
    ]
    if "EXIT STATUS" not in titles:
        parts.append(section("EXIT STATUS", EXIT_STATUS.rpartition("\n\n")[0]))
    if command.examples:
        parts.append(".SH EXAMPLES\n")
        for purpose, line in command.examples:
            parts.append(paragraphs(f"{purpose}:\n\n    # {line.replace('{program}', PROGRAM)}"))
    parts.append(section("SEE ALSO", f"{PROGRAM}(8)"))
    return "".join(parts)


def heading(name: str, purpose: str) -> str:
    title = f'.TH {name.upper()} 8 "" "ocirt {__version__}" "System Administration"\n'
    return f"{title}.SH NAME\n{escape(f'{name} - {purpose}')}\n"


def section(title: str, text: str) -> str:
    return f".SH {title}\n{paragraphs(text)}"


def paragraphs(text: str) -> str:
    """*text* as sections.py describes it."""
    done = []
    for paragraph in text.strip("\n").split("\n\n"):
        name, colon, rest = paragraph.partition(": ")
        if paragraph.startswith("  "):
            lines = "\n".join(escape(line[4:]) for line in paragraph.splitlines())
            done.append(f".PP\n.nf\n.RS 4\n{lines}\n.RE\n.fi\n")
        elif colon and is_name(name):
            done.append(f".TP\n.B {escape(name)}\n{escape(rest)}\n")
        else:
            done.append(f".PP\n{escape(paragraph)}\n")
    return "".join(done)


def is_name(text: str) -> bool:
    """Whether this is what a list explains: one word, or words with commas between."""
    return all(word and " " not in word for word in text.split(", "))


def entries(rows: Sequence[tuple[str, str]]) -> str:
    return "".join(f".TP\n.B {escape(name)}\n{escape(text)}\n" for name, text in rows)


def options(flags: Sequence[Flag]) -> str:
    return entries([option(flag) for flag in flags if not flag.hidden])


def option(flag: Flag) -> tuple[str, str]:
    value = "" if flag.kind == "bool" else " value"
    short = f", -{flag.short}{value}" if flag.short else ""
    default = f" (default: {flag.default})" if flag.default else ""
    repeated = " May be given several times." if flag.kind in ("texts", "numbers") else ""
    return f"--{flag.name}{value}{short}", flag.help[:1].upper() + flag.help[1:] + default + "." + repeated


def escape(text: str) -> str:
    """Plain text as roff: no line is a request, a dash is a dash."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\n".join(f"\\&{line}" if line[:1] in (".", "'") else line for line in text.splitlines())


def main() -> None:
    for old in HERE.glob("*.8"):
        old.unlink()
    for name, text in pages().items():
        (HERE / name).write_text(text)


if __name__ == "__main__":
    main()
