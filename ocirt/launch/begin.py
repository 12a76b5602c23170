"""Start: wakes the init of a created container and hears how it goes, from the process that runs ``start``."""

from __future__ import annotations

import os
from time import monotonic_ns

from ocirt._shim import lib
from ocirt.errors import InternalError
from ocirt.launch.channel import Channel
from ocirt.state import LISTENER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirt.hooks import Output
    from ocirt.launch.channel import Report
    from ocirt.plan.op import Op
    from ocirt.record import Record
    from ocirt.state import Entry
    from ocirt.timeline import Timeline


def begin(entry: Entry, record: Record, state_text: Callable[[bool], str], timeline: Timeline | None) -> None:
    """Returns when the program runs. Raises StepError, HookError or ProgramError as the init reports it; the init is
    dead then."""
    document = entry.read_document("start.json")
    if document is None:
        raise InternalError(f"{entry.path}/start.json is missing")
    channel = Channel(entry.connect())
    output = None
    began = monotonic_ns()
    try:
        alive = channel.send(lib.OCIRT_COMMAND_CONTINUE)
        for words in document["ops"]:
            if "agent" in words and alive:
                alive = _bring_listener(channel, document, words["agent"], record.pid, state_text)
            if words["kind"] == "HOOK" and alive:
                from ocirt import hooks

                if output is not None:
                    output.close()
                output = hooks.Output(*words["hook"], annotations=record.annotations, bundle=record.bundle)
                channel.push(hooks.input_fd(state_text(True)))
                channel.push(os.dup(output.stdout_fd))
                channel.push(os.dup(output.stderr_fd))
                # One hook at a time: the output that is read after a failure is that of the hook that failed.
                alive = channel.flush()
        _wait(channel, document, output)
    finally:
        if timeline is not None:
            timeline.command("wait for ocirt-init", began)
        channel.close()
        if output is not None:
            output.close()
    entry.unlink(LISTENER)
    entry.unlink("start.json")


def _wait(channel: Channel, document: Any, output: Output | None) -> None:
    while True:
        # startContainer hooks may take their time, within their own time-outs.
        report = channel.receive(-1)
        if report is None:
            return
        _raise_error(report, document, output)


def _raise_error(report: Report, document: Any, output: Output | None) -> None:
    if report.kind == lib.OCIRT_REPORT_ERROR:
        from ocirt.launch.failure import to_error

        raise to_error(report, _ops(document), output.tail() if output is not None else b"")


def _bring_listener(channel: Channel, document: Any, agent: Any, pid: int, state_text: Callable[[bool], str]) -> bool:
    """Waits for the listener of the filter and lets the init go on when the agent has it; False when it is gone."""
    from ocirt.launch import listener

    while True:
        report = channel.receive()
        if report is None:
            return False
        _raise_error(report, document, None)
        if report.kind == lib.OCIRT_REPORT_LISTENER:
            break
    pidfd = os.pidfd_open(pid)
    try:
        listener.bring(agent, report.detail, pid, pidfd, state_text(False))
    finally:
        os.close(pidfd)
    return channel.send(lib.OCIRT_COMMAND_CONTINUE)


def _ops(document: Any) -> list[Op]:
    """The operations as far as words about them need them; those before start are only counted."""
    from ocirt.plan.op import Op

    ops = [Op("", "")] * document["first"]
    for words in document["ops"]:
        op = Op(words["kind"], words["step"], words["origin"], path=words.get("path", ""))
        if "hook" in words:
            op.value = tuple(words["hook"])
        if "name" in words:
            op.data = words["name"].encode("utf-8", "surrogateescape") + b"\0"
        ops.append(op)
    return ops
