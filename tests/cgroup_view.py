"""The cgroup of a test's container, as the host sees it."""

from __future__ import annotations

from pathlib import Path

from host_view import cgroup_mounts, wait_until


def version_of(controller: str) -> int:
    """Which version of cgroups has *controller* here; 0: none."""
    for point, controllers in cgroup_mounts():
        if controller in controllers:
            return 1
        if not controllers and controller in (point / "cgroup.controllers").read_text().split():
            return 2
    return 0


def directory(pid: int, controller: str) -> Path:
    """The cgroup of the process *pid* in the hierarchy of *controller*; "" is the v2 tree."""
    places = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        places.update(dict.fromkeys(names.split(","), path))
    for point, controllers in cgroup_mounts():
        if controller in controllers:
            return point / places[controller].lstrip("/")
    (point,) = (point for point, controllers in cgroup_mounts() if not controllers)
    return point / places[""].lstrip("/")


def content(pid: int, controller: str, v1_file: str, v2_file: str) -> str:
    """What the file of *controller* says, by its name in either version."""
    file = v1_file if version_of(controller) == 1 else v2_file
    return (directory(pid, controller) / file).read_text().strip()


def memory_limit(pid: int) -> int:
    return int(content(pid, "memory", "memory.limit_in_bytes", "memory.max"))


def pids_limit(pid: int) -> str:
    return content(pid, "pids", "pids.max", "pids.max")


def cpu_max(pid: int) -> tuple[str, int]:
    """Quota ("max" for none) and period, in microseconds."""
    if version_of("cpu") == 2:
        quota, period = content(pid, "cpu", "", "cpu.max").split()
        return quota, int(period)
    path = directory(pid, "cpu")
    quota = (path / "cpu.cfs_quota_us").read_text().strip()
    return "max" if quota == "-1" else quota, int((path / "cpu.cfs_period_us").read_text())


def throttled(pid: int) -> int:
    """In how many periods the cgroup of *pid* had to wait for its quota."""
    fields = dict(line.split() for line in content(pid, "cpu", "cpu.stat", "cpu.stat").splitlines())
    return int(fields["nr_throttled"])


def is_frozen(pid: int) -> bool:
    """Whether the kernel runs no process of the container of *pid*."""
    if version_of("freezer") == 1:
        return (directory(pid, "freezer") / "freezer.state").read_text().strip() == "FROZEN"
    return "frozen 1" in (directory(pid, "") / "cgroup.events").read_text()


def wait_until_thawed(pid: int) -> None:
    wait_until(lambda: not is_frozen(pid), f"the end of the freeze of {pid}")
