"""The rules of a process object: ocirt/config/rules_process.py."""

from __future__ import annotations

from config_cases import Case, assert_complete, assert_named_alone, cases, changed

from ocirt.config import rules

CASES: list[Case] = [
    ("args_are_given", changed(process__args=[]), "/process/args", "args must not be empty"),
    ("args_are_given", changed(process={"cwd": "/"}), "/process", "args must not be empty"),
    ("cwd_is_absolute", changed(process__cwd="tmp"), "/process/cwd", 'wanted an absolute path, found "tmp"'),
    ("cwd_is_absolute", changed(process__cwd=""), "/process/cwd", 'wanted an absolute path, found ""'),
    ("cwd_is_short_enough", changed(process__cwd="/" * 4096), "/process/cwd", "at most 4095 bytes, found 4096"),
    (
        "environment_has_names",
        changed(process__env=["A=b", "novalue"]),
        "/process/env/1",
        "invalid environment variable: missing '=': wanted NAME=value, found \"novalue\"",
    ),
    ("environment_has_names", changed(process__env=["=b"]), "/process/env/0", "name cannot be empty"),
    (
        "user_ids_are_ids",
        changed(process__user={"uid": 4294967295}),
        "/process/user/uid",
        "found 4294967295, which means none",
    ),
    (
        "user_ids_are_ids",
        changed(process__user={"additionalGids": [5, 4294967295]}),
        "/process/user/additionalGids/1",
        "which means none",
    ),
    (
        "user_ids_are_ids",
        changed(process__user={"umask": 512}),
        "/process/user/umask",
        "wanted a number from 0 to 511 (0777), found 512",
    ),
    (
        "console_size_fits",
        changed(process__consoleSize={"height": 65536, "width": 80}),
        "/process/consoleSize/height",
        "wanted a number from 0 to 65535, found 65536",
    ),
    (
        "rlimits_are_known",
        changed(process__rlimits=[{"type": "RLIMIT_TEST", "soft": 0, "hard": 0}]),
        "/process/rlimits/0/type",
        'wanted the name of a limit of getrlimit(2), found "RLIMIT_TEST"',
    ),
    (
        "rlimits_are_unique",
        changed(process__rlimits=[{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}] * 2),
        "/process/rlimits/1/type",
        'wanted each limit once, found "RLIMIT_CORE" again',
    ),
    (
        "rlimits_are_ordered",
        changed(process__rlimits=[{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]),
        "/process/rlimits/0/soft",
        "wanted at most the hard limit 1, found 2",
    ),
    (
        "oom_score_adj_is_in_range",
        changed(process__oomScoreAdj=1001),
        "/process/oomScoreAdj",
        "from -1000 to 1000, found 1001",
    ),
    ("oom_score_adj_is_in_range", changed(process__oomScoreAdj=-1001), "/process/oomScoreAdj", "found -1001"),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_BATCH", "nice": 20}),
        "/process/scheduler/nice",
        "wanted a number from -20 to 19 with SCHED_BATCH, found 20",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_FIFO"}),
        "/process/scheduler/priority",
        "wanted a number from 1 to 99 with SCHED_FIFO, found 0",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_OTHER", "priority": 1}),
        "/process/scheduler/priority",
        "scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR, found SCHED_OTHER",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_IDLE", "period": 1}),
        "/process/scheduler/period",
        "scheduler.period can only be specified for SCHED_DEADLINE, found SCHED_IDLE",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_DEADLINE", "runtime": 1023, "deadline": 2000, "period": 2000}),
        "/process/scheduler/runtime",
        "wanted at least 1024 ns with SCHED_DEADLINE, found 1023",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_DEADLINE", "runtime": 3000, "deadline": 2999}),
        "/process/scheduler/deadline",
        "wanted a number from the runtime 3000 to 2^63 - 1, found 2999",
    ),
    (
        "scheduler_fits_its_policy",
        changed(process__scheduler={"policy": "SCHED_DEADLINE", "runtime": 3000, "deadline": 3000, "period": 2999}),
        "/process/scheduler/period",
        "wanted a number from the deadline 3000 to 2^63 - 1, found 2999",
    ),
    (
        "io_priority_is_in_range",
        changed(process__ioPriority={"class": "IOPRIO_CLASS_BE", "priority": 8}),
        "/process/ioPriority/priority",
        "wanted a number from 0 to 7, found 8",
    ),
    (
        "cpu_affinity_is_a_list",
        changed(process__execCPUAffinity={"initial": "0", "final": "3-1"}),
        "/process/execCPUAffinity/final",
        'wanted the smaller number first, found "3-1"',
    ),
]


@cases(CASES)
def test_a_broken_rule_is_named_and_alone(case: Case) -> None:
    assert_named_alone(case)


def test_every_rule_has_a_case() -> None:
    assert_complete(CASES, rules.PROCESS_RULES, "rules_process")
