"""Counts the MUSTs of the runtime spec that tests prove::

    python3 conformance/coverage.py [--unproved] [--spec DIR]

With --unproved it lists the others and why. --spec compares musts.toml with the spec's Markdown in DIR and exits
1 when a sentence is missing in either.
"""

from __future__ import annotations

import os
import sys
import tomllib

if __name__ == "__main__":
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

from conformance.spec_text import FILES, Sentence, demands

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MUSTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "musts.toml")
ABOUT = ("runtime", "config")


class Must:
    """One entry of musts.toml."""

    __slots__ = ("about", "id", "sentence", "tests", "unproved")

    def __init__(self, entry: dict[str, Any]) -> None:
        self.id: str = entry["id"]
        self.sentence = Sentence(entry["file"], entry["section"], entry["sentence"])
        self.about: str = entry["about"]
        self.tests: list[str] = entry.get("tests", [])
        self.unproved: str = entry.get("unproved", "")


def load(path: str = MUSTS) -> list[Must]:
    with open(path, "rb") as file:
        return [Must(entry) for entry in tomllib.load(file)["must"]]


def table(musts: list[Must]) -> list[str]:
    """A line for each file of the spec: its sentences by whom they bind, and how many of them are proved."""
    rows = [("", *(f"{about}" for about in ABOUT), "all")]
    for name in (*FILES, "all"):
        row = [name]
        for about in (*ABOUT, ""):
            found = [
                must for must in musts if name in (must.sentence.file, "all") and (must.about == about or not about)
            ]
            row.append(f"{sum(bool(must.tests) for must in found)} of {len(found)}")
        rows.append(tuple(row))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(f"{cell:<{width}}" if index == 0 else f"{cell:>{width}}" for index, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]


def differences(musts: list[Must], folder: str) -> list[str]:
    """What the spec's Markdown in *folder* demands and musts.toml lacks, and the other way round."""
    demanded = []
    for name in FILES:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            demanded += demands(name, file.read())
    ours = {must.sentence.key for must in musts}
    theirs = {sentence.key for sentence in demanded}
    missing = [f"not in musts.toml: {file}#{section}: {text}" for file, section, text in sorted(theirs - ours)]
    return missing + [f"not in the spec: {file}#{section}: {text}" for file, section, text in sorted(ours - theirs)]


def main() -> int:
    import argparse

    parser = argparse.ArgumentParser(prog="coverage.py", description="Count the MUSTs of the spec that tests prove.")
    parser.add_argument("--unproved", action="store_true", help="list those that no test proves, and why")
    parser.add_argument("--spec", metavar="DIR", help="compare with the Markdown of the runtime spec")
    options = parser.parse_args()
    musts = load()
    for line in table(musts):
        print(line)
    if options.unproved:
        for must in musts:
            if must.unproved:
                print(f"\n{must.id}: {must.unproved}\n    {must.sentence.text}")
    found = differences(musts, options.spec) if options.spec else []
    for difference in found:
        print(difference)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
