"""``ocirt run``: create, start, wait and delete in one."""

from __future__ import annotations

from ocirt.cli.create import CONTAINER_DESCRIPTION, CONTAINER_FLAGS, container_options
from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.errors import ContainerNotFound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    words = call.words
    if words.flag("detach"):
        container = _create(call, console_fd=None)
        _start(container, keep=words.flag("keep"))
        return 0
    if words.text("console-socket") is not None:
        raise UsageError("cannot use console socket if ocirt will not detach or allocate tty")
    from ocirt.console import Foreground

    with Foreground(subreaper=not words.flag("no-subreaper")) as foreground:
        container = _create(call, console_fd=foreground.console_fd)
        _start(container, keep=words.flag("keep"))
        try:
            status = foreground.wait(container, terminal=container.has_terminal)
        except BaseException:
            container.delete(force=True)
            raise
        if not words.flag("keep"):
            _delete(container, call)
    return status


def _create(call: Call, *, console_fd: int | None) -> Container:
    bundle = call.words.text("bundle") or "."
    return Container.create(
        call.words.arguments[0], bundle, container_options(call, console_fd=console_fd, attached=True)
    )


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
        Flag("no-subreaper", "do not reap the orphans of the container's processes", kind="bool"),
    ),
    minimum=1,
    maximum=1,
    prefix="ocirt run failed: ",
    examples=(
        ("Run the bundle in the current directory, with this terminal", "{program} run hello"),
        ("In the background", "{program} run --detach --bundle DIR hello </dev/null >hello.log 2>&1"),
    ),
)
