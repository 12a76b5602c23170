"""Start: wakes the init of a created container and hears how it goes, from the process that runs ``start``."""

from __future__ import annotations

import os

from ocirt import hooks
from ocirt._shim import ffi, lib
from ocirt.errors import InternalError, WrongStatus
from ocirt.launch.channel import Channel, check
from ocirt.launch.create import LISTENER
from ocirt.launch.failure import to_error
from ocirt.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirt.state import Entry


def begin(entry: Entry, state_text: Callable[[], str]) -> None:
    """Returns when the program runs. Raises StepError, HookError or ProgramError as the init reports it; the init is
    dead then."""
    document = entry.read_document("start.json")
    if document is None:
        raise InternalError(f"{entry.path}/start.json is missing")
    ops = _ops(document)
    channel = Channel(connect(entry))
    output_fd = -1
    try:
        alive = channel.send(lib.OCIRT_COMMAND_CONTINUE)
        for op in ops[document["first"] :]:
            if op.kind == "HOOK" and alive:
                if output_fd >= 0:
                    os.close(output_fd)
                output_fd = hooks.output_fd()
                channel.push(hooks.input_fd(state_text()))
                channel.push(os.dup(output_fd))
                # One hook at a time: the output that is read after a failure is that of the hook that failed.
                alive = channel.flush()
        _wait(channel, ops, output_fd)
    finally:
        channel.close()
        if output_fd >= 0:
            os.close(output_fd)
    entry.unlink(LISTENER)
    entry.unlink("start.json")


def connect(entry: Entry) -> int:
    """The channel to the waiting init. WrongStatus when nobody listens: it has been started already."""
    result = lib.ocirt_connect(ffi.from_buffer(os.fsencode(entry.socket_path(LISTENER)) + b"\0"))
    if result in (-2, -111):  # ENOENT, ECONNREFUSED
        raise WrongStatus(
            "cannot start an already running container", status="running", operation="start", allowed=("created",)
        )
    return check(result, "connect to the container's init")


def _wait(channel: Channel, ops: list[Op], output_fd: int) -> None:
    while True:
        # startContainer hooks may take their time, within their own time-outs.
        report = channel.receive(-1)
        if report is None:
            return
        if report.kind == lib.OCIRT_REPORT_ERROR:
            raise to_error(report, ops, hooks.tail(output_fd) if output_fd >= 0 else b"")


def _ops(document: Any) -> list[Op]:
    """The operations as far as words about them need them; those before start are only counted."""
    ops = [Op("", "")] * document["first"]
    for words in document["ops"]:
        op = Op(words["kind"], words["step"], words["origin"], path=words.get("path", ""))
        if "hook" in words:
            op.value = tuple(words["hook"])
        if "name" in words:
            op.data = words["name"].encode("utf-8", "surrogateescape") + b"\0"
        ops.append(op)
    return ops
