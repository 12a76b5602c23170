"""Change: mounts and devices that are put into a container that runs, and taken out of it."""

from __future__ import annotations

import os

from ocirt import host
from ocirt.errors import OcirtError
from ocirt.launch.doers import Joiner
from ocirt.launch.walk import Walk
from ocirt.plan import Compilation, compile_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirt.cgroup import Cgroup
    from ocirt.plan.op import Op, Topic


def change(
    order: tuple[Topic, ...],
    config: dict[str, Any],
    document: dict[str, Any],
    cgroup: Cgroup,
    init_pidfd: int,
    mount_fds: dict[str, int],
    undo: Callable[[list[Op]], None],
) -> None:
    """Does what *order* makes of *config* in the container whose init *init_pidfd* refers to. StepError, ConfigError,
    UnsupportedError; *undo* is called with the operations that were done before, and its own error becomes a note."""
    compilation = Compilation(
        config, host.facts(cgroup), id=document["id"], bundle=document["bundle"], rootfs=document["rootfs"]
    )
    compilation.is_running = True
    compilation.mount_fds = mount_fds
    compilation.exec_join_root = document["noPivot"]
    plan = compile_plan(order, compilation)
    bundle_fd = os.open(document["bundle"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    doer = Joiner(bundle_fd=bundle_fd, cgroup=cgroup, console=None, state_text=lambda _: "")
    doer.init_pid, doer.init_pidfd = document["pid"], init_pidfd
    walk = None
    try:
        walk = Walk(plan, doer)
        walk.run()
        _reap(walk.pid)
    except BaseException as error:
        if walk is not None:
            done = _done(walk)
            walk.abort()
            try:
                undo(done)
            except OcirtError as failure:
                error.add_note(f"while undoing: {failure}")
        raise
    finally:
        if walk is not None:
            walk.close()
        doer.close()
        os.close(bundle_fd)


def _done(walk: Walk) -> list[Op]:
    """The operations that have ended, but for the last one that has begun: that is the one that failed."""
    return [op for op, *_ in walk.times()][:-1]


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # the host program reaps all children itself
