"""csrc/command and csrc/launcher/snapshot_*.c: the memory of a command that has imported everything, in which the
others begin. Seen through a package that tells what it is asked for."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_build_archive import MAIN, Installation
from test_build_launcher import LIBPYTHON

pytestmark = [
    pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler"),
    pytest.mark.skipif(not os.path.exists(LIBPYTHON), reason="needs an interpreter with a shared library"),
    pytest.mark.skipif(sys.version_info >= (3, 13), reason="needs Python 3.11 or 3.12"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="needs x86-64"),
    pytest.mark.needs_root,
]

PRELOAD = """
import sys
import ocirt.__main__
import ocirt.inner.part
FILES = [vars(module)["__file__"] for module in sys.modules.values() if vars(module).get("__file__")]
"""
MARK = "--for-the-command-ocirt"
TUNABLES = {"GLIBC_TUNABLES": "glibc.pthread.rseq=0"}
#: Whether a process is one that began in a snapshot.
WARM = "'/snapshots/' in open('/proc/self/maps').read()"


class Snapshots(Installation):
    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory / "snapshots"
        self.compile(SNAPSHOTS=str(self.directory))
        main = self.package / "__main__.py"  # --version is how a snapshot is tried
        main.write_text(MAIN.replace("len(sys.argv) > 1", "sys.argv[1:] not in ([], ['--version'])"))
        self.preload = self.package / "preload.py"
        self.preload.write_text(PRELOAD)
        self.build(keep_times=True)

    @property
    def launcher(self) -> Path:
        return self.package / "ocirt-python"

    @property
    def file(self) -> Path:
        return self.directory / str(self.command).replace("/", "!")

    def is_warm(self) -> bool:
        return self.eval(WARM) == "True"


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    return Snapshots(tmp_path / "env")


def test_the_first_command_makes_the_snapshot_in_which_all_begin(snapshots: Snapshots) -> None:
    assert snapshots.say() == [f"1 False {snapshots.part}"]
    made = snapshots.file.stat()
    assert (stat.S_IMODE(made.st_mode), made.st_uid) == (0o600, 0)
    assert stat.S_IMODE(snapshots.directory.stat().st_mode) == 0o700
    assert snapshots.is_warm()
    assert os.path.samestat(snapshots.file.stat(), made)
    assert os.listdir(snapshots.directory) == [snapshots.file.name]


def test_a_command_has_its_own_words_environment_directory_and_descriptors(
    snapshots: Snapshots, tmp_path: Path
) -> None:
    snapshots.say("'first'")
    told = subprocess.run(
        [
            snapshots.command,
            "[sys.argv[2:], os.environ, os.getcwd(), os.getpid(), os.listdir('/proc/self/fd')]",
            "ä",
            "",
        ],
        capture_output=True,
        env={"NAME": "grün", "EMPTY": ""},
        cwd=tmp_path,
        start_new_session=True,
    )
    words, environment, directory, pid, fds = eval(told.stdout.decode().splitlines()[1].replace("environ(", "("))
    assert (words, environment, directory) == (["ä", ""], {"NAME": "grün", "EMPTY": ""}, str(tmp_path))
    assert pid > 0
    assert len(fds) == 4  # one is that of the directory


def test_nothing_of_the_first_caller_is_in_the_snapshot(snapshots: Snapshots, tmp_path: Path) -> None:
    (tmp_path / "held").write_text("a secret of a descriptor")
    with open(tmp_path / "held") as held:
        subprocess.run(
            [snapshots.command, "'a secret word'"],
            env={"PASSWORD": "a secret value"},
            pass_fds=[held.fileno()],
            check=True,
            capture_output=True,
        )
    assert b"a secret" not in snapshots.file.read_bytes()


def test_a_signal_that_the_caller_ignores_is_ignored(snapshots: Snapshots) -> None:
    snapshots.say()
    for action in (signal.SIG_IGN, signal.SIG_DFL):
        kept = signal.signal(signal.SIGHUP, action)
        try:
            told = snapshots.eval("int(__import__('signal').getsignal(1)), int(__import__('signal').getsignal(13))")
        finally:
            signal.signal(signal.SIGHUP, kept)
        assert told == str((int(action), int(signal.SIG_IGN)))


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("sum(len(bytes(n % 5000)) for n in range(50000)) > 0", "True"),
        ("len(bytes(200 << 20))", str(200 << 20)),
        ("[[0] * 1000 for _ in range(5000)] and 'kept'", "kept"),
        ("__import__('hashlib').sha256(b'').hexdigest()[:8]", "e3b0c442"),
        ("__import__('subprocess').run(['true']).returncode", "0"),
        ("__import__('time').strftime('%Z')", "XYZ"),
        ("__import__('os').getppid() == __import__('_thread').get_native_id()", "False"),
        ("__import__('os').getpid() == __import__('_thread').get_native_id()", "True"),
        ("(lambda f: f(f, 10 ** 6))(lambda f, n: n and f(f, n - 1)) if len(sys.argv) > 5 else 'shallow'", "shallow"),
        ("max(__import__('concurrent.futures').futures.ThreadPoolExecutor(8).map(abs, range(-100, 0)))", "100"),
        ("abs(__import__('time').time() - float(open('/proc/uptime').read().split()[0])) > 0", "True"),
    ],
)
def test_what_comes_later_works_in_a_snapshot_as_well(snapshots: Snapshots, expression: str, value: str) -> None:
    snapshots.say()
    done = subprocess.run([snapshots.command, expression], capture_output=True, text=True, env={"TZ": "XYZ-3"})
    assert (done.returncode, done.stderr, done.stdout.splitlines()[1]) == (0, "", value)
    assert snapshots.is_warm()


def test_endless_recursion_is_an_error_and_no_crash(snapshots: Snapshots) -> None:
    snapshots.say()
    done = subprocess.run(
        [snapshots.command, "(lambda f: f(f))(lambda f: f(f))"], capture_output=True, text=True, env={}
    )
    assert done.returncode == 1
    assert "RecursionError" in done.stderr


def test_a_changed_source_is_used_at_once(snapshots: Snapshots) -> None:
    assert snapshots.say()[0].startswith("1 ")
    snapshots.change_part()
    assert snapshots.say()[0].startswith("2 ")
    snapshots.build(keep_times=True)
    snapshots.file.unlink()  # which says that none could be made of that source
    assert snapshots.say()[0].startswith("2 False")
    assert snapshots.is_warm()


def test_a_new_installation_has_a_new_snapshot(snapshots: Snapshots) -> None:
    snapshots.say()
    inode = snapshots.file.stat().st_ino
    snapshots.archive.touch()
    snapshots.say()
    assert snapshots.is_warm()
    assert snapshots.file.stat().st_ino != inode


def readable(file: Path) -> None:
    file.chmod(0o644)


def of_another(file: Path) -> None:
    os.chown(file, 1000, 1000)


def of_another_boot(file: Path) -> None:
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    content = file.read_bytes()
    assert boot_id in content
    file.write_bytes(content.replace(boot_id, boot_id[::-1]))


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 4096)


def short(file: Path) -> None:
    os.truncate(file, 60)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def linked(file: Path) -> None:
    file.rename(file.parent / "elsewhere")
    file.symlink_to("elsewhere")


@pytest.mark.parametrize("spoil", [readable, of_another, of_another_boot, cut, short, empty, linked])
def test_a_snapshot_that_may_not_be_ours_is_replaced(snapshots: Snapshots, spoil: Callable[[Path], None]) -> None:
    snapshots.say()
    spoil(snapshots.file)
    before = snapshots.file.lstat()
    assert not snapshots.is_warm()
    assert snapshots.is_warm()
    after = snapshots.file.lstat()
    assert after.st_ino != before.st_ino
    assert stat.S_IFMT(after.st_mode) == stat.S_IFREG
    assert (stat.S_IMODE(after.st_mode), after.st_uid) == (0o600, 0)


def writable_by_all(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


def directory_of_another(directory: Path) -> None:
    directory.mkdir()
    os.chown(directory, 1000, 1000)


def file_in_its_place(directory: Path) -> None:
    directory.write_text("")


def link_in_its_place(directory: Path) -> None:
    (directory.parent / "real").mkdir()
    directory.symlink_to("real")


@pytest.mark.parametrize("make", [writable_by_all, directory_of_another, file_in_its_place, link_in_its_place])
def test_nothing_is_written_to_a_directory_that_may_not_be_ours(
    snapshots: Snapshots, make: Callable[[Path], None]
) -> None:
    make(snapshots.directory)
    assert not snapshots.is_warm()
    assert snapshots.directory.is_file() or os.listdir(snapshots.directory) == []


def test_commands_that_begin_at_once_make_one_snapshot(snapshots: Snapshots) -> None:
    processes = [subprocess.Popen([snapshots.command], stdout=subprocess.PIPE, env={}) for _ in range(12)]
    told = [process.communicate()[0].decode() for process in processes]
    assert told == [f"1 False {snapshots.part}\n"] * 12
    assert os.listdir(snapshots.directory) == [snapshots.file.name]
    assert snapshots.is_warm()


def test_where_none_can_be_made_not_every_command_tries(snapshots: Snapshots) -> None:
    snapshots.preload.write_text(PRELOAD + "import signal\n")  # needs a complete interpreter
    snapshots.build(keep_times=True)
    assert not snapshots.is_warm()
    inode = snapshots.file.stat().st_ino
    assert not snapshots.is_warm()
    assert snapshots.file.stat().st_ino == inode
    old = time.time() - 100
    os.utime(snapshots.file, (old, old))
    assert not snapshots.is_warm()
    assert snapshots.file.stat().st_ino != inode


def test_a_snapshot_that_was_never_finished_is_begun_again(snapshots: Snapshots) -> None:
    snapshots.directory.mkdir(mode=0o700)
    unfinished = snapshots.directory / f"{snapshots.file.name}.new"
    unfinished.touch()
    assert not snapshots.is_warm()
    old = time.time() - 100
    os.utime(unfinished, (old, old))
    snapshots.say()  # removes it
    snapshots.say()
    assert snapshots.is_warm()


def test_the_snapshots_of_commands_that_are_no_more_are_removed(snapshots: Snapshots) -> None:
    snapshots.say()
    orphan = snapshots.directory / str(snapshots.command.parent / "gone").replace("/", "!")
    snapshots.file.rename(orphan)
    snapshots.say()
    assert os.listdir(snapshots.directory) == [snapshots.file.name]


NOT_RANDOM = ["setarch", "-R"]


@pytest.mark.skipif(shutil.which("setarch") is None, reason="needs setarch")
def test_a_snapshot_has_random_addresses_also_for_a_caller_that_has_none(snapshots: Snapshots) -> None:
    subprocess.run([*NOT_RANDOM, snapshots.command], capture_output=True, env={"PATH": os.defpath}, check=True)
    first = snapshots.eval("hex(id(sys))")
    assert first == snapshots.eval("hex(id(sys))")
    snapshots.file.unlink()
    assert first != snapshots.eval("hex(id(sys))")


@pytest.mark.skipif(shutil.which("setarch") is None, reason="needs setarch")
def test_where_its_addresses_are_taken_others_are_drawn(snapshots: Snapshots) -> None:
    snapshots.say()
    with open(snapshots.file, "r+b", buffering=0) as file:
        file.truncate(0)
        code = (
            f"import os; os.dup2({file.fileno()}, 9); os.dup2(9, 3);"
            f"os.execve({str(snapshots.launcher)!r}, {['ocirt', MARK, 'make', str(snapshots.command)]}, {TUNABLES!r})"
        )
        maker = [*NOT_RANDOM, sys.executable, "-c", code]
        subprocess.run(maker, pass_fds=[file.fileno()], check=True, capture_output=True)
    made = snapshots.file.stat()
    done = subprocess.run(
        [*NOT_RANDOM, snapshots.command, WARM], capture_output=True, text=True, env={"PATH": os.defpath}
    )
    assert (done.returncode, done.stdout.splitlines()[1:]) == (0, ["False"])
    assert not os.path.samestat(snapshots.file.stat(), made)
    assert snapshots.is_warm()
