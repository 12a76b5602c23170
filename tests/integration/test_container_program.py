"""A program that cannot be executed: each reason has its words, and where the kernel's mislead, a hint."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

EM_386, EM_X86_64, EM_S390, EM_AARCH64 = 3, 62, 22, 183


def elf(machine: int, interpreter: bytes | None = None) -> bytes:
    """A 64-bit ELF file, little-endian, with one segment and perhaps an interpreter. Its code is not looked at."""
    phnum = 1 if interpreter is None else 2
    header_size, segment_size = 64, 56
    text_at = header_size + phnum * segment_size
    header = b"\x7fELF" + bytes([2, 1, 1, 0]) + bytes(8)
    header += struct.pack(
        "<HHIQQQIHHHHHH",
        2,
        machine,
        1,
        0x400000 + text_at,
        header_size,
        0,
        0,
        header_size,
        segment_size,
        phnum,
        64,
        0,
        0,
    )
    body = (interpreter or b"") + b"\0" * 16
    size = text_at + len(body)
    segments = b""
    if interpreter is not None:
        segments += struct.pack(
            "<IIQQQQQQ", 3, 4, text_at, 0x400000 + text_at, 0, len(interpreter), len(interpreter), 1
        )
    segments += struct.pack("<IIQQQQQQ", 1, 5, 0, 0x400000, 0x400000, size, size, 0x1000)
    return header + segments + body


def run(runtime: Runtime, bundle: Bundle, name: str = "/program") -> str:
    """What create says of the program, or start where create finds nothing wrong."""
    bundle.process["args"] = [name]
    bundle.save()
    id = runtime.new_id()
    result = runtime("create", "-b", str(bundle.path), id)
    if result.status == 0:
        result = runtime("start", id)
        runtime("delete", id).check()
    result.fails(name)
    assert runtime.ids() == []
    return result.err


def program(bundle: Bundle, content: bytes, mode: int = 0o755, path: str = "program") -> None:
    target = bundle.rootfs / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    target.chmod(mode)


def test_a_name_that_is_not_on_the_path(runtime: Runtime, bundle: Bundle) -> None:
    text = run(runtime, bundle, "no-such")
    assert 'exec: \\"no-such\\": executable file not found in $PATH' in text
    assert text.count("\n") == 1


def test_a_path_that_is_missing(runtime: Runtime, bundle: Bundle) -> None:
    assert 'exec: \\"/no/such\\": stat /no/such: no such file or directory' in run(runtime, bundle, "/no/such")


def test_a_file_that_is_not_executable(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, b"#!/init\n", 0o644)
    assert "permission denied" in run(runtime, bundle)


def test_a_file_on_the_path_that_is_not_executable_is_not_the_program(runtime: Runtime, bundle: Bundle) -> None:
    """As runc and Docker, which make 127 of it, have it."""
    program(bundle, b"#!/init\n", 0o644, path="bin/program")
    bundle.process["env"] = ["PATH=/bin:/"]
    text = run(runtime, bundle, "program")
    assert 'exec: \\"program\\": executable file not found in $PATH (one of that name may not be executed)' in text


def test_a_directory(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("program")
    text = run(runtime, bundle)
    assert "is a directory" in text or "permission denied" in text


def test_a_file_that_the_user_may_not_execute(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, (bundle.rootfs / "init").read_bytes(), 0o700)
    # CAP_DAC_OVERRIDE would let it.
    bundle.process.update(user={"uid": 1000, "gid": 1000}, capabilities={})
    assert "permission denied" in run(runtime, bundle)


def test_an_interpreter_of_an_elf_file_that_is_missing(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, elf(EM_X86_64, b"/lib/ld-nowhere.so.1\0"))
    text = run(runtime, bundle)
    assert "no such file or directory" in text
    assert "/lib/ld-nowhere.so.1" in text or "interpreter" in text


def test_an_interpreter_of_a_script_that_is_missing(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, b"#!/bin/nowhere\nexit\n")
    text = run(runtime, bundle)
    assert "no such file or directory" in text
    assert "interpreter" in text


def test_a_script_with_the_line_ends_of_another_system(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, b"#!/init\r\nexit\r\n")
    text = run(runtime, bundle)
    assert "no such file or directory" in text
    assert "CR" in text or "carriage return" in text


def test_a_program_for_another_processor(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, elf(EM_S390))
    text = run(runtime, bundle)
    assert "exec format error" in text
    assert "architecture" in text


def test_a_file_that_is_no_program(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, b"no program at all\n")
    assert "exec format error" in run(runtime, bundle)


def test_an_empty_file(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, b"")
    assert "exec format error" in run(runtime, bundle)


def test_a_filesystem_that_is_mounted_noexec(runtime: Runtime, bundle: Bundle) -> None:
    source = bundle.path / "source"
    source.mkdir()
    (source / "program").write_bytes((bundle.rootfs / "init").read_bytes())
    (source / "program").chmod(0o755)
    bundle.add_mount("/data", None, source, "bind", "noexec")
    text = run(runtime, bundle, "/data/program")
    assert "permission denied" in text
    assert "noexec" in text


def test_a_link_that_leads_nowhere(runtime: Runtime, bundle: Bundle) -> None:
    (bundle.rootfs / "program").symlink_to("/nowhere")
    assert "no such file or directory" in run(runtime, bundle)


def test_the_program_of_a_created_container_is_looked_up_at_create(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["args"] = ["no-such"]
    bundle.save()
    result = runtime("create", "-b", str(bundle.path), runtime.new_id())
    result.fails('ocirt create failed: exec: "no-such": executable file not found in $PATH')


def test_an_error_of_execve_is_told_by_start(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, elf(EM_S390))
    bundle.process["args"] = ["/program"]
    container = runtime.create(bundle)
    runtime("start", container.id).fails("exec /program: exec format error")
    assert container.status == "stopped"
    container.delete()


@pytest.mark.parametrize("format", ["text", "json"])
def test_run_says_it_in_one_line_of_the_programs_own(
    runtime: Runtime, bundle: Bundle, tmp_path: Path, format: str
) -> None:
    program(bundle, b"#!/bin/nowhere\nexit\n")
    bundle.process["args"] = ["/program"]
    runtime.global_words = ["--log-format", format]
    result = runtime.run(bundle)
    assert (result.status, result.err) == (255, "exec /program: no such file or directory\n")
    runtime.global_words += ["--log", str(tmp_path / "log")]
    result = runtime.run(bundle)
    assert (result.status, result.err) == (255, "exec /program: no such file or directory\n")
    (line,) = (tmp_path / "log").read_text().splitlines()
    text = "exec /program: no such file or directory (the file is there, but the interpreter "
    assert text in (json.loads(line)["msg"] if format == "json" else line)
    assert runtime.ids() == []


def test_a_script_is_executed(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, b"#!/init args\n")
    bundle.process["args"] = ["/program", "x"]
    assert runtime.run(bundle).check().value == ["/program", "x"]


def test_a_relative_path_begins_at_the_working_directory(runtime: Runtime, bundle: Bundle) -> None:
    program(bundle, (bundle.rootfs / "init").read_bytes(), path="srv/program")
    bundle.process.update(args=["./program", "cwd"], cwd="/srv")
    assert runtime.run(bundle).check().value == "/srv"
