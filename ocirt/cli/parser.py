"""The words of a command line to values, by the rules that runc's users know: those of Go's ``flag`` package.

``-flag`` and ``--flag`` are the same, a value follows as ``--flag value`` or ``--flag=value``, short names do not
combine, ``--`` ends the flags. A command declares its flags as a table of ``Flag``; argparse would cost 10 ms.

This module is pure: it neither prints nor looks at the process.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Value = bool | int | str | list[str] | list[int] | None

#: What Go's strconv.ParseBool understands.
_TRUE = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE = frozenset(("0", "f", "F", "FALSE", "false", "False"))


class UsageError(Exception):
    """The words cannot be understood; the text is Go's."""


class Flag:
    """One flag: ``--name``, ``-short``, and in the help ``--name value`` with ``help`` beside it.

    ``kind`` is "bool", "count" (a number from 0), "text", "texts" (may be repeated) or "numbers" (decimal, may be
    repeated). A flag that is not given has ``default``: False for "bool", None for others where nothing else is said.
    A hidden flag is understood but does not show in the help.
    """

    __slots__ = ("default", "help", "hidden", "kind", "name", "short")

    def __init__(
        self, name: str, help: str, *, short: str = "", kind: str = "text", default: Value = None, hidden: bool = False
    ) -> None:
        self.name = name
        self.short = short
        self.kind = kind
        self.help = help
        self.default = False if kind == "bool" and default is None else default
        self.hidden = hidden


HELP = Flag("help", "show help", short="h", kind="bool")


class Command:
    """A command as its module declares it, and everything that ``ocirt COMMAND --help`` says about it.

    ``arguments`` is the part of the usage line after the flags, ``minimum`` and ``maximum`` (None: any) their number.
    With ``stops_early`` the first argument ends the flags, because what follows belongs to another program.
    ``run`` gets the ``Call`` and returns the exit status. An exception that it lets out is printed after ``prefix`` and
    ends the command with ``error_status``.
    """

    __slots__ = (
        "arguments",
        "description",
        "error_status",
        "examples",
        "flags",
        "maximum",
        "minimum",
        "name",
        "prefix",
        "run",
        "stops_early",
    )

    def __init__(
        self,
        name: str,
        run: Callable[[Call], int],
        *,
        arguments: str = "",
        description: str = "",
        examples: tuple[tuple[str, str], ...] = (),
        flags: tuple[Flag, ...] = (),
        minimum: int = 0,
        maximum: int | None = 0,
        stops_early: bool = False,
        prefix: str = "",
        error_status: int = 1,
    ) -> None:
        self.name = name
        self.run = run
        self.arguments = arguments
        self.description = description
        self.examples = examples
        self.flags = (*flags, HELP)
        self.minimum = minimum
        self.maximum = maximum
        self.stops_early = stops_early
        self.prefix = prefix
        self.error_status = error_status

    def check_count(self, arguments: Sequence[str], program: str) -> None:
        """UsageError unless the number of *arguments* is right."""
        if self.minimum == self.maximum and len(arguments) != self.minimum:
            wanted = f"exactly {self.minimum}"
        elif len(arguments) < self.minimum:
            wanted = f"a minimum of {self.minimum}"
        elif self.maximum is not None and len(arguments) > self.maximum:
            wanted = f"a maximum of {self.maximum}"
        else:
            return
        raise UsageError(f'{program}: "{self.name}" requires {wanted} argument(s)')


class Words:
    """What a command line says: the values of its flags, and the arguments that are left.

    The getters give the default where the flag was not given, and know the type: ``words.text("bundle")``.
    """

    __slots__ = ("_values", "arguments", "given")

    def __init__(self, flags: Sequence[Flag]) -> None:
        self._values: dict[str, Value] = {flag.name: flag.default for flag in flags}
        self.arguments: list[str] = []
        self.given: set[str] = set()

    def set(self, flag: Flag, value: Value) -> None:
        """Give *flag* its *value*; one more of them if it may be repeated."""
        if isinstance(value, list) and flag.name in self.given:
            self._values[flag.name] += value  # type: ignore[operator]
        else:
            self._values[flag.name] = value
        self.given.add(flag.name)

    def flag(self, name: str) -> bool:
        """True if the "bool" *name* was given, and not as ``=false``."""
        return self._values[name] is True

    def count(self, name: str) -> int:
        """The number that *name* was given, or 0."""
        value = self._values[name]
        return value if isinstance(value, int) else 0

    def text(self, name: str) -> str | None:
        """The text that *name* was given. None if it was not given or empty, as in every option of runc."""
        value = self._values[name]
        return value if isinstance(value, str) and value else None

    def texts(self, name: str) -> list[str]:
        """Everything that the repeatable *name* was given, in order."""
        return self._values[name] or []  # type: ignore[return-value]

    def numbers(self, name: str) -> list[int]:
        """Every number that the repeatable *name* was given, in order."""
        return self._values[name] or []  # type: ignore[return-value]


class Call:
    """One call of a command: its own words, and the global ones as the whole command needs them.

    ``root`` is absolute, or None where the default holds. ``log`` is the ``output.Log`` of this process, ``timeline``
    that of ``--trace``.
    """

    __slots__ = ("cgroup_manager", "log", "program", "root", "rootless", "timeline", "words")

    def __init__(
        self,
        words: Words,
        *,
        program: str,
        root: str | None,
        cgroup_manager: str,
        rootless: bool | None,
        log: Log,
        timeline: Timeline | None,
    ) -> None:
        self.words = words
        self.program = program
        self.root = root
        self.cgroup_manager = cgroup_manager
        self.rootless = rootless
        self.log = log
        self.timeline = timeline


def parse(flags: Sequence[Flag], words: Sequence[str], *, stops_early: bool) -> Words:
    """Read *words* by the table *flags*. UsageError for what they cannot mean.

    With *stops_early* the first argument ends the flags; otherwise flags may follow arguments, as in
    ``kill CONTAINER --all``.
    """
    by_name = {name: flag for flag in flags for name in (flag.name, flag.short) if name}
    result = Words(flags)
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if word == "--":
            result.arguments += words[index:]
            break
        if not _looks_like_flag(word, after_argument=bool(result.arguments)):
            result.arguments.append(word)
            if stops_early:
                result.arguments += words[index:]
                break
            continue
        name, has_value, text = word.lstrip("-").partition("=")
        if not name or word.startswith("---"):
            raise UsageError(f"bad flag syntax: {word}")
        flag = by_name.get(name)
        if flag is None:
            raise UsageError(f"flag provided but not defined: -{name}")
        if not has_value and flag.kind != "bool":
            if index == len(words):
                raise UsageError(f"flag needs an argument: -{name}")
            text = words[index]
            index += 1
        result.set(flag, _value(flag, name, text if has_value or flag.kind != "bool" else "true"))
    return result


def _looks_like_flag(word: str, *, after_argument: bool) -> bool:
    # "-" is an argument (standard input), and so is a negative number behind one: kill CONTAINER -9 is a signal that
    # does not exist, and not an unknown flag.
    if len(word) < 2 or word[0] != "-":
        return False
    return not (after_argument and word[1:].isdecimal())


def _value(flag: Flag, name: str, text: str) -> Value:
    """*text* as a value of the kind of *flag*, which was given as *name*."""
    if flag.kind == "bool":
        if text not in _TRUE and text not in _FALSE:
            raise UsageError(f'invalid boolean value "{text}" for -{name}: parse error')
        return text in _TRUE
    if flag.kind == "texts":
        return [text]
    if flag.kind in ("count", "numbers"):
        digits = text[1:] if text.startswith("-") else text
        if not (digits.isascii() and digits.isdecimal()):
            raise UsageError(f'invalid value "{text}" for flag -{name}: parse error')
        number = int(text)
        if flag.kind == "numbers":
            return [number]
        if not 0 <= number < 1 << 31:
            raise UsageError(f'invalid value "{text}" for flag -{name}: value out of range')
        return number
    return text


if TYPE_CHECKING:
    from ocirt.cli.output import Log
    from ocirt.timeline import Timeline
