"""uid_map, gid_map and setgroups of a new user namespace (user_namespaces(7), newuidmap(1))."""

from __future__ import annotations

import os

from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.plan.op import Op


_PAGE_BYTES = 4096


def write(pid: int, op: Op, *, privileged: bool) -> None:
    """Writes one map, ``op.value`` being ("uid_map" or "gid_map", mappings). Raises StepError.

    An unprivileged runtime may map only its own id to one id, and must deny setgroups(2) first; for more it asks
    newuidmap and newgidmap, which are set-uid and read /etc/subuid and /etc/subgid.
    """
    value: Any = op.value
    file, mappings = value
    if not privileged and not _is_own(file, mappings):
        _ask_helper("newuidmap" if file == "uid_map" else "newgidmap", pid, mappings, op)
        return
    if not privileged and file == "gid_map":
        _write(f"/proc/{pid}/setgroups", b"deny", op)
    _write(
        f"/proc/{pid}/{file}", "".join(f"{m['containerID']} {m['hostID']} {m['size']}\n" for m in mappings).encode(), op
    )


def _is_own(file: str, mappings: Any) -> bool:
    own = os.geteuid() if file == "uid_map" else os.getegid()
    return len(mappings) == 1 and mappings[0]["hostID"] == own and mappings[0]["size"] == 1


def _write(path: str, content: bytes, op: Op) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            # One write: the kernel takes a map whole or not at all.
            os.write(fd, content)
        finally:
            os.close(fd)
    except OSError as error:
        hint = None
        if len(content) >= _PAGE_BYTES:
            hint = f"the kernel takes a map of less than a page; this one has {len(content)} bytes"
        raise StepError(op.step, error.errno or 0, filename=path, origin=op.origin, hint=hint) from None


def _ask_helper(name: str, pid: int, mappings: Any, op: Op) -> None:
    # An absolute path: the container's image or the caller's environment must not choose the program.
    path = next(
        (p for p in (f"/usr/bin/{name}", f"/bin/{name}", f"/usr/local/bin/{name}") if os.access(p, os.X_OK)), None
    )
    if path is None:
        raise StepError(
            op.step, 2, filename=name, origin=op.origin, hint=f"{name} is not installed (on Debian: apt install uidmap)"
        )
    argv = [path, str(pid)]
    for mapping in mappings:
        argv += [str(mapping["containerID"]), str(mapping["hostID"]), str(mapping["size"])]
    read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
    try:
        child = os.posix_spawn(
            path,
            argv,
            {},
            file_actions=[(os.POSIX_SPAWN_DUP2, write_fd, 1), (os.POSIX_SPAWN_DUP2, write_fd, 2)],
            setsigmask=(),
        )
        os.close(write_fd)
        write_fd = -1
        said = os.read(read_fd, 4096).decode("utf-8", "replace").strip()
        if os.waitpid(child, 0)[1] != 0:
            raise StepError(op.step, 1, filename=path, origin=op.origin, detail=said)
    finally:
        os.close(read_fd)
        if write_fd >= 0:
            os.close(write_fd)
