"""Exec: another process into a running container."""

from __future__ import annotations

import os
from errno import EACCES, EPERM

from ocirt import host
from ocirt.config.warnings import process_warnings
from ocirt.errors import StepError
from ocirt.launch.doers import Joiner, connect_console
from ocirt.launch.walk import Walk
from ocirt.plan import EXEC, Compilation, compile_plan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirt.cgroup import Cgroup
    from ocirt.options import Options

_ENTER_CGROUP = "enter cgroup "

#: What holds a process, and is as for the container's own where the document of an exec does not say it.
_INHERITED = (
    "apparmorProfile",
    "capabilities",
    "execCPUAffinity",
    "ioPriority",
    "oomScoreAdj",
    "scheduler",
    "selinuxLabel",
)


def join(
    config: dict[str, Any],
    process: dict[str, Any],
    document: dict[str, Any],
    cgroup: Cgroup,
    init_pidfd: int,
    options: Options,
    filter: Any,
    state_text: Callable[[], str],
) -> Walk:
    """Runs *process* in the container of *config*; the walk's pid is a child of the calling process. Raises what the
    init reports.

    Where the container's cgroup cannot be entered, be it that it is gone or that its processes are all in sub-cgroups,
    the process enters that of the init, unless the options name one.
    """
    compilation = Compilation(config, host.facts(cgroup), id=document["id"])
    compilation.process = _completed(process, config.get("process") or {})
    compilation.process_pointer = "process.json#"
    compilation.no_new_keyring = document["noNewKeyring"]
    compilation.preserve_fds = options.all_preserved_fds()
    compilation.console = bool(process.get("terminal"))
    compilation.filter = filter
    compilation.is_traced = options.trace is not None
    compilation.exec_join_root = document["noPivot"] or not document["ownMountNamespace"]
    options.pass_environment(compilation)
    console = _Console(options)
    try:
        walk = _walk(compilation, document, cgroup, init_pidfd, options, state_text, console)
    except StepError as error:
        if not error.step.startswith(_ENTER_CGROUP):
            raise
        other = _other_cgroup(cgroup, document["pid"], error, is_asked_for=bool(options.sub_cgroups))
        if other is None:
            raise
        compilation.host = host.facts(other, unit=other.unit if other is cgroup else "")
        walk = _walk(compilation, document, other, init_pidfd, options, state_text, console)
    finally:
        console.close()
    for warning in process_warnings(process) + compilation.warnings:
        options.warn(warning)
    options.trace_walk(walk)
    return walk


def _completed(process: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """*process* with what it takes from the container's *own* one: to say less must not be to get more."""
    inherited = {name: own[name] for name in _INHERITED if process.get(name) is None and own.get(name) is not None}
    umask = (own.get("user") or {}).get("umask")
    user = process.get("user") or {}
    if umask is not None and user.get("umask") is None:
        inherited["user"] = {**user, "umask": umask}
    return {**process, **inherited}


def _walk(
    compilation: Compilation,
    document: dict[str, Any],
    cgroup: Cgroup,
    init_pidfd: int,
    options: Options,
    state_text: Callable[[], str],
    console: _Console,
) -> Walk:
    plan = compile_plan(EXEC, compilation)
    doer = Joiner(bundle_fd=-1, cgroup=cgroup, console=console.open, state_text=lambda _: state_text())
    doer.init_pid = document["pid"]
    doer.init_pidfd = init_pidfd
    doer.resctrl = document.get("resctrl")
    walk = None
    try:
        walk = Walk(plan, doer, options.timeline)
        walk.run()
        options.send_pidfd(walk.pidfd)
        options.write_pid_file(walk.pid)
    except BaseException as error:
        if walk is not None:
            if isinstance(error, StepError) and error.step.startswith(_ENTER_CGROUP):
                # The words of runc.
                error.step += f", adding pid {walk.first_pid} to cgroups"
            options.trace_walk(walk)
            walk.abort()
            walk.close()
        raise
    finally:
        doer.close()
    return walk


def _other_cgroup(cgroup: Cgroup, init_pid: int, error: StepError, *, is_asked_for: bool) -> Cgroup | None:
    """Where a process goes that *error* kept out of *cgroup*; None where there is nothing else, as where the cgroup
    *is_asked_for*."""
    # To move a process takes write access to the common ancestor of both cgroups, which an ordinary user may lack.
    is_forbidden = cgroup.rootless and error.errno in (EACCES, EPERM)
    if is_forbidden and cgroup.unit:
        return cgroup  # by systemd
    if is_asked_for:
        return None
    return cgroup.without_v2() if is_forbidden else cgroup.around(init_pid)


class _Console:
    """Where the terminal is sent. It is connected to once, also when the process is walked in a second time: an engine
    takes the first connection."""

    __slots__ = ("_fd", "_options")

    def __init__(self, options: Options) -> None:
        self._options = options
        self._fd = -1

    def open(self) -> int:
        """A descriptor of it, for the caller to close. StepError."""
        if self._options.console_socket is None:
            assert self._options.console_fd is not None
            return os.dup(self._options.console_fd)
        if self._fd < 0:
            self._fd = connect_console(self._options.console_socket)
        return os.dup(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
