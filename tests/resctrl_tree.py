"""A tree of files that is like resctrl, since that takes a processor that has it: a group that is made has the kernel's
files in it, and one that is removed takes them along (resctrl.rst)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ocirt import resctrl

SCHEMATA = "    L3:0=7ff;1=7ff\n    MB:0= 100;1= 100\n"


def fill(path: Path, schemata: str = SCHEMATA) -> None:
    """What the kernel puts into a new group."""
    (path / "tasks").touch()
    if path.parent.name != "mon_groups":
        (path / "schemata").write_text(schemata)
        (path / "mon_groups").mkdir()


def imitate(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lets the library of this process find resctrl at *root*, which is made."""

    def make(path: str) -> None:
        Path(path).mkdir()
        fill(Path(path))

    monkeypatch.setattr(resctrl, "_make_group", make)
    monkeypatch.setattr(resctrl, "_remove_group", shutil.rmtree)
    monkeypatch.setattr(resctrl, "find_root", lambda: str(root))
    root.mkdir()
    fill(root)
    (root / "info").mkdir()
    (root / "info/last_cmd_status").write_text("ok\n")
    return root
