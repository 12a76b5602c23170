"""Three judges of mutated documents: the compiled validator, jsonschema, and the specification's own schema.

The specification's takes part when OCI_SCHEMA_DIR names the schema directory of a runtime-spec checkout. Where it and
ours differ, ``DIFFERENCES`` says why.
"""

from __future__ import annotations

import copy
import fnmatch
import importlib
import itertools
import json
import os
import pathlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

from ocirt.config import _validator, report
from ocirt.config.load import validate_config
from ocirt.errors import ConfigError

Draft4Validator: Any = importlib.import_module("jsonschema").Draft4Validator

SAMPLES = pathlib.Path(__file__).parent / "samples"
EVERYTHING = json.loads((SAMPLES / "config" / "good" / "everything.json").read_text())
OFFICIAL = os.environ.get("OCI_SCHEMA_DIR")

#: Where the official schema and ours may differ (pointers, * is one step or more), and why.
DIFFERENCES = {
    "/linux/devices/*/fileMode": "laxer: a uint32 by config-linux.md, and engines leave the bits of the file type in",
    "/freebsd/devices/*/mode": "laxer: the same",
    "/freebsd/devices/*": "stricter: `path` is REQUIRED by config-freebsd.md",
    "/freebsd/jail/allow/*": "laxer: not looked into",
    "/windows*": "laxer: not looked into",
    "/vm*": "laxer: not looked into",
    "/solaris*": "laxer: not looked into",
    "/linux/resources/pids": "laxer: `limit` is OPTIONAL by config-linux.md",
    "/linux/rootfsPropagation": "laxer: engines write the recursive words too",
    "/linux/resources/blockIO/throttle*": "stricter: `rate` is REQUIRED by config-linux.md",
    "/linux/memoryPolicy": "stricter: `mode` is REQUIRED by config-linux.md",
    "/linux/personality": "stricter: `domain` is REQUIRED by config-linux.md",
    "/process/oomScoreAdj": "stricter: a Go int32 at most",
    "/annotations/": "stricter: values of an empty key are strings too",
    "/linux/sysctl/": "stricter: the same",
    "/linux/resources/unified/": "stricter: the same",
}

JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    512,
    2**31,
    2**32,
    2**63,
    2**64,
    -(2**63) - 1,
    1.0,
    0.5,
    "",
    "x",
    "rslave",
    "64kB",
    "RLIMIT_CPU\n",
    "MB:\n",
    "0-3,7",
    [],
    ["x"],
    [0],
    [{}],
    {},
    {"x": "y"},
    {"": 1},
    {"x": {}},
]


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for name, member in value.items():
            found += places(member, (*path, name))
    elif isinstance(value, list):
        for index, element in enumerate(value):
            found += places(element, (*path, index))
    return found


def mutate(document: Any, path: tuple[Any, ...], action: str, junk: Any) -> Any:
    """*document* with something done to what *path* names, if it still exists."""
    if not path:
        return document if action != "replace" else junk
    parent = document
    for step in path[:-1]:
        if not isinstance(parent, (dict, list)) or (isinstance(parent, list) and step not in range(len(parent))):
            return document
        if isinstance(parent, dict) and step not in parent:
            return document
        parent = parent[step]
    last = path[-1]
    if isinstance(parent, dict):
        if action == "delete":
            parent.pop(last, None)
        elif action == "replace":
            parent[last] = junk
        else:
            parent["unknown"] = junk
    elif isinstance(parent, list) and isinstance(last, int) and last < len(parent):
        if action == "delete":
            del parent[last]
        elif action == "replace":
            parent[last] = junk
        else:
            parent.append(junk)
    return document


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(places(EVERYTHING)), st.sampled_from(["replace", "delete", "add"]), st.sampled_from(JUNK)
    ),
    min_size=1,
    max_size=3,
)


def mutated(mutations: list[tuple[tuple[Any, ...], str, Any]]) -> Any:
    document = copy.deepcopy(EVERYTHING)
    for path, action, junk in mutations:
        document = mutate(document, path, action, copy.deepcopy(junk))
    return document


@settings(max_examples=300, derandomize=True, deadline=None)
@given(MUTATIONS)
def test_the_compiled_validator_and_jsonschema_agree(mutations: list[tuple[tuple[Any, ...], str, Any]]) -> None:
    document = mutated(mutations)
    assert _validator.is_valid_config(document) is (not list(report.schema_errors(document, "config")))
    if isinstance(document, dict) and isinstance(document.get("process"), dict):
        process = document["process"]
        assert _validator.is_valid_process(process) is (not list(report.schema_errors(process, "process")))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(MUTATIONS)
def test_whatever_a_configuration_holds_it_is_accepted_or_a_config_error(
    mutations: list[tuple[tuple[Any, ...], str, Any]],
) -> None:
    document = mutated(mutations)
    try:
        validate_config(document)
    except ConfigError as error:
        told = str(error)
    else:
        told = "config.json: accepted"
    assert told.startswith("config.json")


def official_validator() -> Any:
    directory = pathlib.Path(OFFICIAL or "")

    registry: Registry[Any] = Registry().with_resources(
        (path.name, Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT4))
        for path in directory.glob("*.json")
    )
    return Draft4Validator({"$ref": "config-schema.json"}, registry=registry)


def pointers(errors: Any) -> set[str]:
    found = set()
    for error in errors:
        if error.context:
            found |= pointers(error.context)
        else:
            found.add("".join(f"/{step}" for step in error.absolute_path))
    return found


def value_at(document: Any, pointer: str) -> Any:
    for step in pointer.split("/")[1:]:
        document = document[int(step)] if isinstance(document, list) else document.get(step)
    return document


@pytest.mark.skipif(OFFICIAL is None, reason="OCI_SCHEMA_DIR does not name the schema directory of runtime-spec")
def test_the_schema_of_the_specification_agrees_but_for_the_listed_differences() -> None:
    validator = official_validator()
    junk = itertools.cycle(JUNK)
    mutations: list[tuple[tuple[Any, ...], str, Any]] = [(path, "delete", None) for path in places(EVERYTHING)]
    mutations += [(path, action, next(junk)) for path in places(EVERYTHING) for action in ("replace", "add")]
    for mutation in mutations:
        document = mutated([mutation])
        theirs = pointers(validator.iter_errors(document))
        ours = pointers(report.schema_errors(document, "config"))
        for pointer in theirs ^ ours:
            if not any(fnmatch.fnmatchcase(pointer, pattern) for pattern in DIFFERENCES):
                # Python's $ also matches before a final newline; the official patterns are written for ECMA 262.
                assert value_at(document, pointer) in ("RLIMIT_CPU\n", "MB:\n"), (mutation, theirs, ours)


@pytest.mark.skipif(OFFICIAL is None, reason="OCI_SCHEMA_DIR does not name the schema directory of runtime-spec")
@pytest.mark.parametrize(
    ("path", "junk", "laxer"),
    [
        (("linux", "devices", 0, "fileMode"), 8612, True),
        (("freebsd", "devices", 0, "mode"), 8612, True),
        (("freebsd", "devices", 0), {}, False),
        (("freebsd", "jail", "allow", "rawSockets"), 1, True),
        (("windows", "layerFolders"), 1, True),
        (("vm", "kernel"), 1, True),
        (("solaris", "milestone"), 1, True),
        (("linux", "resources", "pids"), {}, True),
        (("linux", "rootfsPropagation"), "rslave", True),
        (("linux", "resources", "blockIO", "throttleReadBpsDevice", 0), {"major": 8, "minor": 0}, False),
        (("linux", "memoryPolicy"), {}, False),
        (("linux", "personality"), {}, False),
        (("process", "oomScoreAdj"), 2**31, False),
        (("annotations", ""), 1, False),
        (("linux", "sysctl", ""), 1, False),
        (("linux", "resources", "unified", ""), 1, False),
    ],
)
def test_a_listed_difference_is_one(path: tuple[Any, ...], junk: object, laxer: bool) -> None:
    document = mutated([(path, "replace", junk)])
    assert _validator.is_valid_config(document) is laxer
    assert official_validator().is_valid(document) is not laxer
    pointer = "".join(f"/{step}" for step in path)
    assert any(fnmatch.fnmatchcase(pointer, pattern) for pattern in DIFFERENCES)
