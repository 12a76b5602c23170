"""``ocirt restore``: the files of a checkpoint become a running container."""

from __future__ import annotations

from ocirt.cli.checkpoint import CRIU_FLAGS, criu_options
from ocirt.cli.create import BUNDLE_FLAG, CONSOLE_SOCKET_FLAG, PID_FILE_FLAG, absolute
from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call


def run(call: Call) -> int:
    words = call.words
    if words.flag("detach"):
        _restore(call, console_fd=None)
        return 0
    if words.text("console-socket") is not None:
        raise UsageError("cannot use console socket if ocirt will not detach or allocate tty")
    from ocirt.console import Foreground

    with Foreground(subreaper=not words.flag("no-subreaper")) as foreground:
        container = _restore(call, console_fd=foreground.console_fd)
        try:
            status = foreground.wait(container, terminal=container.has_terminal)
        except BaseException:
            container.delete(force=True)
            raise
        try:
            container.delete(force=True)
        except Exception as error:
            # The status of the container is what the caller waits for.
            call.log.warning(f"cannot delete container {container.id}: {error}")
    return status


def _restore(call: Call, *, console_fd: int | None) -> Container:
    words = call.words
    criu = criu_options(words)
    criu.lsm_profile = words.text("lsm-profile")
    criu.lsm_mount_context = words.text("lsm-mount-context")
    options = Options(
        root=call.root,
        cgroup_manager=call.cgroup_manager,
        no_pivot=words.flag("no-pivot"),
        console_socket=words.text("console-socket"),
        console_fd=console_fd,
        pid_file=absolute(words.text("pid-file")),
        warn=call.log.aside if words.flag("detach") else call.log.warning,
        trace=call.log.trace if call.log.debug else None,
        timeline=call.timeline,
    )
    return Container.restore(words.arguments[0], words.text("bundle") or ".", criu, options)


COMMAND = Command(
    "restore",
    run,
    arguments="<container-id>",
    description="Make a running container of a bundle and of the files that checkpoint has saved, with criu.\n\n"
    "The bundle has to be the one of the saved container, or one with the same root filesystem, mounts and namespaces.",
    flags=(
        BUNDLE_FLAG,
        CONSOLE_SOCKET_FLAG,
        PID_FILE_FLAG,
        Flag("detach", "detach from the container's process", short="d", kind="bool"),
        Flag("no-subreaper", "do not reap the orphans of the container's processes", kind="bool"),
        Flag("no-pivot", "accepted for the callers of runc; the root is changed by criu", kind="bool"),
        *CRIU_FLAGS,
        Flag("lsm-profile", "another profile than the saved one, as apparmor:NAME or selinux:LABEL"),
        Flag("lsm-mount-context", "another SELinux context of mounts than the saved one"),
    ),
    minimum=1,
    maximum=1,
    examples=(
        (
            "Make the container hello again, of the bundle in the current directory",
            "{program} restore --detach --image-path /srv/hello.images hello",
        ),
    ),
)
