"""``hooks``: who runs each kind, when, and in which namespaces (config.md#posix-platform-hooks).

prestart, createRuntime, poststart and poststop run in the runtime's namespaces, by the runtime; createContainer and
startContainer run in the container's, by its init.
"""

from __future__ import annotations

from ocirt.plan.op import Op, Source, host_op, strings
from ocirt.plan.process import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

_SYNC_CREATE_RUNTIME = 2


def create_runtime(c: Compilation) -> list[Op]:
    hooks = c.config.get("hooks") or {}
    ops = []
    for kind in ("prestart", "createRuntime"):
        for index, hook in enumerate(hooks.get(kind) or ()):
            pointer = f"/hooks/{kind}/{index}"
            ops.append(host_op("hook", f"run {kind} hook {hook['path']}", pointer, value=(kind, index, hook)))
    if ops:
        ops.insert(0, Op("SYNC", "wait for the createRuntime hooks", "/hooks", a=_SYNC_CREATE_RUNTIME))
    return ops


def create_container(c: Compilation) -> list[Op]:
    return _in_container(c, "createContainer", [])


def start_container(c: Compilation) -> list[Op]:
    # It runs where the program will, so it has the program's environment unless it brings its own, as with runc.
    return _in_container(c, "startContainer", environment(c))


def _in_container(c: Compilation, kind: str, default_env: list[str]) -> list[Op]:
    ops = []
    for index, hook in enumerate((c.config.get("hooks") or {}).get(kind) or ()):
        # "args (array of strings, OPTIONAL) with the same semantics as IEEE Std 1003.1-2008 execv's argv."
        args = hook.get("args") or [hook["path"]]
        own = hook.get("env")
        env = own or default_env
        ops.append(
            Op(
                "HOOK",
                f"run {kind} hook {hook['path']}",
                f"/hooks/{kind}/{index}",
                path=hook["path"],
                data=strings(*args, *env),
                a=len(args),
                b=len(env),
                c=hook.get("timeout") or 0,
                flags=("WITH_HOME",) if default_env and not own else (),
                sources=(
                    Source("hook-input", kind),
                    Source("hook-stdout", kind, index=index),
                    Source("hook-stderr", kind, index=index),
                ),
                value=(kind, index, hook),
            )
        )
    return ops
