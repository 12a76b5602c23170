"""What checkpoint and restore say where criu cannot do it, before anything has happened: a criu that is not there, is
too old, or finds that it cannot work. Here criu is a script that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import Bundle, Container, Result, Runtime

pytestmark = pytest.mark.needs_root

WORKING = """
case $1 in
    --version) echo "Version: 4.1" ;;
    check) case $* in *--feature*) exit 1 ;; *) echo "Looks good." ;; esac ;;
    *) exit 7 ;;
esac
"""
BROKEN = """
case $1 in
    --version) echo "Version: 3.17.1" ;;
    check)
        echo "(00.000001) Found mmap_min_addr 0x10000"
        echo "(00.000002) Error (criu/util.c:1534): Can't setup RLIMIT_NOFILE for self: Operation not permitted"
        echo "(00.000003) Error (criu/kerndat.c:1615): the vDSO is not where it was"
        echo "(00.000004) Error (criu/crtools.c:260): Could not initialize kernel features detection."
        exit 1 ;;
esac
"""


@pytest.fixture
def container(runtime: Runtime, bundle: Bundle) -> Container:
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    return container


def path_with(directory: Path, script: str | None) -> dict[str, str]:
    """An environment in whose PATH criu is that shell script, or none at all."""
    programs = directory / "programs"
    programs.mkdir()
    if script is not None:
        (programs / "criu").write_text("#!/bin/sh\n" + script)
        (programs / "criu").chmod(0o755)
    return {"PATH": str(programs)}


def checkpoint(container: Container, directory: Path, script: str | None, *flags: str) -> Result:
    images = directory / "images"
    words = ("checkpoint", "--image-path", str(images), *flags, container.id)
    return container.runtime(*words, env=path_with(directory, script))


def goes_on(container: Container) -> bool:
    assert container.status == "running"
    container.kill("USR1")
    return container.read_line() == "10"


def test_no_criu(container: Container, tmp_path: Path) -> None:
    """As in all that follow, no directory is made for images that there will not be."""
    result = checkpoint(container, tmp_path, None)
    result.fails("checkpoint and restore is not supported here: needs the program criu, which is not on the PATH")
    assert not (tmp_path / "images").exists()
    assert goes_on(container)


def test_a_criu_in_the_working_directory_does_not_count(container: Container, tmp_path: Path) -> None:
    """It is often a bundle, that an image may have filled."""
    (tmp_path / "criu").write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    (tmp_path / "criu").chmod(0o755)
    result = container.runtime("checkpoint", container.id, env={"PATH": ".::bin"}, cwd=tmp_path)
    result.fails("needs the program criu")
    assert not (tmp_path / "executed").exists()


def test_a_criu_that_is_too_old(container: Container, tmp_path: Path) -> None:
    result = checkpoint(container, tmp_path, 'echo "Version: 3.9.1"')
    result.fails(f"needs criu 3.16 or newer, and {tmp_path}/programs/criu is 3.9.1")
    assert goes_on(container)


def test_a_criu_that_does_not_work_on_this_kernel(container: Container, tmp_path: Path) -> None:
    result = checkpoint(container, tmp_path, BROKEN)
    result.fails("and 3.17.1 does not: the vDSO is not where it was (criu/kerndat.c:1615)", "hint: ")
    assert goes_on(container)


@pytest.mark.parametrize(
    ("flags", "feature"), [(["--pre-dump"], "mem_dirty_track"), (["--lazy-pages"], "uffd-noncoop")]
)
def test_a_feature_that_is_not_there(container: Container, tmp_path: Path, flags: list[str], feature: str) -> None:
    checkpoint(container, tmp_path, WORKING, *flags).fails(feature)
    assert goes_on(container)


def test_a_criu_that_ends_without_an_answer(container: Container, tmp_path: Path) -> None:
    result = checkpoint(container, tmp_path, WORKING)
    result.fails("criu cannot checkpoint the container: it has ended without an answer", f"{tmp_path}/images/dump.log")
    assert goes_on(container)


def test_a_restore_says_the_same(runtime: Runtime, bundle: Bundle, tmp_path: Path) -> None:
    bundle.save()
    words = ("restore", "--detach", "--bundle", str(bundle.path), "--image-path", str(tmp_path), runtime.new_id())
    runtime(*words, env=path_with(tmp_path, BROKEN)).fails("the vDSO is not where it was")
    assert runtime.ids() == []


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--manage-cgroups-mode", "gentle"], "invalid manage-cgroups-mode value: gentle"),
        (["--empty-ns", "uts"], 'namespace "uts" is not supported'),
        (["--page-server", "nowhere"], "Use --page-server ADDRESS:PORT to specify page server"),
        (["--page-server", "[::1]:x"], "Invalid port number: x"),
        (["--status-fd", "77"], "invalid --status-fd argument 77"),
        (["--parent-path", "/images"], "--parent-path must be relative"),
        (["--parent-path", "../nowhere"], "invalid --parent-path: ../nowhere: "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_flag_that_cannot_be_meant(container: Container, tmp_path: Path, flags: list[str], text: str) -> None:
    checkpoint(container, tmp_path, WORKING, *flags).fails(text)
    assert goes_on(container)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("criu.conf", "wanted an absolute path, found 'criu.conf'"),
        ("/nowhere/criu.conf", "no such file or directory"),
        ("THEIRS", "wanted a file that root alone can write to"),
    ],
    ids=["relative", "missing", "of-another-user"],
)
def test_a_configuration_file_of_criu_is_roots(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, path: str, text: str
) -> None:
    """It can name programs that criu executes, and whoever writes the annotation need not be root."""
    theirs = tmp_path / "criu.conf"
    theirs.write_text(f"action-script {tmp_path}/executed\n")
    theirs.chmod(0o666)
    bundle.config["annotations"] = {"org.criu.config": path.replace("THEIRS", str(theirs))}
    container = runtime.start(bundle, "await-signal")
    container.read_until("ready")
    checkpoint(container, tmp_path, WORKING).fails(text, "config.json#/annotations/org.criu.config")
    assert goes_on(container)
