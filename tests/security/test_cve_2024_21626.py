"""CVE-2024-21626 (runc 1.0.0-rc93 to 1.1.11), "Leaky Vessels": a working directory in a leaked directory of the
host.

The runtime has a descriptor of a directory of the host open, and ``/proc/self/fd/N`` as working directory, or a
link to it in the image, brings the program there. That such a descriptor is a way to the host is seen at one that
the program is given on purpose, with --preserve-fds.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import Bundle, Runtime

from security.attack import Victim, assert_refused_or_confined

pytestmark = pytest.mark.needs_root

#: Where ocirt-init has descriptors of its own, and where the caller has leaked some.
FDS = [*range(3, 17), 37, 40]


@pytest.fixture
def leaked() -> Iterator[dict[str, Any]]:
    """A caller that has forgotten O_CLOEXEC: directories of the host, at several numbers."""
    fds = []
    for path in ("/", "/sys/fs/cgroup", "/proc"):
        fds.append(os.open(path, os.O_PATH | os.O_DIRECTORY))
    fds += [os.dup2(fds[0], number) for number in (37, 40)]
    yield {"pass_fds": fds}
    for fd in fds:
        os.close(fd)


def program(victim: Victim) -> list[str]:
    return ["cwd", ";", "cat", f"../../../../../../..{victim.mark_path}", ";", "ls", "."]


@pytest.mark.parametrize("image_has_link", [False, True], ids=["plain", "link"])
def test_no_descriptor_is_a_working_directory_of_the_program(
    runtime: Runtime, bundle: Bundle, victim: Victim, leaked: dict[str, Any], image_has_link: bool
) -> None:
    for fd in FDS:
        cwd = f"/proc/self/fd/{fd}"
        if image_has_link:
            (bundle.rootfs / "work").unlink(missing_ok=True)
            (bundle.rootfs / "work").symlink_to(cwd)
            cwd = "/work"
        bundle.process["cwd"] = cwd
        ran = assert_refused_or_confined(runtime.run(bundle, *program(victim), **leaked), victim)
        assert not ran


def test_no_descriptor_is_a_working_directory_of_exec(
    runtime: Runtime, bundle: Bundle, victim: Victim, leaked: dict[str, Any]
) -> None:
    container = runtime.start_paused_program(bundle)
    for fd in FDS:
        result = container.exec("/init", *program(victim), flags=["--cwd", f"/proc/self/fd/{fd}"], **leaked)
        victim.assert_unseen(result.out, result.err)
        result.fails("working directory", status=255)


def test_a_link_that_was_made_later_is_no_way_out_for_exec(
    runtime: Runtime, bundle: Bundle, victim: Victim, leaked: dict[str, Any]
) -> None:
    container = runtime.start_paused_program(bundle)
    for target in (*(f"/proc/self/fd/{fd}" for fd in FDS), "/proc/self/root/..", "/proc/thread-self/fd/3/.."):
        link = bundle.rootfs / "work"
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        result = container.exec("/init", *program(victim), flags=["--cwd", "/work"], **leaked)
        victim.assert_unseen(result.out, result.err)
        assert result.status == 255 or result.values[0] == "/"


def test_a_forgotten_descriptor_does_not_reach_the_program(
    runtime: Runtime, bundle: Bundle, leaked: dict[str, Any]
) -> None:
    assert runtime.probe(bundle, "fds", **leaked).keys() == {"0", "1", "2"}
    container = runtime.start_paused_program(bundle)
    assert container.probe("fds", **leaked).keys() == {"0", "1", "2"}


def test_a_forgotten_descriptor_does_not_reach_a_hook(
    runtime: Runtime, bundle: Bundle, leaked: dict[str, Any], tmp_path: Path
) -> None:
    record = tmp_path / "record"
    hook = {"path": str(bundle.rootfs / "init"), "args": ["init", "record", str(record), "hook"]}
    in_container = {"path": "/init", "args": ["init", "record", "/record", "hook"]}
    kinds = ("createRuntime", "createContainer", "poststart", "poststop")
    bundle.config["hooks"] = {kind: [hook] for kind in kinds} | {"startContainer": [in_container]}
    runtime.run(bundle, **leaked).check()
    lines = record.read_text().splitlines() + (bundle.rootfs / "record").read_text().splitlines()
    assert len(lines) == 5
    for line in lines:
        # 3 is the record itself.
        assert json.loads(line)["fds"].keys() <= {"0", "1", "2", "3"}


def test_a_descriptor_that_the_program_may_have_is_no_working_directory(
    runtime: Runtime, bundle: Bundle, victim: Victim
) -> None:
    """What getcwd(2) says of the directory is all that is left to tell it from one in the container."""
    runtime.wrapper = ["sh", "-c", 'exec 3</; exec "$@"', "sh"]
    flags = ["--preserve-fds", "1"]
    seen = runtime.probe(bundle, "cat", f"/proc/self/fd/3{victim.mark_path}", flags=flags)
    assert seen == victim.mark, "the way that is to be closed is none"
    bundle.process["cwd"] = "/proc/self/fd/3"
    result = runtime.run(bundle, *program(victim), flags=flags)
    victim.assert_unseen(result.out, result.err)
    result.fails("working directory")
    bundle.process["cwd"] = "/"
    container = runtime.start_paused_program(bundle)
    result = container.exec("/init", *program(victim), flags=[*flags, "--cwd", "/proc/self/fd/3"])
    victim.assert_unseen(result.out, result.err)
    result.fails("current working directory is outside of container mount namespace root", status=255)
