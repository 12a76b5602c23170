"""The command line as a whole: help, errors, exit statuses, and the thin commands in front of a container."""

from __future__ import annotations

import _signal
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ocirt.cli
from ocirt.cli import COMMANDS, load, main, plan, ps
from ocirt.cli import list as list_command
from ocirt.cli.kill import parse_signal
from ocirt.cli.parser import UsageError
from ocirt.errors import ConfigError, ContainerNotFound, OcirtError, ProgramError, StepError, WrongStatus

HOT = ("create", "start", "state", "kill", "delete", "run", "exec")
HEAVY = {
    *(
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
    ),
    *("struct", "tempfile", "shutil", "contextlib", "functools", "jsonschema"),
}


class Recorded:
    """Stands where ``Container`` stands in a command's module, and keeps what was asked of it."""

    id = "c"
    uid = 0
    owner = "root"

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error
        self.calls: list[tuple[object, ...]] = []

    def __call__(self, *call: object) -> Recorded:
        self.calls.append(call)
        if self.error is not None:
            raise self.error
        return self

    def load(self, id: str, root: str | None = None) -> Recorded:
        return self("load", id, root)

    def create(self, id: str, bundle: str, options: object) -> Recorded:
        return self("create", id, bundle)

    def iterate(self, root: str | None = None, warn: object = None) -> tuple[Recorded, ...]:
        return (self("iterate", root),)

    def kill(self, signal: int, all: bool = False) -> None:
        self("kill", signal, all)

    def delete(self, force: bool = False) -> None:
        self("delete", force)

    def start(self) -> None:
        self("start")

    def pids(self) -> tuple[int, ...]:
        return (1, 23)

    def describe(self) -> dict[str, object]:
        return {"id": "c", "pid": 0, "status": "stopped", "bundle": "/b", "created": "2026-11-24T03:26:19Z"}


def put(monkeypatch: pytest.MonkeyPatch, command: str, error: BaseException | None = None) -> Recorded:
    """Put a recorder into the module of *command*, which raises *error* at every call."""
    recorded = Recorded(error)
    load(command)
    monkeypatch.setattr(sys.modules[f"ocirt.cli.{command}"], "Container", recorded)
    return recorded


def fails_with(capfd: pytest.CaptureFixture[str], *words: str, status: int = 1) -> str:
    """Run the words, expect *status*; the message of the one log line on standard error."""
    assert main(["/usr/bin/ocirt", *words]) == status
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("time=")]
    return line.partition(" level=error msg=")[2].strip('"').replace('\\"', '"')


def test_the_version_comes_in_the_form_that_engines_read(capfd: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["-v"], ["--root", "/x", "--version"]):
        assert main(["ocirt", *words]) == 0
        lines = capfd.readouterr().out.splitlines()
        assert re.fullmatch(r"ocirt version [0-9]+\.[0-9]+\.[0-9]+", lines[0])
        assert "spec: 1.3.0" in lines


@pytest.mark.parametrize("name", ["ocirt", "runc", "crun"])
def test_the_command_calls_itself_by_the_name_that_it_was_called_by(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([f"/usr/local/sbin/{name}", "--version"]) == 0
    assert capfd.readouterr().out.startswith(f"{name} version ")
    put(monkeypatch, "create", OcirtError("it failed"))
    assert main([name, "create", "c"]) == 1
    assert f'msg="{name} create failed: it failed"' in capfd.readouterr().err


@pytest.mark.parametrize("argv", [[], [""]])
def test_the_command_has_its_own_name_where_it_was_called_by_none(
    argv: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 0
    assert capfd.readouterr().out.startswith("NAME:\n   ocirt - ")


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["h"], ["--debug", "help"]])
def test_the_help_names_every_command(words: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["/opt/my-ocirt", *words]) == 0
    out = capfd.readouterr().out
    assert out.startswith("NAME:\n   my-ocirt - Open Container Initiative runtime\n")
    assert "USAGE:\n   my-ocirt [global options] command [command options] [arguments...]\n" in out
    for name, summary in COMMANDS.items():
        assert f"   {name} " in out
        assert summary in out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_has_its_flags_and_examples(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["/opt/my-ocirt", name, "--help"]) == 0
    out = capfd.readouterr().out
    assert main(["/opt/my-ocirt", "help", name]) == 0
    assert capfd.readouterr().out == out
    assert out.startswith(
        f"NAME:\n   my-ocirt {name} - {COMMANDS[name]}\n\nUSAGE:\n   my-ocirt {name} [command options]"
    )
    assert "{program}" not in out
    options, _, examples = out.partition("\nOPTIONS:\n")[2].partition("\nEXAMPLES:\n")
    assert "    # " in examples
    for flag in load(name).flags:
        assert (
            any(line.startswith((f"   --{flag.name} ", f"   --{flag.name}, ")) for line in options.splitlines())
            is not flag.hidden
        )


def test_an_unknown_command_ends_with_3(capfd: pytest.CaptureFixture[str]) -> None:
    assert fails_with(capfd, "foo", "-h", status=3) == "No help topic for 'foo'"
    assert fails_with(capfd, "help", "foo", status=3) == "No help topic for 'foo'"


@pytest.mark.parametrize("words", [["create"], ["exec"], ["kill"], ["list", "x"], ["run", "a", "b"]])
def test_a_wrong_number_of_arguments_shows_the_help_on_stdout(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["ocirt", *words]) == 1
    out, err = capfd.readouterr()
    assert out.startswith(f"Incorrect Usage.\n\nNAME:\n   ocirt {words[0]} - ")
    assert f'msg="ocirt: \\"{words[0]}\\" requires ' in err


def test_an_unknown_flag_shows_the_help_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    for words, head in ((["list", "--nope"], "Incorrect Usage: "), (["--nope", "list"], "Incorrect Usage. ")):
        assert main(["ocirt", *words]) == 1
        out, err = capfd.readouterr()
        assert out.startswith(f"{head}flag provided but not defined: -nope\n\nNAME:\n")
        assert err.endswith('level=error msg="flag provided but not defined: -nope"\n')


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--log-format", "xml", "list"], "invalid log-format: xml"),
        (["--root", "/", "list"], "Option --root argument should not be set to /"),
        (["--root=/tmp/..", "list"], "Option --root argument should not be set to /"),
        (["--root", "//", "list"], "Option --root argument should not be set to /"),
        (["--root", "//tmp/..", "list"], "Option --root argument should not be set to /"),
        (
            ["--cgroup-manager", "x", "state", "c"],
            "invalid cgroup-manager: x (known are cgroupfs, systemd, disabled)",
        ),
        (["--rootless", "perhaps", "state", "c"], "invalid rootless: perhaps (known are true, false, auto)"),
    ],
)
def test_a_global_option_that_cannot_be_meant_is_refused(
    words: list[str], text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fails_with(capfd, *words) == text


@pytest.mark.parametrize("text", ["true", "T", "1", "TRUE", "false", "f", "0", "auto", "AUTO", ""])
def test_rootless_takes_what_users_of_runc_write(text: str, tmp_path: Path) -> None:
    assert main(["ocirt", f"--rootless={text}", "--root", str(tmp_path), "list"]) == 0


def test_a_root_that_is_relative_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorded = put(monkeypatch, "start")
    monkeypatch.chdir(tmp_path)
    assert main(["ocirt", "--root", "state", "start", "c"]) == 0
    assert recorded.calls == [("load", "c", str(tmp_path / "state")), ("start",)]


def test_the_prefix_of_an_error_says_which_command_failed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    error = ProgramError('exec: "nope": executable file not found in $PATH', 2, filename="nope")
    for command, prefix, status in (
        ("create", "ocirt create failed: ", 1),
        ("run", "ocirt run failed: ", 1),
        ("exec", "exec failed: ", 255),
        ("start", "", 1),
    ):
        put(monkeypatch, command, error)
        words = [command, "c", "nope"] if command == "exec" else [command, "c"]
        assert fails_with(capfd, *words, status=status) == prefix + str(error)


def test_a_mount_or_cgroup_that_fails_is_told_as_users_of_runc_look_for_it(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    start = "unable to start container process: "
    for step, origin, expected in (
        ("bind /a on /b", "/mounts/3", start + "error during container init: error mounting: "),
        ("create cgroup /a", "/linux/cgroupsPath", start + "unable to apply cgroup configuration: "),
        ("bind /a on /b", "/root/path", ""),
    ):
        error = StepError(step, 1, origin=origin)
        for command in ("create", "run"):
            put(monkeypatch, command, error)
            text = f"cannot {step}: operation not permitted (config.json#{origin})"
            assert fails_with(capfd, command, "c") == f"ocirt {command} failed: {expected}{text}"


def test_an_error_goes_to_the_log_once_and_to_stderr_bare(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put(monkeypatch, "state", ContainerNotFound("c"))
    path = tmp_path / "log.json"
    assert main(["ocirt", "--log", str(path), "--log-format=json", "state", "c"]) == 1
    assert capfd.readouterr() == ("", "container does not exist\n")
    logged = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["level"], line["msg"]) for line in logged] == [("error", "container does not exist")]


def test_a_usage_error_goes_to_the_log_as_well(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "log"
    assert main(["ocirt", "--log", str(path), "create"]) == 1
    assert 'msg="ocirt: \\"create\\" requires exactly 1 argument(s)"' in path.read_text()
    capfd.readouterr()


def test_hint_rule_and_further_errors_follow_on_stderr_alone(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    other = ConfigError("wanted a string, found 5", pointer="/hostname")
    error = ConfigError("wanted an object", pointer="/root", line=3, rule="root is REQUIRED", others=(other,))
    error.hint = "see ocirt spec"
    put(monkeypatch, "create", error)
    path = tmp_path / "log"
    assert main(["ocirt", "--log", str(path), "create", "c"]) == 1
    assert capfd.readouterr().err.splitlines() == [
        "ocirt create failed: config.json#/root (line 3): wanted an object (and 1 more)",
        "rule: root is REQUIRED",
        "also: config.json#/hostname: wanted a string, found 5",
        "hint: see ocirt spec",
    ]
    assert len(path.read_text().splitlines()) == 1


def test_a_clean_up_that_failed_is_a_warning_before_the_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    error = OcirtError("it failed")
    error.add_note("cannot remove the cgroup: device or resource busy")
    put(monkeypatch, "create", error)
    assert main(["ocirt", "create", "c"]) == 1
    warning, line = capfd.readouterr().err.splitlines()
    assert warning.endswith('level=warning msg="cannot remove the cgroup: device or resource busy"')
    assert line.endswith('level=error msg="ocirt create failed: it failed"')


def test_a_bug_is_one_line_and_a_request_and_a_traceback_only_with_debug(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(monkeypatch, "state", KeyError("pid"))
    assert main(["ocirt", "state", "c"]) == 1
    line, hint = capfd.readouterr().err.splitlines()
    assert line.endswith("level=error msg=\"internal error: KeyError: 'pid'\"")
    assert hint == "hint: this is a bug in ocirt: please report it"
    assert main(["ocirt", "--debug", "state", "c"]) == 1
    assert 'level=debug msg="Traceback (most recent call last):\\n' in capfd.readouterr().err


def test_a_system_error_is_worded_with_its_file(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(monkeypatch, "delete", PermissionError(13, "Permission denied", "/run/ocirt/c"))
    assert fails_with(capfd, "delete", "c") == "/run/ocirt/c: permission denied"


def test_delete_force_of_an_unknown_container_is_silent_success(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(monkeypatch, "delete", ContainerNotFound("c"))
    assert main(["ocirt", "delete", "--force", "c"]) == 0
    assert capfd.readouterr() == ("", "")
    assert fails_with(capfd, "delete", "c") == "container does not exist"


@pytest.mark.parametrize(
    "words", [["--all", "c", "9"], ["-a", "c", "KILL"], ["c", "9", "--all"], ["c", "-a", "sigkill"]]
)
def test_kill_all_takes_its_flag_anywhere(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = put(monkeypatch, "kill")
    assert main(["ocirt", "kill", *words]) == 0
    assert recorded.calls == [("load", "c", None), ("kill", 9, True)]


def test_kill_sends_sigterm_when_no_signal_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = put(monkeypatch, "kill")
    assert main(["ocirt", "kill", "c"]) == 0
    assert recorded.calls[-1] == ("kill", 15, False)


def test_kill_of_a_stopped_container_fails_but_kill_all_does_not(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recorded = put(monkeypatch, "kill")
    error = WrongStatus("container not running", status="stopped", operation="kill", allowed=("created", "running"))

    def kill(signal: int, all: bool = False) -> None:
        raise error

    monkeypatch.setattr(recorded, "kill", kill)
    assert fails_with(capfd, "kill", "c", "9") == "container not running"
    assert main(["ocirt", "kill", "--all", "c", "9"]) == 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("9", 9),
        ("0", 0),
        ("64", 64),
        ("KILL", 9),
        ("SIGKILL", 9),
        ("sigusr1", _signal.SIGUSR1),
        ("RTMIN", _signal.SIGRTMIN),
        ("SIGRTMIN+3", _signal.SIGRTMIN + 3),
        ("rtmax-1", _signal.SIGRTMAX - 1),
    ],
)
def test_a_signal_is_a_number_or_a_name(text: str, number: int) -> None:
    assert parse_signal(text) == number


@pytest.mark.parametrize(
    "text",
    ["BADSIG", "-9", "65", "SIG", "", "_BLOCK", "SIG_DFL", "9x", "RTMIN+99", "RTMIN-1", "KILL+1", "RTMIN+", "\u0669"],
)
def test_a_signal_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_signal(text)
    assert str(caught.value) == f'unknown signal "{text}"'


def test_state_prints_indented_json(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    recorded = put(monkeypatch, "state")
    assert main(["ocirt", "state", "c"]) == 0
    assert capfd.readouterr().out == json.dumps(recorded.describe(), indent=2) + "\n"


def test_list_has_a_table_json_and_bare_ids(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    recorded = put(monkeypatch, "list")
    assert main(["ocirt", "list"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "ID          PID         STATUS      BUNDLE      CREATED                OWNER",
        "c           0           stopped     /b          2026-11-24T03:26:19Z   root",
    ]
    assert main(["ocirt", "list", "-f", "json"]) == 0
    assert json.loads(capfd.readouterr().out) == [{**recorded.describe(), "owner": "root"}]
    assert main(["ocirt", "list", "-q"]) == 0
    assert capfd.readouterr().out == "c\n"
    assert fails_with(capfd, "list", "--format", "yaml") == "invalid format option"


def test_list_asks_once_for_the_name_of_a_user(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = []

    class Owned(Recorded):
        def __init__(self, uid: int) -> None:
            super().__init__()
            self.uid = uid

        @property
        def owner(self) -> str:  # type: ignore[override]  # a constant elsewhere
            asked.append(self.uid)
            return f"user{self.uid}"

    recorded = put(monkeypatch, "list")
    monkeypatch.setattr(recorded, "iterate", lambda root, warn: [Owned(0), Owned(1), Owned(0)])
    assert main(["ocirt", "list"]) == 0
    assert [line.split()[-1] for line in capfd.readouterr().out.splitlines()] == ["OWNER", "user0", "user1", "user0"]
    assert sorted(asked) == [0, 1]


def test_list_of_a_named_root_that_is_missing_fails(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put(monkeypatch, "list")
    assert fails_with(capfd, "--root", f"{tmp_path}/no", "list") == f"{tmp_path}/no: no such file or directory"


def test_a_wide_cell_keeps_its_distance() -> None:
    assert list_command.table([["ID", "X"], ["a" * 12, "b"]]) == f"ID{' ' * 13}X\n{'a' * 12}   b\n"


def test_ps_prints_the_pids_as_json(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    put(monkeypatch, "ps")
    assert main(["ocirt", "ps", "--format", "json", "c"]) == 0
    assert capfd.readouterr().out == "[1,23]\n"


def test_ps_shows_only_the_containers_processes_with_options_of_ps(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    recorded = put(monkeypatch, "ps")
    monkeypatch.setattr(recorded, "pids", lambda: [os.getpid()])
    assert main(["ocirt", "ps", "c", "-e", "-o", "ppid,pid"]) == 0
    header, line = capfd.readouterr().out.splitlines()
    assert header.split() == ["PPID", "PID"]
    assert line.split() == [str(os.getppid()), str(os.getpid())]


def test_ps_needs_a_column_with_the_pid() -> None:
    with pytest.raises(OcirtError, match="couldn't find PID field in ps output"):
        ps.only_pids("USER COMMAND\nroot sh\n", [1])


def test_ps_of_a_stopped_container_is_the_header_alone() -> None:
    assert ps.only_pids("UID PID CMD\nroot 12 sh\n", []) == "UID PID CMD\n"


def test_a_plan_is_a_table_with_aligned_columns() -> None:
    from ocirt.plan.op import Op, host_op

    ops = [host_op("create-cgroup", "create the cgroup /c"), Op("MOUNT", "mount proc on /proc", "/mounts/0")]
    assert plan.table(ops).splitlines() == [
        "0  host  create the cgroup /c",
        "1  init  mount proc on /proc   /mounts/0",
    ]
    assert plan.table([]) == ""


def test_spec_writes_a_configuration_and_does_not_overwrite_it(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["ocirt", "spec", "--bundle", str(tmp_path)]) == 0
    written = (tmp_path / "config.json").read_text()
    assert json.loads(written)["process"]["args"] == ["sh"]
    assert fails_with(capfd, "spec", "-b", str(tmp_path)) == "File config.json exists. Remove it first"
    assert (tmp_path / "config.json").read_text() == written


def test_spec_rootless_has_a_user_namespace(tmp_path: Path) -> None:
    assert main(["ocirt", "spec", "--rootless", "-b", str(tmp_path)]) == 0
    linux = json.loads((tmp_path / "config.json").read_text())["linux"]
    assert {"type": "user"} in linux["namespaces"]
    assert linux["uidMappings"] == [{"containerID": 0, "hostID": os.geteuid(), "size": 1}]


@pytest.mark.parametrize("name", HOT)
def test_a_hot_command_imports_nothing_heavy(name: str) -> None:
    code = f"import sys; from ocirt.cli import load; load({name!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _with_path(code)], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & HEAVY == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_imports_no_other_command_but_what_it_builds_on(name: str) -> None:
    code = f"import sys; from ocirt.cli import load; load({name!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _with_path(code)], capture_output=True, text=True, check=True
    )
    imported = {module.removeprefix("ocirt.cli.") for module in done.stdout.split() if module.startswith("ocirt.cli.")}
    builds_on = {
        "run": {"create"},
        "exec": {"create"},
        "plan": {"create"},
        "ps": {"list"},
        "stats": {"events"},
        "devices": {"mounts"},
        "restore": {"create", "checkpoint"},
    }
    assert imported & COMMANDS.keys() == {name} | builds_on.get(name, set())


def _with_path(code: str) -> str:
    return f"import sys; sys.path += {sys.path!r}; {code}"


def test_python_m_ocirt_is_the_same_command() -> None:
    done = subprocess.run([sys.executable, "-m", "ocirt", "list", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("NAME:\n   ocirt list - ")


def test_a_reader_that_goes_away_ends_the_command_by_sigpipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-m", "ocirt", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (-_signal.SIGPIPE, "")


def test_every_command_of_the_table_is_a_module() -> None:
    for name in COMMANDS:
        assert load(name).name == name
    assert sorted(COMMANDS) == [*COMMANDS]
    assert ocirt.cli.UNKNOWN_COMMAND_STATUS == 3
