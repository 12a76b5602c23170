"""What is written down about ocirt is true of the code: manual pages, HACKING, README, changelog."""

from __future__ import annotations

import importlib.util
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from ocirt._version import __version__
from ocirt.cli import COMMANDS, GLOBAL_FLAGS, load

ROOT = Path(__file__).resolve().parents[2]
MAN = ROOT / "docs/man"
PAGES = sorted(path for path in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")))


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_manual_pages", MAN / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATED: dict[str, str] = generator().pages()


@pytest.mark.parametrize("name", GENERATED)
def test_a_manual_page_says_what_help_says(name: str) -> None:
    assert (MAN / name).read_text() == GENERATED[name], "run: make man"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_manual_page_has_every_flag(name: str) -> None:
    page = (MAN / f"ocirt-{name}.8").read_text().replace("\\-", "-")
    shown = {flag.name for flag in load(name).flags if not flag.hidden}
    assert set(re.findall(r"^\.B --([\w-]+)", page, re.MULTILINE)) == shown


def test_there_is_a_manual_page_for_every_command_and_no_other() -> None:
    assert {path.name for path in MAN.glob("*.8")} == {"ocirt.8", *(f"ocirt-{name}.8" for name in COMMANDS)}


@pytest.mark.parametrize("name", GENERATED)
def test_a_manual_page_is_good_roff(name: str) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("needs the program groff")
    done = subprocess.run([groff, "-man", "-ww", "-Tutf8", str(MAN / name)], capture_output=True, text=True)
    assert done.stderr == ""


def tree() -> str:
    """The block below "The tree" of HACKING.md."""
    section = (ROOT / "HACKING.md").read_text().partition("## The tree")[2]
    return section.split("```")[1]


def test_the_tree_shows_every_module_of_the_package() -> None:
    for path in (ROOT / "ocirt").iterdir():
        if path.suffix == ".py" and path.name not in ("__main__.py", "_version.py"):
            assert path.name in tree(), f"HACKING.md does not show {path.name}"
        elif path.is_dir() and path.name not in ("__pycache__", "schemas"):
            assert f"  {path.name}/" in tree(), f"HACKING.md does not show {path.name}/"


def test_the_tree_shows_only_what_there_is() -> None:
    there = {path.name for path in ROOT.rglob("*") if ".git" not in path.parts}
    for name in re.findall(r"\b[\w-]+\.(?:py|c|h|json)\b", tree()):
        assert name in there, f"HACKING.md shows {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_file_that_is_spoken_of_is_there(page: Path) -> None:
    for name in re.findall(
        r"`((?:benchmarks|conformance|csrc|demo|docs|ocirt|packaging|schemas|tests)/[\w./-]+)`", page.read_text()
    ):
        assert (ROOT / name).exists(), name


def commands_of(page: Path) -> list[list[str]]:
    """The ocirt commands in the shell blocks of a page, as words."""
    found = []
    for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line.lstrip("$# ").partition("  #")[0], comments=False)
            for index, word in enumerate(words):
                if word == "ocirt" and (index == 0 or words[index - 1] in ("sudo", "&&", "|", "-f", "FILE")):
                    found.append(words[index + 1 :])
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_command_that_is_shown_has_flags_that_there_are(page: Path) -> None:
    for words in commands_of(page):
        known = {f"--{flag.name}" for flag in GLOBAL_FLAGS}
        names = [word for word in words if word in COMMANDS]
        if names:
            known |= {f"--{flag.name}" for flag in load(names[0]).flags}
        for word in words:
            if word in ("|", "&&", ";", ">"):
                break
            if word.startswith("--") and names:
                assert word.partition("=")[0] in known, f"{word} in: ocirt {' '.join(words)}"


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == "Unreleased" or versions[0] == __version__
    assert __version__ in versions
