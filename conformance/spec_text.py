"""The runtime spec's Markdown -> its sentences that say MUST, MUST NOT, REQUIRED or SHALL, each with its section.

Left out are examples, the sections and items about other systems than Linux, and of tables the rows whose columns hold
one word each: the sentence above the table says what they mean.
"""

from __future__ import annotations

import re

VERSION = "1.3.0"
FILES = ("runtime.md", "config.md", "config-linux.md", "features.md", "features-linux.md")

_DEMAND = re.compile(r"\b(MUST|REQUIRED|SHALL)\b")
_HEADING = re.compile(r"#+\s+(?:<a name=\"[^\"]*\"\s*/>)?\s*(.+)")
_ITEM = re.compile(r"\s*(?:\*|\d+\.)\s+(.*)")
_SENTENCE_END = re.compile(r"(?<=[.:!?])(?<!e\.g\.)(?<!i\.e\.)\)?\s+(?=[A-Z`*\[_])")
_OTHER_SYSTEM = re.compile(r"\b(Windows|Solaris|Hyper-V|z/OS|zOS|FreeBSD|VM)\b", re.IGNORECASE)
_ITEM_OF_OTHER_SYSTEM = re.compile(
    r"(On )?(Windows|Solaris)\b|For all other platforms|`(windows|solaris|vm|zos|freebsd|commandLine)`", re.IGNORECASE
)
_SENTENCE_OF_OTHER_SYSTEM = re.compile(r"\b[Oo]n Windows\b|Hyper-V")


class Sentence:
    """A sentence as the spec has it, on one line and without the mark of a list item."""

    __slots__ = ("file", "section", "text")

    def __init__(self, file: str, section: str, text: str) -> None:
        self.file = file
        self.section = section
        self.text = text

    @property
    def key(self) -> tuple[str, str, str]:
        return self.file, self.section, self.text


def demands(file: str, markdown: str) -> list[Sentence]:
    """The demanding sentences of one file, in order; one that a section repeats is there once."""
    found: dict[tuple[str, str, str], Sentence] = {}
    for section, block in _blocks(markdown):
        for text in _sentences(block):
            if _DEMAND.search(text) and not _SENTENCE_OF_OTHER_SYSTEM.search(text):
                sentence = Sentence(file, section, text)
                found.setdefault(sentence.key, sentence)
    return list(found.values())


def slug(heading: str) -> str:
    """The anchor that a heading has on its page: ``Cgroups Path`` has ``cgroups-path``."""
    return re.sub(r"[^\w -]", "", heading.strip().lower()).replace(" ", "-")


def _blocks(markdown: str) -> list[tuple[str, str]]:
    """Paragraphs, list items and cells of tables, each on one line, with the anchor of their section."""
    blocks: list[tuple[str, str]] = []
    section = ""
    block: list[str] = []
    in_code, in_scope = False, True

    def end_block() -> None:
        text = " ".join(" ".join(block).split())
        if text and in_scope and not _ITEM_OF_OTHER_SYSTEM.match(text.lstrip("*")):
            blocks.append((section, text))
        block.clear()

    for line in markdown.splitlines():
        if line.lstrip().startswith("```"):
            end_block()
            in_code = not in_code
        elif in_code:
            continue
        elif heading := _HEADING.match(line):
            end_block()
            in_scope = not _OTHER_SYSTEM.search(heading[1]) or "POSIX" in heading[1]
            if not heading[1].startswith("Example"):
                section = slug(heading[1])
        elif "|" in line and len(cells := line.strip().strip("|").split("|")) > 1:
            end_block()
            if len(cells[-1].split()) > 1 and in_scope:
                blocks.append((section, " ".join(cells[-1].split())))
        elif not line.strip():
            end_block()
        elif item := _ITEM.match(line):
            end_block()
            block.append(item[1])
        else:
            block.append(line.strip())
    end_block()
    return blocks


def _sentences(block: str) -> list[str]:
    return [sentence.strip() for sentence in _SENTENCE_END.split(block) if sentence.strip()]
