"""The channel: whatever the runtime says, or does not say, ocirt-init reports an error and ends. It never hangs and
never crashes.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
from pathlib import Path

import pytest
from init_alone import COMMIT, CONTINUE, PLAN, SLOTS, InitAlone, memfd, plan_of

import ocirt
from ocirt._shim import ffi
from ocirt.plan.op import Op, Source

UMASK = Op("UMASK", "clear umask", a=0o22)
SETSID = Op("SETSID", "create session")
SYNC = Op("SYNC", "wait", a=2)
WAIT = Op("WAIT_START", "wait for start")
JOIN = Op("JOIN_CGROUP", "join", sources=(Source("cgroup-entry"),))

INIT = Path(ocirt.__file__).with_name("ocirt-init")


def sink() -> int:
    """Something that JOIN_CGROUP can write to."""
    return os.memfd_create("test-sink")


def test_a_plan_that_ends_without_a_program_is_an_error() -> None:
    with InitAlone() as init:
        init.send_plan(plan_of(UMASK))
        init.fails(errno.EPROTO, op=1)


def test_a_program_is_started_by_no_other_way_than_a_plan() -> None:
    for words in ([], ["3"], ["0"], ["-1"], ["x"], ["999999999999999999999"], ["3", "4"], ["3x"], [""]):
        done = subprocess.run([INIT, *words], capture_output=True, timeout=20)
        assert done.returncode in (1, 2), words


@pytest.mark.parametrize("kind", [SLOTS, CONTINUE, COMMIT, 0, 5, 0xFFFFFFFF])
def test_the_first_command_is_the_plan(kind: int) -> None:
    with InitAlone() as init:
        init.send(kind, [memfd(plan_of(UMASK))])
        init.fails(errno.EPROTO)


@pytest.mark.parametrize("count", [0, 2, 64])
def test_a_plan_comes_with_one_descriptor(count: int) -> None:
    with InitAlone() as init:
        init.send(PLAN, [sink() for _ in range(count)])
        init.fails(errno.EPROTO)


@pytest.mark.parametrize("size", [0, 1, 4, 7, 9, 16, 4096])
def test_a_command_of_another_size_is_refused(size: int) -> None:
    with InitAlone() as init:
        channel = socket.socket(fileno=os.dup(init.channel))
        with channel:
            channel.send(b"\1" * size)
        if size == 0:
            # An empty message looks like the end of file.
            init.fails(errno.EPIPE)
        else:
            init.fails(errno.EMFILE)


def test_a_number_of_descriptors_that_is_not_true_is_refused() -> None:
    for said, sent in ((1, 0), (0, 1), (2, 1), (0xFFFFFFFF, 1), (64, 0)):
        with InitAlone() as init:
            fds = [sink() for _ in range(sent)]
            with socket.socket(fileno=os.dup(init.channel)) as channel:
                socket.send_fds(channel, [PLAN.to_bytes(4, "little") + said.to_bytes(4, "little")], fds)
            for fd in fds:
                os.close(fd)
            init.fails(errno.EMFILE)


@pytest.mark.parametrize("after", range(4))
def test_the_end_of_the_runtime_ends_it_at_every_point(after: int) -> None:
    plan = plan_of(UMASK, JOIN, SYNC, WAIT)
    with InitAlone() as init:
        if after > 0:
            init.send(PLAN, [memfd(plan)])
        if after > 1:
            clock = os.memfd_create("test-clock")
            os.ftruncate(clock, 4096)
            init.send(SLOTS, [clock])
        if after > 2:
            init.send(SLOTS, [sink()])
            assert init.receive() is not None
        init.hang_up()
        assert init.wait() == 1


def test_the_end_of_the_runtime_before_commit_ends_it() -> None:
    with InitAlone() as init:
        init.send_plan(plan_of(WAIT))
        report = init.receive()
        assert report is not None
        init.hang_up()
        assert init.wait() == 1


@pytest.mark.parametrize("kind", [PLAN, SLOTS, COMMIT, 0, 77])
def test_another_word_than_continue_does_not_answer_a_sync(kind: int) -> None:
    with InitAlone() as init:
        init.send_plan(plan_of(SYNC))
        assert init.receive() is not None
        init.send(kind, [sink()] if kind in (PLAN, SLOTS) else [])
        init.fails(errno.EPROTO, op=0)


@pytest.mark.parametrize("kind", [PLAN, CONTINUE, COMMIT])
def test_another_word_than_slots_brings_no_descriptor(kind: int) -> None:
    with InitAlone() as init:
        init.send_plan(plan_of(JOIN))
        init.send(kind, [sink()])
        init.fails(errno.EPROTO, op=0)


def test_slots_come_in_order() -> None:
    """The second op wants the first slot again."""
    data = bytearray(plan_of(JOIN, JOIN))
    offset = ffi.sizeof("struct ocirt_plan") + ffi.sizeof("struct ocirt_op") + 8
    assert int.from_bytes(data[offset : offset + 4], "little") == 2
    data[offset : offset + 4] = (1).to_bytes(4, "little")
    with InitAlone() as init:
        init.send_plan(bytes(data))
        init.send(SLOTS, [sink(), sink()])
        init.fails(errno.EPROTO, op=1)


def test_more_descriptors_than_are_wanted_are_refused() -> None:
    with InitAlone() as init:
        init.send_plan(plan_of(*[JOIN] * 200))
        for _ in range(2):
            init.send(SLOTS, [sink() for _ in range(40)])
        # As many as one message may hold are kept, more are not asked for before these are used.
        report = None
        for _ in range(120):
            if init.send(SLOTS, [sink()]) < 0:
                break
        report = init.receive()
        assert report is None or report[2] in (errno.EPROTO, errno.EPIPE)


def test_messages_without_descriptors_are_waited_out() -> None:
    with InitAlone() as init:
        init.send_plan(plan_of(JOIN))
        for _ in range(5):
            init.send(SLOTS)
        init.send(SLOTS, [sink()])
        init.fails(errno.EPROTO, op=1)


@pytest.mark.parametrize("fd_kind", ["directory", "pipe", "empty", "closed-end"])
def test_what_is_no_plan_is_refused(fd_kind: str) -> None:
    fds = []
    if fd_kind == "directory":
        fds = [os.open("/", os.O_RDONLY)]
    elif fd_kind == "pipe":
        fds = list(os.pipe())
    elif fd_kind == "empty":
        fds = [sink()]
    else:
        reader, writer = os.pipe()
        os.close(writer)
        fds = [reader]
    with InitAlone() as init:
        init.send(PLAN, fds[:1], close=False)
        for fd in fds:
            os.close(fd)
        init.fails()


@pytest.mark.parametrize("size", [0, 23])
def test_a_clock_that_is_too_short_is_refused(size: int) -> None:
    """A store beyond its end would be a SIGBUS."""
    with InitAlone() as init:
        init.send_plan(plan_of(UMASK), clock_bytes=size)
        init.fails(errno.EBADMSG)
