"""A cgroup below the container's, for the container to manage: its process is in it, and no limit is (crun's annotation
run.oci.delegate-cgroup).

The limits stay on the cgroup above, which has no process then and can divide what it has among cgroups below.
"""

from __future__ import annotations

import os

from ocirt.cgroup import v2
from ocirt.cgroup.directory import WRITE, read, write
from ocirt.cgroup.paths import descend
from ocirt.errors import StepError


def make(container_path: str, sub: str, uid: int | None, gid: int) -> None:
    """Make the cgroup *sub* below the container's, and give it to the host's *uid* and *gid*. StepError."""
    path = descend(container_path, sub)
    try:
        os.makedirs(path, exist_ok=True)
        if uid:
            v2.delegate(path, uid, gid)
    except OSError as error:
        raise StepError(f"create cgroup {path}", error.errno or 0, filename=path) from None


def open_entry(container_path: str, sub: str) -> int:
    """A descriptor through which a process that writes "0" enters. StepError."""
    path = descend(container_path, sub) + "/cgroup.procs"
    try:
        return os.open(path, WRITE)
    except OSError as error:
        raise StepError(f"enter cgroup {os.path.dirname(path)}", error.errno or 0, filename=path) from None


def divide(container_path: str, sub: str) -> None:
    """Enable all controllers of the container for the cgroup *sub*, once no process is above it. StepError."""
    path = container_path
    for name in descend("", sub).strip("/").split("/"):
        try:
            for controller in read(path + "/cgroup.controllers").split():
                write(path + "/cgroup.subtree_control", "+" + controller)
        except OSError as error:
            raise StepError(f"enable controllers below cgroup {path}", error.errno or 0, filename=path) from None
        path = f"{path}/{name}"
