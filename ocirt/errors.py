"""Every exception that ocirt raises on purpose.

    OcirtError
    ├── ConfigError         the configuration is not what the spec allows
    ├── UnsupportedError    it is allowed, but this kernel, host or build cannot do it
    ├── InvalidContainerId  the id cannot name a container
    ├── ContainerExists     the id is in use
    ├── ContainerNotFound   no such container
    ├── WrongStatus         the operation is not allowed in the container's status
    ├── StepError           a step of a plan, or a call on the host, failed (also an OSError)
    ├── HookError           a hook exited non-zero, ran out of time or could not be started
    └── InternalError       a bug in ocirt

``str(error)`` is the one line that the command prints; ``error.hint`` is a second line or None.
Nothing here prints, and nothing here imports anything but ``os``.
"""

import os


def errno_text(errno: int) -> str:
    """The kernel's words for *errno* in lower case, as engines compare them ("no such file or directory")."""
    text = os.strerror(errno)
    return text[:1].lower() + text[1:] if not text[:2].isupper() else text


class OcirtError(Exception):
    """Base of all errors of ocirt. ``hint`` (str or None) says what to do where the message alone misleads."""

    hint: str | None = None


#: The sentence behind every value that is refused (config.md#valid-values).
VALID_VALUES = "Runtimes MUST generate an error when invalid or unsupported values are encountered."


class ConfigError(OcirtError):
    """A configuration that cannot be used.

    ``filename`` is the file as it was named, ``pointer`` the JSON pointer (RFC 6901) of the property, ``line`` and
    ``column`` (from 1) its place in the file or None, ``message`` what was wanted and what was found, ``rule`` the
    sentence of the spec behind it or None for what is no value, ``others`` further errors of the same file.
    """

    def __init__(
        self,
        message: str,
        *,
        pointer: str = "",
        filename: str = "config.json",
        line: int | None = None,
        column: int | None = None,
        rule: str | None = None,
        others: tuple["ConfigError", ...] = (),
    ) -> None:
        self.message = message
        self.pointer = pointer
        self.filename = filename
        self.line = line
        self.column = column
        self.rule = rule or (VALID_VALUES if pointer else None)
        self.others = others
        super().__init__(message)

    def __str__(self) -> str:
        place = self.filename
        if self.pointer:
            place += "#" + self.pointer
        if self.line is not None:
            place += f" (line {self.line}" + (f", column {self.column})" if self.column is not None else ")")
        more = f" (and {len(self.others)} more)" if self.others else ""
        return f"{place}: {self.message}{more}"


def _place(pointer: str) -> str:
    return "config.json#" + pointer if pointer.startswith("/") else pointer


class UnsupportedError(OcirtError):
    """Something that this host cannot do: ``feature`` is what, ``needs`` what it takes, ``pointer`` who asked."""

    def __init__(self, feature: str, needs: str, *, pointer: str = "") -> None:
        self.feature = feature
        self.needs = needs
        self.pointer = pointer
        super().__init__(feature, needs)

    def __str__(self) -> str:
        origin = f" ({_place(self.pointer)})" if self.pointer else ""
        return f"{self.feature} is not supported here: needs {self.needs}{origin}"


class InvalidContainerId(OcirtError, ValueError):
    """``id`` cannot name a container; ``reason`` says why."""

    def __init__(self, id: str, reason: str) -> None:
        self.id = id
        self.reason = reason
        super().__init__(id, reason)

    def __str__(self) -> str:
        return f"invalid container ID format: {self.reason}"


class ContainerExists(OcirtError):
    """A container called ``id`` exists already."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(id)

    def __str__(self) -> str:
        return "container with given ID already exists"


class ContainerNotFound(OcirtError):
    """There is no container called ``id``."""

    def __init__(self, id: str) -> None:
        self.id = id
        super().__init__(id)

    def __str__(self) -> str:
        return "container does not exist"


class WrongStatus(OcirtError):
    """``operation`` is not allowed in ``status``; ``allowed`` are the statuses in which it is (runtime.md#lifecycle).

    The message is the one that engines match (runc's), and is given by the caller.
    """

    def __init__(self, message: str, *, status: str, operation: str, allowed: tuple[str, ...]) -> None:
        self.status = status
        self.operation = operation
        self.allowed = allowed
        super().__init__(message)


class StepError(OcirtError, OSError):
    """A step failed with ``errno``.

    ``step`` says what was attempted ("mount tmpfs on /dev/shm"), ``filename`` the object or None, ``origin`` the JSON
    pointer of the property that asked for it ("" when none did; behind ``process.json#`` that of an exec's document),
    ``where`` is "init" or "host", ``detail`` what the
    kernel said beyond the errno.
    """

    def __init__(
        self,
        step: str,
        errno: int,
        *,
        filename: str | None = None,
        origin: str = "",
        where: str = "host",
        detail: str = "",
        hint: str | None = None,
    ) -> None:
        OSError.__init__(self, errno, errno_text(errno), filename)
        self.step = step
        self.origin = origin
        self.where = where
        self.detail = detail
        self.hint = hint

    def __str__(self) -> str:
        origin = f" ({_place(self.origin)})" if self.origin else ""
        detail = f" [{self.detail}]" if self.detail else ""
        return f"cannot {self.step}: {errno_text(self.errno or 0)}{detail}{origin}"


class ProgramError(StepError):
    """The container's program cannot be executed: ``text`` is what engines turn into 126 and 127, ``detail`` the reason
    where it misleads."""

    def __init__(self, text: str, errno: int, *, filename: str, detail: str = "") -> None:
        super().__init__(
            "execute the program", errno, filename=filename, origin="/process/args/0", where="init", detail=detail
        )
        self.text = text

    def __str__(self) -> str:
        # One line, since that is what runc's users expect of a failed execve.
        return f"{self.text} ({self.detail})" if self.detail else self.text


class HookError(OcirtError):
    """Hook ``index`` (from 0) of ``kind`` failed: ``path``, exit ``status`` (negative: signal; None: not started or
    timed out), ``stderr`` its last words, ``reason`` in words."""

    def __init__(
        self, kind: str, index: int, path: str, reason: str, *, status: int | None = None, stderr: str = ""
    ) -> None:
        self.kind = kind
        self.index = index
        self.path = path
        self.reason = reason
        self.status = status
        self.stderr = stderr
        super().__init__(kind, index, path, reason)

    def __str__(self) -> str:
        said = f", stderr: {self.stderr}" if self.stderr else ""
        return f"error running {self.kind} hook #{self.index}: {self.path}: {self.reason}{said}"


class InternalError(OcirtError):
    """A bug in ocirt. Please report it with the text and, if it can be shared, the config.json."""

    hint = "this is a bug in ocirt: please report it"
