"""The command line: ``ocirt [global options] COMMAND [options] [arguments]``, call for call that of runc.

``main`` reads the global words, imports the one module of the command, and turns every exception into text and status.
A command's module is thin: a table of flags, one call of the library, and the output.

    0    done
    1    failed, or the words cannot be understood
    3    there is no such command
    255  ``exec`` failed before the process ran, or the program of ``run`` could not be executed
    run and exec end with the status of the process, or with 128 + signal
"""

from __future__ import annotations

import os

from ocirt.cli.output import Log, os_error_text, write_all
from ocirt.cli.parser import HELP, Call, Command, Flag, UsageError, parse
from ocirt.errors import ConfigError, InternalError, OcirtError, StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirt.cli.parser import Words
    from ocirt.timeline import Timeline

#: Every command, in the order of the help, and what it does.
COMMANDS: dict[str, str] = {
    "checkpoint": "save a running container in files, with criu",
    "create": "create a container",
    "delete": "delete any resources held by the container, often used with a detached container",
    "devices": "put devices into a running container, or take them out of it",
    "events": "display container events such as OOM notifications, cpu, memory, and IO usage statistics",
    "exec": "execute a new process inside the container",
    "features": "show what this runtime supports, as JSON",
    "kill": "send a signal (default: SIGTERM) to the container's init process",
    "list": "list the containers of the given root",
    "mounts": "mount something in a running container, or unmount it there",
    "pause": "suspend all processes inside a container",
    "plan": "show the steps that would create the container of a bundle",
    "ps": "display the processes that run inside a container",
    "restore": "make a running container of the files of a checkpoint",
    "resume": "let all processes of a paused container run again",
    "run": "create and run a container",
    "spec": "create a new specification file",
    "start": "execute the user-defined process in a created container",
    "state": "output the state of a container",
    "stats": "display what containers use, as a table that is drawn again and again",
    "update": "update container resource constraints",
}

GLOBAL_FLAGS: tuple[Flag, ...] = (
    Flag("debug", "log what is done, step by step", kind="bool"),
    Flag("log", "append errors and warnings to this file (default is standard error)"),
    Flag("log-format", "the form of the log: 'text' or 'json'", default="text"),
    Flag("root", "the directory of the containers' state, on a tmpfs (default: /run/ocirt, or below $XDG_RUNTIME_DIR)"),
    Flag("cgroup-manager", "who makes cgroups: 'cgroupfs', 'systemd' or 'disabled'", default="cgroupfs"),
    Flag("systemd-cgroup", "the same as --cgroup-manager systemd", kind="bool"),
    Flag("rootless", "ignore cgroup permission errors: 'true', 'false' or 'auto'", default="auto"),
    Flag("trace", "write a timeline of the command and of the init to this file, for Perfetto or chrome://tracing"),
    HELP,
    Flag("version", "print the version", short="v", kind="bool"),
)

_CGROUP_MANAGERS = ("cgroupfs", "systemd", "disabled")
_ROOTLESS: dict[str, bool | None] = {
    **dict.fromkeys(("true", "t", "1"), True),
    **dict.fromkeys(("false", "f", "0"), False),
    "auto": None,
}

UNKNOWN_COMMAND_STATUS = 3


def main(argv: Sequence[str]) -> int:
    """Run the command line *argv*, the first of which is the program; return the exit status. Never raises."""
    program = os.path.basename(argv[0]) if argv else ""
    if program in ("", "__main__.py"):
        program = "ocirt"
    log = Log()
    try:
        return _main(program, argv[1:], log)
    except BaseException as error:
        return _report(error, log, prefix="", status=1)


def _main(program: str, words: Sequence[str], log: Log) -> int:
    try:
        globals = parse(GLOBAL_FLAGS, words, stops_early=True)
    except UsageError as error:
        from ocirt.cli.help import print_help

        print_help(program, complaint=f"Incorrect Usage. {error}")
        raise
    if globals.flag("version"):
        from ocirt.cli.help import print_version

        print_version(program)
        return 0
    name = globals.arguments[0] if globals.arguments else "help"
    if globals.flag("help"):
        name = "help"
    _configure_log(log, globals)
    root = _root(globals)
    if name in ("help", "h"):
        return _help(program, globals.arguments[1:], log)
    if name not in COMMANDS:
        return _no_such_command(name, log)
    timeline = _timeline(globals)
    command = load(name)
    arguments = _parse_command(program, command, globals.arguments[1:])
    if arguments is None:
        return 0
    call = Call(
        arguments,
        program=program,
        root=root,
        cgroup_manager=_cgroup_manager(globals),
        rootless=_rootless(globals),
        log=log,
        timeline=timeline,
    )
    try:
        return command.run(call)
    except BaseException as error:
        return _report(error, log, prefix=_prefix(program, command, error), status=command.error_status)
    finally:
        if timeline is not None:
            _write_timeline(timeline, globals.text("trace") or "", name, log)


def _timeline(globals: Words) -> Timeline | None:
    if not globals.text("trace"):
        return None
    from ocirt.timeline import Timeline

    return Timeline()


def _write_timeline(timeline: Timeline, path: str, name: str, log: Log) -> None:
    """The command's own status is what the caller waits for, so an error is only logged."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            write_all(fd, timeline.text(f"ocirt {name}"))
        finally:
            os.close(fd)
    except OSError as error:
        log.warning(f"cannot write the trace: {os_error_text(error)}")


def load(name: str) -> Command:
    """The command *name*, one of ``COMMANDS``. Imports its module and no other."""
    command: Command = __import__(f"ocirt.cli.{name}", None, None, ["COMMAND"]).COMMAND
    return command


def _parse_command(program: str, command: Command, words: Sequence[str]) -> Words | None:
    """The words of *command*, or None if its help was asked for and printed."""
    complaint = "Incorrect Usage."
    try:
        try:
            arguments = parse(command.flags, words, stops_early=command.stops_early)
        except UsageError as error:
            complaint = f"Incorrect Usage: {error}"
            raise
        if not arguments.flag("help"):
            command.check_count(arguments.arguments, program)
            return arguments
    except UsageError:
        from ocirt.cli.help import print_command_help

        print_command_help(program, command, complaint=complaint)
        raise
    from ocirt.cli.help import print_command_help

    print_command_help(program, command)
    return None


def _help(program: str, names: Sequence[str], log: Log) -> int:
    from ocirt.cli.help import print_command_help, print_help

    if not names:
        print_help(program)
        return 0
    if names[0] not in COMMANDS:
        return _no_such_command(names[0], log)
    print_command_help(program, load(names[0]))
    return 0


def _no_such_command(name: str, log: Log) -> int:
    log.error(f"No help topic for '{name}'")
    return UNKNOWN_COMMAND_STATUS


def _configure_log(log: Log, globals: Words) -> None:
    log.debug = globals.flag("debug")
    format = globals.text("log-format") or "text"
    if format not in ("text", "json"):
        raise UsageError(f"invalid log-format: {format}")
    log.format = format
    path = globals.text("log")
    if path is not None:
        log.open(os.path.abspath(path))


def _root(globals: Words) -> str | None:
    if "root" not in globals.given:
        return None
    root = os.path.abspath(globals.text("root") or "")
    if not root.strip("/"):  # POSIX lets two slashes at the beginning stand
        raise UsageError("Option --root argument should not be set to /")
    return root


def _cgroup_manager(globals: Words) -> str:
    if globals.flag("systemd-cgroup"):
        return "systemd"
    manager = globals.text("cgroup-manager") or "cgroupfs"
    if manager not in _CGROUP_MANAGERS:
        raise UsageError(f"invalid cgroup-manager: {manager} (known are {', '.join(_CGROUP_MANAGERS)})")
    return manager


def _rootless(globals: Words) -> bool | None:
    text = (globals.text("rootless") or "auto").lower()
    if text not in _ROOTLESS:
        raise UsageError(f"invalid rootless: {text} (known are true, false, auto)")
    return _ROOTLESS[text]


def _prefix(program: str, command: Command, error: BaseException) -> str:
    prefix = command.prefix.replace("{program}", program)
    if command.name in ("create", "run") and isinstance(error, StepError):
        # What users of runc look for.
        if error.origin.startswith("/mounts/"):
            prefix += "unable to start container process: error during container init: error mounting: "
        elif error.step.startswith("create cgroup "):
            prefix += "unable to start container process: unable to apply cgroup configuration: "
    return prefix


def _report(error: BaseException, log: Log, *, prefix: str, status: int) -> int:
    """Print *error* once, after *prefix*; return *status*."""
    for note in getattr(error, "__notes__", ()):
        log.warning(note)
    if isinstance(error, (OcirtError, UsageError)):
        log.error(prefix + str(error), _details(error))
    elif isinstance(error, OSError):
        log.error(prefix + os_error_text(error))
    else:
        bug = InternalError(f"internal error: {type(error).__name__}: {error}")
        log.error(prefix + str(bug), _details(bug))
    if log.debug:
        import traceback

        log.trace("".join(traceback.format_exception(error)))
    return status


def _details(error: OcirtError | UsageError) -> list[str]:
    """What *error* says beyond its one line."""
    details = []
    if isinstance(error, ConfigError):
        details += [f"rule: {error.rule}"] if error.rule else []
        details += [f"also: {other}" for other in error.others]
    hint = getattr(error, "hint", None)
    if hint is not None:
        details.append(f"hint: {hint}")
    return details
