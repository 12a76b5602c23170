"""Pause and resume: what is done to all processes of a container at once, by its cgroup."""

from __future__ import annotations

from ocirt.errors import WrongStatus
from ocirt.state import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.container import Container


def pause(container: Container) -> None:
    """See `Container.pause`."""
    entry = locked(container, "pause", "container not running", ("created", "running"))
    try:
        container.cgroup().freeze()
    finally:
        entry.close()


def resume(container: Container) -> None:
    """See `Container.resume`."""
    entry = locked(container, "resume", "container not paused", ("paused",))
    try:
        container.cgroup().thaw()
    finally:
        entry.close()


def locked(container: Container, operation: str, complaint: str, allowed: tuple[str, ...]) -> Entry:
    """The entry of *container*, locked until it is closed. WrongStatus with the text *complaint* unless its status is
    one of *allowed*; ContainerNotFound."""
    entry = Entry.open(container.root, container.id)
    try:
        entry.lock()
        status = container.status(locked=True)
        if status not in allowed:
            raise WrongStatus(complaint, status=status, operation=operation, allowed=allowed)
    except BaseException:
        entry.close()
        raise
    return entry
