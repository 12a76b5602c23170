"""What the command says and where: results on standard output, errors and warnings on standard error and in the log.

Each engine reads its errors in another place (containerd's shim the log, buildah standard error, podman both), so an
error goes to both: exactly one line is appended to the file of ``--log``, as text in logrus' form or as a JSON object,
and the same text stands on standard error, bare when there is a log file and in the form of a log line when there is
none. What an error has to say beyond its one line (a hint, the other errors of a config.json) is for people: it follows
on standard error alone.

Nothing is buffered, and no descriptor is held between two lines: one that is open while a container is created could be
taken for one of ``--preserve-fds``.
"""

from __future__ import annotations

import os

from ocirt.errors import errno_text
from ocirt.json_text import quote

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ocirt.errors import ProgramError

#: Go's escapes in a quoted string (strconv.Quote); other characters that do not print get their number.
_ESCAPES: dict[int, str] = {
    0x07: "\\a",
    0x08: "\\b",
    0x09: "\\t",
    0x0A: "\\n",
    0x0B: "\\v",
    0x0C: "\\f",
    0x0D: "\\r",
}


def write(text: str) -> None:
    """Write *text* to standard output. When the reader of a pipe is gone, this process dies of SIGPIPE as others do."""
    try:
        write_all(1, text)
    except BrokenPipeError:
        import _signal

        _signal.signal(_signal.SIGPIPE, _signal.SIG_DFL)
        os.kill(os.getpid(), _signal.SIGPIPE)


def write_error(text: str) -> None:
    """Write *text* to standard error. That nobody can read it there is no reason to do anything else than without."""
    try:
        write_all(2, text)
    except OSError:
        pass


def write_all(fd: int, text: str) -> None:
    """Write *text* to *fd*, however many system calls it takes. OSError if that cannot be done."""
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    while data:
        data = data[os.write(fd, data) :]


def printable(text: str) -> str:
    """*text* without characters that move a cursor or end a line: those are written as Go escapes them."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(ord(character)) for character in text)


def _escape(code: int) -> str:
    if code in _ESCAPES:
        return _ESCAPES[code]
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8 (os.fsdecode)
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def text_line(level: str, message: str, when: str) -> str:
    """A log line in logrus' text form, without its line feed."""
    quoted = printable(message.replace("\\", "\\\\").replace('"', '\\"'))
    return f'time="{when}" level={level} msg="{quoted}"'


def json_line(level: str, message: str, when: str) -> str:
    """A log line in logrus' JSON form, without its line feed."""
    return f'{{"level":"{level}","msg":{quote(message)},"time":"{when}"}}'


def os_error_text(error: OSError) -> str:
    """What the command prints for an OSError that carries no text of ocirt: the file, and the kernel's words."""
    words = errno_text(error.errno) if error.errno else str(error)
    return f"{os.fsdecode(error.filename)}: {words}" if error.filename else words


class Log:
    """The log of one process: ``path`` is the file of ``--log`` or None, ``format`` "text" or "json".

    With ``debug`` what ocirt does is logged as well, and the way that an unexpected exception took.
    """

    __slots__ = ("debug", "format", "path")

    def __init__(self) -> None:
        self.path: str | None = None
        self.format = "text"
        self.debug = False

    def open(self, path: str) -> None:
        """Log to the file *path* from now on. OSError if it cannot be written, before there is anything to write."""
        os.close(self._open(path))
        self.path = path

    def error(self, message: str, details: Sequence[str] = ()) -> None:
        """Say that the command failed: once in the log, and on standard error, with the *details* line by line."""
        failure = self._append("error", message)
        if self.path is not None and failure is None:
            write_error(message + "\n")
        elif os.isatty(2):
            write_error(f"error: {printable(message)}\n")
        else:
            write_error(self._line("error", message))
        if failure is not None:
            write_error(f"error: cannot write the log: {os_error_text(failure)}\n")
        for detail in details:
            write_error(printable(detail) + "\n")

    def program_error(self, error: ProgramError) -> None:
        """Say that a program in the foreground could not be executed, as runc's users find it: on standard error, which
        is the program's own, in one bare line."""
        failure = self._append("error", str(error))
        write_error((str(error) if os.isatty(2) else error.text) + "\n")
        if failure is not None:
            write_error(f"error: cannot write the log: {os_error_text(failure)}\n")

    def warning(self, message: str) -> None:
        """Say what should be known although the command goes on: in the log, or on standard error if there is none.

        With a log file standard error stays empty, because after a create or an exec it belongs to the container.
        """
        self._log("warning", message)

    def aside(self, message: str) -> None:
        """A `warning` of a command whose standard error is that of a process in the container: in the log, or on a
        terminal.

        Without a log file it would be taken for the process's own words.
        """
        if self.path is not None or os.isatty(2):
            self.warning(message)

    def trace(self, message: str) -> None:
        """Log one step of the work if ``--debug`` was given."""
        if self.debug:
            self._log("debug", message)

    def _log(self, level: str, message: str) -> None:
        if self.path is None or self._append(level, message) is not None:
            write_error(self._line(level, message))

    def _append(self, level: str, message: str) -> OSError | None:
        """Append a line to the log file if there is one; the error if that cannot be done."""
        if self.path is None:
            return None
        try:
            fd = self._open(self.path)
            try:
                write_all(fd, self._line(level, message))
            finally:
                os.close(fd)
        except OSError as error:
            return error
        return None

    def _open(self, path: str) -> int:
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _line(self, level: str, message: str) -> str:
        import time

        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return (json_line if self.format == "json" else text_line)(level, message, when) + "\n"
