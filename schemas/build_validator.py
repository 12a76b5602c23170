"""Compile schemas/config.json into straight-line Python: ``ocirt/config/_validator.py``.

    python schemas/build_validator.py ocirt/config/_validator.py

What comes out answers one question, "does this document match?", in some ten microseconds, and imports nothing. It does
not say why not: ``ocirt/config/report.py`` does, with jsonschema, when the answer was no. A property test keeps the two
in agreement.

This is a compiler of our own for the part of JSON Schema that our schemas use, and not fastjsonschema: the code that
one writes imports ``re`` and ``decimal``, builds an error text at every branch and takes 1.2 ms to import, a tenth of
what a whole ``ocirt run`` may take. A keyword that is not in ``_KEYWORDS`` stops the build; so does a regular
expression that cannot be matched greedily from left to right.

Numbers: an integer is what Go's decoder accepts for one, so neither ``1.0`` nor ``true``.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

Schema = dict[str, Any]

_ANNOTATIONS = {"$schema", "$id", "title", "description", "definitions", "x-runtime-spec"}
_KEYWORDS = {
    "$ref", "type", "enum", "minimum", "maximum", "pattern", "properties", "required", "additionalProperties", "items",
    "minItems",
}  # fmt: skip
_PYTHON_TYPES = {"object": "dict", "array": "list", "string": "str", "boolean": "bool", "integer": "int"}

_HEADER = '''\
"""Validators of config.json and its parts, compiled from schemas/config.json. Do not edit.

Runtime specification {version}. Made by schemas/build_validator.py, which says how and why.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SPEC_VERSION = {version!r}

#: The schema itself, for the report of errors.
SCHEMA_JSON = {schema!r}


def _matches(text: str, segments: tuple[Any, ...]) -> bool:
    """Whether *text* is, from its first character to its last, what *segments* describe, matched greedily.

    A segment is a literal string, or (characters, negated, least count, greatest count or None).
    """
    at = 0
    for segment in segments:
        if type(segment) is str:
            if not text.startswith(segment, at):
                return False
            at += len(segment)
            continue
        characters, negated, least, most = segment
        end = len(text) if most is None else min(len(text), at + most)
        start = at
        while at < end and (text[at] in characters) is not negated:
            at += 1
        if at - start < least:
            return False
    return at == len(text)
'''


class SchemaError(Exception):
    """The schema uses something that this compiler does not know."""


def _parse_class(pattern: str, at: int) -> tuple[str, bool, int]:
    """The characters of the class that opens at *at*, whether it is negated, and the position behind it."""
    end = pattern.index("]", at + 1)
    body = pattern[at + 1 : end].replace("\\n", "\n")
    negated = body.startswith("^")
    body = body[negated:]
    characters = ""
    while body:
        if len(body) >= 3 and body[1] == "-":
            characters += "".join(map(chr, range(ord(body[0]), ord(body[2]) + 1)))
            body = body[3:]
        else:
            characters += body[0]
            body = body[1:]
    return characters, negated, end + 1


def _overlap(one: tuple[str, bool], other: tuple[str, bool]) -> bool:
    (left, left_negated), (right, right_negated) = one, other
    if left_negated and right_negated:
        return True
    if left_negated:
        return bool(set(right) - set(left))
    if right_negated:
        return bool(set(left) - set(right))
    return bool(set(left) & set(right))


def parse_pattern(pattern: str) -> tuple[Any, ...]:
    """The segments, as ``_matches`` takes them, of a regular expression ``^...$`` made of literals and character
    classes.

    Raises SchemaError for anything else, and where a greedy match could take what a later part needs.
    """
    if not (pattern.startswith("^") and pattern.endswith("$")):
        raise SchemaError(f"pattern {pattern!r} is not anchored on both sides")
    body, at = pattern[1:-1], 0
    segments: list[Any] = []
    while at < len(body):
        if body[at] == "[":
            characters, negated, at = _parse_class(body, at)
        elif body[at] in "\\^$.|?*+(){}":
            raise SchemaError(f"pattern {pattern!r} uses {body[at]!r}")
        else:
            characters, negated, at = body[at], False, at + 1
        suffix = body[at : at + 1]
        least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}.get(suffix, (1, 1))
        at += suffix in ("*", "+", "?") and suffix != ""
        for previous in reversed(segments):
            if isinstance(previous, str) or previous[2] == previous[3]:
                break
            if _overlap((characters, negated), previous[:2]):
                raise SchemaError(f"pattern {pattern!r} needs backtracking")
            if previous[2]:
                break
        if len(characters) == 1 and (least, most) == (1, 1) and not negated:
            if segments and isinstance(segments[-1], str):
                segments[-1] += characters
            else:
                segments.append(characters)
        else:
            segments.append((characters, negated, least, most))
    return tuple(segments)


class _Compiler:
    """Turns schemas into functions ``f(v) -> bool``; equal schemas share one."""

    def __init__(self, definitions: dict[str, Schema]) -> None:
        self.definitions = definitions
        self.functions: list[str] = []
        self.constants: list[str] = []
        self.names: dict[str, str] = {}

    def resolve(self, schema: Schema) -> Schema:
        """*schema* with its reference followed and everything dropped that does not constrain."""
        while "$ref" in schema:
            target = schema["$ref"]
            if not target.startswith("#/definitions/"):
                raise SchemaError(f"reference {target!r} leads out of the file")
            schema = self.definitions[target.removeprefix("#/definitions/")]
        unknown = set(schema) - _KEYWORDS - _ANNOTATIONS
        if unknown:
            raise SchemaError(f"unknown keywords: {', '.join(sorted(unknown))}")
        return {key: value for key, value in schema.items() if key not in _ANNOTATIONS}

    def constant(self, prefix: str, value: str) -> str:
        """The name of a module constant with the source text *value*."""
        key = prefix + value
        if key not in self.names:
            self.names[key] = f"_{prefix}{len(self.constants)}"
            self.constants.append(f"{self.names[key]} = {value}")
        return self.names[key]

    def refuses(self, schema: Schema, value: str) -> str:
        """An expression that is true when the value *value* (an expression without side effects) does not match."""
        schema = self.resolve(schema)
        if "enum" in schema:
            if not all(isinstance(word, str) for word in schema["enum"]) or schema.get("type", "string") != "string":
                raise SchemaError("enum is for strings")
            words = self.constant("WORDS", "frozenset((" + "".join(f"{word!r}, " for word in schema["enum"]) + "))")
            return f"type({value}) is not str or {value} not in {words}"
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _PYTHON_TYPES:
            raise SchemaError(f"type {kind!r}")
        if kind in ("object", "array") and len(schema) > 1:
            return f"not {self.function(schema)}({value})"
        test = f"type({value}) is not {_PYTHON_TYPES[kind]}"
        if kind == "integer":
            low, high = schema.get("minimum"), schema.get("maximum")
            if low is not None and high is not None:
                test += f" or not {low} <= {value} <= {high}"
            elif low is not None:
                test += f" or {value} < {low}"
            elif high is not None:
                test += f" or {value} > {high}"
        if "pattern" in schema:
            segments = self.constant("PATTERN", repr(parse_pattern(schema["pattern"])))
            test += f" or not _matches({value}, {segments})"
        return test

    def function(self, schema: Schema) -> str:
        """The name of the function for an object or an array."""
        schema = self.resolve(schema)
        key = json.dumps(schema, sort_keys=True)
        if key not in self.names:
            body = self.object(schema) if schema["type"] == "object" else self.array(schema)
            name = f"_f{len(self.functions)}"
            self.functions.append(f"def {name}(v: object) -> bool:\n" + "".join(f"    {line}\n" for line in body))
            self.names[key] = name
        return self.names[key]

    def object(self, schema: Schema) -> list[str]:
        body = ["if type(v) is not dict:", "    return False"]
        properties = schema.get("properties", {})
        required = schema.get("required", ())
        for name in required:
            if name not in properties:
                raise SchemaError(f"required property {name!r} is not described")
        for name, described in properties.items():
            test = self.refuses(described, "x")
            if name in required:
                body += [f"x = v.get({name!r})", f"if {test}:", "    return False"]
            else:
                body += [f"if {name!r} in v:", f"    x = v[{name!r}]", f"    if {test}:", "        return False"]
        if "additionalProperties" in schema:
            if properties:
                raise SchemaError("additionalProperties beside properties")
            test = self.refuses(schema["additionalProperties"], "x")
            body += ["for x in v.values():", f"    if {test}:", "        return False"]
        return [*body, "return True"]

    def array(self, schema: Schema) -> list[str]:
        body = ["if type(v) is not list:", "    return False"]
        if "minItems" in schema:
            body += [f"if len(v) < {schema['minItems']}:", "    return False"]
        if "items" in schema:
            body += ["for x in v:", f"    if {self.refuses(schema['items'], 'x')}:", "        return False"]
        return [*body, "return True"]


def _constraints(schema: Any, names: bool = False) -> Any:
    """*schema* without its descriptions; *names* says that the keys are names of properties and not keywords."""
    if isinstance(schema, dict):
        return {
            key: _constraints(value, not names and key in ("properties", "definitions"))
            for key, value in schema.items()
            if names or key != "description"
        }
    return schema


def _property_names(schema: Any, definitions: dict[str, Schema]) -> set[str]:
    """The names of all properties in *schema*; those of ``additionalProperties`` are the user's."""
    names: set[str] = set()
    if "$ref" in schema:
        names |= _property_names(definitions[schema["$ref"].removeprefix("#/definitions/")], definitions)
    if "items" in schema:
        names |= _property_names(schema["items"], definitions)
    for name, described in schema.get("properties", {}).items():
        names |= {name} | _property_names(described, definitions)
    return names


def compile_source(schema: Schema) -> str:
    """The text of the module for the schema of config.json."""
    compiler = _Compiler(schema["definitions"])
    parts = {
        "config": schema,
        "process": {"$ref": "#/definitions/Process"},
        "resources": {"$ref": "#/definitions/Resources"},
    }
    exported = {part: compiler.function(described) for part, described in parts.items()}
    text = _HEADER.format(
        version=schema["x-runtime-spec"], schema=json.dumps(_constraints(schema), separators=(",", ":"))
    )
    names = sorted(_property_names(parts["resources"], schema["definitions"]))
    listed = "".join(f"{name!r}, " for name in names)
    text += f"\n\n#: Of all properties in linux.resources.\nRESOURCES_NAMES = frozenset(({listed}))\n"
    text += "\n\n" + "\n".join(compiler.constants) + "\n"
    for function in compiler.functions:
        text += "\n\n" + function
    text += "\n\n" + "\n".join(f"is_valid_{part} = {name}" for part, name in exported.items()) + "\n"
    return text


def build(out_path: str) -> None:
    """Write the validator module to *out_path*, replacing it as a whole."""
    source = pathlib.Path(__file__).with_name("config.json")
    text = compile_source(json.loads(source.read_text(encoding="utf-8")))
    compile(text, out_path, "exec")
    target = pathlib.Path(out_path)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".new")
    partial.write_text(text, encoding="utf-8")
    partial.replace(target)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: build_validator.py OUT.py")
    build(sys.argv[1])
