"""``process``: the user, groups, umask, working directory, arguments and environment that a program finds itself
with."""

from __future__ import annotations

import os
from typing import Any

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/var/www:/bin/sh\n"


def test_the_exit_status_is_that_of_the_program(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.run(bundle, "exit", "42").status == 42


def test_a_program_that_a_signal_ends_gives_128_and_the_signal(runtime: Runtime, bundle: Bundle) -> None:
    bundle.remove_namespace("pid")
    result = runtime.run(bundle, "kill-self", "15")
    assert (result.status, result.err) == (128 + 15, "")


def test_arguments_arrive_as_they_are(runtime: Runtime, bundle: Bundle) -> None:
    words = ["", " a  b ", "ä\n", '"', "--", "x" * 100_000]
    found = runtime.probe(bundle, "args", *words)
    assert found == [word.encode().decode("latin-1") for word in words]


def test_the_program_is_found_on_the_path_of_its_environment(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("tools")
    os.link(bundle.rootfs / "init", bundle.rootfs / "tools/probe")
    bundle.process["args"] = ["probe", "args", "found"]
    bundle.process["env"] = ["PATH=/nowhere:/tools"]
    assert runtime.run(bundle).check().value == ["found"]


# -- user, groups, umask -----------------------------------------------------------------------------------------------


def test_the_user_has_all_ids_and_the_groups_that_are_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 1002, 4_000_000_000]}
    found = runtime.probe(bundle, "id")
    assert [found[name] for name in ("uid", "euid", "suid")] == [1000] * 3
    assert [found[name] for name in ("gid", "egid", "sgid")] == [1001] * 3
    assert sorted(found["groups"]) == [5, 1002, 4_000_000_000]


@pytest.mark.parametrize("user", [None, {}, {"uid": 1000}, {"gid": 1001}])
def test_an_id_that_is_missing_is_0_and_warned_of(
    runtime: Runtime, bundle: Bundle, user: dict[str, int] | None
) -> None:
    del bundle.process["user"]
    if user is not None:
        bundle.process["user"] = user
    result = runtime.run(bundle, "id")
    assert (result.status, result.err.count("level=warning")) == (0, 2 - len(user or {}))
    found = result.value
    wanted = {"uid": 0, "gid": 0, **(user or {})}
    assert [found[name] for name in ("uid", "euid", "suid")] == [wanted["uid"]] * 3
    assert [found[name] for name in ("gid", "egid", "sgid")] == [wanted["gid"]] * 3
    assert found["groups"] == []


def test_the_callers_groups_are_not_those_of_the_container(runtime: Runtime, bundle: Bundle) -> None:
    found = runtime.probe(bundle, "id", extra_groups=[4, 20])
    assert found["groups"] == []


@pytest.mark.parametrize(("umask", "found"), [(None, 0o022), (0o077, 0o077), (0, 0), (0o777, 0o777)])
def test_the_umask_is_that_of_the_user_or_022(runtime: Runtime, bundle: Bundle, umask: int | None, found: int) -> None:
    if umask is not None:
        bundle.process["user"]["umask"] = umask
    assert runtime.probe(bundle, "umask", umask=0o027) == found


def test_the_callers_umask_has_no_effect_on_what_is_made(runtime: Runtime, bundle: Bundle) -> None:
    bundle.add_mount("/made/by/mount", "tmpfs", "tmpfs")
    bundle.process["cwd"] = "/made/by/cwd"
    stats = runtime.probe(bundle, "stat", "/made", ";", "stat", "/made/by/cwd", ";", "stat", "/dev/null", umask=0o777)
    assert [stat["mode"] for stat in stats] == [0o755, 0o755, 0o666]


def test_stdio_belongs_to_the_user(runtime: Runtime, bundle: Bundle) -> None:
    """Otherwise a program could not open /dev/stdout anew."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    reader, writer = os.pipe()
    with os.fdopen(reader), os.fdopen(writer, "w"):
        runtime.run(bundle, "exit", "0", stdout=writer)
        assert os.fstat(writer).st_uid == 1000


# -- working directory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cwd", ["/", "/srv", "/proc/self"])
def test_the_working_directory_is_cwd(runtime: Runtime, bundle: Bundle, cwd: str) -> None:
    bundle.mkdir("srv")
    bundle.process["cwd"] = cwd
    assert runtime.probe(bundle, "cwd") == {"/proc/self": "/proc/1"}.get(cwd, cwd)


def test_a_missing_working_directory_is_made(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["cwd"] = "/not/there/yet"
    assert runtime.probe(bundle, "cwd") == "/not/there/yet"
    assert (bundle.rootfs / "not/there/yet").stat().st_mode & 0o7777 == 0o755


def test_a_working_directory_that_is_a_link_out_of_the_root_stays_inside(runtime: Runtime, bundle: Bundle) -> None:
    bundle.mkdir("tmp")
    (bundle.rootfs / "way").symlink_to("../../../../tmp")
    bundle.process["cwd"] = "/way"
    assert runtime.probe(bundle, "cwd") == "/tmp"


def test_a_working_directory_that_only_the_user_may_enter_is_entered(runtime: Runtime, bundle: Bundle) -> None:
    """Root may lack the capabilities for it, as on NFS: then it is tried again as the user."""
    private = bundle.mkdir("private")
    private.chmod(0o700)
    os.chown(private, 1000, 1000)
    bundle.process.update(cwd="/private", user={"uid": 1000, "gid": 1000})
    assert runtime.probe(bundle, "cwd") == "/private"


def test_a_working_directory_that_is_a_file_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("file")
    bundle.process["cwd"] = "/file"
    runtime.run(bundle, "cwd").fails("/file", "not a directory", "config.json#/process/cwd")


# -- environment -------------------------------------------------------------------------------------------------------


def environment(runtime: Runtime, bundle: Bundle, env: list[str]) -> Any:
    bundle.process["env"] = env
    return runtime.probe(bundle, "env", env={"SECRET": "of the caller"})


def test_the_environment_is_that_of_the_configuration_alone(runtime: Runtime, bundle: Bundle) -> None:
    env = ["PATH=/", "HOME=/home", "EMPTY=", "NAME=a=b", "LINES=1\n2"]
    assert environment(runtime, bundle, env) == env


def test_the_last_of_two_variables_of_one_name_wins(runtime: Runtime, bundle: Bundle) -> None:
    found = environment(runtime, bundle, ["A=1", "HOME=/x", "B=2", "A=3"])
    assert found == ["A=3", "HOME=/x", "B=2"] or found == ["HOME=/x", "B=2", "A=3"]


def test_home_is_that_of_the_user_in_the_containers_passwd(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("etc/passwd", PASSWD)
    bundle.process["user"] = {"uid": 33, "gid": 33}
    assert "HOME=/var/www" in environment(runtime, bundle, ["A=1"])


@pytest.mark.parametrize("passwd", [None, "", "root:x:0\n", "nobody:x:1:1::/n:/\n", "\0\n:::::\n" * 100])
def test_home_is_the_root_for_a_user_whom_passwd_does_not_know(
    runtime: Runtime, bundle: Bundle, passwd: str | None
) -> None:
    if passwd is not None:
        bundle.write("etc/passwd", passwd)
    assert "HOME=/" in environment(runtime, bundle, ["A=1"])


def test_a_home_of_the_configuration_stays(runtime: Runtime, bundle: Bundle) -> None:
    bundle.write("etc/passwd", PASSWD)
    assert environment(runtime, bundle, ["HOME=/mine"]) == ["HOME=/mine"]


def test_an_empty_home_of_the_configuration_is_filled_in(runtime: Runtime, bundle: Bundle) -> None:
    """As runc does."""
    bundle.write("etc/passwd", PASSWD)
    assert environment(runtime, bundle, ["HOME="]) == ["HOME=/root"]


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_the_program_leads_a_session_and_is_pid_1(runtime: Runtime, bundle: Bundle) -> None:
    assert runtime.probe(bundle, "pids") == {"pid": 1, "ppid": 0, "pgid": 1, "sid": 1}


def test_the_session_keyring_is_the_containers_own(runtime: Runtime, bundle: Bundle) -> None:
    name = runtime.probe(bundle, "keyring").split(";")[-1]
    assert name == f"_ses.{runtime.token}-1"


def test_no_new_keyring_leaves_the_callers(runtime: Runtime, bundle: Bundle) -> None:
    name = runtime.probe(bundle, "keyring", flags=["--no-new-keyring"])
    assert "_ses.ocirt-test" not in str(name)
