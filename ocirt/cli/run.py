"""``ocirt run``: create, start, wait and delete in one."""

from __future__ import annotations

import os

from ocirt.cli.create import CONTAINER_DESCRIPTION, CONTAINER_FLAGS, container_options
from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.errors import ContainerNotFound, ProgramError, StepError
from ocirt.json_text import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ocirt.cli.parser import Call
    from ocirt.seccomp_recorder import SeccompRecorder


def run(call: Call) -> int:
    words = call.words
    if words.text("record-seccomp") is not None:
        return _record(call)
    return _run(call)


def _record(call: Call) -> int:
    """Runs the container, and writes the profile that it needs whatever became of it."""
    if call.words.flag("detach"):
        raise UsageError("a profile is recorded as long as the container is in the foreground: not with --detach")
    from ocirt.seccomp_recorder import SeccompRecorder

    path = call.words.text("record-seccomp") or ""
    with open(path, "w") as file:
        with SeccompRecorder() as recorder:
            status = _run(call, recorder)
        file.write(dumps(recorder.profile(), indent=4) + "\n")
    for arch, number in sorted(recorder.unknown):
        call.log.warning(f"not in the profile, since libseccomp has no name for it: system call {number} of {arch:#x}")
    return status


def _run(call: Call, recorder: SeccompRecorder | None = None) -> int:
    words = call.words
    if words.flag("detach"):
        container = _create(call, console_fd=None)
        _start_in_background(container, call)
        return 0
    if words.text("console-socket") is not None:
        raise UsageError("cannot use console socket if ocirt will not detach or allocate tty")
    from ocirt.console import Foreground

    with Foreground(subreaper=not words.flag("no-subreaper")) as foreground:
        container = _create(call, console_fd=foreground.console_fd, recorder=recorder)
        notify = _notify_socket(container, call)
        try:
            _start(container, keep=words.flag("keep"))
        except ProgramError as error:
            call.log.program_error(error)
            return 255
        try:
            status = foreground.wait(container, terminal=container.has_terminal)
        except BaseException:
            container.delete(force=True)
            raise
        finally:
            notify()
        if not words.flag("keep"):
            _delete(container, call)
    return status


def _create(call: Call, *, console_fd: int | None, recorder: SeccompRecorder | None = None) -> Container:
    bundle = call.words.text("bundle") or "."
    options = container_options(call, console_fd=console_fd, attached=True)
    options.recorder = recorder
    return Container.create(call.words.arguments[0], bundle, options)


def _start_in_background(container: Container, call: Call) -> None:
    keep = call.words.flag("keep")
    host = os.getenv("NOTIFY_SOCKET")
    if not host:
        _start(container, keep=keep)
        return
    from ocirt.notify import start_and_wait

    def start() -> None:
        _start(container, keep=keep)

    start_and_wait(start, container.directory, host, container.pid, call.log.warning)


def _notify_socket(container: Container, call: Call) -> Callable[[], None]:
    """Passes on that the container is ready, beside all else, with the pid of this command, which ends as the container
    does. What is returned waits for the end of that."""
    host = os.getenv("NOTIFY_SOCKET")
    if not host:
        return lambda: None
    from threading import Thread

    from ocirt.notify import NotifySocket

    socket = NotifySocket(container.directory, host)
    socket.watch(container.pid)

    def serve() -> None:
        try:
            socket.wait(os.getpid())
        except StepError as error:
            call.log.warning(str(error))
        finally:
            socket.close()

    thread = Thread(target=serve, daemon=True)
    thread.start()
    return thread.join


def _start(container: Container, *, keep: bool) -> None:
    try:
        container.start()
    except BaseException:
        if not keep:
            try:
                container.delete(force=True)
            except ContainerNotFound:
                pass  # a failing poststart hook has deleted it
        raise


def _delete(container: Container, call: Call) -> None:
    """Remove what is left of *container*. Its status is what the caller waits for, so an error is only logged."""
    try:
        container.delete(force=True)
    except Exception as error:
        call.log.warning(f"cannot delete container {container.id}: {error}")


COMMAND = Command(
    "run",
    run,
    arguments="<container-id>",
    description="Create a container, start it, wait for its end and delete it.\n\n" + CONTAINER_DESCRIPTION,
    flags=(
        *CONTAINER_FLAGS,
        Flag("detach", "detach from the container's process", short="d", kind="bool"),
        Flag("keep", "do not delete the container after it exits", kind="bool"),
        Flag("record-seccomp", "write the smallest linux.seccomp that this run of the container needs to this file"),
        Flag("no-subreaper", "do not reap the orphans of the container's processes", kind="bool"),
    ),
    minimum=1,
    maximum=1,
    prefix="{program} run failed: ",
    examples=(
        ("Run the bundle in the current directory, with this terminal", "{program} run hello"),
        ("Find out which system calls it needs", "{program} run --record-seccomp seccomp.json hello"),
        ("In the background", "{program} run --detach --bundle DIR hello </dev/null >hello.log 2>&1"),
    ),
)
