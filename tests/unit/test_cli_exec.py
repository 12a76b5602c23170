"""The process document that ``ocirt exec`` makes from its words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from ocirt.cli.exec import COMMAND, parse_user, process_document, sub_cgroups
from ocirt.cli.parser import UsageError, parse

PROCESS: dict[str, object] = {
    "terminal": True,
    "user": {"uid": 5, "gid": 6, "additionalGids": [7], "umask": 18},
    "args": ["init"],
    "env": ["PATH=/bin"],
    "cwd": "/",
    "capabilities": {"bounding": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]},
    "noNewPrivileges": True,
    "oomScoreAdj": 3,
}


def document(*words: str, process: dict[str, object] = PROCESS) -> dict[str, object]:
    return process_document(process, parse(COMMAND.flags, words, stops_early=True))


def test_the_command_and_its_flags_are_left_as_they_are() -> None:
    assert document("-t", "id", "sh", "-c", "echo -t", "--", "-u")["args"] == ["sh", "-c", "echo -t", "--", "-u"]


def test_what_no_flag_says_is_as_for_the_container() -> None:
    assert document("id", "true") == {**PROCESS, "args": ["true"], "terminal": False}


def test_the_containers_own_process_stays_as_it_is() -> None:
    before = copy.deepcopy(PROCESS)
    document("-u", "1:2", "-e", "A=1", "--cap", "CAP_KILL", "-g", "9", "--cwd", "/tmp", "id", "true")
    assert before == PROCESS


def test_a_terminal_has_to_be_asked_for() -> None:
    assert document("id", "sh")["terminal"] is False
    assert document("--tty", "id", "sh")["terminal"] is True


def test_variables_are_appended() -> None:
    assert document("-e", "A=1", "--env", "PATH=/x", "id", "sh")["env"] == ["PATH=/bin", "A=1", "PATH=/x"]


def test_cwd_and_labels_are_replaced() -> None:
    made = document("--cwd", "/tmp", "--apparmor", "profile", "--process-label", "a:b:c", "id", "sh")
    assert (made["cwd"], made["apparmorProfile"], made["selinuxLabel"]) == ("/tmp", "profile", "a:b:c")


@pytest.mark.parametrize(
    ("words", "value"), [((), True), (("--no-new-privs",), True), (("--no-new-privs=false",), False)]
)
def test_no_new_privileges_is_only_changed_when_it_is_given(words: tuple[str, ...], value: bool) -> None:
    assert document(*words, "id", "sh")["noNewPrivileges"] is value


def test_a_capability_is_added_but_never_inheritable_cve_2022_29162() -> None:
    assert document("--cap", "CAP_SYSLOG", "-c", "CAP_BPF", "id", "sh")["capabilities"] == {
        "bounding": ["CAP_KILL", "CAP_SYSLOG", "CAP_BPF"],
        "effective": ["CAP_SYSLOG", "CAP_BPF"],
        "permitted": ["CAP_SYSLOG", "CAP_BPF"],
        "inheritable": ["CAP_CHOWN"],
        "ambient": ["CAP_CHOWN", "CAP_SYSLOG", "CAP_BPF"],
    }


def test_a_capability_is_not_ambient_where_the_configuration_has_no_inheritable_ones_cve_2022_29162() -> None:
    process: dict[str, object] = {"cwd": "/", "capabilities": {"bounding": ["CAP_KILL"], "ambient": []}}
    made: Any = document("--cap", "CAP_BPF", "id", "sh", process=process)
    assert made["capabilities"]["ambient"] == []


def test_a_capability_can_be_added_to_a_process_without_any() -> None:
    made = document("--cap", "CAP_KILL", "id", "sh", process={"cwd": "/"})
    assert made["capabilities"] == {name: ["CAP_KILL"] for name in ("bounding", "effective", "permitted")}


def test_additional_gids_are_appended() -> None:
    assert document("-g", "8", "--additional-gids", "0", "id", "sh")["user"] == {
        "uid": 5,
        "gid": 6,
        "additionalGids": [7, 8, 0],
        "umask": 18,
    }


@pytest.mark.parametrize("gid", ["-1", "4294967295", "4294967296"])
def test_an_additional_gid_that_no_process_can_have_is_refused(gid: str) -> None:
    with pytest.raises(UsageError, match=f'invalid value "{gid}" for flag -additional-gids: wanted a decimal id'):
        document(f"--additional-gids={gid}", "id", "sh")


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("1", (1, 0)),
        ("1:2", (1, 2)),
        ("0", (0, 0)),
        ("65534", (65534, 0)),
        ("0:5", (0, 5)),
        ("4294967294", (2**32 - 2, 0)),
    ],
)
def test_a_user_is_a_uid_and_a_gid_that_is_0_when_absent(text: str, user: tuple[int, int]) -> None:
    assert parse_user(text) == user
    assert document("-u", text, "id", "sh")["user"] == {
        "uid": user[0],
        "gid": user[1],
        "additionalGids": [7],
        "umask": 18,
    }


@pytest.mark.parametrize(
    "text",
    [
        "-1",
        "abc",
        "1:",
        ":1",
        "4294967295",
        "4294967296",
        " ",
        "1x",
        "1:x",
        "+1",
        "1 ",
        "0x1",
        "1:2:3",
        ":",
        "\u0661",
        "1_0",
    ],
)
def test_a_user_that_is_not_a_number_is_refused_cve_2026_30892(text: str) -> None:
    with pytest.raises(UsageError, match="for flag -user: wanted a decimal id from 0 to 4294967294"):
        document(f"--user={text}", "id", "sh")


def test_a_missing_command_is_told_as_runc_tells_it() -> None:
    with pytest.raises(UsageError, match="exec args cannot be empty"):
        document("id")


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        ([], {}),
        (["sub"], {"": "sub"}),
        (["cpu:a", "memory,pids:b"], {"cpu": "a", "memory": "b", "pids": "b"}),
        (["cpu:a:b"], {"cpu": "a:b"}),
    ],
)
def test_a_sub_cgroup_is_one_path_or_one_per_controller(arguments: list[str], paths: dict[str, str]) -> None:
    assert sub_cgroups(arguments) == paths


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([":a"], "invalid --cgroup argument: :a (empty <controller> prefix)"),
        (["cpu,:a"], "invalid --cgroup argument: cpu,:a (empty <controller> prefix)"),
        (["cpu:a", "b"], "invalid --cgroup argument: b (missing <controller>: prefix)"),
        (["cpu:a", "cpu:b"], "invalid --cgroup argument(s): controller cpu specified multiple times"),
    ],
)
def test_a_sub_cgroup_that_cannot_be_meant_is_refused(arguments: list[str], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        sub_cgroups(arguments)
    assert str(caught.value) == text
