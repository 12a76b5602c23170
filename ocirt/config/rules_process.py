"""Rules of a ``process`` object. Pointers begin at that object. See ``rules`` for the list and the sentences."""

from __future__ import annotations

from ocirt.config.words import PATH_BYTES, RLIMITS, parse_list, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.config.rules import Violations

#: "No change" to chown(2) and setresuid(2): as a user it would leave the process root.
_NO_ID = 0xFFFFFFFF

#: The largest CONFIG_NR_CPUS is 8192.
GREATEST_CPU = 8191

#: What sched_setattr(2) takes at least: below lies the resolution of the scheduler.
_LEAST_RUNTIME_NSEC = 1024


def args_are_given(process: dict[str, Any]) -> Violations:
    if not process.get("args"):
        yield ("/args" if "args" in process else ""), "args must not be empty"


def cwd_is_absolute(process: dict[str, Any]) -> Violations:
    if not process["cwd"].startswith("/"):
        yield "/cwd", f"wanted an absolute path, found {shown(process['cwd'])}"


def cwd_is_short_enough(process: dict[str, Any]) -> Violations:
    size = len(process["cwd"].encode())
    if size > PATH_BYTES:
        yield "/cwd", f"wanted a path of at most {PATH_BYTES} bytes, found {size}"


def environment_has_names(process: dict[str, Any]) -> Violations:
    for index, variable in enumerate(process.get("env", ())):
        if variable.find("=") <= 0:
            fault = "name cannot be empty" if variable.startswith("=") else "missing '='"
            yield f"/env/{index}", f"invalid environment variable: {fault}: wanted NAME=value, found {shown(variable)}"


def user_ids_are_ids(process: dict[str, Any]) -> Violations:
    user = process.get("user")
    if not user:
        return
    for name in ("uid", "gid"):
        if user.get(name) == _NO_ID:
            yield f"/user/{name}", f"wanted an id, found {_NO_ID}, which means none"
    for index, gid in enumerate(user.get("additionalGids", ())):
        if gid == _NO_ID:
            yield f"/user/additionalGids/{index}", f"wanted an id, found {_NO_ID}, which means none"
    if user.get("umask", 0) > 0o777:
        yield "/user/umask", f"wanted a number from 0 to 511 (0777), found {user['umask']}"


def console_size_fits(process: dict[str, Any]) -> Violations:
    # "Runtimes MUST ignore `consoleSize` if `terminal` is `false` or unset."
    if process.get("terminal") and "consoleSize" in process:
        for name, size in process["consoleSize"].items():
            if name in ("height", "width") and size > 0xFFFF:
                yield f"/consoleSize/{name}", f"wanted a number from 0 to 65535, found {size}"


def rlimits_are_known(process: dict[str, Any]) -> Violations:
    for index, rlimit in enumerate(process.get("rlimits", ())):
        if rlimit["type"] not in RLIMITS:
            yield f"/rlimits/{index}/type", f"wanted the name of a limit of getrlimit(2), found {shown(rlimit['type'])}"


def rlimits_are_unique(process: dict[str, Any]) -> Violations:
    seen = set()
    for index, rlimit in enumerate(process.get("rlimits", ())):
        if rlimit["type"] in seen:
            yield f"/rlimits/{index}/type", f"wanted each limit once, found {shown(rlimit['type'])} again"
        seen.add(rlimit["type"])


def rlimits_are_ordered(process: dict[str, Any]) -> Violations:
    for index, rlimit in enumerate(process.get("rlimits", ())):
        if rlimit["soft"] > rlimit["hard"]:
            yield f"/rlimits/{index}/soft", f"wanted at most the hard limit {rlimit['hard']}, found {rlimit['soft']}"


def oom_score_adj_is_in_range(process: dict[str, Any]) -> Violations:
    value = process.get("oomScoreAdj", 0)
    if not -1000 <= value <= 1000:
        yield "/oomScoreAdj", f"wanted a number from -1000 to 1000, found {value}"


def scheduler_fits_its_policy(process: dict[str, Any]) -> Violations:
    """As sched_setattr(2) has it."""
    scheduler = process.get("scheduler")
    if scheduler is None:
        return
    policy = scheduler["policy"]
    nice = scheduler.get("nice", 0)
    priority = scheduler.get("priority", 0)
    if policy in ("SCHED_OTHER", "SCHED_BATCH") and not -20 <= nice <= 19:
        yield "/scheduler/nice", f"wanted a number from -20 to 19 with {policy}, found {nice}"
    if policy in ("SCHED_FIFO", "SCHED_RR"):
        if not 1 <= priority <= 99:
            yield "/scheduler/priority", f"wanted a number from 1 to 99 with {policy}, found {priority}"
    elif priority:
        yield (
            "/scheduler/priority",
            f"scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR, found {policy}",
        )
    if policy == "SCHED_DEADLINE":
        yield from _deadlines_are_ordered(scheduler)
    else:
        for name in ("runtime", "deadline", "period"):
            if scheduler.get(name):
                yield f"/scheduler/{name}", f"scheduler.{name} can only be specified for SCHED_DEADLINE, found {policy}"


def _deadlines_are_ordered(scheduler: dict[str, Any]) -> Violations:
    """runtime <= deadline <= period, which is as long as the deadline when it is 0 (sched_setattr(2))."""
    runtime, deadline, period = (scheduler.get(name, 0) for name in ("runtime", "deadline", "period"))
    if runtime < _LEAST_RUNTIME_NSEC:
        yield "/scheduler/runtime", f"wanted at least {_LEAST_RUNTIME_NSEC} ns with SCHED_DEADLINE, found {runtime}"
    elif not runtime <= deadline < 1 << 63:
        yield "/scheduler/deadline", f"wanted a number from the runtime {runtime} to 2^63 - 1, found {deadline}"
    elif period and not deadline <= period < 1 << 63:
        yield "/scheduler/period", f"wanted a number from the deadline {deadline} to 2^63 - 1, found {period}"


def io_priority_is_in_range(process: dict[str, Any]) -> Violations:
    priority = process.get("ioPriority", {}).get("priority", 0)
    if not 0 <= priority <= 7:
        yield "/ioPriority/priority", f"wanted a number from 0 to 7, found {priority}"


def cpu_affinity_is_a_list(process: dict[str, Any]) -> Violations:
    affinity = process.get("execCPUAffinity")
    if affinity is None:
        return
    for name in ("initial", "final"):
        try:
            parse_list(affinity.get(name, ""), GREATEST_CPU)
        except ValueError as error:
            yield f"/execCPUAffinity/{name}", str(error)
