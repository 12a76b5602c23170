"""Bundles on disk: what is read, what is refused, in which words, and with which imports."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocirt.config import load
from ocirt.config.template import default_config
from ocirt.errors import ConfigError, StepError
from ocirt.json_parse import parse_json

ROOT = pathlib.Path(__file__).parents[2]
FORBIDDEN = {
    "json",
    "re",
    "enum",
    "argparse",
    "subprocess",
    "dataclasses",
    "typing",
    "logging",
    "pathlib",
    "signal",
    "socket",
    "struct",
    "tempfile",
    "shutil",
    "contextlib",
    "functools",
    "jsonschema",
    "ocirt.config.report",
    "ocirt.config.types",
}


def write_bundle(path: pathlib.Path, text: str | bytes) -> str:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def edited(**properties: Any) -> str:
    return json.dumps({**default_config(), **properties}, indent=2)


def refusal(text: bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_json(text, "f.json")
    return caught.value


def python(program: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run *program* in a fresh interpreter that sees the project and no site-packages."""
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program}", *arguments],
        capture_output=True,
        input=stdin,
        text=True,
        check=False,
    )


def test_a_bundle_is_read(tmp_path: pathlib.Path) -> None:
    bundle = load.load_bundle(write_bundle(tmp_path / "b", edited()))
    assert bundle.path == str(tmp_path / "b")
    assert bundle.config == default_config()
    assert bundle.text == edited().encode()
    assert not hasattr(bundle, "__dict__")


def test_a_relative_bundle_with_links_gets_its_real_path(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bundle(tmp_path / "b", edited())
    (tmp_path / "link").symlink_to("b")
    monkeypatch.chdir(tmp_path)
    assert load.load_bundle("link/../link").path == str(tmp_path / "b")


def test_reading_leaves_no_descriptor_open(tmp_path: pathlib.Path) -> None:
    path = write_bundle(tmp_path / "b", edited())
    before = os.listdir("/proc/self/fd")
    load.load_bundle(path)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("operation", ["load_bundle", "load_process"])
def test_a_good_document_imports_nothing_heavy(tmp_path: pathlib.Path, operation: str) -> None:
    path = write_bundle(tmp_path / "b", edited())
    if operation == "load_process":
        path += "/process.json"
        pathlib.Path(path).write_text(json.dumps(default_config()["process"]))
    program = f"import ocirt.config.load as load\nload.{operation}(sys.argv[1])\nprint(*sys.modules)"
    done = python(program, path)
    assert done.stderr == ""
    assert FORBIDDEN & set(done.stdout.split()) == set()


def test_broken_json_is_told_where_json_was_never_imported(tmp_path: pathlib.Path) -> None:
    path = write_bundle(tmp_path / "b", '{"ociVersion": "1.0\n"}')
    program = (
        "import ocirt.config.load as load, ocirt.errors as errors\n"
        "try: load.load_bundle(sys.argv[1])\n"
        "except errors.ConfigError as error: print(error)\n"
    )
    done = python(program, path)
    assert done.stdout == "config.json (line 1, column 20): is not JSON: invalid control character at\n"


def test_a_wrong_type_is_refused_even_where_jsonschema_is_missing(tmp_path: pathlib.Path) -> None:
    path = write_bundle(tmp_path / "b", '{"ociVersion": 1}')
    program = (
        "import ocirt.config.load as load, ocirt.errors as errors\n"
        "try: load.load_bundle(sys.argv[1])\n"
        "except errors.ConfigError as error: print(error)\n"
    )
    done = python(program, path)
    assert done.stdout == (
        "config.json: does not match the schema of config; "
        "what is wrong cannot be said, as jsonschema cannot be imported\n"
    )


def test_a_missing_bundle_is_named_in_the_kernels_words(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "none")
    with pytest.raises(StepError) as caught:
        load.load_bundle(path)
    assert str(caught.value) == f"cannot change to the bundle directory {path}: no such file or directory"
    assert caught.value.filename == path


def test_a_bundle_that_is_a_file_is_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(StepError, match=r"/f: not a directory$"):
        load.load_bundle(str(tmp_path / "f"))


def test_a_bundle_name_with_a_null_character_is_refused() -> None:
    with pytest.raises(StepError, match=r"^cannot change to the bundle directory 'a\\x00b': invalid argument$"):
        load.load_bundle("a\0b")


def test_a_missing_config_is_told_in_the_words_that_engines_know(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"JSON specification file config\.json not found$"):
        load.load_bundle(str(tmp_path))


@pytest.mark.parametrize(("kind", "found"), [("directory", "a directory"), ("fifo", "something else")])
def test_a_config_that_is_no_regular_file_is_refused_without_waiting(
    tmp_path: pathlib.Path, kind: str, found: str
) -> None:
    (os.mkdir if kind == "directory" else os.mkfifo)(tmp_path / "config.json")
    with pytest.raises(ConfigError) as caught:
        load.load_bundle(str(tmp_path))
    assert str(caught.value) == f"config.json: wanted a regular file, found {found}"


def test_a_config_that_is_a_socket_is_a_step_error(tmp_path: pathlib.Path) -> None:
    os.mknod(tmp_path / "config.json", 0o140600)
    with pytest.raises(StepError, match=r"^cannot open config\.json: no such device or address$"):
        load.load_bundle(str(tmp_path))


def test_a_config_of_more_than_the_limit_is_refused(tmp_path: pathlib.Path) -> None:
    path = write_bundle(tmp_path / "b", edited())
    os.truncate(tmp_path / "b" / "config.json", load.MAX_BYTES + 1)
    with pytest.raises(ConfigError, match=r"^config\.json: is larger than 64 MiB$"):
        load.load_bundle(path)


def test_a_config_may_be_a_symbolic_link(tmp_path: pathlib.Path) -> None:
    (tmp_path / "elsewhere.json").write_text(edited())
    (tmp_path / "config.json").symlink_to("elsewhere.json")
    assert load.load_bundle(str(tmp_path)).config["hostname"] == "ocirt"


def test_the_last_of_two_members_of_a_name_counts(tmp_path: pathlib.Path) -> None:
    text = edited().replace('"hostname": "ocirt"', '"hostname": 1, "hostname": "second"')
    assert load.load_bundle(write_bundle(tmp_path / "b", text)).config["hostname"] == "second"


def test_a_member_that_is_null_counts_as_absent(tmp_path: pathlib.Path) -> None:
    linux = {**default_config()["linux"], "timeOffsets": None, "devices": [{"path": "/x", "type": "p", "uid": None}]}
    config = load.load_bundle(write_bundle(tmp_path / "b", edited(linux=linux, mounts=None))).config
    assert "mounts" not in config
    assert "timeOffsets" not in config["linux"]
    assert config["linux"]["devices"] == [{"path": "/x", "type": "p"}]


def test_the_case_of_letters_does_not_matter_in_names_of_resources(tmp_path: pathlib.Path) -> None:
    resources = {
        "cpu": {"shares": 2, "cpus": "1"},
        "CPU": {"Cpus": "0"},
        "hugepageLimits": [{"pagesize": "2MB", "LIMIT": 0}],
    }
    linux = {**default_config()["linux"], "resources": resources}
    config = load.load_bundle(write_bundle(tmp_path / "b", edited(linux=linux))).config
    wanted = {"cpu": {"shares": 2, "cpus": "0"}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}
    assert config["linux"]["resources"] == wanted
    (tmp_path / "r.json").write_text(json.dumps(resources))
    assert load.load_resources(str(tmp_path / "r.json")) == wanted


def test_the_case_of_letters_matters_in_all_other_names(tmp_path: pathlib.Path) -> None:
    resources = {"unified": {"CPU": "1"}, "rdma": {"Limit": {"hcaHandles": 1}}, "other": {"x": 1}}
    linux = {**default_config()["linux"], "resources": resources, "Sysctl": {}}
    config = load.load_bundle(write_bundle(tmp_path / "b", edited(linux=linux, Hostname="other"))).config
    assert config["linux"]["resources"] == resources
    assert "sysctl" not in config["linux"]
    assert config["hostname"] == "ocirt"


def test_an_element_that_is_null_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load.load_bundle(write_bundle(tmp_path / "b", edited(mounts=[None])))
    assert caught.value.pointer == "/mounts/0"
    assert caught.value.message == "wanted an object, found null"


def test_a_document_that_is_null_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConfigError, match=r"^config\.json \(line 1, column 2\): wanted an object, found null$"):
        load.load_bundle(write_bundle(tmp_path / "b", " null"))


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        (b"", 1, 1, "is not JSON: wanted a value, found the end of the file"),
        (b" \n", 2, 1, "is not JSON: wanted a value, found the end of the file"),
        (b"{]", 1, 2, "is not JSON: expecting property name enclosed in double quotes"),
        (b'{"a": 1\n "b": 2}', 2, 2, "is not JSON: expecting ',' delimiter"),
        (b'{"a":\n  tru}', 2, 3, "is not JSON: wanted a value, found 't'"),
        (b'["abc', 1, 2, "is not JSON: unterminated string starting at"),
        (b'["\\x"]', 1, 3, "is not JSON: invalid \\escape"),
        (b"[1] [2]", 1, 5, "is not JSON: wanted the end of the file, found '['"),
        (b'{"Infinity":\n -Infinity}', 2, 2, "is not JSON: -Infinity is not a JSON value"),
        (b'["\\"NaN", NaN]', 1, 11, "is not JSON: NaN is not a JSON value"),
        (b"[1, " + b"9" * 5000 + b"]", 1, 5, "has a number with too many digits"),
        (b'["\xc3\xa4", "\xff"]', 1, 8, "is not UTF-8"),
        ("{}".encode("utf-16"), 1, 1, "is not UTF-8"),
        (b"\xef\xbb\xbf{}", 1, 1, "begins with a byte order mark: wanted UTF-8 without one"),
        (b"'a'", 1, 1, 'is not JSON: wanted a value, found "\'"'),
        (b"[01]", 1, 3, "is not JSON: expecting ',' delimiter"),
        (b"\xc2\xa0{}", 1, 1, "is not JSON: wanted a value, found '\\xa0'"),
    ],
)
def test_text_that_is_no_json_is_refused_with_its_place(text: bytes, line: int, column: int, message: str) -> None:
    error = refusal(text)
    assert (error.line, error.column, error.message) == (line, column, message)
    assert str(error) == f"f.json (line {line}, column {column}): {message}"


@pytest.mark.parametrize("depth", [100, 400, 800, 900, 980])
def test_a_value_of_any_depth_in_the_wrong_place_is_a_config_error(depth: int) -> None:
    text = b'{"ociVersion": ' + b"[" * depth + b"]" * depth + b"}"
    with pytest.raises(ConfigError):
        load.validate_config(parse_json(text, "config.json"), text=text)


@pytest.mark.parametrize("text", [b"[" * 100000, b'{"a":' * 100000, b"[" * 100000 + b"]" * 100000])
def test_a_nesting_bomb_is_refused(text: bytes) -> None:
    assert str(refusal(text)) == "f.json: is nested too deeply"


def test_half_of_a_surrogate_pair_is_refused() -> None:
    error = refusal(b'{"a": ["\\ud83d\\ude00", "\\uD800"]}')
    assert (error.pointer, error.line, error.column) == ("/a/1", 1, 24)
    assert error.message == "wanted a string of characters, found half of a surrogate pair"


def test_json_gives_pythons_own_types() -> None:
    value = parse_json(b'{"a": [1, 18446744073709551615, -0, 1.5, 1e3, true, null, "\\ud83d\\ude00"]}', "f")
    assert value == {"a": [1, 18446744073709551615, 0, 1.5, 1000.0, True, None, "\U0001f600"]}


def test_a_process_file_may_be_a_pipe() -> None:
    reader, writer = os.pipe()
    os.write(writer, b'{"cwd": "/", "args": ["ps"], "env": null}')
    os.close(writer)
    try:
        assert load.load_process(f"/dev/fd/{reader}") == {"cwd": "/", "args": ["ps"]}
    finally:
        os.close(reader)


def test_errors_of_a_process_file_name_the_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('{"cwd": "/",\n "args": ["ps", 1]}')
    with pytest.raises(ConfigError) as caught:
        load.load_process(str(path))
    assert str(caught.value) == f"{path}#/args/1 (line 2, column 17): wanted a string, found 1"
    with pytest.raises(ConfigError, match=r"JSON specification file /none/p\.json not found$"):
        load.load_process("/none/p.json")
    with pytest.raises(ConfigError, match=r"wanted a regular file, found a directory$"):
        load.load_process(str(tmp_path))
    with pytest.raises(StepError, match=r"^cannot open 'a\\x00b': invalid argument$"):
        load.load_process("a\0b")


def test_resources_of_a_file_are_read(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"memory": {"limit": 33554432, "swap": null}}')
    assert load.load_resources(str(path)) == {"memory": {"limit": 33554432}}
    path.write_text('{"memory": {"limit": "32M"}}')
    with pytest.raises(ConfigError, match=r'wanted an integer, found "32M"$'):
        load.load_resources(str(path))


def test_resources_are_read_from_standard_input() -> None:
    program = (
        "import ocirt.config.load as load, ocirt.errors as errors\n"
        "try: print(load.load_resources('-'))\n"
        "except errors.ConfigError as error: print(error)\n"
    )
    assert python(program, stdin='{"pids": {"limit": 20}}').stdout == "{'pids': {'limit': 20}}\n"
    assert python(program, stdin="{").stdout.startswith("standard input (line 1, column 2): is not JSON: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_text_is_a_document_or_a_config_error(text: bytes) -> None:
    try:
        load.validate_config(parse_json(text, "config.json"), text=text)
    except ConfigError as error:
        told = str(error)
    else:
        told = "config.json"
    assert told.startswith("config.json")


@settings(max_examples=200, derandomize=True, deadline=None)
@given(JSON)
def test_what_json_writes_is_read_back(value: object) -> None:
    text = json.dumps(value)
    expected: object
    try:
        expected = json.loads(text, parse_constant=lambda name: 1 / 0)
        text.encode().decode("unicode_escape").encode()
    except (ZeroDivisionError, UnicodeEncodeError, UnicodeDecodeError):
        return
    assert parse_json(text.encode(), "f") == expected
