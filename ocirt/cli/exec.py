"""``ocirt exec``: one more process inside of a running container.

``process_document`` is the pure part: the container's own process and the words of the command line give the process
document (config.md#process) of the new one.
"""

from __future__ import annotations

from ocirt.cli.create import CONSOLE_SOCKET_FLAG, PID_FILE_FLAG, PIDFD_SOCKET_FLAG, PRESERVE_FDS_FLAG, absolute
from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container
from ocirt.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call, Words

    Document = dict[str, object]

#: uid_t is 32 bits wide, and its last value means "leave it as it is" (setresuid(2)).
_LAST_ID = (1 << 32) - 2


def parse_user(text: str) -> tuple[int, int]:
    """The uid and gid of ``UID[:GID]``; the gid is 0 where it is absent. UsageError for anything but decimal numbers.

    A parser that reads "abc" or "-1" as some number runs the process as somebody else (CVE-2026-30892).
    """
    uid, colon, gid = text.partition(":")
    return _id("user", text, uid), _id("user", text, gid) if colon else 0


def _id(flag: str, text: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdecimal()) or int(digits) > _LAST_ID:
        raise UsageError(f'invalid value "{text}" for flag -{flag}: wanted a decimal id from 0 to {_LAST_ID}')
    return int(digits)


def process_document(process: Document, words: Words) -> Document:
    """The document of the process that *words* ask for, made from the container's own *process*, which stays as it is.

    The arguments behind the container's id are the command; what no flag says is as in *process*, but for the terminal,
    which has to be asked for. UsageError for a command that is missing and for an id that is none.
    """
    args = words.arguments[1:]
    if not args:
        raise UsageError("exec args cannot be empty")
    user: Document = {**_object(process, "user")}
    document = {**process, "args": args, "terminal": words.flag("tty"), "user": user}
    for flag, name in (("cwd", "cwd"), ("apparmor", "apparmorProfile"), ("process-label", "selinuxLabel")):
        text = words.text(flag)
        if text is not None:
            document[name] = text
    if words.texts("env"):
        document["env"] = [*_strings(process, "env"), *words.texts("env")]
    if "no-new-privs" in words.given:
        document["noNewPrivileges"] = words.flag("no-new-privs")
    if words.texts("cap"):
        document["capabilities"] = _with_capabilities(_object(process, "capabilities"), words.texts("cap"))
    text = words.text("user")
    if text is not None:
        user["uid"], user["gid"] = parse_user(text)
    if words.numbers("additional-gids"):
        gids = [_id("additional-gids", str(gid), str(gid)) for gid in words.numbers("additional-gids")]
        user["additionalGids"] = [*_numbers(user, "additionalGids"), *gids]
    return document


def _with_capabilities(sets: Document, names: list[str]) -> Document:
    # Not the inheritable set: from there a capability would come back through the file capabilities of a program
    # (CVE-2022-29162). Where the configuration has such a set of its own, what is in it becomes ambient, as with runc.
    keys = ("bounding", "effective", "permitted") + (("ambient",) if _strings(sets, "inheritable") else ())
    added = {key: [*_strings(sets, key), *names] for key in keys}
    return {**sets, **added}


def _object(document: Document, name: str) -> Document:
    return document.get(name) or {}  # type: ignore[return-value]


def _strings(document: Document, name: str) -> list[str]:
    return document.get(name) or []  # type: ignore[return-value]


def _numbers(document: Document, name: str) -> list[int]:
    return document.get(name) or []  # type: ignore[return-value]


def sub_cgroups(arguments: list[str]) -> dict[str, str]:
    """The values of ``--cgroup`` as controller -> path below the container's cgroup.

    On cgroup v2 there is one path, and "" is its controller; on v1 each value names one or more controllers,
    ``CONTROLLER[,CONTROLLER...]:PATH``. UsageError for a mixture of both and for a controller that is named twice.
    """
    paths: dict[str, str] = {}
    for argument in arguments:
        controllers, colon, path = argument.partition(":")
        if not colon:
            if len(arguments) != 1:
                raise UsageError(f"invalid --cgroup argument: {argument} (missing <controller>: prefix)")
            return {"": argument}
        for controller in controllers.split(","):
            if not controller:
                raise UsageError(f"invalid --cgroup argument: {argument} (empty <controller> prefix)")
            if controller in paths:
                raise UsageError(f"invalid --cgroup argument(s): controller {controller} specified multiple times")
            paths[controller] = path
    return paths


def run(call: Call) -> int:
    words = call.words
    container = Container.load(words.arguments[0], root=call.root)
    document = _document(container, words)
    detach = words.flag("detach")
    if words.text("console-socket") is not None and not (detach and document.get("terminal")):
        raise UsageError("cannot use console socket if ocirt will not detach or allocate tty")
    if detach:
        if document.get("terminal") and words.text("console-socket") is None:
            raise UsageError("cannot allocate tty if ocirt will detach without setting console socket")
        container.exec(document, _options(call, console_fd=None), detach=True)
        return 0
    from ocirt.console import Foreground

    with Foreground(subreaper=False) as foreground:
        process = container.exec(document, _options(call, console_fd=foreground.console_fd), detach=False)
        return foreground.wait(process, terminal=bool(document.get("terminal")))


def _document(container: Container, words: Words) -> Document:
    """The process document that *words* ask for: that of ``--process`` as it is, or one made from the container's."""
    path = words.text("process")
    if path is None:
        return process_document(container.process_template(), words)
    from ocirt.config.load import load_process

    return {**load_process(path)}


def _options(call: Call, *, console_fd: int | None) -> Options:
    words = call.words
    return Options(
        root=call.root,
        cgroup_manager=call.cgroup_manager,
        preserve_fds=words.count("preserve-fds"),
        console_socket=words.text("console-socket"),
        console_fd=console_fd,
        pidfd_socket=words.text("pidfd-socket"),
        pid_file=absolute(words.text("pid-file")),
        sub_cgroups=sub_cgroups(words.texts("cgroup")),
        ignore_paused=words.flag("ignore-paused"),
        warn=call.log.aside,
        trace=call.log.trace if call.log.debug else None,
        timeline=call.timeline,
    )


COMMAND = Command(
    "exec",
    run,
    arguments="<container-id> <command> [command options]  || -p process.json <container-id>",
    description="""\
Execute a new process inside the container. What no option says is as for the container's own
process. The document that -p names (process of config.md) says it all, but for capabilities,
umask, oomScoreAdj, labels and scheduling: where it has none, those of the container hold.""",
    flags=(
        CONSOLE_SOCKET_FLAG,
        PIDFD_SOCKET_FLAG,
        Flag("cwd", "current working directory in the container"),
        Flag("env", "set an environment variable, NAME=VALUE", short="e", kind="texts"),
        Flag("tty", "allocate a pseudo-TTY", short="t", kind="bool"),
        Flag("user", "UID (format: <uid>[:<gid>])", short="u"),
        Flag("additional-gids", "additional gids", short="g", kind="numbers"),
        Flag("process", "path to the process.json", short="p"),
        Flag("detach", "detach from the process", short="d", kind="bool"),
        PID_FILE_FLAG,
        Flag("process-label", "set the SELinux label of the process"),
        Flag("apparmor", "set the apparmor profile for the process"),
        Flag("no-new-privs", "set the no new privileges value for the process", kind="bool"),
        Flag("cap", "add a capability to the bounding, effective and permitted sets", short="c", kind="texts"),
        PRESERVE_FDS_FLAG,
        Flag("cgroup", "run the process in an existing sub-cgroup: [<controller>:]<cgroup>", kind="texts"),
        Flag("ignore-paused", "allow exec in a paused container", kind="bool"),
    ),
    minimum=1,
    maximum=None,
    stops_early=True,
    prefix="exec failed: ",
    error_status=255,
    examples=(
        ("A shell with this terminal", "{program} exec -t hello sh"),
        ("Another user, with one capability", "{program} exec -u 1000:1000 --cap CAP_NET_BIND_SERVICE hello id"),
        ("As an engine does it", "{program} exec --process process.json --detach --pid-file pid hello"),
    ),
)
