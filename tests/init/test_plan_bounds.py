"""Every bound of a plan is checked before its first op runs (CVE-2021-43784).

A plan whose sizes wrap around was seen to crash the init when they were added up instead of subtracted.
"""

from __future__ import annotations

import errno
import struct

import pytest
from init_alone import InitAlone, plan_of

from ocirt._shim import ffi, lib
from ocirt.plan.op import Op

HEADER = struct.Struct("<IIIIIIQ")
OP = struct.Struct("<IIiIQQQIIIIII")
FIELDS = ("code", "flags", "slot", "mode", "a", "b", "c", "path", "path_size", "text", "text_size", "data", "data_size")
GREAT = [2**31 - 1, 2**31, 2**32 - 65, 2**32 - 2, 2**32 - 1]

UMASK = Op("UMASK", "clear umask", a=0o22)


def header(plan: bytes, **changes: int) -> bytes:
    names = ("magic", "version", "op_count", "slot_count", "preserve_fds", "reserved", "data_size")
    values = dict(zip(names, HEADER.unpack_from(plan), strict=True)) | changes
    return HEADER.pack(*values.values()) + plan[HEADER.size :]


def first_op(plan: bytes, **changes: int) -> bytes:
    values = dict(zip(FIELDS, OP.unpack_from(plan, HEADER.size), strict=True)) | changes
    return plan[: HEADER.size] + OP.pack(*values.values()) + plan[HEADER.size + OP.size :]


def assert_refused(plan: bytes, *errnos: int) -> None:
    with InitAlone() as init:
        init.send_plan(plan)
        assert init.fails(op=0) in (errnos or (errno.EBADMSG,))


def test_the_layout_is_the_one_that_this_test_knows() -> None:
    assert HEADER.size == ffi.sizeof("struct ocirt_plan")
    assert OP.size == ffi.sizeof("struct ocirt_op")


@pytest.mark.parametrize("magic", [0, 1, 0x4F434953, 0xFFFFFFFF, 0x5249434F])
def test_another_magic_is_refused(magic: int) -> None:
    assert_refused(header(plan_of(UMASK), magic=magic))


@pytest.mark.parametrize("version", [0, 2, 0xFFFFFFFF])
def test_another_version_is_refused(version: int) -> None:
    assert_refused(header(plan_of(UMASK), version=version))


def test_a_plan_is_refused_wherever_it_is_cut_off() -> None:
    plan = plan_of(UMASK, Op("HOSTNAME", "set hostname", text="name"))
    for size in range(1, len(plan)):
        assert_refused(plan[:size])


@pytest.mark.parametrize("more", [1, 8, 64, 4096])
def test_a_plan_that_goes_on_is_refused(more: int) -> None:
    assert_refused(plan_of(UMASK) + bytes(more))


@pytest.mark.parametrize("count", [2, 3, 1000, *GREAT])
def test_more_ops_than_there_are_are_refused(count: int) -> None:
    assert_refused(header(plan_of(UMASK), op_count=count))


@pytest.mark.parametrize("count", [2, 3, 100, 2**26, 2**31, 2**32 - 1])
def test_sizes_that_wrap_around_are_refused(count: int) -> None:
    """The data's size makes up for ops that are not there: the sum of all is right, modulo 2**64."""
    plan = plan_of(UMASK)
    data_size = (len(plan) - HEADER.size - count * OP.size) % 2**64
    assert_refused(header(plan, op_count=count, data_size=data_size))


def test_a_plan_without_ops_is_refused() -> None:
    empty = HEADER.pack(lib.OCIRT_MAGIC, lib.OCIRT_VERSION, 0, 1, 0, 0, 8) + bytes(8)
    assert_refused(empty, errno.EINVAL, errno.EPROTO, errno.EBADMSG)


@pytest.mark.parametrize("field", ["path", "text", "data"])
@pytest.mark.parametrize("value", [8, 9, 64, 4096, *GREAT])
def test_an_offset_out_of_bounds_is_refused(field: str, value: int) -> None:
    assert_refused(first_op(plan_of(UMASK), **{field: value, f"{field}_size": 1}))


@pytest.mark.parametrize("field", ["path", "text", "data"])
@pytest.mark.parametrize("value", [9, 64, 4096, *GREAT])
def test_a_size_out_of_bounds_is_refused(field: str, value: int) -> None:
    assert_refused(first_op(plan_of(UMASK), **{f"{field}_size": value}))


@pytest.mark.parametrize("field", ["path", "text", "data"])
def test_an_offset_and_a_size_that_wrap_around_are_refused(field: str) -> None:
    for offset in (1, 2, 7, 8):
        assert_refused(first_op(plan_of(UMASK), **{field: offset, f"{field}_size": 2**32 - offset}))


@pytest.mark.parametrize("field", ["path", "text"])
def test_a_text_without_its_end_is_refused(field: str) -> None:
    plan = plan_of(Op("HOSTNAME", "set hostname", text="name"))
    op = dict(zip(FIELDS, OP.unpack_from(plan, HEADER.size), strict=True))
    assert_refused(first_op(plan, **{field: op["text"], f"{field}_size": 2}))


@pytest.mark.parametrize("code", [0, lib.OCIRT_OP_END, lib.OCIRT_OP_END + 1, 1000, *GREAT])
def test_an_op_that_is_none_is_refused(code: int) -> None:
    assert_refused(first_op(plan_of(UMASK), code=code))


def test_an_op_that_is_none_keeps_those_before_it_from_running() -> None:
    """The first op would be seen: it waits for an answer."""
    plan = bytearray(plan_of(Op("SYNC", "wait", a=2), UMASK))
    plan[HEADER.size + OP.size : HEADER.size + OP.size + 4] = (1000).to_bytes(4, "little")
    assert_refused(bytes(plan))


@pytest.mark.parametrize("count", [2**31 - 3, 2**32 - 4, 2**32 - 3, 2**32 - 1])
def test_more_preserved_descriptors_than_there_are_are_refused(count: int) -> None:
    assert_refused(header(plan_of(UMASK), preserve_fds=count), errno.EBADF)


@pytest.mark.parametrize("count", [2**32 - 3, 2**32 - 1, 2**33, 2**64 - 1])
def test_an_op_that_keeps_too_many_descriptors_is_refused(count: int) -> None:
    assert_refused(plan_of(Op("CLOSE_FDS", "close", a=count)), errno.EBADF)


@pytest.mark.parametrize(
    ("argc", "envc"),
    [(2, 0), (1, 1), (0, 2), (2**64 - 1, 1), (2**64 - 3, 0), (2**63, 2**63), (2**64 - 2, 2**64 - 2), (65535, 65535)],
)
@pytest.mark.parametrize("strings", [b"a\0", b"a\0" * 70000], ids=["one", "many"])
def test_numbers_of_arguments_that_are_not_true_are_refused(argc: int, envc: int, strings: bytes) -> None:
    if argc + envc <= 2 and len(strings) > 2:
        return  # true
    assert_refused(plan_of(Op("EXECVE", "execute", data=strings, a=argc, b=envc)), errno.E2BIG, errno.EBADMSG)


@pytest.mark.parametrize("data", [b"", b"a", b"a\0b"])
def test_arguments_without_their_end_are_refused(data: bytes) -> None:
    for op in (Op("EXECVE", "execute", data=data, a=1), Op("MOUNT", "mount", text="tmpfs", path="/x", data=data)):
        assert_refused(plan_of(op), errno.EBADMSG)


def test_a_filter_that_is_too_long_is_refused() -> None:
    assert_refused(plan_of(Op("SECCOMP", "load", data=bytes(8 * 4097))), errno.E2BIG)
