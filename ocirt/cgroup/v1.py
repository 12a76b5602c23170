"""What only cgroup v1 needs: the values of a new cpuset, and the freezer.

v1 tells nobody when a cgroup has frozen (freezer-subsystem.rst), so `freeze` asks again, with growing delays.
"""

from __future__ import annotations

import time

from ocirt.cgroup.directory import read, write
from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ocirt.cgroup.resources import Setting

CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")
# Now and then the kernel cannot freeze a cgroup in which tasks keep appearing; letting go for a moment helps.
_FREEZE_ROUND = 50
_FREEZE_DELAY_SEC = (0.0, 0.0, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01)


def fill_cpuset(path: str, mount: str, settings: Mapping[str, Setting]) -> None:
    """Give the new cpuset *path* its cpus and mems: those of *settings*, by file, else its parent's. OSError; StepError
    when the kernel refuses one of *settings*.

    A cpuset without either accepts no task (cpuset(7), ENOSPC). One that has values already, because its parent says
    ``cgroup.clone_children`` or somebody was here before, keeps them. Ancestors that are empty are filled first.
    """
    for file in CPUSET_FILES:
        if read(f"{path}/{file}").strip():
            continue
        empty = []
        parent = path.rpartition("/")[0]
        while not (inherited := read(f"{parent}/{file}").strip()) and parent != mount:
            empty.append(parent)
            parent = parent.rpartition("/")[0]
        for directory in reversed(empty):
            write(f"{directory}/{file}", inherited)
        setting = settings.get(file)
        if setting is None:
            write(f"{path}/{file}", inherited)
            continue
        try:
            write(f"{path}/{file}", setting.value)
        except OSError as error:
            step = f"write {setting.value!r} to {path}/{file}"
            raise StepError(step, error.errno or 0, filename=f"{path}/{file}", origin=setting.pointer) from error


def freeze(path: str, deadline_sec: float) -> bool:
    """Freeze the freezer cgroup *path*; true when it is frozen at return.

    When the deadline passes first, it is thawed again, as a cgroup that stays FREEZING is of no use to anybody.
    """
    state_path = path + "/freezer.state"
    deadline = time.monotonic() + deadline_sec
    attempt = 0
    while True:
        write(state_path, "FROZEN")
        if read(state_path).strip() == "FROZEN":
            return True
        if time.monotonic() >= deadline:
            write(state_path, "THAWED")
            return False
        attempt += 1
        if attempt % _FREEZE_ROUND == 0:
            write(state_path, "THAWED")
        time.sleep(_FREEZE_DELAY_SEC[min(attempt, len(_FREEZE_DELAY_SEC)) - 1])


def thaw(path: str) -> bool:
    """Thaw the freezer cgroup *path*; false when it stays frozen, because a cgroup above it is."""
    write(path + "/freezer.state", "THAWED")
    return read(path + "/freezer.state").strip() == "THAWED"


def is_held(path: str) -> bool:
    """Whether tasks in the freezer cgroup *path* do not run, be it by its own state or by that of one above it."""
    return read(path + "/freezer.state").strip() != "THAWED"
