"""Writes the completions for bash, zsh and fish: the tables behind ``--help``, and what a shell must know beyond them.

python completions/generate_completions.py        or: make completions

VALUES says what may follow a flag, ARGUMENTS what the arguments of a command are. Both are one of the kinds here, or a
tuple of words.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

from ocirt.cli import COMMANDS, GLOBAL_FLAGS, load  # noqa: E402  # the package lies beside this folder
from ocirt.cli.parser import Flag  # noqa: E402
from ocirt.config.words import CAPABILITIES  # noqa: E402

PROGRAM = "ocirt"

NOTHING = "nothing"
FILE = "file"
FOLDER = "folder"
CONTAINER = "container"
COMMAND = "command"

Kind = str | tuple[str, ...]

_SIGNALS = (
    *("ABRT", "ALRM", "CONT", "HUP", "INT", "KILL", "PIPE", "QUIT"),
    *("STOP", "TERM", "TSTP", "TTIN", "TTOU", "USR1", "USR2", "WINCH"),
)

_CHANGES = ("add", "remove")

#: What follows a flag that has a value.
VALUES: dict[str, Kind] = {
    "additional-gids": NOTHING,
    "apparmor": NOTHING,
    "blkio-weight": NOTHING,
    "bundle": FOLDER,
    "cap": CAPABILITIES,
    "cgroup": NOTHING,
    "cgroup-manager": ("cgroupfs", "systemd", "disabled"),
    "console-socket": FILE,
    "cpu-burst": NOTHING,
    "cpu-idle": ("0", "1"),
    "cpu-period": NOTHING,
    "cpu-quota": NOTHING,
    "cpu-rt-period": NOTHING,
    "cpu-rt-runtime": NOTHING,
    "cpu-share": NOTHING,
    "cpuset-cpus": NOTHING,
    "cpuset-mems": NOTHING,
    "cwd": NOTHING,
    "empty-ns": ("network",),
    "env": NOTHING,
    "format": ("table", "json"),
    "image-path": FOLDER,
    "interval": NOTHING,
    "l3-cache-schema": NOTHING,
    "log": FILE,
    "log-format": ("text", "json"),
    "lsm-mount-context": NOTHING,
    "lsm-profile": NOTHING,
    "manage-cgroups-mode": ("soft", "full", "strict", "ignore"),
    "mem-bw-schema": NOTHING,
    "memory": NOTHING,
    "memory-reservation": NOTHING,
    "memory-swap": NOTHING,
    "page-server": NOTHING,
    "parent-path": NOTHING,
    "pid-file": FILE,
    "pidfd-socket": FILE,
    "pids-limit": NOTHING,
    "preserve-fds": NOTHING,
    "process": FILE,
    "process-label": NOTHING,
    "record-seccomp": FILE,
    "resources": FILE,
    "root": FOLDER,
    "rootless": ("true", "false", "auto"),
    "status-fd": NOTHING,
    "trace": FILE,
    "user": NOTHING,
    "work-path": FOLDER,
}

#: The arguments of a command, one kind each; the last one is also that of all further ones.
ARGUMENTS: dict[str, tuple[Kind, ...]] = {
    "checkpoint": (CONTAINER, NOTHING),
    "create": (NOTHING,),
    "delete": (CONTAINER, NOTHING),
    "devices": (_CHANGES, CONTAINER, FILE, NOTHING),
    "events": (CONTAINER, NOTHING),
    "exec": (CONTAINER, NOTHING),
    "features": (NOTHING,),
    "help": (COMMAND, NOTHING),
    "kill": (CONTAINER, _SIGNALS, NOTHING),
    "list": (NOTHING,),
    "mounts": (_CHANGES, CONTAINER, FILE, NOTHING),
    "pause": (CONTAINER, NOTHING),
    "plan": (NOTHING,),
    "ps": (CONTAINER, NOTHING),
    "restore": (NOTHING,),
    "resume": (CONTAINER, NOTHING),
    "run": (NOTHING,),
    "spec": (NOTHING,),
    "start": (CONTAINER, NOTHING),
    "state": (CONTAINER, NOTHING),
    "stats": (CONTAINER,),
    "update": (CONTAINER, NOTHING),
}


def commands() -> dict[str, str]:
    return {**COMMANDS, "help": "show the help of one command"}


def flags_of(command: str) -> list[Flag]:
    """Those that the help shows; of the command "", the global ones."""
    if command == "help":
        return []
    flags: Sequence[Flag] = load(command).flags if command else GLOBAL_FLAGS
    return [flag for flag in flags if not flag.hidden]


def names(flag: Flag) -> list[str]:
    return [name for name in (flag.name, flag.short) if name]


def values_of(command: str) -> list[tuple[Flag, Kind]]:
    return [(flag, VALUES[flag.name]) for flag in flags_of(command) if flag.kind != "bool"]


def files() -> dict[str, str]:
    """Folder below share and file name -> text, of the completion for each shell."""
    return {
        f"bash-completion/completions/{PROGRAM}": _filled("template.bash", _bash()),
        f"zsh/site-functions/_{PROGRAM}": _filled("template.zsh", _zsh()),
        f"fish/vendor_completions.d/{PROGRAM}.fish": _filled("template.fish", _fish()),
    }


def _filled(template: str, parts: dict[str, list[str]]) -> str:
    """The template; its ``@name@`` become the lines of that name, indented like the place."""
    lines = []
    for line in (HERE / template).read_text().splitlines():
        name = line.strip().strip("@")
        if line.strip() == f"@{name}@":
            indent = line[: len(line) - len(line.lstrip())]
            lines += [indent + part for part in parts[name]]
        else:
            lines.append(line)
    return "\n".join((*lines, ""))


# -- bash --------------------------------------------------------------------------------------------------------------


def _bash() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"flags": [], "values": [], "arguments": []}
    for command in ("", *commands()):
        words = tuple(f"--{flag.name}" for flag in flags_of(command))
        found["flags"].append(f"{command or chr(39) * 2}) {_bash_kind(words)} ;;")
        for flag, kind in values_of(command):
            patterns = " | ".join(f"{command}:{name}" for name in names(flag))
            found["values"].append(f"{patterns}) {_bash_kind(kind)} ;;")
    for command, kinds in ARGUMENTS.items():
        for number, kind in enumerate(kinds, 1):
            place = str(number) if number < len(kinds) else "*"
            found["arguments"].append(f"{command}:{place}) {_bash_kind(kind)} ;;")
    found["commands"] = [f"command) {_bash_kind(tuple(commands()))[len('kind=words ') :]} ;;"]
    return found


def _bash_kind(kind: Kind) -> str:
    return f"kind={kind}" if isinstance(kind, str) else f"kind=words words='{' '.join(kind)}'"


# -- zsh ---------------------------------------------------------------------------------------------------------------

_ZSH = {
    NOTHING: " : ",
    FILE: "file:_files",
    FOLDER: "folder:_files -/",
    CONTAINER: "container:_ocirt_containers",
    COMMAND: "command:_ocirt_commands",
}


def _zsh() -> dict[str, list[str]]:
    cases = []
    for command in commands():
        specs = [*map(_zsh_flag, flags_of(command)), *_zsh_arguments(command)]
        cases += [f"{command})", "    _arguments \\", *(f"        {spec} \\" for spec in specs[:-1])]
        cases += [f"        {specs[-1]}", "    ;;"]
    return {
        "commands": [_quoted(f"{name}:{purpose}") for name, purpose in commands().items()],
        "global": [f"{_zsh_flag(flag)} \\" for flag in flags_of("")],
        "cases": cases,
    }


def _zsh_flag(flag: Flag) -> str:
    """An option of ``_arguments``: which others it excludes, its names, what it does, what follows it."""
    equals = "" if flag.kind == "bool" else "="
    words = [f"--{flag.name}{equals}", *([f"-{flag.short}"] if flag.short else [])]
    excluded = "*" if flag.kind in ("texts", "numbers") else f"({' '.join(word.rstrip('=') for word in words)})"
    value = "" if flag.kind == "bool" else f":{_zsh_kind(VALUES[flag.name])}"
    help = flag.help.replace("[", "\\[").replace("]", "\\]")
    names = words[0] if len(words) == 1 else f"{{{','.join(words)}}}"
    return f"{_quoted(excluded)}{names}{_quoted(f'[{help}]{value}')}"


def _zsh_kind(kind: Kind) -> str:
    return _ZSH[kind] if isinstance(kind, str) else f"value:({' '.join(kind)})"


def _zsh_arguments(command: str) -> list[str]:
    if command == "exec":
        return ["'(-)1:container:_ocirt_containers'", "'*::program: '"]  # behind the container all is the program's
    kinds = ARGUMENTS[command]
    places = [str(number) for number in range(1, len(kinds))] + ["*"]
    rows = zip(places, kinds, strict=True)
    return [_quoted(f"{place}:{_zsh_kind(kind)}") for place, kind in rows if kind != NOTHING]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# -- fish --------------------------------------------------------------------------------------------------------------

_FISH = {
    NOTHING: "-x",
    FILE: "-r -F",
    FOLDER: "-x -a '(__fish_complete_directories (commandline -ct))'",
    CONTAINER: "-x -a '(__ocirt_containers)'",
}


def _fish() -> dict[str, list[str]]:
    lines = []
    for name, purpose in commands().items():
        lines.append(f"complete -c {PROGRAM} -n '__ocirt_is \"\"' -a {name} -d {_fish_quoted(purpose)}")
    for command in ("", *commands()):
        # behind the container all is the program's
        condition = f"'__ocirt_is {command or chr(34) * 2}{' 1' if command == 'exec' else ''}'"
        for flag in flags_of(command):
            words = [f"complete -c {PROGRAM} -n {condition} -l {flag.name}"]
            words += [f"-s {flag.short}"] if flag.short else []
            words += [] if flag.kind == "bool" else [_fish_kind(VALUES[flag.name])]
            lines.append(" ".join([*words, "-d", _fish_quoted(flag.help)]))
        kinds = ARGUMENTS.get(command, ())
        for number, kind in enumerate(kinds, 1):
            place = f" {number}" if number < len(kinds) else ""
            if kind != NOTHING:
                lines.append(f"complete -c {PROGRAM} -n '__ocirt_is {command}{place}' {_fish_kind(kind)}")
    valued = [
        f"'{command}:{name}'" for command in ("", *commands()) for flag, _ in values_of(command) for name in names(flag)
    ]
    return {"completions": lines, "valued": [f"case {' '.join(valued)}"]}


def _fish_kind(kind: Kind) -> str:
    if kind == COMMAND:
        kind = tuple(COMMANDS)
    return _FISH[kind] if isinstance(kind, str) else f"-x -a '{' '.join(kind)}'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def main() -> None:
    for path, text in files().items():
        file = HERE / "share" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
