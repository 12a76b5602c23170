"""JSON text (RFC 8259) to Python values without the ``json`` package, which costs 10 ms to import.

What is wrong with a text is said in the words of ocirt.errors. ocirt.json_text is the way back.
"""

from __future__ import annotations

from _json import make_scanner

from ocirt.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from ocirt.config.rules import Finding

_BLANKS = " \t\n\r"
_BOM = b"\xef\xbb\xbf"


class _Dialect:
    """What ``_json.make_scanner`` asks for: strict JSON, Python's own types."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not a JSON value")


_scan = make_scanner(_Dialect)  # type: ignore[arg-type]  # any object with these attributes will do


def parse_json(text: bytes, filename: str) -> object:
    """The value of the JSON document *text* (RFC 8259), in Python's types.

    ConfigError, with line and column where there is one place to show, for text that is not UTF-8, has a byte order
    mark, is no JSON, nests too deeply, or has half of a surrogate pair in a string.
    """
    if text.startswith(_BOM):
        raise ConfigError(
            "begins with a byte order mark: wanted UTF-8 without one", filename=filename, line=1, column=1
        )
    try:
        document = text.decode()
    except UnicodeDecodeError as error:
        before = text[: error.start].decode()
        raise _error_at("is not UTF-8", before, error.start, filename) from None
    start = len(document) - len(document.lstrip(_BLANKS))
    try:
        value, end = _scan_once(document, start)
    except StopIteration as error:
        found = "the end of the file" if error.value >= len(document) else ascii(document[error.value])
        raise _error_at(f"is not JSON: wanted a value, found {found}", document, error.value, filename) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", filename=filename) from None
    except ValueError as error:
        raise _scan_error(error, document, filename) from None
    rest = document[end:].lstrip(_BLANKS)
    if rest:
        at = len(document) - len(rest)
        message = f"is not JSON: wanted the end of the file, found {rest[0]!a}"
        raise _error_at(message, document, at, filename)
    if b"\\" in text and (b"\\ud" in text or b"\\uD" in text):
        _refuse_lone_surrogates(value, filename, text)
    return value


def _scan_once(document: str, start: int) -> tuple[object, int]:
    try:
        return _scan(document, start)
    except SystemError:
        # The scanner of CPython 3.11 takes its exception from json.decoder only when that is imported already, and
        # returns NULL without one when it is not.
        import json.decoder  # noqa: F401

        return _scan(document, start)


def _scan_error(error: ValueError, document: str, filename: str) -> ConfigError:
    """The ConfigError for what the scanner, or one of the functions that it calls, said of *document*."""
    position = getattr(error, "pos", None)
    if position is not None:
        message = str(getattr(error, "msg", error))
        return _error_at(f"is not JSON: {message[:1].lower()}{message[1:]}", document, position, filename)
    import re
    import sys

    # Only the scanner knows where it called parse_constant or parse_int, and it does not say.
    culprit = f'"(?:[^"\\\\]|\\\\.)*"|(?P<it>NaN|-?Infinity|-?[0-9]{{{sys.get_int_max_str_digits() + 1},}})'
    position = next((match.start() for match in re.finditer(culprit, document) if match["it"]), 0)
    if not str(error).endswith("is not a JSON value"):
        return _error_at("has a number with too many digits", document, position, filename)
    return _error_at(f"is not JSON: {error}", document, position, filename)


def _error_at(message: str, document: str, position: int, filename: str) -> ConfigError:
    line = document.count("\n", 0, position) + 1
    column = min(position, len(document)) - (document.rfind("\n", 0, position) + 1) + 1
    return ConfigError(message, filename=filename, line=line, column=column)


def _refuse_lone_surrogates(value: object, filename: str, text: bytes) -> None:
    """Such a string cannot be encoded as UTF-8, so no system call could take it."""
    from ocirt.config.words import strings_of

    findings: list[Finding] = []
    for pointer, string in strings_of(value):
        if not string.isascii() and any(0xD800 <= ord(character) <= 0xDFFF for character in string):
            findings.append((pointer, "wanted a string of characters, found half of a surrogate pair", None))
    if findings:
        from ocirt.config.report import raise_findings

        raise_findings(findings, filename, text)
