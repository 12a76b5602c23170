"""``process.scheduler`` and ``linux.memoryPolicy``, as the program finds them."""

from __future__ import annotations

import os

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

SCHED_DEADLINE, SCHED_RESET_ON_FORK = 6, 0x40000000


def test_the_program_and_an_exec_have_the_scheduler_of_the_configuration(runtime: Runtime, bundle: Bundle) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 7}
    container = runtime.start_paused_program(bundle, "scheduling", ";")
    policy = os.sched_getscheduler(container.pid)
    assert (policy, os.getpriority(os.PRIO_PROCESS, container.pid)) == (os.SCHED_BATCH, 7)
    seen = container.probe("scheduling")
    assert (seen["policy"], seen["nice"]) == (os.SCHED_BATCH, 7)


@pytest.mark.needs_capability("SYS_NICE")
def test_a_deadline_is_the_program_s_and_not_that_of_the_init_that_waits(runtime: Runtime, bundle: Bundle) -> None:
    times = {"runtime": 1_000_000, "deadline": 100_000_000, "period": 1_000_000_000}
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_RESET_ON_FORK"], **times}
    container = runtime.create(bundle, "pause")
    assert os.sched_getscheduler(container.pid) == os.SCHED_OTHER
    container.start()
    container.read_until("ready")
    assert os.sched_getscheduler(container.pid) == SCHED_DEADLINE | SCHED_RESET_ON_FORK


def test_deadlines_that_are_too_short_for_this_kernel_are_refused(runtime: Runtime, bundle: Bundle) -> None:
    """Those that are too short for any kernel are refused earlier: see test_config_rules_process.py."""
    bundle.process["scheduler"] = {"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000}
    runtime.run(bundle, "pids").fails(
        "set scheduler SCHED_DEADLINE", "invalid argument", "config.json#/process/scheduler"
    )


def test_a_policy_that_takes_privileges_fails_with_a_hint(runtime: Runtime, bundle: Bundle) -> None:
    bundle.map_ids((0, 300000, 65536))
    bundle.process["scheduler"] = {"policy": "SCHED_FIFO", "priority": 1}
    runtime.run(bundle, "pids").fails("set scheduler SCHED_FIFO", "operation not permitted", "CAP_SYS_NICE")


def test_memory_comes_from_the_nodes_of_the_policy(runtime: Runtime, bundle: Bundle) -> None:
    if not os.path.exists("/proc/self/numa_maps"):
        pytest.skip("needs a kernel with NUMA")
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}
    container = runtime.start_paused_program(bundle)
    maps = container.probe("cat", "/proc/self/numa_maps")
    assert maps.splitlines()[0].split()[1] == "bind=static:0"


def test_a_node_that_is_not_there_is_refused(runtime: Runtime, bundle: Bundle) -> None:
    if not os.path.exists("/proc/self/numa_maps"):
        pytest.skip("needs a kernel with NUMA")
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "1023"}
    runtime.run(bundle, "pids").fails("set memory policy MPOL_BIND", "config.json#/linux/memoryPolicy")
