"""Hooks: their order, the namespaces they run in, what they are given, and what their failure means
(runtime.md#lifecycle)."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support import Bundle, Runtime, open_path

pytestmark = pytest.mark.needs_root

ALL = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
RUNTIME_NAMESPACE = ("prestart", "createRuntime", "poststart", "poststop")
STATE_SCHEMA = json.loads((Path(__file__).parents[2] / "schemas/state.json").read_text())
#: The container's directory in which the record lies for those hooks that see no other.
INSIDE = "/record"


class Hooks:
    """Adds hooks to a bundle that write down how they were called, and reads what they wrote."""

    def __init__(self, bundle: Bundle, directory: Path) -> None:
        self.bundle = bundle
        self.directory = directory
        bundle.config["hooks"] = {}
        bundle.add_mount(INSIDE, None, directory, "bind")

    def program(self, kind: str) -> str:
        """startContainer hooks are looked for in the container, all others on the host."""
        return "/init" if kind == "startContainer" else str(self.bundle.rootfs / "init")

    def add(self, kind: str, *words: str, **properties: Any) -> None:
        """A hook whose program executes these commands."""
        hook = {"path": self.program(kind), "args": ["init", *words], **properties}
        self.bundle.config["hooks"].setdefault(kind, []).append(hook)

    def record(self, kind: str, word: str | None = None, *more: str, **properties: Any) -> None:
        """A hook that leaves a line in the record, and then does *more*."""
        directory = INSIDE if kind == "startContainer" else self.directory
        self.add(kind, "record", f"{directory}/lines", word or kind, *more, **properties)

    @property
    def lines(self) -> list[Any]:
        try:
            return [json.loads(line) for line in (self.directory / "lines").read_text().splitlines()]
        except FileNotFoundError:
            return []

    @property
    def words(self) -> list[str]:
        return [line["word"] for line in self.lines]


@pytest.fixture
def hooks(bundle: Bundle) -> Hooks:
    directory = bundle.path / "record"
    directory.mkdir()
    return Hooks(bundle, directory)


def state_of(line: Any) -> Any:
    """The state document that a hook has read from its standard input."""
    return json.loads(line["stdin"].encode("latin-1"))


# -- order and moment --------------------------------------------------------------------------------------------------


def test_all_kinds_run_in_the_order_of_the_lifecycle(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    for kind in reversed(ALL):
        hooks.record(kind, f"{kind} 1")
        hooks.record(kind, f"{kind} 2")
    runtime.run(bundle, "record", f"{INSIDE}/lines", "program").check()
    wanted = [f"{kind} {number}" for kind in ALL for number in (1, 2)]
    program = hooks.words.index("program")
    assert [word for word in hooks.words if word != "program"] == wanted
    assert program > wanted.index("startContainer 2")


def test_each_hook_runs_during_the_operation_that_the_spec_says(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    for kind in ALL:
        hooks.record(kind)
    container = runtime.create(bundle, "pause")
    assert hooks.words == ["prestart", "createRuntime", "createContainer"]
    container.start()
    assert hooks.words[3:] == ["startContainer", "poststart"]
    container.kill("KILL")
    container.wait()
    assert len(hooks.words) == 5
    container.delete()
    assert hooks.words[5:] == ["poststop"]


def test_create_hooks_run_before_the_root_is_pivoted_and_start_hooks_after(
    runtime: Runtime, bundle: Bundle, hooks: Hooks
) -> None:
    for kind in ALL:
        hooks.record(kind)
    runtime.run(bundle, "exit", "0").check()
    cwds = {line["word"]: line["cwd"] for line in hooks.lines}
    for kind in RUNTIME_NAMESPACE:
        assert cwds[kind] == os.getcwd()
    assert cwds["startContainer"] == "/"


def test_a_create_runtime_hook_finds_the_namespaces_of_the_container(
    runtime: Runtime, bundle: Bundle, hooks: Hooks
) -> None:
    """So it can, for example, put an interface into the network namespace."""
    hooks.record("createRuntime")
    container = runtime.create(bundle, "pause")
    assert state_of(hooks.lines[0])["pid"] == container.pid


def test_a_create_container_hook_can_mount_into_the_root_filesystem(
    runtime: Runtime, bundle: Bundle, hooks: Hooks
) -> None:
    target = bundle.mkdir("from-hook")
    hooks.add("createContainer", "mount", "none", str(target), "tmpfs", "0", ";", "touch", f"{target}/mark")
    assert runtime.probe(bundle, "ls", "/from-hook") == ["mark"]
    assert list(target.iterdir()) == []


def test_create_container_hooks_start_in_the_root_filesystem(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    """As with runc, whose hooks reach the container's files by `./`: the root is attached there already."""
    hooks.record("createContainer", "first", ";", "mkdir", "./from-hook")
    bundle.process["cwd"] = "/dev"
    assert "from-hook" in runtime.probe(bundle, "ls", "/")
    assert hooks.lines[0]["cwd"] == str(bundle.rootfs)


# -- namespaces and credentials ----------------------------------------------------------------------------------------


def test_hooks_run_in_the_namespaces_that_the_spec_says(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    for kind in ALL:
        hooks.record(kind)
    container = runtime.start_paused_program(bundle)
    theirs = {name: os.readlink(f"/proc/{container.pid}/ns/{name}") for name in ("ipc", "mnt", "net", "pid", "uts")}
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in theirs}
    container.delete("--force")
    assert len(hooks.lines) == len(ALL)
    for line in hooks.lines:
        wanted = ours if line["word"] in RUNTIME_NAMESPACE else theirs
        # createContainer: /proc is that of the host still, but the links say whose the process is.
        assert {name: line["namespaces"][name] for name in wanted if name in line["namespaces"]} == {
            name: value for name, value in wanted.items() if name in line["namespaces"]
        }, line["word"]


def test_hooks_have_stdio_alone_and_no_blocked_signals(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    for kind in ALL:
        hooks.record(kind)
    runtime.run(bundle, "exit", "0").check()
    for line in hooks.lines:
        extra = {fd for fd in line["fds"] if fd not in ("0", "1", "2")}
        # One is that of the record itself.
        assert len(extra) <= 1, line
        assert line["blockedSignals"] == 0


# -- what they are given -----------------------------------------------------------------------------------------------


def test_the_state_on_stdin_is_that_of_the_spec(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    bundle.config["annotations"] = {"org.example/key": 'ü \n"', "empty": ""}
    for kind in ALL:
        hooks.record(kind)
    container = runtime.start_paused_program(bundle)
    container.delete("--force")
    statuses = {}
    for line in hooks.lines:
        state = state_of(line)
        jsonschema.validate(state, STATE_SCHEMA)
        assert (state["id"], state["bundle"]) == (container.id, str(bundle.path))
        assert state["annotations"] == bundle.config["annotations"]
        assert state["ociVersion"].startswith("1.")
        statuses[line["word"]] = state["status"]
        # runtime.md: "For hooks executed in the runtime namespace, it is the pid as seen by the runtime. For hooks
        # executed in the container namespace, it is the pid as seen by the container."
        pid = container.pid if line["word"] in RUNTIME_NAMESPACE else 1
        assert state.get("pid") == (None if state["status"] == "stopped" else pid)
    # "created: the runtime has finished the create operation (after step 2 in the lifecycle)": all hooks come later.
    assert statuses == {
        "prestart": "created",
        "createRuntime": "created",
        "createContainer": "created",
        "startContainer": "created",
        "poststart": "running",
        "poststop": "stopped",
    }


def test_a_large_state_arrives_whole(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    """A pipe would hold 64 KiB, and hang when the hook does not read."""
    bundle.config["annotations"] = {"key": "x" * 60_000, "more": "y" * 60_000, "last": "z" * 60_000}
    hooks.add("createRuntime", "exit", "0")
    hooks.add("createContainer", "echo")
    hooks.add("startContainer", "exit", "0")
    runtime.run(bundle, "exit", "0").check()


def test_every_hook_gets_the_state_from_its_beginning(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    for kind in ALL:
        for _ in range(3):
            hooks.record(kind)
    runtime.run(bundle, "exit", "0").check()
    for kind in ALL:
        assert len({line["stdin"] for line in hooks.lines if line["word"] == kind}) == 1


@pytest.mark.parametrize("kind", ALL)
def test_the_environment_is_exactly_that_of_the_hook(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    hooks.record(kind, env=["B=2", "A=1", "EMPTY=", "B2=a=b"])
    runtime.run(bundle, "exit", "0", env={"OF_THE_CALLER": "1"}).check()
    assert hooks.lines[0]["env"] == ["B=2", "A=1", "EMPTY=", "B2=a=b"]


@pytest.mark.parametrize("kind", ALL)
def test_a_hook_without_an_environment_has_none(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    """Above all not that of the runtime, which may hold secrets of the engine's; startContainer hooks have the
    program's, as with runc."""
    hooks.record(kind)
    runtime.run(bundle, "exit", "0", env={"OF_THE_CALLER": "1"}).check()
    assert hooks.lines[0]["env"] == (["PATH=/", "HOME=/"] if kind == "startContainer" else [])


@pytest.mark.parametrize("kind", ALL)
def test_arguments_are_those_of_the_hook(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    directory = INSIDE if kind == "startContainer" else str(hooks.directory)
    words = ["", "a b", "ü", "--"]
    path = hooks.program(kind)
    bundle.config["hooks"] = {kind: [{"path": path, "args": ["any", "record", f"{directory}/lines", "x", *words]}]}
    runtime.run(bundle, "exit", "0").check()
    assert hooks.lines[0]["args"] == [word.encode().decode("latin-1") for word in words]


@pytest.mark.parametrize("kind", ALL)
def test_a_hook_without_arguments_is_given_its_path(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    """The init without commands does nothing and succeeds; without argv[0] it could not even be executed."""
    bundle.config["hooks"] = {kind: [{"path": hooks.program(kind)}]}
    runtime.run(bundle, "exit", "0").check()


def test_output_of_hooks_that_succeed_is_not_the_containers(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    for kind in ALL:
        hooks.add(kind, "print", "out", ";", "print-error", "err")
    result = runtime.run(bundle, "print", "program").check()
    assert result.out == "program\n"


# -- failure -----------------------------------------------------------------------------------------------------------

CREATING = ("prestart", "createRuntime", "createContainer")


@pytest.mark.parametrize("kind", CREATING)
def test_a_hook_of_create_that_fails_undoes_the_container(
    runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str
) -> None:
    hooks.record(kind, "first")
    hooks.add(kind, "print-error", "words of the hook", ";", "exit", "3")
    hooks.record(kind, "third")
    hooks.record("poststop")
    bundle.save()
    result = runtime("create", "--bundle", str(bundle.path), runtime.new_id())
    result.fails(f"error running {kind} hook #1:", "exit status 3", "words of the hook")
    # Step 12 and 13 of the lifecycle follow.
    assert hooks.words == ["first", "poststop"]
    assert runtime.ids() == []


def test_a_start_container_hook_that_fails_undoes_the_container(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    hooks.add("startContainer", "print-error", "words of the hook", ";", "exit", "3")
    hooks.record("poststop")
    container = runtime.create(bundle, "record", f"{INSIDE}/lines", "program")
    runtime("start", container.id).fails("error running startContainer hook #0:", "exit status 3", "words of the hook")
    assert hooks.words == ["poststop"]
    assert runtime.ids() == []


def test_a_poststart_hook_that_fails_stops_and_deletes_the_container(
    runtime: Runtime, bundle: Bundle, hooks: Hooks
) -> None:
    """runtime.md, step 9: "If any poststart hook fails, the runtime MUST generate an error, stop the container, and
    continue the lifecycle at step 12.\""""
    hooks.add("poststart", "print-error", "words of the hook", ";", "exit", "3")
    hooks.record("poststart", "second")
    hooks.record("poststop")
    container = runtime.create(bundle, "pause")
    runtime("start", container.id).fails("error running poststart hook #0:", "exit status 3", "words of the hook")
    assert container.wait() == -9
    assert hooks.words == ["poststop"]
    assert runtime.ids() == []


@pytest.mark.parametrize("kind", [*CREATING, "startContainer", "poststart"])
def test_run_fails_with_a_hook_and_leaves_nothing(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    hooks.add(kind, "exit", "1")
    runtime.run(bundle, "pause").fails("ocirt run failed: ", f"error running {kind} hook #0:", "exit status 1")
    assert runtime.ids() == []


def test_a_poststop_hook_that_fails_is_a_warning(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    """runtime.md, step 13: "the runtime MUST log a warning, but the remaining hooks and lifecycle continue as if the
    hook had succeeded.\""""
    hooks.add("poststop", "print-error", "words of the hook", ";", "exit", "3")
    hooks.record("poststop", "second")
    container = runtime.create(bundle, "pause")
    result = runtime("delete", "--force", container.id)
    assert result.status == 0
    assert "level=warning" in result.err
    assert "poststop hook #0" in result.err
    assert "words of the hook" in result.err
    assert hooks.words == ["second"]
    assert runtime.ids() == []


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer", "poststart"])
def test_a_hook_that_a_signal_ends_has_failed(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    # In the container's PID namespace a hook is not pid 1, so it can be killed.
    hooks.add(kind, "kill-self", "9")
    result = runtime.run(bundle, "pause").fails(f"error running {kind} hook #0:", "signal")
    assert "9" in result.err or "killed" in result.err


@pytest.mark.parametrize("kind", [*CREATING, "startContainer", "poststart"])
def test_a_hook_that_takes_too_long_is_killed(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    hooks.add(kind, "print-error", "begun", ";", "pause", timeout=1)
    runtime.run(bundle, "pause").fails(f"error running {kind} hook #0:", "timed out after 1 s", "begun")


def test_a_poststop_hook_that_takes_too_long_is_killed_with_a_warning(
    runtime: Runtime, bundle: Bundle, hooks: Hooks
) -> None:
    hooks.add("poststop", "pause", timeout=1)
    container = runtime.create(bundle, "pause")
    result = runtime("delete", "--force", container.id)
    assert result.status == 0
    assert "timed out after 1 s" in result.err


@pytest.mark.parametrize("kind", [*CREATING, "startContainer", "poststart"])
def test_a_hook_that_is_quick_has_time_enough(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    hooks.add(kind, "exit", "0", timeout=2_000_000_000)
    runtime.run(bundle, "exit", "0").check()


@pytest.mark.parametrize("kind", [*CREATING, "startContainer", "poststart"])
def test_a_hook_that_is_missing_is_named(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    bundle.config["hooks"] = {kind: [{"path": "/no/such/hook"}]}
    runtime.run(bundle, "pause").fails(f"error running {kind} hook #0:", "/no/such/hook", "no such file or directory")


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
def test_a_hook_that_is_not_executable_is_named(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    path = bundle.write("plain", "#!/init\n", 0o644)
    bundle.config["hooks"] = {kind: [{"path": "/plain" if kind == "startContainer" else str(path)}]}
    runtime.run(bundle, "pause").fails(f"error running {kind} hook #0:", "permission denied")


def test_only_the_end_of_what_a_failing_hook_says_is_shown(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    hooks.add("createRuntime", "output", "1000000", ";", "print-error", "the very end", ";", "exit", "1")
    result = runtime.run(bundle, "pause").fails("error running createRuntime hook #0:", "the very end")
    assert len(result.err) < 4096


def test_what_a_failing_hook_says_cannot_forge_a_log_line(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    hooks.add("createRuntime", "print-error", 'x\ntime="now" level=info msg="all is well\x1b[2J"', ";", "exit", "1")
    result = runtime.run(bundle, "pause")
    assert result.status == 1
    assert "\x1b" not in result.err
    assert [line for line in result.err.splitlines() if line.startswith("time=")] == [result.err.splitlines()[0]]


@pytest.mark.parametrize("kind", ALL)
def test_a_relative_path_is_refused(runtime: Runtime, bundle: Bundle, hooks: Hooks, kind: str) -> None:
    """config.md: "path (string, REQUIRED) with similar semantics to IEEE Std 1003.1-2008 execv's path. This
    specification extends the IEEE standard in that path MUST be absolute.\""""
    bundle.config["hooks"] = {kind: [{"path": "relative/hook"}]}
    runtime.run(bundle).fails(f"config.json#/hooks/{kind}/0/path", "absolute")


@pytest.mark.parametrize("timeout", [0, -1])
def test_a_timeout_must_be_positive(runtime: Runtime, bundle: Bundle, hooks: Hooks, timeout: int) -> None:
    """config.md: "If set, timeout MUST be greater than zero.\""""
    hooks.add("createRuntime", "exit", "0", timeout=timeout)
    runtime.run(bundle).fails("config.json#/hooks/createRuntime/0/timeout")


# -- with other properties ---------------------------------------------------------------------------------------------


def test_hooks_work_in_a_user_namespace(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    bundle.map_ids((0, 100_000, 65536))
    hooks.directory.chmod(0o777)
    open_path(hooks.directory)
    (hooks.directory / "lines").touch()
    (hooks.directory / "lines").chmod(0o666)
    for kind in ALL:
        hooks.record(kind)
    runtime.run(bundle, "exit", "0").check()
    assert hooks.words == list(ALL)
    user = os.readlink("/proc/self/ns/user")
    for line in hooks.lines:
        assert (line["namespaces"]["user"] == user) == (line["word"] in RUNTIME_NAMESPACE)


def test_a_start_container_hook_is_bound_by_the_root_filesystem(runtime: Runtime, bundle: Bundle, hooks: Hooks) -> None:
    bundle.config["root"]["readonly"] = True
    hooks.add("startContainer", "write-file", "/x", "", ";", "print-error", "done", ";", "exit", "5")
    runtime.run(bundle, "pause").fails("startContainer hook #0", f'"errno":{errno.EROFS}', "done")


def test_processes_that_a_hook_leaves_behind_do_not_stop_the_container(
    runtime: Runtime, bundle: Bundle, hooks: Hooks, orphans: Any
) -> None:
    """A hook's daemon keeps the hook's output open for as long as it lives."""
    hooks.add("createRuntime", "orphan")
    runtime.run(bundle, "exit", "0").check()
    left = [pid for pid, command in orphans.living().items() if command.startswith("init orphan")]
    assert len(left) == 1
    os.kill(left[0], 9)
    assert orphans.wait(left[0]) == -9


def test_a_pid_file_is_written_before_the_hooks_of_start(
    runtime: Runtime, bundle: Bundle, hooks: Hooks, tmp_path: Path, make_bundle: Callable[[str], Bundle]
) -> None:
    hooks.add("poststart", "cat", str(tmp_path / "pid"), ";", "exit", "1")
    container = runtime.create(bundle, "pause", flags=["--pid-file", str(tmp_path / "pid")])
    runtime("start", container.id).fails(f'"{(tmp_path / "pid").read_text()}"')
