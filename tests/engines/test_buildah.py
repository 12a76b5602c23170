"""buildah, whose RUN steps are containers of ocirt as of runc."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines.engine import IMAGE, Done, Engine

pytestmark = pytest.mark.needs_root


def build(buildah: Engine, folder: Path, *lines: str) -> Done:
    """``buildah bud`` of a Containerfile of these lines."""
    folder = folder / "context"
    folder.mkdir()
    (folder / "Containerfile").write_text("\n".join((f"FROM {IMAGE}", *lines, "")))
    isolation = ("--isolation", "oci", "--runtime", str(buildah.runtime), "--network", "none")
    return buildah("bud", *isolation, "--pull-never", "--tag", "built", str(folder))


def run(buildah: Engine, container: str, *words: str) -> Done:
    return buildah("run", "--isolation", "oci", "--runtime", str(buildah.runtime), container, "--", *words)


def test_the_steps_of_a_containerfile_are_run(buildah: Engine, tmp_path: Path) -> None:
    done = build(
        *(buildah, tmp_path, "ENV WORD=hello", "WORKDIR /made", "RUN echo $WORD >text && echo said"),
        *("USER user", "RUN id -u; tty; test ! -w /made"),
    )
    assert done.status == 0, done
    lines = done.out.splitlines()
    assert [line for line in lines if line in ("said", "1000", "not a tty")] == ["said", "1000", "not a tty"]
    container = buildah.checked("from", "--pull-never", "localhost/built")
    assert run(buildah, container, "cat", "/made/text").out == "hello\n"


def test_a_step_that_fails_fails_the_build_with_its_status(buildah: Engine, tmp_path: Path) -> None:
    done = build(buildah, tmp_path, "RUN echo before; exit 7")
    assert done.status == 7
    assert "before" in done.out.splitlines()
    assert "exit status 7" in done.err


@pytest.mark.parametrize(
    ("program", "text"),
    [("nosuch", "executable file not found in $PATH"), ("/etc/text", "permission denied")],
)
def test_a_program_that_cannot_be_executed_is_named(buildah: Engine, program: str, text: str) -> None:
    container = buildah.checked("from", "--pull-never", IMAGE)
    done = run(buildah, container, program)
    assert (done.status, done.out) == (1, "")
    assert program in done.err
    assert text in done.err


def test_run_has_the_streams_and_the_status_of_the_process(buildah: Engine) -> None:
    container = buildah.checked("from", "--pull-never", IMAGE)
    done = run(buildah, container, "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (done.status, done.out) == (9, "out\n")
    assert "err" in done.err.splitlines()
