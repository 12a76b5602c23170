"""schemas/build_validator.py: what it compiles, and what it refuses to compile."""

from __future__ import annotations

import json
import pathlib
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_schema_samples import SCHEMAS, builder

BUILDER = builder()

PATTERNS = [
    "^RLIMIT_[A-Z]+$",
    "^[0-9, -]*$",
    "^MB:[^\\n]*$",
    "^[1-9][0-9]*[KMG]B$",
    "^a?b+[cd]$",
    "^a?[^abc]*b$",
    "^x$",
    "^[.*]x?$",
]


def namespace_of(source: str) -> dict[str, Any]:
    namespace: dict[str, Any] = {}
    exec(compile(source, "_validator.py", "exec"), namespace)
    return namespace


def minimal(process: dict[str, Any]) -> dict[str, Any]:
    return {
        "x-runtime-spec": "1.3.0",
        "type": "object",
        "properties": {"process": {"$ref": "#/definitions/Process"}},
        "definitions": {"Process": process, "Resources": {"type": "object"}},
    }


MATCHES = namespace_of(BUILDER.compile_source(minimal({"type": "object"})))["_matches"]


@settings(max_examples=300, derandomize=True, deadline=None)
@given(pattern=st.sampled_from(PATTERNS), data=st.data())
def test_compiled_patterns_match_what_regular_expressions_match(pattern: str, data: st.DataObject) -> None:
    strings = st.from_regex(pattern) | st.text("RLIMIT_AZMBKG019, -\nabcdx.*", max_size=12)
    text = data.draw(strings)
    expected = re.search(pattern.removesuffix("$") + r"\Z", text) is not None
    assert MATCHES(text, BUILDER.parse_pattern(pattern)) is expected


@pytest.mark.parametrize(
    "pattern", ["^a*a$", "^a*b?a$", "^[0-9]?[1-3]$", "^[^a]*b$", "a", "^(a|b)$", "^a{2}$", "^\\d$", "^.*$"]
)
def test_a_pattern_that_a_greedy_scan_cannot_decide_stops_the_build(pattern: str) -> None:
    with pytest.raises(BUILDER.SchemaError):
        BUILDER.parse_pattern(pattern)


@pytest.mark.parametrize(
    "process",
    [
        {"anyOf": []},
        {"type": "null"},
        {"type": ["object", "string"]},
        {"enum": [1, 2]},
        {"$ref": "other.json"},
        {"type": "object", "required": ["cwd"]},
        {"type": "object", "properties": {"cwd": {"type": "string"}}, "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"cwd": {"format": "uri"}}},
    ],
)
def test_what_the_compiler_does_not_know_stops_the_build(process: dict[str, Any]) -> None:
    with pytest.raises(BUILDER.SchemaError):
        BUILDER.compile_source(minimal(process))


def test_bounds_on_one_side_are_kept() -> None:
    process = {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": 3}, "b": {"type": "integer", "maximum": 3}},
    }
    is_valid = namespace_of(BUILDER.compile_source(minimal(process)))["is_valid_process"]
    assert [is_valid({"a": number}) for number in (2, 3, 4)] == [False, True, True]
    assert [is_valid({"b": number}) for number in (2, 3, 4)] == [True, True, False]


def test_the_compiled_module_imports_nothing() -> None:
    source = BUILDER.compile_source(json.loads((SCHEMAS / "config.json").read_text()))
    names = re.findall(r"^ *(?:import|from) .*$", source, re.MULTILINE)
    assert names == ["from __future__ import annotations", "    from typing import Any"]
    assert "if TYPE_CHECKING:\n    from typing import Any" in source


def test_the_program_writes_the_module(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "new" / "_validator.py"
    subprocess.run([sys.executable, SCHEMAS / "build_validator.py", target], check=True)
    assert namespace_of(target.read_text())["is_valid_config"]({"ociVersion": "1.3.0"})
    assert [path.name for path in target.parent.iterdir()] == ["_validator.py"]


def test_the_program_without_a_path_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, SCHEMAS / "build_validator.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "usage: build_validator.py OUT.py\n"
