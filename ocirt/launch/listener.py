"""The listener of a seccomp filter: from the init, under the filter, to the agent at ``listenerPath``
(config-linux.md#seccomp)."""

from __future__ import annotations

import os

from ocirt._shim import ffi, lib
from ocirt.errors import StepError
from ocirt.json_text import dumps
from ocirt.launch.channel import check
from ocirt.launch.doers import connect_socket
from ocirt.state import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ORIGIN = "/linux/seccomp/listenerPath"
_KIND = "anon_inode:seccomp notify"


def bring(agent: Any, number: int, pid: int, pidfd: int, state_text: str) -> None:
    """Sends descriptor *number* of the process *pid* with the container process state, the one message of a connection
    of its own. *agent* has the properties ``listenerPath`` and ``listenerMetadata``, *state_text* is the container's
    state as JSON. Raises StepError.
    """
    path = agent["listenerPath"]
    state: dict[str, Any] = {"ociVersion": SPEC_VERSION, "fds": ["seccompFd"], "pid": pid}
    if agent["listenerMetadata"] is not None:
        state["metadata"] = agent["listenerMetadata"]
    message = dumps(state).rstrip()[:-1] + f',"state":{state_text}}}'
    # The first words are runc's.
    step = f"bring the seccomp listener to {path} (failed to connect with seccomp agent)"
    socket_fd = listener_fd = -1
    try:
        socket_fd = connect_socket(path, step, _ORIGIN)
        listener_fd = check(lib.ocirt_pidfd_getfd(pidfd, number), "get the seccomp listener", origin="/linux/seccomp")
        if os.readlink(f"/proc/self/fd/{listener_fd}") != _KIND:
            raise StepError("get the seccomp listener", 22, origin="/linux/seccomp", detail="it is another descriptor")
        text = ffi.from_buffer(message.encode("utf-8", "surrogateescape") + b"\0")
        check(lib.ocirt_send_fd(socket_fd, listener_fd, text), f"send to seccomp agent {path}", path, origin=_ORIGIN)
    finally:
        for fd in (socket_fd, listener_fd):
            if fd >= 0:
                os.close(fd)
