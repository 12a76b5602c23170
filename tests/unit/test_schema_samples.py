"""The schemas against samples: our own, and the specification's where OCI_SCHEMA_DIR names its schema directory."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pathlib
from typing import Any

import pytest
from referencing import Registry, Resource

from ocirt.config import _validator, load, report
from ocirt.errors import ConfigError

Draft7Validator: Any = importlib.import_module("jsonschema").Draft7Validator

ROOT = pathlib.Path(__file__).parents[2]
SCHEMAS = ROOT / "schemas"
SAMPLES = pathlib.Path(__file__).parent / "samples"
OFFICIAL = os.environ.get("OCI_SCHEMA_DIR")
BAD_ERRORS = json.loads((SAMPLES / "config" / "bad-errors.json").read_text())

VALIDATORS = {
    "config": _validator.is_valid_config,
    "process": _validator.is_valid_process,
    "resources": _validator.is_valid_resources,
}


def builder() -> Any:
    spec = importlib.util.spec_from_file_location("build_validator", SCHEMAS / "build_validator.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def samples(directory: pathlib.Path, quality: str) -> list[Any]:
    return [
        pytest.param(part, path, id=f"{part}-{path.stem}")
        for part in ("config", "process", "resources", "state", "features")
        for path in sorted((directory / part / quality).glob("*.json"))
    ]


def matches_schema_file(part: str, document: object) -> bool:
    registry: Registry[Any] = Registry().with_resources(
        (path.name, Resource.from_contents(json.loads(path.read_text()))) for path in SCHEMAS.glob("*.json")
    )
    reference = "config.json#/definitions/Resources" if part == "resources" else f"{part}.json"
    return bool(Draft7Validator({"$ref": reference}, registry=registry).is_valid(document))


def good(part: str, document: object) -> bool:
    """The verdict of the compiled validator where there is one, and of the schema file otherwise."""
    return VALIDATORS[part](document) if part in VALIDATORS else matches_schema_file(part, document)


@pytest.mark.parametrize(("part", "path"), samples(SAMPLES, "good"))
def test_a_good_sample_is_accepted(part: str, path: pathlib.Path) -> None:
    document = json.loads(path.read_text())
    assert good(part, document)
    assert matches_schema_file(part, document)


@pytest.mark.parametrize(("part", "path"), samples(SAMPLES, "bad"))
def test_a_bad_sample_is_refused(part: str, path: pathlib.Path) -> None:
    assert not good(part, json.loads(path.read_text()))


@pytest.mark.parametrize("name", sorted(BAD_ERRORS))
def test_the_error_of_a_bad_config_says_where_and_what(name: str) -> None:
    text = (SAMPLES / "config" / "bad" / f"{name}.json").read_bytes()
    with pytest.raises(ConfigError) as caught:
        load.validate_config(json.loads(text), text=text)
    assert caught.value.pointer == BAD_ERRORS[name]["pointer"]
    assert BAD_ERRORS[name]["message"] in caught.value.message
    assert caught.value.others == ()
    assert caught.value.line is not None


def test_every_bad_config_has_its_error_written_down() -> None:
    assert {path.stem for path in (SAMPLES / "config" / "bad").glob("*.json")} == set(BAD_ERRORS)


def test_a_good_config_breaks_no_rule() -> None:
    for path in (SAMPLES / "config" / "good").glob("*.json"):
        load.validate_config(json.loads(path.read_text()))


def described(schema: dict[str, Any], definitions: dict[str, Any], pointer: str = "") -> list[str]:
    """The pointer of every property that *schema* describes, with * for elements and members of any name."""
    if "$ref" in schema:
        return described(definitions[schema["$ref"].removeprefix("#/definitions/")], definitions, pointer)
    found = [pointer]
    for name, member in schema.get("properties", {}).items():
        found += described(member, definitions, f"{pointer}/{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            found += described(schema[key], definitions, pointer + "/*")
    return found


def present(value: object, pointer: str, found: set[str], maps: set[str]) -> None:
    found.add(pointer)
    if isinstance(value, dict):
        for name, member in value.items():
            present(member, f"{pointer}/*" if pointer in maps else f"{pointer}/{name}", found, maps)
    elif isinstance(value, list):
        for element in value:
            present(element, f"{pointer}/*", found, maps)


def test_the_sample_with_everything_has_every_property_of_the_schema() -> None:
    schema = json.loads((SCHEMAS / "config.json").read_text())
    wanted = set(described(schema, schema["definitions"]))
    # What can only be described by an element has none when no element is allowed.
    wanted -= {"/linux/personality/flags/*", "/freebsd/jail/ip6Addr/*"}
    maps = {pointer.removesuffix("/*") for pointer in wanted if pointer.endswith("/*")}
    found: set[str] = set()
    present(json.loads((SAMPLES / "config" / "good" / "everything.json").read_text()), "", found, maps)
    assert wanted <= found, sorted(wanted - found)


def test_all_schemas_are_schemas_of_the_same_version() -> None:
    for path in SCHEMAS.glob("*.json"):
        schema = json.loads(path.read_text())
        Draft7Validator.check_schema(schema)
        assert schema["x-runtime-spec"] == _validator.SPEC_VERSION == "1.3.0"
        assert schema["$id"] == path.name


def test_the_built_validator_is_the_one_that_the_schema_makes() -> None:
    source = builder().compile_source(json.loads((SCHEMAS / "config.json").read_text()))
    assert pathlib.Path(_validator.__file__).read_text() == source, "run schemas/build_validator.py"


def test_the_report_has_the_same_schema() -> None:
    built = json.loads(_validator.SCHEMA_JSON)
    assert set(built["definitions"]) == set(json.loads((SCHEMAS / "config.json").read_text())["definitions"])
    assert list(report.schema_errors({"ociVersion": "1.3.0"}, "config")) == []


@pytest.mark.skipif(OFFICIAL is None, reason="OCI_SCHEMA_DIR does not name the schema directory of runtime-spec")
@pytest.mark.parametrize("quality", ["good", "bad"])
def test_the_samples_of_the_specification_get_the_same_verdict(quality: str) -> None:
    seen = 0
    for parameters in samples(pathlib.Path(OFFICIAL or "") / "test", quality):
        part, path = parameters.values
        try:
            document = json.loads(path.read_text())
        except ValueError:
            assert quality == "bad"
        else:
            assert good(part, document) is (quality == "good"), path
        seen += 1
    assert seen >= 6
