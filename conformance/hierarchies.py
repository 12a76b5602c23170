"""Cgroups for one isolated command: one in every hierarchy of the machine, below the caller's own, and their removal.

On a hybrid machine a controller that the unified hierarchy still owns can be taken as a v1 hierarchy for as long as the
command runs. That moves it on the whole machine, so it is given back before `Subtree.remove` returns.
"""

from __future__ import annotations

import errno
import os
import time

from conformance import kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CGROUP_ROOT = "/sys/fs/cgroup"
REMOVAL_DEADLINE_SECONDS = 5.0


class Hierarchy:
    """One cgroup hierarchy: its controllers (none: cgroup2), and the path of the caller's own cgroup in it."""

    __slots__ = ("controllers", "name", "own_path")

    def __init__(self, controllers: list[str], name: str, own_path: str) -> None:
        self.controllers = controllers
        self.name = name  # of the folder that it is mounted on: cpu,cpuacct
        self.own_path = own_path

    @property
    def is_v2(self) -> bool:
        return not self.controllers

    @property
    def mount_data(self) -> str:
        """The options of mount(8) that mean this v1 hierarchy."""
        return ",".join(f"none,{word}" if word.startswith("name=") else word for word in self.controllers)


def hierarchies() -> list[Hierarchy]:
    """The hierarchies of this machine that are mounted here (cgroups(7), /proc/pid/cgroup)."""
    mounted: list[tuple[str, set[str], str, str]] = []
    with open("/proc/self/mountinfo") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            type, _, options = after.split()
            if type in ("cgroup", "cgroup2"):
                mount_root, mount_point = before.split()[3:5]
                mounted.append((type, set(options.split(",")), mount_root, mount_point))
    found = []
    with open("/proc/self/cgroup") as file:
        for line in file:
            number, words, path = line.rstrip("\n").split(":", 2)
            if not words and number != "0":
                continue  # a v1 hierarchy whose controller has been taken away, and that nobody has mounted any more
            controllers = words.split(",") if words else []
            for type, options_set, mount_root, mount_point in mounted:
                if mount_root == "/" and (set(controllers) <= options_set if controllers else type == "cgroup2"):
                    found.append(Hierarchy(controllers, os.path.basename(mount_point), mount_point + path.rstrip("/")))
                    break
    return found


class Subtree:
    """A new cgroup in every hierarchy, ``paths`` in the order of ``hierarchies``.

    *v1_controllers* are taken from the unified hierarchy as v1 hierarchies of their own; OSError EBUSY where that one
    hands them on to its cgroups.
    """

    __slots__ = ("_delegated", "_taken", "hierarchies", "paths")

    def __init__(self, name: str, v1_controllers: Sequence[str] = ()) -> None:
        self.hierarchies = hierarchies()
        self.paths: list[str] = []
        self._taken: list[tuple[str, int]] = []
        self._delegated: list[tuple[str, str]] = []
        known = {word for hierarchy in self.hierarchies for word in hierarchy.controllers}
        try:
            for controller in v1_controllers:
                if controller not in known:
                    self._take(controller)
            if all(hierarchy.is_v2 for hierarchy in self.hierarchies):
                self._delegate(self.hierarchies[0].own_path)
            for hierarchy in self.hierarchies:
                path = f"{hierarchy.own_path}/{name}"
                os.mkdir(path)
                self.paths.append(path)
                if "cpuset" in hierarchy.controllers:
                    _copy_cpuset(hierarchy.own_path, path)
        except BaseException:
            self.remove()
            raise

    def _take(self, controller: str) -> None:
        try:
            fd = kernel.detached_mount("cgroup", controller)
        except OSError as error:
            if error.errno == errno.EBUSY:
                error.strerror = f"{controller} is in the cgroup.subtree_control of the unified hierarchy's root"
            raise
        self._taken.append((controller, fd))
        self.hierarchies.append(Hierarchy([controller], controller, f"/proc/{os.getpid()}/fd/{fd}"))

    def _delegate(self, own_path: str) -> None:
        """Hands the controllers on to cgroups below, where the rule of no inner processes lets us."""
        with open(f"{own_path}/cgroup.controllers") as file:
            available = file.read().split()
        with open(f"{own_path}/cgroup.subtree_control") as file:
            handed_on = file.read().split()
        for controller in available:
            if controller not in handed_on:
                try:
                    _write(f"{own_path}/cgroup.subtree_control", f"+{controller}")
                except OSError:
                    continue
                self._delegated.append((own_path, controller))

    def enter(self) -> None:
        """Moves the calling process into the cgroups."""
        for path in self.paths:
            _write(f"{path}/cgroup.procs", "0")

    def thaw(self) -> None:
        """Thaws what is frozen below: a process in a frozen v1 cgroup does not die of SIGKILL."""
        for hierarchy, path in zip(self.hierarchies, self.paths, strict=False):
            if "freezer" in hierarchy.controllers:
                for folder, _, _ in os.walk(path):
                    _write(f"{folder}/freezer.state", "THAWED")

    def remove(self) -> list[str]:
        """Removes the cgroups, whose processes must be dead, and gives the controllers back.

        Returns what could not be undone.
        """
        deadline = time.monotonic() + REMOVAL_DEADLINE_SECONDS
        left = [path for path in self.paths if not _remove(path, deadline)]
        self.paths.clear()
        for own_path, controller in self._delegated:
            try:
                _write(f"{own_path}/cgroup.subtree_control", f"-{controller}")
            except OSError as error:
                left.append(f"{own_path}/cgroup.subtree_control: {controller}: {error.strerror}")
        for controller, fd in self._taken:
            if not _give_back(controller, fd, deadline):
                left.append(f"the v1 hierarchy of {controller}")
        self._delegated.clear()
        self._taken.clear()
        return left


def _copy_cpuset(source: str, target: str) -> None:
    # cpuset of v1: an empty set, which a new cgroup has, takes no process
    for name in ("cpuset.cpus", "cpuset.mems"):
        with open(f"{source}/{name}") as file:
            _write(f"{target}/{name}", file.read())


def _remove(path: str, deadline: float) -> bool:
    while True:
        for folder, _, _ in os.walk(path, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass
        if not os.path.exists(path):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def _give_back(controller: str, fd: int, deadline: float) -> bool:
    """Ends a v1 hierarchy that this process has made; True when the controller is the unified hierarchy's again."""
    # A hierarchy whose last mount goes while a removed cgroup is not yet freed stays for good.
    while _registered(controller)[1] > 1 and time.monotonic() < deadline:
        time.sleep(0.02)
    os.close(fd)
    while _registered(controller)[0] and time.monotonic() < deadline:
        time.sleep(0.02)
    return _registered(controller)[0] == 0


def _registered(controller: str) -> tuple[int, int]:
    """Id of the controller's hierarchy (0: the unified one) and the number of its cgroups, from /proc/cgroups."""
    with open("/proc/cgroups") as file:
        for line in file:
            name, *numbers = line.split()
            if name == controller:
                return int(numbers[0]), int(numbers[1])
    return 0, 0


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
