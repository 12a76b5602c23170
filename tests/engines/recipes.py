"""The files and commands of docs/engines.md, for a runtime that lies elsewhere, and for an image of the tests."""

from __future__ import annotations

import re
from pathlib import Path

from engines.engine import IMAGE

PAGE = Path(__file__).resolve().parents[2] / "docs/engines.md"
PATH = "/usr/local/sbin/ocirt"


def section(heading: str) -> str:
    """What stands below that heading."""
    (text,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(text)


def file_of(heading: str, language: str, runtime: Path) -> str:
    """The one file in that language, with *runtime* instead of ocirt."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", section(heading), re.DOTALL)
    return _with(text, runtime)


def commands_of(heading: str, runtime: Path) -> list[tuple[str, str]]:
    """The commands and what they print."""
    (text,) = re.findall(r"```console\n(.*?)```", section(heading), re.DOTALL)
    found = re.findall(r"^# (.*\n)((?:(?!# ).*\n)*)", _with(text, runtime), re.MULTILINE)
    return [(command.rstrip("\n"), output) for command, output in found]


def _with(text: str, runtime: Path) -> str:
    text = text.replace(PATH, "@").replace("ocirt", runtime.name).replace("@", str(runtime))
    return re.sub(r"docker\.io/library/busybox(:latest)?", IMAGE, text)
