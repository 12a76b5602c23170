"""Why a document was refused: every error, with its JSON pointer and its place in the text.

Imported only when there is something to report, so it may import what it likes; jsonschema explains what the compiled
validator only answered with no.
"""

from __future__ import annotations

import json
import re
from importlib import import_module
from json.decoder import JSONDecoder
from typing import TYPE_CHECKING, NoReturn

from ocirt.config._validator import SCHEMA_JSON
from ocirt.config.words import shown, token
from ocirt.errors import VALID_VALUES, ConfigError, InternalError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from ocirt.config.rules import Finding

    #: jsonschema.ValidationError; the package has no types of its own.
    ValidationError = Any

_BLANKS = re.compile(r"[ \t\n\r]*")
_KINDS = {
    "object": "an object",
    "array": "an array",
    "string": "a string",
    "boolean": "true or false",
    "integer": "an integer",
}
_PARTS = {"process": "#/definitions/Process", "resources": "#/definitions/Resources"}
_PYTHON_TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def raise_findings(findings: list[Finding], filename: str, text: bytes | None) -> NoReturn:
    """Raise the ConfigError for *findings*, in the order of the text; the first carries the rest as ``others``."""
    document = None if text is None else text.decode()
    placed = []
    for pointer, message, sentence in findings:
        line, column = (None, None) if document is None else place_of(document, pointer)
        placed.append(((line or 0, column or 0), pointer, message, sentence))
    placed.sort(key=lambda finding: finding[0])
    errors = [
        ConfigError(
            message, pointer=pointer, filename=filename, line=line or None, column=column or None, rule=sentence
        )
        for (line, column), pointer, message, sentence in placed
    ]
    errors[0].others = tuple(errors[1:])
    raise errors[0]


def raise_schema_errors(document: object, part: str, filename: str, text: bytes | None) -> NoReturn:
    """Raise the ConfigError for everything in *document* that does not match the schema of *part*.

    *part* is "config", "process" or "resources".
    """
    try:
        errors = list(schema_errors(document, part))
    except ImportError as error:
        message = (
            f"does not match the schema of {part}; what is wrong cannot be said, as {error.name} cannot be imported"
        )
        raise ConfigError(message, filename=filename) from None
    except RecursionError:
        raise ConfigError("is nested too deeply", filename=filename) from None
    findings: list[Finding] = [
        (_pointer(error.absolute_path), _message(error), _sentence(error)) for error in _without_followers(errors)
    ]
    if not findings:
        raise InternalError(f"the compiled schema refuses {filename} and jsonschema does not")
    raise_findings(findings, filename, text)


def schema_errors(document: object, part: str) -> Iterator[ValidationError]:
    """What jsonschema has to say, with integers and anchors as the compiled validator has them."""
    jsonschema: Any = import_module("jsonschema")

    def pattern(_: object, expression: str, instance: object, schema: object) -> Iterator[ValidationError]:
        # Python's $ also matches before a final newline, which ECMA 262's does not.
        if isinstance(instance, str) and not re.search(expression.removesuffix("$") + r"\Z", instance):
            yield jsonschema.ValidationError(f"{instance!r} does not match {expression!r}")

    checker = jsonschema.Draft7Validator.TYPE_CHECKER.redefine_many(
        {name: _exactly(kind) for name, kind in _PYTHON_TYPES.items()}
        | {"number": lambda _, instance: type(instance) in (int, float)}
    )
    schema = json.loads(SCHEMA_JSON)
    if part in _PARTS:
        schema = {"$ref": _PARTS[part], "definitions": schema["definitions"]}
    validator = jsonschema.validators.extend(jsonschema.Draft7Validator, {"pattern": pattern}, type_checker=checker)
    yield from validator(schema).iter_errors(document)


def _exactly(kind: type) -> Any:
    return lambda _, instance: type(instance) is kind


def _without_followers(errors: list[ValidationError]) -> list[ValidationError]:
    """*errors* without those of a value whose type is wrong already."""
    mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
    return [error for error in errors if error.validator == "type" or tuple(error.absolute_path) not in mistyped]


def _definition(schema: dict[str, Any]) -> dict[str, Any]:
    """*schema*, or what it refers to."""
    reference: str = schema.get("$ref", "")
    definitions: dict[str, dict[str, Any]] = json.loads(SCHEMA_JSON)["definitions"]
    return definitions[reference.removeprefix("#/definitions/")] if reference else schema


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + token(str(step)) for step in path)


def _missing(error: ValidationError) -> str:
    name: str = error.message.split("'")[1]
    return name


def _sentence(error: ValidationError) -> str:
    return f"`{_missing(error)}` is REQUIRED." if error.validator == "required" else VALID_VALUES


def _message(error: ValidationError) -> str:
    schema: dict[str, Any] = error.schema
    keyword, limit = error.validator, error.validator_value
    found = shown(error.instance)
    if keyword == "required":
        missing = _missing(error)
        schema = _definition(schema["properties"][missing])
        text = f'wanted the property "{missing}", found none'
    elif keyword == "type":
        text = f"wanted {_KINDS[limit]}, found {found}"
    elif keyword == "enum":
        text = f"wanted {' or '.join(shown(word) for word in limit)}, found {found}"
    elif keyword == "pattern":
        text = f"wanted a string that matches {limit}, found {found}"
    elif keyword == "minItems":
        text = f"wanted at least {limit} element, found {found}"
    else:
        text = f"wanted an integer from {schema['minimum']} to {schema['maximum']}, found {found}"
    return f"invalid {schema['title']}: {text}" if "title" in schema and error.absolute_path else text


def place_of(document: str, pointer: str) -> tuple[int | None, int | None]:
    """Line and column, from 1, of what *pointer* names in the JSON text *document*: the member's name, or the element.

    Of a name that stands twice the last one is meant. A place that does not exist has the last one on its way.
    """
    decoder = JSONDecoder()
    position = value = _skip(document, 0)
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        try:
            found = _member(document, value, name, decoder)
        except (ValueError, RecursionError):
            return None, None
        if found is None:
            break
        position, value = found
    line = document.count("\n", 0, position) + 1
    return line, position - document.rfind("\n", 0, position)


def _skip(document: str, position: int) -> int:
    match = _BLANKS.match(document, position)
    return match.end() if match else position


def _member(document: str, position: int, name: str, decoder: JSONDecoder) -> tuple[int, int] | None:
    """Where the member or element *name* of the object or array at *position* begins, and where its value does."""
    opening = document[position]
    if opening not in "{[":
        return None
    found = None
    index = 0
    position = _skip(document, position + 1)
    while document[position] not in "}]":
        start, key = position, str(index)
        if opening == "{":
            key, position = decoder.raw_decode(document, position)
            position = _skip(document, _skip(document, position) + 1)
        if key == name:
            found = start, position
        _, position = decoder.raw_decode(document, position)
        position = _skip(document, position)
        if document[position] == ",":
            position = _skip(document, position + 1)
        index += 1
    return found
