"""Paths of a hostile root filesystem: what ocirt-init makes of them is what a process whose root it is would make.

Random trees of directories, files and links, many of them dangling, in circles, or aimed at the host, and random
paths through them. A model in a few lines of Python walks the same path, component by component, and both must come
to the same directory, or both fail. Around the root lies a host in which nothing may change.
"""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from init_alone import SYNC, InitAlone, plan_of

from ocirt._shim import lib
from ocirt.plan.op import Op

pytestmark = pytest.mark.needs_root

NAMES = ("a", "b", "c", "d")
CASES = 100
LINK_LIMIT = 40
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18


class ModelError(Exception):
    """The path cannot be made.

    ``is_certain`` is false where only slashes and dots stand behind a file. The kernel refuses that; where the file is
    opened all the same, it does no harm.
    """

    def __init__(self, *, is_certain: bool = True) -> None:
        self.is_certain = is_certain


def make_tree(chance: random.Random, root: Path, host: Path) -> None:
    directories = [root]
    for _ in range(chance.randrange(2, 14)):
        parent = chance.choice(directories)
        path = parent / chance.choice(NAMES)
        if os.path.lexists(path):
            continue
        kind = chance.random()
        if kind < 0.4:
            path.mkdir()
            directories.append(path)
        elif kind < 0.5:
            path.touch()
        else:
            path.symlink_to(make_target(chance, host))


def make_target(chance: random.Random, host: Path) -> str:
    ups = "../" * chance.choice((0, 0, 1, 1, 2, 3, 12))
    kind = chance.random()
    if kind < 0.15:
        return ups + str(host)[chance.choice((0, 1)) :]
    if kind < 0.2:
        return chance.choice((".", "..", "/", "../..", "./.", "//"))
    start = chance.choice(("", "", "/", "//"))
    return ups + start + make_path(chance).strip("/") or "."


def make_path(chance: random.Random) -> str:
    words = [chance.choice((*NAMES, *NAMES, "..", ".", "")) for _ in range(chance.randrange(1, 6))]
    return "/" + "/".join(words)


def model(root: Path, path: str) -> Path:
    """Makes the directory *path* of a process whose root is *root*; where it is. Raises ModelError."""
    place: list[str] = []
    todo = path.split("/")
    links = 0
    while todo:
        word = todo.pop(0)
        if word in ("", "."):
            continue
        if word == "..":
            del place[-1:]
            continue
        at = root.joinpath(*place, word)
        if at.is_symlink():
            links += 1
            if links > LINK_LIMIT:
                raise ModelError
            target = os.readlink(at)
            if target.startswith("/"):
                place = []
            todo = target.split("/") + todo
            continue
        if not at.exists():
            at.mkdir()
        if not at.is_dir():
            # Not even a slash may stand behind a file.
            if todo:
                raise ModelError(is_certain=any(word not in ("", ".") for word in todo))
            return at
        place.append(word)
    return root.joinpath(*place)


def look(top: Path) -> dict[str, str]:
    """Every name below *top*: a directory, a file, or where a link leads to."""
    found = {}
    for directory, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(directory, name)
            kind = "link " + os.readlink(path) if os.path.islink(path) else "dir" if os.path.isdir(path) else "file"
            found[os.path.relpath(path, top)] = kind
    return found


def make_directory(root: Path, path: str) -> int:
    """ocirt-init makes the directory *path* below *root*; its errno, 0 where it succeeds."""
    plan = plan_of(
        Op("CLONE", "clone", a=lib.CLONE_NEWNS),
        Op("HOST_PROPAGATION", "make all private", a=MS_REC | MS_PRIVATE),
        Op("ROOTFS", "attach", path=str(root), text=str(root), a=MS_PRIVATE),
        Op("UMASK", "umask"),
        Op("MKDIR", f"make {path}", path=path, mode=0o755),
        Op("SYNC", "wait", a=2),
    )
    with InitAlone() as init:
        init.send_plan(plan)
        pid = 0
        error = None
        while error is None:
            report = init.receive()
            assert report is not None, f"the init is gone: {path}"
            if report[0] == lib.OCIRT_REPORT_PID:
                pid = report[3]
            else:
                assert report[0] == SYNC or report[1] == 4, f"another step has failed: {report}"
                error = report[2] if report[0] != SYNC else 0
        init.hang_up()
        init.wait()
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    return error


@pytest.mark.parametrize("seed", range(3))
def test_a_path_is_resolved_as_in_the_container(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    made = failed = 0
    for case in range(CASES):
        top = tmp_path / str(case)
        for side in ("init", "model"):
            (top / side / "root").mkdir(parents=True)
        host = top / "host"
        host.mkdir()
        (host / "mark").write_text("MARK")
        state = chance.getstate()
        make_tree(chance, top / "init/root", host)
        chance.setstate(state)
        make_tree(chance, top / "model/root", host)
        path = make_path(chance)
        before = look(top / "init/root")
        try:
            model(top / "model/root", path)
            wanted = [False]
        except ModelError as failure:
            wanted = [True] if failure.is_certain else [True, False]
        error = make_directory(top / "init/root", path)
        said = f"case {case}: {path!r} in {before}"
        assert bool(error) in wanted, f"{said}: errno {error}"
        assert look(top / "init/root") == look(top / "model/root"), said
        assert look(host) == {"mark": "file"}, said
        assert sorted(os.listdir(top)) == ["host", "init", "model"], said
        assert os.listdir(top / "init") == ["root"], said
        made += not error
        failed += bool(error)
        shutil.rmtree(top)
    assert made > CASES // 4
    assert failed > CASES // 50
