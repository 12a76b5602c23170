"""The conversation with ``criu swrk``: one request, notifications that wait for an answer, one answer."""

from __future__ import annotations

import os
from socket import AF_UNIX, MSG_CMSG_CLOEXEC, SOCK_SEQPACKET, recv_fds, socketpair

from ocirt._shim import ffi, lib
from ocirt.criu import rpc
from ocirt.errors import OcirtError
from ocirt.launch.channel import check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ocirt.criu.program import Criu

_MESSAGE_BYTES = 64 << 10

#: The number that the first of the descriptors has that criu is given.
FIRST_FD = 4


class CriuError(OcirtError):
    """criu has not done what it was asked for; its log says why."""


class Service:
    """criu, which waits for a request. ``pid`` is its own."""

    __slots__ = ("_socket", "pid")

    def __init__(
        self,
        criu: Criu,
        *,
        fds: Sequence[int] = (),
        rootfs: str | None = None,
        mount_point: str | None = None,
        keyring: str | None = None,
    ) -> None:
        """*fds* are its descriptors from FIRST_FD on. The rest as ocirt_spawn_criu of the shim has it. StepError."""
        self._socket, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
        texts = [_text(each) for each in (criu.path, rootfs, mount_point, keyring)]
        numbers = [theirs.fileno(), *fds]
        try:
            self.pid: int = check(
                lib.ocirt_spawn_criu(texts[0], numbers, len(numbers), *texts[1:]), "start criu", criu.path
            )
        except BaseException:
            self._socket.close()
            raise
        finally:
            theirs.close()

    def request(
        self, type: int, options: dict[str, Any], notified: Callable[[str, int, list[int]], None]
    ) -> rpc.Answer:
        """Asks criu to do what *type* and *options* say, and waits until it is done.

        *notified* gets each notification, as (word, pid, descriptors); those it does not close are closed for it. What
        it raises makes criu give up, and is raised when criu has. CriuError when criu fails.
        """
        failure: BaseException | None = None
        self._send(rpc.encode_request(type, options))
        while True:
            answer, fds = self._receive()
            if answer is None:
                raise failure or CriuError("it has ended without an answer")
            if answer.type != rpc.NOTIFY:
                break
            try:
                notified(answer.script, answer.pid, fds)
            except BaseException as error:
                failure = error
            finally:
                for fd in fds:
                    os.close(fd)
            self._send(rpc.encode_notified(failure is None))
        if failure is not None:
            raise failure
        if not answer.success:
            reason = answer.message or (os.strerror(answer.errno) if answer.errno else "it gives no reason")
            raise CriuError(reason)
        return answer

    def _send(self, data: bytes) -> None:
        try:
            self._socket.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has ended, as the next look for an answer will find

    def _receive(self) -> tuple[rpc.Answer | None, list[int]]:
        try:
            data, fds, _, _ = recv_fds(self._socket, _MESSAGE_BYTES, 4, MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None, []
        return (rpc.Answer(data) if data else None), list(fds)

    def close(self) -> None:
        """Hangs up, which makes criu end what it is at, and waits for its end."""
        self._socket.close()
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            pass  # the host program reaps all children itself


def _text(text: str | None) -> Any:
    return ffi.NULL if text is None else ffi.from_buffer(os.fsencode(text) + b"\0")
