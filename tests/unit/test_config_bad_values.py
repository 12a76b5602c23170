"""Every property of config.json that the schema describes, with values that it must not have.

The properties are those of the sample that has all of them; what each must not be is worked out from the schema. What
depends on more than one property is in test_config_rules*.py, what depends on the host in the integration tests.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ocirt.config.load import validate_config
from ocirt.config.words import token
from ocirt.errors import VALID_VALUES, ConfigError

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "schemas" / "config.json").read_text())
EVERYTHING: dict[str, Any] = json.loads((Path(__file__).parent / "samples/config/good/everything.json").read_text())

#: One value of each JSON type, the two kinds of number apart.
SAMPLES: dict[str, Any] = {
    "object": {"tea": 1},
    "array": [[]],
    "string": "tea",
    "boolean": True,
    "integer": 7,
    "number": 1.5,
}

Steps = tuple[str | int, ...]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """*schema* with what it refers to."""
    reference = schema.get("$ref", "")
    return {**SCHEMA["definitions"][reference.rpartition("/")[2]], **schema} if reference else schema


def places(schema: dict[str, Any], value: Any, steps: Steps = ()) -> Iterator[tuple[Steps, dict[str, Any]]]:
    """The way to every value in *value* that *schema* describes, with its schema; of arrays, to the first element."""
    schema = resolved(schema)
    yield steps, schema
    if isinstance(value, list):
        if "items" in schema and value:
            yield from places(schema["items"], value[0], (*steps, 0))
    elif isinstance(value, dict):
        for name, member in value.items():
            described = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
            if described:
                yield from places(described, member, (*steps, name))


def pointer_of(steps: Steps) -> str:
    return "".join("/" + token(str(step)) for step in steps)


PLACES = {pointer_of(steps): (steps, schema) for steps, schema in places(SCHEMA, EVERYTHING)}


def pointers(member: str) -> list[str]:
    """Of what has *member* in its schema."""
    return [pointer for pointer, (_, schema) in PLACES.items() if member in schema]


def changed(steps: Steps, change: Callable[[Any, str | int], None]) -> Any:
    """The sample, of which *change* gets the object or array that the last of *steps* leads out of, and that step."""
    config = copy.deepcopy(EVERYTHING)
    part: Any = config
    for step in steps[:-1]:
        part = part[step]
    change(part, steps[-1])
    return config


def with_value(pointer: str, value: Any) -> Any:
    steps = PLACES[pointer][0]
    return changed(steps, lambda part, step: part.__setitem__(step, value)) if steps else value


def refusal(config: Any) -> ConfigError:
    """The one error of *config*, which says what was wanted, what was found, and by which sentence."""
    with pytest.raises(ConfigError) as caught:
        validate_config(config, text=json.dumps(config, indent=1).encode())
    error = caught.value
    assert error.others == ()
    assert re.search("wanted .+, found ", error.message), error.message
    assert error.line is not None
    return error


def assert_refused(pointer: str, value: Any) -> None:
    error = refusal(with_value(pointer, value))
    assert (error.pointer, error.rule) == (pointer, VALID_VALUES), value
    found = error.message.rpartition("found ")[2]
    assert found == json.dumps(value, separators=(",", ":")), error.message


def test_the_sample_has_every_property() -> None:
    assert len(PLACES) > 250
    validate_config(EVERYTHING)


@pytest.mark.parametrize("pointer", pointers("type"))
def test_a_value_of_another_type_is_refused(pointer: str) -> None:
    wanted = PLACES[pointer][1]["type"]
    for kind, value in SAMPLES.items():
        if kind != wanted:
            assert_refused(pointer, value)


@pytest.mark.parametrize("pointer", pointers("enum"))
def test_a_word_that_is_not_known_is_refused(pointer: str) -> None:
    words = PLACES[pointer][1]["enum"]
    for value in ("tea", "", words[0].swapcase(), words[0] + " ", 7, None, [words[0]]):
        error = refusal(with_value(pointer, value))
        assert error.pointer == pointer
        assert " or ".join(f'"{word}"' for word in words) in error.message


@pytest.mark.parametrize("pointer", pointers("minimum"))
def test_a_number_beyond_its_range_is_refused(pointer: str) -> None:
    schema = PLACES[pointer][1]
    assert_refused(pointer, schema["minimum"] - 1)
    assert_refused(pointer, schema["maximum"] + 1)
    assert_refused(pointer, 10**30)


@pytest.mark.parametrize("pointer", pointers("pattern"))
def test_a_string_of_another_form_is_refused(pointer: str) -> None:
    for value in ("tea tea", "\n"):
        assert_refused(pointer, value)


@pytest.mark.parametrize(
    ("pointer", "name"),
    [(pointer, name) for pointer in pointers("required") for name in PLACES[pointer][1]["required"]],
)
def test_a_required_property_that_is_missing_is_named(pointer: str, name: str) -> None:
    error = refusal(changed((*PLACES[pointer][0], name), lambda part, step: part.__delitem__(step)))
    assert (error.pointer, error.rule) == (pointer, f"`{name}` is REQUIRED.")
    assert error.message.endswith(f'wanted the property "{name}", found none')


def test_an_array_that_must_not_be_empty_is_refused() -> None:
    assert pointers("minItems") == ["/linux/seccomp/syscalls/0/names"]
    assert_refused("/linux/seccomp/syscalls/0/names", [])
