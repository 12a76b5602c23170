"""The messages of criu's service: our bytes are those of Protocol Buffers, and what criu answers is understood."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ocirt.criu import rpc
from ocirt.errors import OcirtError

#: What criu's packages install.
PROTO = Path("/usr/include/criu/rpc.proto")

OPTIONS = {
    "images_dir_fd": 300,
    "pid": -1,
    "leave_running": True,
    "shell_job": False,
    "log_file": "dump.log",
    "ps": {"address": "::1", "port": 27277},
    "ext_mnt": [{"key": "/a b", "val": "/ü"}, {"key": "/c", "val": ""}],
    "cg_root": [{"ctrl": "", "path": "/box"}],
    "inherit_fd": [{"key": "pipe:[1]", "fd": 4}],
    "external": ["net[1]:extRootNetNS"],
    "join_ns": [{"ns": "uts", "ns_file": "/proc/1/fd/3"}],
    "manage_cgroups_mode": 3,
    "empty_ns": 0x40000000,
}


def test_a_request_in_bytes() -> None:
    data = rpc.encode_request(rpc.DUMP, {"images_dir_fd": 300, "log_file": "x", "external": ["a", "b"]})
    assert data.hex(" ") == "08 01 12 0e 08 ac 02 52 01 78 aa 02 01 61 aa 02 01 62"


def test_a_negative_number_has_64_bits() -> None:
    data = rpc.encode_request(rpc.DUMP, {"pid": -1})
    assert data.hex(" ") == "08 01 12 0b 10 ff ff ff ff ff ff ff ff ff 01"


@pytest.mark.skipif(not PROTO.exists(), reason="needs rpc.proto of criu")
@pytest.mark.skipif(shutil.which("protoc") is None, reason="needs the program protoc")
def test_the_compiler_of_protocol_buffers_reads_what_was_meant() -> None:
    data = rpc.encode_request(rpc.RESTORE, OPTIONS)
    words = ["protoc", f"--proto_path={PROTO.parent}", "--decode=criu_req", PROTO.name]
    text = subprocess.run(words, input=data, capture_output=True, check=True).stdout.decode()
    flat = " ".join(text.split())
    assert flat.startswith("type: RESTORE opts { images_dir_fd: 300 pid: -1 leave_running: true shell_job: false")
    for part in (
        'ps { address: "::1" port: 27277 }',
        'ext_mnt { key: "/a b" val: "/\\303\\274" } ext_mnt { key: "/c" val: "" }',
        'inherit_fd { key: "pipe:[1]" fd: 4 }',
        "manage_cgroups_mode: SOFT",
        "empty_ns: 1073741824",
    ):
        assert part in flat


@pytest.mark.skipif(not PROTO.exists(), reason="needs rpc.proto of criu")
def test_every_field_has_the_number_that_criu_gives_it() -> None:
    message = PROTO.read_text().partition("message criu_opts {")[2].partition("\n}")[0]
    numbers = {}
    for line in message.splitlines():
        words = line.replace("=", " = ").replace(";", " ").split()
        if len(words) > 4 and words[0] in ("required", "optional", "repeated"):
            numbers[words[2]] = int(words[4])
    assert {name: numbers[name] for name in rpc.OPTIONS} == rpc.OPTIONS


def test_an_answer() -> None:
    # type RESTORE, success, restore { pid 4711 }
    answer = rpc.Answer(bytes.fromhex("08 02 10 01 22 03 08 e7 24"))
    assert (answer.type, answer.success, answer.pid) == (rpc.RESTORE, True, 4711)


def test_a_notification() -> None:
    # type NOTIFY, success, notify { script "post-dump" pid 5 }
    answer = rpc.Answer(bytes.fromhex("08 06 10 01 2a 0d 0a 09") + b"post-dump" + bytes.fromhex("10 05"))
    assert (answer.type, answer.script, answer.pid) == (rpc.NOTIFY, "post-dump", 5)


def test_a_failure_has_criu_s_words() -> None:
    # type DUMP, no success, cr_errno 3, cr_errmsg "why", and fields that nobody knows
    data = bytes.fromhex("08 01 10 00 38 03 4a 03") + b"why" + bytes.fromhex("f8 7f 01 fd 7f 01 02 03 04")
    answer = rpc.Answer(data)
    assert (answer.success, answer.errno, answer.message) == (False, 3, "why")


@pytest.mark.parametrize("data", [b"\x08", b"\x12\x05ab", b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"\x0b"])
def test_what_is_no_message_is_no_crash(data: bytes) -> None:
    with pytest.raises(OcirtError, match="no message of it"):
        rpc.Answer(data)


def test_the_answer_to_a_notification() -> None:
    assert rpc.encode_notified(True).hex(" ") == "08 06 18 01"
    assert rpc.encode_notified(False).hex(" ") == "08 06 18 00"
