"""Bytes of config.json (or of an exec's process.json) to a validated dict.

The way of a good document imports neither ``json`` nor ``re``: it goes through the C scanner of ``_json``, the compiled
schema (``_validator``) and the rules (``rules``). Whatever is wrong ends as a ConfigError; only then ``report`` is
imported, which finds all errors and their places in the text.

Three liberties are those of Go's decoder, with which every other runtime's users grew up: of a name that an object has
twice the last one counts, a member whose value is ``null`` counts as absent, and in ``linux.resources`` the case of
letters in names does not matter, or a limit that runc keeps would be ignored without a word. Elsewhere it does.
"""

from __future__ import annotations

import os
from errno import EINVAL
from stat import S_ISDIR, S_ISREG

from ocirt.config._validator import RESOURCES_NAMES, is_valid_config, is_valid_process, is_valid_resources
from ocirt.config.rules import broken_config_rules, broken_process_rules, broken_resources_rules
from ocirt.errors import ConfigError, StepError
from ocirt.json_parse import parse_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ocirt.config.rules import Finding
    from ocirt.config.types import Config, Process, Resources

#: A longer document is refused unread. The largest seccomp profiles make some 100 KiB.
MAX_BYTES = 64 << 20

# Objects in linux.resources with names of files, and of devices.
_NAMED_BY_USERS = frozenset(("unified", "rdma"))


class Bundle:
    """A bundle whose configuration is valid.

    ``path`` is the absolute path of its directory without symbolic links, ``config`` the validated document, ``text``
    config.json as it was read.
    """

    __slots__ = ("config", "path", "text")

    def __init__(self, path: str, config: Config, text: bytes) -> None:
        self.path = path
        self.config = config
        self.text = text


def load_bundle(path: str) -> Bundle:
    """Read and validate the configuration of the bundle at *path*.

    StepError when the directory or the file cannot be opened, ConfigError when there is no config.json, when it is no
    regular file, larger than ``MAX_BYTES``, or not valid.
    """
    try:
        bundle_fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StepError(f"change to the bundle directory {path}", error.errno or EINVAL, filename=path) from None
    except ValueError:
        raise StepError(f"change to the bundle directory {path!a}", EINVAL, filename=path) from None
    try:
        text = _read("config.json", bundle_fd, pipes=False)
    finally:
        os.close(bundle_fd)
    config = parse_config(text)
    validate_config(config, text=text)
    return Bundle(os.path.realpath(path), config, text)  # type: ignore[arg-type]  # has just been validated


def parse_config(text: bytes) -> object:
    """The document of a config.json that is not validated here: a bundle's, or the copy in the state store."""
    config = _drop_nulls(parse_json(text, "config.json"), text)
    linux = config.get("linux") if type(config) is dict else None
    if type(linux) is dict:
        _respell(linux.get("resources"))
    return config


def load_process(path: str) -> Process:
    """Read and validate the document of ``exec --process``: a regular file, or a pipe such as a shell's ``<(...)``.

    Errors as of ``load_bundle``.
    """
    text = _read(path, None, pipes=True)
    process = _drop_nulls(parse_json(text, path), text)
    validate_process(process, filename=path, text=text)
    return process  # type: ignore[return-value]  # has just been validated


def load_resources(path: str) -> Resources:
    """Read and validate the document of ``update --resources``, which is config.json's ``linux.resources``.

    *path* is "-" for standard input. Errors as of ``load_bundle``.
    """
    path, text = _file_or_input(path)
    resources = _respell(_drop_nulls(parse_json(text, path), text))
    validate_resources(resources, filename=path, text=text)
    return resources  # type: ignore[return-value]  # has just been validated


def load_array(path: str) -> list[Any]:
    """Read the array that ``mounts`` and ``devices`` take; what is in it is validated with the rest of a configuration.

    *path* is "-" for standard input. Errors as of ``load_bundle``.
    """
    path, text = _file_or_input(path)
    array = _drop_nulls(parse_json(text, path), text)
    if not isinstance(array, list):
        raise ConfigError("wanted an array of objects, found something else", filename=path)
    return array


def _file_or_input(path: str) -> tuple[str, bytes]:
    """The content of the file at *path*, or of standard input for "-", and what errors call it."""
    if path == "-":
        return "standard input", _content(0, "standard input", pipes=True)
    return path, _read(path, None, pipes=True)


def validate_config(config: object, *, filename: str = "config.json", text: bytes | None = None) -> None:
    """Raise ConfigError unless *config*, as a JSON parser gives it, is a configuration that the spec allows.

    The error is the first one found, further ones are its ``others``. Lines and columns need *text*, from which
    *config* was parsed. A ``None`` anywhere is an error here: the functions that read files have dropped them.
    """
    _validate(config, "config", is_valid_config, broken_config_rules, filename, text)


def validate_process(process: object, *, filename: str = "process.json", text: bytes | None = None) -> None:
    """The same for a ``process`` object alone. Pointers begin at that object."""
    _validate(process, "process", is_valid_process, broken_process_rules, filename, text)


def validate_resources(resources: object, *, filename: str = "resources.json", text: bytes | None = None) -> None:
    """The same for a ``linux.resources`` object alone. Pointers begin at that object."""
    _validate(resources, "resources", is_valid_resources, broken_resources_rules, filename, text)


def _validate(
    document: object,
    part: str,
    is_valid: Callable[[object], bool],
    broken_rules: Callable[..., list[Finding]],
    filename: str,
    text: bytes | None,
) -> None:
    if not is_valid(document):
        from ocirt.config.report import raise_schema_errors

        raise_schema_errors(document, part, filename, text)
    findings = broken_rules(document, text)
    if findings:
        from ocirt.config.report import raise_findings

        raise_findings(findings, filename, text)


def _drop_nulls(document: object, text: bytes) -> object:
    """*document*, changed in place: members of objects whose value is null are gone."""
    if b"null" not in text:
        return document
    pending = [document]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            for name in [name for name, member in value.items() if member is None]:
                del value[name]
            pending.extend(value.values())
        elif type(value) is list:
            pending.extend(value)
    return document


def _respell(resources: object) -> object:
    """*resources*, changed in place: names that differ from the spec's only in the case of letters are the spec's. Of
    several that are the same then the last one counts, of objects each member."""
    pending = [resources]
    while pending:
        value = pending.pop()
        if type(value) is dict:
            if not RESOURCES_NAMES.issuperset(value):
                _respell_members(value)
            for name, member in value.items():
                if name not in _NAMED_BY_USERS:
                    pending.append(member)
        elif type(value) is list:
            pending.extend(value)
    return resources


def _respell_members(value: dict[str, Any]) -> None:
    spellings = {name.lower(): name for name in RESOURCES_NAMES}
    members = list(value.items())
    value.clear()
    for name, member in members:
        known = name if name in RESOURCES_NAMES else spellings.get(name.lower(), name)
        before = value.get(known)
        value[known] = {**before, **member} if type(before) is dict and type(member) is dict else member


def _read(path: str, dir_fd: int | None, *, pipes: bool) -> bytes:
    """The content of the file at *path*, of at most ``MAX_BYTES``. A FIFO is only waited for when *pipes* is true."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | (0 if pipes else os.O_NONBLOCK), dir_fd=dir_fd)
    except FileNotFoundError:
        raise ConfigError(f"JSON specification file {path} not found", filename=path) from None
    except OSError as error:
        raise StepError(f"open {path}", error.errno or EINVAL, filename=path) from None
    except ValueError:
        raise StepError(f"open {path!a}", EINVAL, filename=path) from None
    try:
        return _content(fd, path, pipes=pipes)
    finally:
        os.close(fd)


def _content(fd: int, path: str, *, pipes: bool) -> bytes:
    """What can be read from *fd*, which is called *path* in errors."""
    try:
        mode = os.fstat(fd).st_mode
        if S_ISDIR(mode) or not (pipes or S_ISREG(mode)):
            found = "a directory" if S_ISDIR(mode) else "something else"
            raise ConfigError(f"wanted a regular file, found {found}", filename=path)
        chunks = []
        remaining = MAX_BYTES + 1
        while remaining > 0:
            chunk = os.read(fd, min(remaining, 1 << 16))
            if not chunk:
                break
            chunks.append(chunk)
            remaining -= len(chunk)
    except OSError as error:
        raise StepError(f"read {path}", error.errno or EINVAL, filename=path) from None
    if remaining <= 0:
        raise ConfigError(f"is larger than {MAX_BYTES >> 20} MiB", filename=path)
    return b"".join(chunks)
