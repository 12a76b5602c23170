"""modules.archive: what csrc/build_archive.py writes, imported by the launcher out of a package that tells where it is
from."""

from __future__ import annotations

import importlib.util
import json
import os
import posix
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from test_build_launcher import LIBPYTHON, ROOT, Environment

from ocirt import archive

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(not os.path.exists(LIBPYTHON), reason="needs an interpreter with a shared library"),
]

MAIN = '''
"""Documentation that nobody reads."""
from __future__ import annotations
import os, sys
from ocirt.inner import part

def run():
    os.write(1, ("%s %s %s\\n" % (part.VERSION, hasattr(sys, "path"), part.__file__)).encode())
    if len(sys.argv) > 1:
        os.write(1, (str(eval(sys.argv[1])) + "\\n").encode())
    os._exit(0)
'''
PART = "from __future__ import annotations\nVERSION: int = 1\ndef fail(of: what = None) -> nothing:\n    1 / 0\n"


def load_builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_archive", ROOT / "csrc/build_archive.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Installation(Environment):
    """A package with an archive, beside its launcher."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.package = self.packages / "ocirt"
        self.archive = self.package / "modules.archive"
        (self.package / "inner").mkdir(parents=True)
        (self.package / "__init__.py").touch()
        (self.package / "inner/__init__.py").touch()
        self.part = self.package / "inner/part.py"
        self.part.write_text(PART)
        (self.package / "__main__.py").write_text(MAIN)
        shutil.copy(ROOT / "ocirt/archive.py", self.package)
        self.compile()

    def build(self, *, keep_times: bool = False) -> None:
        builder = load_builder()
        builder.build(self.package, self.archive, keep_times=keep_times)

    def change_part(self) -> None:
        """Another source of the same size, a second later."""
        now = self.part.stat().st_mtime_ns
        self.part.write_text(PART.replace("1", "2", 1))
        os.utime(self.part, ns=(now, now + 10**9))

    def say(self, *arguments: str) -> list[str]:
        done = subprocess.run([self.command, *arguments], capture_output=True, text=True, env={})
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def eval(self, expression: str) -> str:
        return self.say(expression)[1]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(tmp_path / "env")
    made.build()
    return made


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="needs Python 3.11 or 3.12")
def test_an_interpreter_with_an_archive_begins_without_a_search_path(installation: Installation) -> None:
    assert installation.say() == [f"1 False {installation.part}"]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="needs Python 3.11 or 3.12")
def test_the_small_os_gives_way_to_the_true_one(installation: Installation) -> None:
    kind = "type(sys.modules['os']).__name__"
    assert installation.eval(kind) == "SmallOs"
    assert installation.eval(f"[os.getenv('PATH', 'none'), os.path.join('a', 'b'), {kind}]") == str(
        ["none", "a/b", "SmallOs"]
    )
    assert installation.eval(f"[os.environ is sys.modules['os'].environ, {kind}]") == str([True, "module"])
    assert installation.eval(f"[__import__('tempfile').__name__, {kind}]") == str(["tempfile", "module"])
    assert installation.eval(f"[isinstance('a', os.PathLike), hasattr(os, 'nothing'), {kind}]") == str(
        [False, False, "module"]
    )


@pytest.fixture
def small_os(monkeypatch: pytest.MonkeyPatch) -> archive.SmallOs:
    monkeypatch.setitem(sys.modules, "os", os)
    monkeypatch.setitem(sys.modules, "os.path", os.path)
    return archive.SmallOs()


def test_the_small_os_has_what_the_true_one_has(small_os: archive.SmallOs) -> None:
    shared = vars(small_os).keys() & vars(os).keys() - {"__name__", "__doc__", "__spec__", "__loader__"}
    assert {name for name in shared if vars(small_os)[name] is not vars(os)[name]} == set()
    assert {"open", "close", "path", "posix_spawn", "O_CLOEXEC", "_exit", "error"} <= shared
    assert "environ" not in vars(small_os)


def test_the_small_os_codes_as_the_true_one_does(small_os: archive.SmallOs) -> None:
    for name in ("", "gr\xfcn", "\udcff", b"", b"gr\xc3\xbcn", b"\xff", Path("a/b")):
        assert small_os.fsencode(name) == os.fsencode(name)
        assert small_os.fsdecode(name) == os.fsdecode(name)
    for function in (small_os.fsencode, small_os.fsdecode):
        with pytest.raises(TypeError, match="expected str, bytes or os\\.PathLike object, not int"):
            function(1)


def test_the_small_os_reads_the_environment_as_the_true_one_does(
    small_os: archive.SmallOs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posix, "environ", {b"KEY": b"gr\xc3\xbcn \xff", b"EMPTY": b""})
    monkeypatch.setenv("KEY", os.fsdecode(b"gr\xc3\xbcn \xff"))
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NONE", raising=False)
    for key in ("KEY", "EMPTY", "NONE"):
        assert small_os.getenv(key) == os.getenv(key)
        assert small_os.getenv(key, "default") == os.getenv(key, "default")


def test_without_an_archive_modules_are_found_as_ever(installation: Installation) -> None:
    installation.archive.unlink()
    assert installation.say() == [f"1 True {installation.part}"]


def test_a_source_of_another_size_is_used_in_place_of_the_archive(installation: Installation) -> None:
    installation.part.write_text(PART.replace("1", "22", 1))
    assert installation.say() == [f"22 True {installation.part}"]  # found on the search path


def test_the_modules_of_a_package_that_has_changed_are_found_behind_it(installation: Installation) -> None:
    package = installation.package / "inner/__init__.py"
    package.write_text("OLD = 1\n")
    installation.build()
    package.write_text("NEW = 1  # of another size\n")
    assert installation.eval("part.VERSION, sys.modules['ocirt.inner'].NEW") == "(1, 1)"


def test_an_installed_source_may_have_any_time(installation: Installation) -> None:
    installation.change_part()
    assert installation.say()[0].startswith("1 ")


def test_a_source_of_an_editable_installation_must_have_its_time(installation: Installation) -> None:
    installation.build(keep_times=True)
    assert installation.say()[0].startswith("1 ")
    installation.change_part()
    assert installation.say()[0].startswith("2 ")


def test_a_module_that_came_later_is_found_beside_the_archive(installation: Installation) -> None:
    (installation.package / "later.py").write_text("VALUE = 'late'\n")
    assert installation.eval("__import__('ocirt.later').later.VALUE") == "late"


def other_magic(archive: bytes) -> bytes:
    return b"x" + archive[1:]


def other_python(archive: bytes) -> bytes:
    version = int.from_bytes(archive[8:12], sys.byteorder) + (1 << 16)
    return archive[:8] + version.to_bytes(4, sys.byteorder) + archive[12:]


def index_beyond_the_end(archive: bytes) -> bytes:
    return archive[:12] + b"\xff\xff\xff\x7f" + archive[16:]


def nothing(archive: bytes) -> bytes:
    return b""


@pytest.mark.parametrize("change", [other_magic, other_python, index_beyond_the_end, nothing])
def test_an_archive_that_is_none_for_this_python_is_not_used(
    installation: Installation, change: Callable[[bytes], bytes]
) -> None:
    installation.archive.write_bytes(change(installation.archive.read_bytes()))
    assert installation.say()[0].startswith("1 True")


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("__import__('json').loads('[1]')", "[1]"),
        ("__import__('_signal').getsignal(13) == __import__('_signal').SIG_IGN", "True"),
        ("open(__file__).readline()", ""),
        ("[open(__file__).close() for _ in '12'] and 'closed'", "closed"),
        ("b'\\xc3\\xa9'.decode('utf-8-sig')", "é"),
        ("b'\\xff'.decode('utf-8', 'backslashreplace')", "\\xff"),
        ("__import__('sys').argv[0].endswith('/bin/ocirt')", "True"),
    ],
)
def test_whoever_needs_more_gets_the_rest_of_the_interpreter(
    installation: Installation, expression: str, value: str
) -> None:
    assert installation.eval(expression) == value


def test_text_that_is_not_utf8_is_an_error_like_any_other(installation: Installation) -> None:
    main = installation.package / "__main__.py"
    main.write_text(
        MAIN.replace("str(eval(sys.argv[1]))", "attempt()")
        + """
def attempt():
    try:
        b"\\xff".decode()
    except UnicodeDecodeError as error:
        return error.reason
"""
    )
    installation.build()
    assert installation.say("x")[1] == "invalid start byte"


def test_a_traceback_names_file_and_line(installation: Installation) -> None:
    main = installation.package / "__main__.py"
    main.write_text(MAIN.replace("    if len", "    part.fail()\n    if len"))
    installation.build()
    done = subprocess.run([installation.command], capture_output=True, text=True, env={})
    assert done.returncode == 1
    assert 'File "ocirt/inner/part.py", line 4, in fail' in done.stderr
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_neither_documentation_nor_annotations_are_in_the_archive(installation: Installation) -> None:
    archive = installation.archive.read_bytes()
    assert b"nobody reads" not in archive
    assert b"nothing" not in archive


def test_the_library_does_not_import_from_the_archive(installation: Installation) -> None:
    installation.change_part()
    code = "import json, ocirt.inner.part as part; print(json.dumps([part.VERSION, part.__file__]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=installation.packages, check=True)
    assert json.loads(done.stdout) == [2, str(installation.part)]
