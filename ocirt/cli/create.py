"""``ocirt create``: a bundle becomes a container that waits for ``ocirt start``."""

from __future__ import annotations

import os

from ocirt.cli.parser import Command, Flag
from ocirt.container import Container
from ocirt.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call

BUNDLE_FLAG = Flag("bundle", "path to the root of the bundle directory, defaults to the current directory", short="b")
CONSOLE_SOCKET_FLAG = Flag(
    "console-socket", "path to an AF_UNIX socket which receives the master end of the console's pseudoterminal"
)
PIDFD_SOCKET_FLAG = Flag("pidfd-socket", "path to an AF_UNIX socket which receives a pidfd of the new process")
PID_FILE_FLAG = Flag("pid-file", "specify the file to write the process id to")
PRESERVE_FDS_FLAG = Flag(
    "preserve-fds",
    "pass N additional file descriptors to the process (stdio + $LISTEN_FDS + N in total)",
    kind="count",
)

#: What ``create`` and ``run`` have in common.
CONTAINER_FLAGS: tuple[Flag, ...] = (
    BUNDLE_FLAG,
    CONSOLE_SOCKET_FLAG,
    PIDFD_SOCKET_FLAG,
    PID_FILE_FLAG,
    Flag(
        "no-pivot",
        "do not use pivot_root(2): for a rootfs on a ramdisk. The old root stays within reach of a privileged process",
        kind="bool",
    ),
    Flag("no-new-keyring", "do not create a new session keyring, but inherit that of the calling process", kind="bool"),
    PRESERVE_FDS_FLAG,
)

CONTAINER_DESCRIPTION = """\
The bundle is a directory with a root filesystem and the specification file "config.json",
whose property process.args is the command that runs in the container: see "{program} spec --help".

<container-id> is your name for the container. It must be unique on this host, or more
exactly below --root."""


def container_options(call: Call, *, console_fd: int | None = None, attached: bool = False) -> Options:
    """The options of a new container that the words of *call* ask for."""
    words = call.words
    return Options(
        root=call.root,
        cgroup_manager=call.cgroup_manager,
        no_pivot=words.flag("no-pivot"),
        no_new_keyring=words.flag("no-new-keyring"),
        preserve_fds=words.count("preserve-fds"),
        console_socket=words.text("console-socket"),
        console_fd=console_fd,
        pidfd_socket=words.text("pidfd-socket"),
        pid_file=absolute(words.text("pid-file")),
        attached=attached,
        notify_socket=bool(os.getenv("NOTIFY_SOCKET")),
        warn=call.log.warning if attached else call.log.aside,
        trace=call.log.trace if call.log.debug else None,
        timeline=call.timeline,
    )


def absolute(path: str | None) -> str | None:
    """*path* independent of later changes of the working directory."""
    return None if path is None else os.path.abspath(path)


def run(call: Call) -> int:
    Container.create(call.words.arguments[0], call.words.text("bundle") or ".", container_options(call))
    return 0


COMMAND = Command(
    "create",
    run,
    arguments="<container-id>",
    description="Make a container of a bundle, all but the last step: its command waits for start.\n\n"
    + CONTAINER_DESCRIPTION,
    flags=CONTAINER_FLAGS,
    minimum=1,
    maximum=1,
    prefix="{program} create failed: ",
    examples=(
        ("Create the container of the bundle in the current directory", "{program} create hello"),
        ("As an engine does it", "{program} create --bundle /run/hello --pid-file /run/hello/pid hello"),
    ),
)
