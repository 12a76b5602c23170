"""From a configuration to a plan: the order in which a container is set up, in two lists that can be read aloud.

Pure: no system calls, no files, no clock. Every topic is a function that turns a Compilation into operations.
"""

from __future__ import annotations

from ocirt.plan import (
    cgroups,
    devices,
    hooks,
    joining,
    mounts,
    namespaces,
    net_devices,
    paths,
    process,
    resctrl,
    rootfs,
    running,
    scheduling,
    sysctl,
)
from ocirt.plan.op import Compilation, Host, Op, Plan, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Topic

__all__ = [
    "ADD_DEVICES",
    "ADD_MOUNTS",
    "CREATE",
    "CREATE_WITHOUT_PROCESS",
    "EXEC",
    "REMOVE_DEVICES",
    "REMOVE_MOUNTS",
    "Compilation",
    "Host",
    "Op",
    "Plan",
    "Source",
    "compile_plan",
]

CREATE: tuple[Topic, ...] = (
    # In the runtime's namespaces, with the runtime's privileges.
    cgroups.create_early,
    process.oom_score_adj,
    process.raise_rlimits,
    namespaces.join,
    namespaces.time,
    namespaces.clone,
    # In the container's process.
    cgroups.create_late,
    namespaces.id_maps,
    cgroups.join,
    resctrl.create,
    process.reset_affinity,
    cgroups.subgroup,
    namespaces.cgroup,
    cgroups.delegated,
    # Before it is root of a user namespace: its way to the root filesystem may lead through directories of the host's
    # root.
    rootfs.attach,
    namespaces.become_root,
    namespaces.late_time,
    process.clear_umask,
    process.session,
    namespaces.loopback,
    namespaces.names,
    mounts.ops,
    devices.ops,
    process.console,
    process.make_cwd,
    mounts.late,
    # Late, since their way is felt on the host, but before those who may want to see them: hooks and sysctl.
    net_devices.ops,
    # "after the runtime environment has been created but before the pivot_root" (config.md#createRuntime-hooks).
    hooks.create_runtime,
    hooks.create_container,
    sysctl.ops,
    paths.readonly,
    paths.masked,
    rootfs.readonly,
    rootfs.enter,
    process.chdir,
    process.lookup,
    process.wait_start,
    # start
    scheduling.ops,
    process.rlimits,
    process.ownership,
    process.labels,
    process.close,
    process.credentials,
    # Their programs are the image's, so they get what the image's program gets, and no more.
    hooks.start_container,
    process.execute,
)

# `process` is "REQUIRED when start is called" (config.md#process), not at create.
CREATE_WITHOUT_PROCESS: tuple[Topic, ...] = tuple(
    topic
    for topic in CREATE[: CREATE.index(process.wait_start) + 1]
    if topic
    not in (
        process.oom_score_adj,
        process.raise_rlimits,
        process.make_cwd,
        process.chdir,
        process.lookup,
    )
)

EXEC: tuple[Topic, ...] = (
    process.oom_score_adj,
    process.raise_rlimits,
    process.initial_affinity,
    # Not left to the new process, which others can see already: it has no descriptor of the host's cgroups.
    cgroups.join,
    joining.namespaces,
    joining.clone,
    cgroups.attach,
    resctrl.join,
    joining.cgroup_namespace,
    process.final_affinity,
    joining.root,
    namespaces.become_root,
    process.session,
    process.exec_console,
    process.chdir,
    process.lookup,
    scheduling.ops,
    process.rlimits,
    process.ownership,
    process.labels,
    process.close,
    process.credentials,
    process.execute,
)


# Of containers that run: the way in, what is done there, the way out.
_WAY_IN: tuple[Topic, ...] = (
    running.enter,
    joining.root,
    namespaces.become_root,
    running.open_root,
    process.clear_umask,
)
ADD_MOUNTS: tuple[Topic, ...] = (mounts.refuse_unfit, *_WAY_IN, mounts.ops, mounts.late, running.leave)
REMOVE_MOUNTS: tuple[Topic, ...] = (*_WAY_IN, mounts.remove, running.leave)
ADD_DEVICES: tuple[Topic, ...] = (*_WAY_IN, devices.own_devices, running.leave)
REMOVE_DEVICES: tuple[Topic, ...] = (*_WAY_IN, devices.remove, running.leave)


def compile_plan(order: tuple[Topic, ...], compilation: Compilation) -> Plan:
    """Compiles by CREATE or EXEC. Raises ConfigError and UnsupportedError, each with the pointer of the property."""
    ops: list[Op] = []
    for topic in order:
        ops += topic(compilation)
    return Plan(ops, compilation.preserve_fds)
