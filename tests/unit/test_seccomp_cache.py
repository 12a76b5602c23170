"""The cache of compiled filters: what it keeps, what it refuses, and that it never fails a container."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ocirt import seccomp, seccomp_compiler
from ocirt.errors import ConfigError
from ocirt.seccomp import Filter, compile_filter

PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "architectures": [],
    "flags": ["SECCOMP_FILTER_FLAG_LOG"],
    "syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"}],
}
NOBODY = 65534
FORGED = b"\0" * 8  # in place of a program: it would tell that it came out of the cache


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "seccomp"


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def fill(directory: Path, profile: dict[str, Any] = PROFILE) -> tuple[Filter, Path]:
    """Compiles *profile* into an empty directory; returns the filter and the path of its entry."""
    compiled = compile_filter(profile, cache_directory=str(directory))
    (entry,) = directory.iterdir()
    return compiled, entry


def forge(entry: Path) -> bytes:
    """What *entry* holds, but with FORGED for its program and everything else right."""
    key = bytes.fromhex(entry.name)
    found = seccomp.decode(entry.read_bytes(), key)
    assert found is not None
    return seccomp.encode(Filter(FORGED, found.flags, found.notify), key, seccomp_library())


def seccomp_library() -> bytes:
    return seccomp_compiler.library_path()


def is_from_cache(directory: Path, profile: dict[str, Any] = PROFILE) -> bool:
    return compile_filter(profile, cache_directory=str(directory)).program == FORGED


def test_a_filter_is_compiled_once_and_then_read(directory: Path) -> None:
    compiled, entry = fill(directory)
    again = compile_filter(PROFILE, cache_directory=str(directory))
    assert (again.program, again.flags, again.notify) == (compiled.program, compiled.flags, compiled.notify)
    entry.write_bytes(forge(entry))
    assert is_from_cache(directory), "a sound entry of ours is believed"


def test_a_listener_survives_the_cache(directory: Path) -> None:
    rules = [{"names": ["mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}
    fill(directory, profile)
    assert compile_filter(profile, cache_directory=str(directory)).notify


def test_directory_and_entry_are_private(directory: Path, umask: Callable[[int], int]) -> None:
    umask(0)
    _, entry = fill(directory)
    assert directory.stat().st_mode & 0o7777 == 0o700
    assert entry.stat().st_mode & 0o7777 == 0o600


def test_a_umask_that_takes_every_bit_leaves_a_readable_entry(tmp_path: Path, umask: Callable[[int], int]) -> None:
    (tmp_path / "seccomp").mkdir(0o700)
    umask(0o777)
    _, entry = fill(tmp_path / "seccomp")
    assert entry.stat().st_mode & 0o7777 == 0o600


def test_no_directory_means_no_cache() -> None:
    assert compile_filter(PROFILE, cache_directory=None).program


@pytest.mark.parametrize(
    "change",
    [
        {"defaultErrnoRet": 2},
        {"defaultErrnoRet": None},
        {"defaultAction": "SCMP_ACT_KILL", "defaultErrnoRet": None},
        {"flags": []},
        {"flags": None},
        {"architectures": ["SCMP_ARCH_X86"]},
        {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]},
        {"syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_LOG"}]},
        {"syscalls": [{"names": ["readwrite"], "action": "SCMP_ACT_ALLOW"}]},
    ],
)
def test_every_property_that_changes_a_filter_changes_its_entry(change: dict[str, Any]) -> None:
    assert seccomp.cache_key({**PROFILE, **change}) != seccomp.cache_key(PROFILE)


def test_properties_of_the_agent_do_not_change_the_entry() -> None:
    agent = {"listenerPath": "/run/agent.sock", "listenerMetadata": "x"}
    assert seccomp.cache_key({**PROFILE, **agent}) == seccomp.cache_key(PROFILE)


def test_equal_profiles_have_one_entry_wherever_their_strings_come_from() -> None:
    assert seccomp.cache_key(json.loads(json.dumps(PROFILE))) == seccomp.cache_key(PROFILE)


def test_a_profile_that_is_no_json_is_compiled_without_the_cache(directory: Path) -> None:
    rules = tuple(MappingProxyType(rule) for rule in PROFILE["syscalls"])
    compiled = compile_filter({**PROFILE, "syscalls": rules}, cache_directory=str(directory))
    assert compiled.program == compile_filter(PROFILE, cache_directory=None).program
    assert not directory.exists()


def test_a_profile_with_an_error_leaves_no_entry(directory: Path) -> None:
    with pytest.raises(ConfigError):
        compile_filter({"defaultAction": "SCMP_ACT_NO"}, cache_directory=str(directory))
    assert not directory.exists()


def test_a_symbolic_link_in_place_of_the_entry_is_not_followed(directory: Path, tmp_path: Path) -> None:
    compiled, entry = fill(directory)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(forge(entry))
    elsewhere.chmod(0o600)
    entry.unlink()
    entry.symlink_to(elsewhere)
    assert compile_filter(PROFILE, cache_directory=str(directory)).program == compiled.program
    assert not entry.is_symlink(), "the link has given way to an entry"
    assert elsewhere.read_bytes().endswith(FORGED), "what it pointed to is as before"


def test_a_symbolic_link_in_place_of_the_directory_is_not_followed(directory: Path, tmp_path: Path) -> None:
    _, entry = fill(directory)
    entry.write_bytes(forge(entry))
    directory.rename(tmp_path / "elsewhere")
    directory.symlink_to(tmp_path / "elsewhere")
    assert not is_from_cache(directory)


def test_a_fifo_in_place_of_the_entry_neither_blocks_nor_counts(directory: Path) -> None:
    compiled, entry = fill(directory)
    entry.unlink()
    os.mkfifo(entry, 0o600)
    assert compile_filter(PROFILE, cache_directory=str(directory)).program == compiled.program
    assert entry.is_file()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
def test_an_entry_of_another_user_is_not_used(directory: Path) -> None:
    _, entry = fill(directory)
    entry.write_bytes(forge(entry))
    os.chown(entry, NOBODY, NOBODY)
    assert not is_from_cache(directory)
    assert entry.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory away")
def test_a_directory_of_another_user_is_left_alone(directory: Path) -> None:
    _, entry = fill(directory)
    forged = forge(entry)
    entry.write_bytes(forged)
    os.chown(directory, NOBODY, NOBODY)
    assert not is_from_cache(directory)
    assert entry.read_bytes() == forged


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o720])
def test_a_directory_that_others_can_write_to_is_left_alone(directory: Path, mode: int) -> None:
    _, entry = fill(directory)
    forged = forge(entry)
    entry.write_bytes(forged)
    directory.chmod(mode)
    assert not is_from_cache(directory)
    assert entry.read_bytes() == forged


@pytest.mark.parametrize("mode", [0o644, 0o660, 0o700, 0o4600])
def test_an_entry_with_another_mode_is_not_used(directory: Path, mode: int) -> None:
    _, entry = fill(directory)
    entry.write_bytes(forge(entry))
    entry.chmod(mode)
    assert not is_from_cache(directory)
    assert entry.stat().st_mode & 0o7777 == 0o600


def test_an_entry_cut_off_anywhere_is_compiled_anew(directory: Path) -> None:
    compiled, entry = fill(directory)
    whole = entry.read_bytes()
    for size in range(0, len(whole), 7):
        assert seccomp.decode(whole[:size], bytes.fromhex(entry.name)) is None
    entry.write_bytes(whole[:-8])
    assert compile_filter(PROFILE, cache_directory=str(directory)).program == compiled.program
    assert entry.read_bytes() == whole


def test_an_entry_with_any_byte_flipped_is_compiled_anew(directory: Path) -> None:
    compiled, entry = fill(directory)
    whole = entry.read_bytes()
    for at in range(len(whole)):
        flipped = whole[:at] + bytes([whole[at] ^ 0x01]) + whole[at + 1 :]
        assert seccomp.decode(flipped, bytes.fromhex(entry.name)) is None, f"byte {at}"
    entry.write_bytes(whole[:-1] + bytes([whole[-1] ^ 0x80]))
    assert compile_filter(PROFILE, cache_directory=str(directory)).program == compiled.program
    assert entry.read_bytes() == whole


def test_an_entry_longer_than_any_filter_is_not_read(directory: Path) -> None:
    _, entry = fill(directory)
    with entry.open("r+b") as file:
        file.truncate(1 << 40)
    assert not is_from_cache(directory)
    assert entry.stat().st_size <= seccomp.MAX_ENTRY_BYTES


def test_the_entry_of_another_profile_is_not_used_under_this_ones_name(directory: Path) -> None:
    _, entry = fill(directory)
    weaker = {**PROFILE, "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": None}
    weak = compile_filter(weaker, cache_directory=str(directory))
    (other,) = set(directory.iterdir()) - {entry}
    other.rename(entry)
    assert compile_filter(PROFILE, cache_directory=str(directory)).program != weak.program


def test_an_update_of_libseccomp_ends_the_entries_of_the_old_one(directory: Path, tmp_path: Path) -> None:
    compiled, entry = fill(directory)
    key = bytes.fromhex(entry.name)
    library = tmp_path / "libseccomp.so.2"
    library.write_bytes(b"the old one")
    old = seccomp.encode(compiled, key, os.fsencode(library))
    assert seccomp.decode(old, key) is not None
    replacement = tmp_path / "new"
    replacement.write_bytes(b"the new one")
    replacement.rename(library)
    assert seccomp.decode(old, key) is None
    entry.write_bytes(old)
    library.unlink()
    assert compile_filter(PROFILE, cache_directory=str(directory)).program == compiled.program


@pytest.mark.parametrize("path", ["missing/parent/seccomp", "file", "file/seccomp", "x" * 300])
def test_a_place_that_cannot_be_used_costs_the_cache_and_not_the_filter(tmp_path: Path, path: str) -> None:
    (tmp_path / "file").write_text("")
    assert compile_filter(PROFILE, cache_directory=f"{tmp_path}/{path}").program


def test_a_full_disk_leaves_no_entry_and_no_temporary_file(directory: Path) -> None:
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        seccomp.store(str(directory), bytes(32), Filter(bytes(800), 0, False), seccomp_library())
        os._exit(len(os.listdir(directory)))
    assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 0


def test_the_oldest_entries_give_way_to_new_ones(directory: Path) -> None:
    directory.mkdir(0o700)
    for age in range(seccomp.MAX_ENTRIES + 5):
        (directory / f"{age:064x}").write_bytes(b"")
        os.utime(directory / f"{age:064x}", (1000 - age, 1000 - age))
    compile_filter(PROFILE, cache_directory=str(directory))
    names = {path.name for path in directory.iterdir()}
    key = seccomp.cache_key(PROFILE)
    assert key is not None
    assert len(names) == seccomp.MAX_ENTRIES
    assert key.hex() in names
    assert f"{0:064x}" in names, "the youngest of the old ones stays"
    assert f"{seccomp.MAX_ENTRIES + 4:064x}" not in names


def test_many_runtimes_share_the_cache(directory: Path) -> None:
    expected = compile_filter(PROFILE, cache_directory=None).program

    def work() -> int:
        for count in range(20):
            profile = {**PROFILE, "defaultErrnoRet": 1 + count % 3}
            compiled = compile_filter(profile, cache_directory=str(directory))
            if count % 3 == 0 and compiled.program != expected:
                return 1
            if count % 5 == 0:
                for path in directory.iterdir():
                    path.unlink(missing_ok=True)
        return 0

    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            os._exit(work())
        children.append(child)
    assert [os.WEXITSTATUS(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert all(len(path.name) == 64 for path in directory.iterdir()), "no temporary file is left"


def test_a_hit_loads_neither_libseccomp_nor_a_module_that_is_slow_to_start(directory: Path) -> None:
    fill(directory)
    program = f"""
import os, sys
import ocirt
before = set(sys.modules)
from ocirt.seccomp import compile_filter
compile_filter({PROFILE!r}, cache_directory={str(directory)!r})
print(*sorted(set(sys.modules) - before))
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-S", "-c", program]
    loaded = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert set(loaded) - {"__future__", "ocirt._version"} == {"_blake2", "ocirt.seccomp"}
