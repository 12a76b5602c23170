"""What holds for every plan, whatever is configured."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from cases import CASES, Case

from ocirt.errors import ConfigError, UnsupportedError
from ocirt.plan import CREATE, Compilation, Host, compile_plan

ROOT = Path(__file__).resolve().parents[2]
PLAN = ROOT / "ocirt/plan"
HEADER = (ROOT / "csrc/plan.h").read_text()

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

# What decides: the configuration, the words and numbers of spec and kernel, and the errors that say no.
ALLOWED_IMPORTS = (
    "__future__",
    "collections.abc",
    "ocirt.capabilities",
    "ocirt.config.rules",
    "ocirt.config.rules_linux",
    "ocirt.config.rules_process",
    "ocirt.config.words",
    "ocirt.errors",
    "ocirt.plan",
    "sys",
    "typing",
)


def names_of(enum: str) -> set[str]:
    """The names in an enum of plan.h, without their prefix."""
    body = re.search(rf"enum {enum} \{{(.*?)\}};", HEADER, re.DOTALL)
    assert body is not None
    return set(re.findall(r"^\s*OCIRT_(\w+)", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL), re.MULTILINE))


def is_in(document: Any, pointer: str) -> bool:
    """Whether a JSON pointer (RFC 6901) points at something in *document*."""
    try:
        for token in pointer.split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            document = document[int(key)] if isinstance(document, list) else document[key]
    except LookupError:
        return False
    return document is not None


@every_case
def test_every_operation_of_the_init_has_an_op_code_and_every_flag_a_bit(case: Case) -> None:
    codes, flags = names_of("ocirt_op_code"), names_of("ocirt_op_flag")
    for op in case.compile().ops:
        assert op.where in ("init", "host")
        if op.where == "init":
            assert op.kind in codes
            assert set(op.flags) <= flags


@every_case
def test_every_origin_points_at_something_in_the_document(case: Case) -> None:
    for op in case.compile().ops:
        if op.origin:
            assert any(is_in(document, op.origin) for document in case.documents()), op


@every_case
def test_every_step_is_one_line_that_can_stand_behind_cannot(case: Case) -> None:
    for op in case.compile().ops:
        assert op.step.isprintable()
        assert op.step[0].islower(), op.step


@every_case
def test_a_plan_is_the_same_each_time(case: Case) -> None:
    first, second = case.compile(), case.compile()
    assert [(op.kind, op.step, op.path, op.text, op.data, op.flags, op.a, op.b, op.c) for op in first.ops] == [
        (op.kind, op.step, op.path, op.text, op.data, op.flags, op.a, op.b, op.c) for op in second.ops
    ]


@every_case
def test_compiling_leaves_the_configuration_as_it_is(case: Case) -> None:
    before = repr(case.config)
    case.compile()
    assert repr(case.config) == before


@every_case
def test_the_container_process_is_cloned_once_and_becomes_the_program_last(case: Case) -> None:
    kinds = [op.kind for op in case.compile().ops]
    assert kinds.count("CLONE") == 1
    assert kinds[-1] == ("EXECVE" if "process" in case.config or case.process else "WAIT_START")


@pytest.mark.parametrize("case", [case for case in CASES if case.process is None], ids=lambda case: case.name)
def test_nothing_of_the_host_is_asked_for_behind_start(case: Case) -> None:
    """``ocirt start`` is another process than ``ocirt create``: it has the words of these operations, not their
    values."""
    ops = case.compile().ops
    behind = ops[[op.kind for op in ops].index("WAIT_START") + 1 :]
    assert all(op.where == "init" for op in behind)
    assert {source.kind for op in behind for source in op.sources} <= {"hook-input", "hook-stdout", "hook-stderr"}


@every_case
def test_the_filter_is_loaded_when_hardly_anything_is_left_to_do(case: Case) -> None:
    kinds = [op.kind for op in case.compile().ops]
    if "SECCOMP" in kinds:
        assert set(kinds[kinds.index("SECCOMP") + 1 :]) <= {"CAPABILITIES", "EXECVE"}


@every_case
def test_what_is_masked_stays_masked(case: Case) -> None:
    """No mount of the configuration comes after the masks and the read-only paths."""
    kinds = [op.kind for op in case.compile().ops]
    if "MASK_PATH" in kinds:
        first = min(kinds.index(kind) for kind in ("MASK_PATH", "READONLY_PATH") if kind in kinds)
        assert not {"MOUNT", "BIND", "SYMLINK", "DEVICE", "MKDIR"} & set(kinds[first:])


@pytest.mark.parametrize("module", sorted(PLAN.glob("*.py")), ids=lambda path: path.name)
def test_a_plan_is_made_by_pure_functions(module: Path) -> None:
    """No system calls, no files, no clock: nothing that could do any of it is imported, nor called as a builtin."""
    tree = ast.parse(module.read_text())
    for node in ast.walk(tree):
        imported = []
        if isinstance(node, ast.Import):
            imported = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imported = [node.module or ""]
        for name in imported:
            assert name in ALLOWED_IMPORTS or name.startswith("ocirt.plan."), f"{module.name} imports {name}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input", "exec", "eval", "__import__")


def refusal(change: dict[str, Any], section: str, **facts: Any) -> str:
    case = Case("refused")
    case.config[section].update(change)
    with pytest.raises((ConfigError, UnsupportedError)) as refused:
        compile_plan(
            CREATE, Compilation(case.config, Host(**facts), id="box", bundle="/bundle", rootfs="/bundle/rootfs")
        )
    return str(refused.value)


def test_a_profile_for_a_kernel_without_apparmor_is_refused() -> None:
    assert refusal({"apparmorProfile": "p"}, "process") == (
        "an AppArmor profile is not supported here: needs a kernel with AppArmor enabled"
        " (config.json#/process/apparmorProfile)"
    )


def test_a_label_for_a_kernel_without_selinux_is_refused() -> None:
    assert refusal({"selinuxLabel": "l"}, "process") == (
        "an SELinux label is not supported here: needs a kernel with SELinux enabled"
        " (config.json#/process/selinuxLabel)"
    )


def test_a_process_without_arguments_is_refused() -> None:
    assert refusal({"args": []}, "process") == ("config.json#/process/args: the container has no program to run")


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"destination": "/a", "type": "bind"}, "config.json#/mounts/0/source: a bind mount needs a source"),
        ({"destination": "/a"}, "config.json#/mounts/0/type: a mount needs a type unless it is a bind mount"),
    ],
    ids=["bind without source", "no type"],
)
def test_a_mount_that_means_nothing_is_refused(mount: dict[str, Any], message: str) -> None:
    case = Case("refused")
    case.config["mounts"] = [mount]
    with pytest.raises(ConfigError) as refused:
        compile_plan(CREATE, Compilation(case.config, Host(), id="box", bundle="/bundle", rootfs="/bundle/rootfs"))
    assert str(refused.value) == message
