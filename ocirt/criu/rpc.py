"""The messages of ``criu swrk``, as rpc.proto of criu has them: a request to bytes, bytes to an answer.

In the encoding of Protocol Buffers, of which these few messages use numbers, texts and messages in messages: less code
than what a compiler would make of rpc.proto, and no library to import. Field numbers are criu's promise to all its
callers.
"""

from __future__ import annotations

from ocirt.errors import OcirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

DUMP, RESTORE, PRE_DUMP, NOTIFY = 1, 2, 4, 6

_REQUEST = {"type": 1, "opts": 2, "notify_success": 3}

#: Fields of the message criu_opts.
OPTIONS = {
    "images_dir_fd": 1,
    "pid": 2,
    "leave_running": 3,
    "ext_unix_sk": 4,
    "tcp_established": 5,
    "evasive_devices": 6,
    "shell_job": 7,
    "file_locks": 8,
    "log_level": 9,
    "log_file": 10,
    "ps": 11,
    "notify_scripts": 12,
    "root": 13,
    "parent_img": 14,
    "track_mem": 15,
    "auto_dedup": 16,
    "work_dir_fd": 17,
    "link_remap": 18,
    "ext_mnt": 23,
    "manage_cgroups": 24,
    "cg_root": 25,
    "rst_sibling": 26,
    "inherit_fd": 27,
    "manage_cgroups_mode": 34,
    "external": 37,
    "empty_ns": 38,
    "join_ns": 39,
    "freeze_cgroup": 44,
    "tcp_skip_in_flight": 46,
    "lazy_pages": 48,
    "orphan_pts_master": 50,
    "config_file": 51,
    "lsm_profile": 53,
    "cgroup_yard": 60,
    "lsm_mount_context": 63,
}

#: Fields of the messages in criu_opts.
_INNER = {
    "ps": {"address": 1, "port": 2},
    "ext_mnt": {"key": 1, "val": 2},
    "cg_root": {"ctrl": 1, "path": 2},
    "inherit_fd": {"key": 1, "fd": 2},
    "join_ns": {"ns": 1, "ns_file": 2},
    "opts": OPTIONS,
}

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Answer:
    """What criu says: ``type``; ``success``; ``errno`` and ``message`` of a failure; ``script`` of a notification, with
    the ``pid`` that it is about. In the answer to a restore that is the restored init's."""

    __slots__ = ("errno", "message", "pid", "script", "success", "type")

    def __init__(self, data: bytes) -> None:
        """Raises OcirtError when *data* is no such message."""
        fields = _decode(data)
        restore, notify = _decode(_bytes(fields, 4)), _decode(_bytes(fields, 5))
        self.type = _number(fields, 1)
        self.success = bool(_number(fields, 2))
        self.errno = _number(fields, 7)
        self.message = _bytes(fields, 9).decode("utf-8", "replace")
        self.script = _bytes(notify, 1).decode("utf-8", "replace")
        self.pid = _number(notify, 2) or _number(restore, 1)


def encode_request(type: int, options: Mapping[str, Any]) -> bytes:
    """The request of that *type*; *options* are fields of criu_opts, lists for those that may be repeated."""
    return _encode({"type": type, "opts": options}, _REQUEST)


def encode_notified(success: bool) -> bytes:
    """The answer to a notification; without *success* criu gives up and undoes what it has done."""
    return _encode({"type": NOTIFY, "notify_success": success}, _REQUEST)


def _encode(message: Mapping[str, Any], numbers: Mapping[str, int]) -> bytes:
    data = bytearray()
    for name, values in message.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int):
                # A negative number is that of 64 bits, whatever the width of its field.
                data += _varint(numbers[name] << 3 | _VARINT) + _varint(value & (1 << 64) - 1)
                continue
            if isinstance(value, str):
                content = value.encode("utf-8", "surrogateescape")
            else:
                content = _encode(value, _INNER[name])
            data += _varint(numbers[name] << 3 | _BYTES) + _varint(len(content)) + content
    return bytes(data)


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _decode(data: bytes) -> dict[int, int | bytes]:
    """Field number -> the last value with that number; what has an unknown number is there too, and does not matter."""
    fields: dict[int, int | bytes] = {}
    position = 0
    try:
        while position < len(data):
            key, position = _read_varint(data, position)
            number, kind = key >> 3, key & 7
            if kind == _VARINT:
                fields[number], position = _read_varint(data, position)
                continue
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if kind == _BYTES:
                size, position = _read_varint(data, position)
            if size is None or position + size > len(data):
                raise IndexError
            fields[number] = data[position : position + size]
            position += size
    except IndexError:
        raise OcirtError(f"criu has answered with what is no message of it: {data[:32].hex()}") from None
    return fields


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise IndexError


def _number(fields: dict[int, int | bytes], number: int) -> int:
    value = fields.get(number, 0)
    return value if isinstance(value, int) else 0


def _bytes(fields: dict[int, int | bytes], number: int) -> bytes:
    value = fields.get(number, b"")
    return value if isinstance(value, bytes) else b""
