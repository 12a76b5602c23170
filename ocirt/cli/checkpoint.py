"""``ocirt checkpoint``: a running container becomes files."""

from __future__ import annotations

import os

from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.criu.options import CriuOptions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call, Words

#: What ``checkpoint`` and ``restore`` have in common.
CRIU_FLAGS: tuple[Flag, ...] = (
    Flag("image-path", "directory of the image files (default: ./checkpoint)"),
    Flag("work-path", "directory of the log and of working files (default: that of the images)"),
    Flag("tcp-established", "allow open tcp connections", kind="bool"),
    Flag("ext-unix-sk", "allow external unix sockets", kind="bool"),
    Flag("shell-job", "allow shell jobs", kind="bool"),
    Flag("lazy-pages", "fetch memory pages when they are used, with userfaultfd", kind="bool"),
    Flag("file-locks", "handle file locks, for safety", kind="bool"),
    Flag("manage-cgroups-mode", "what becomes of cgroups: soft, full, strict or ignore (default: soft)"),
    Flag("empty-ns", "a namespace of which nothing is kept: network, as is the case anyway", kind="texts"),
    Flag("auto-dedup", "keep each page in one image only", kind="bool"),
)


def criu_options(words: Words) -> CriuOptions:
    """The options of *words* that ``checkpoint`` and ``restore`` have in common."""
    work_path = words.text("work-path")
    return CriuOptions(
        os.path.abspath(words.text("image-path") or "checkpoint"),
        work_path=None if work_path is None else os.path.abspath(work_path),
        tcp_established=words.flag("tcp-established"),
        ext_unix_sk=words.flag("ext-unix-sk"),
        shell_job=words.flag("shell-job"),
        lazy_pages=words.flag("lazy-pages"),
        file_locks=words.flag("file-locks"),
        manage_cgroups_mode=words.text("manage-cgroups-mode") or "",
        empty_namespaces=words.texts("empty-ns"),
        auto_dedup=words.flag("auto-dedup"),
    )


def run(call: Call) -> int:
    words = call.words
    options = criu_options(words)
    options.parent_path = words.text("parent-path")
    options.leave_running = words.flag("leave-running")
    options.pre_dump = words.flag("pre-dump")
    options.tcp_skip_in_flight = words.flag("tcp-skip-in-flight")
    options.link_remap = words.flag("link-remap")
    options.page_server = _page_server(words.text("page-server"))
    options.status_fd = words.count("status-fd") if "status-fd" in words.given else None
    container = Container.load(words.arguments[0], call.root)
    container.warn = call.log.warning
    container.checkpoint(options)
    return 0


def _page_server(text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    address, _, port = text.rpartition(":")
    if not address or not port:
        raise UsageError("Use --page-server ADDRESS:PORT to specify page server")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise UsageError(f"Invalid port number: {port}")
    return address.removeprefix("[").removesuffix("]"), int(port)


COMMAND = Command(
    "checkpoint",
    run,
    arguments="<container-id>",
    description="Save the state of a running container in files, with the program criu, and delete the container.\n"
    'What it takes to make it again is said by "{program} restore --help".',
    flags=(
        *CRIU_FLAGS,
        Flag("parent-path", "directory of an earlier --pre-dump, as seen from the image directory"),
        Flag("leave-running", "let the container run on, and do not delete it", kind="bool"),
        Flag("tcp-skip-in-flight", "skip tcp connections that are being made", kind="bool"),
        Flag("link-remap", "link unlinked files back, where that is possible", kind="bool"),
        Flag("status-fd", "file descriptor that gets a zero byte when --lazy-pages is ready", kind="count"),
        Flag("page-server", "ADDRESS:PORT of the server that the pages go to, or with --lazy-pages come from"),
        Flag("pre-dump", "save the memory alone, and let the container run on", kind="bool"),
    ),
    minimum=1,
    maximum=1,
    examples=(
        ("Save the container hello, and end it", "{program} checkpoint --image-path /srv/hello.images hello"),
        (
            "Save it in two steps, of which the second takes less time",
            "{program} checkpoint --pre-dump --image-path /srv/first hello\n"
            "{program} checkpoint --parent-path ../first --image-path /srv/second hello",
        ),
    ),
)
