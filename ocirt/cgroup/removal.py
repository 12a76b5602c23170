"""Removing a container's cgroup from one hierarchy, with all that the container has made below it."""

from __future__ import annotations

import errno
import os
import time

from ocirt.cgroup import v2
from ocirt.cgroup.directory import OPEN_DIRECTORY, Directory, below
from ocirt.cgroup.processes import pids_below, wait_gone
from ocirt.errors import StepError


def remove(directory: Directory, deadline: float) -> None:
    """Remove the cgroup *directory* and all below it, when its processes are gone. StepError at *deadline*."""
    delay_sec = 0.0
    while True:
        try:
            os.rmdir(directory.path)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise _failed(directory, error) from error
        try:
            _remove_below(directory.path)
            if directory.version == 2:
                empty = v2.wait_event(directory.path, "populated 0", deadline)
            else:
                empty = wait_gone(pids_below(directory.path), deadline)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _failed(directory, error) from error
        if not empty or time.monotonic() >= deadline:
            raise StepError(
                "remove cgroup " + directory.path,
                errno.EBUSY,
                filename=directory.path,
                detail=f"processes in it: {pids_below(directory.path)}",
            )
        # The kernel lets go of a cgroup a little after the last process of it has ended, and tells nobody.
        time.sleep(delay_sec)
        delay_sec = min(max(delay_sec * 2, 0.0005), 0.05)


def _remove_below(path: str) -> None:
    """Remove the cgroups below *path*, all those that have no processes. OSError."""
    top_fd = os.open(path, OPEN_DIRECTORY)
    try:
        for parent_fd, name in below(top_fd):
            try:
                os.rmdir(name, dir_fd=parent_fd)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
    finally:
        os.close(top_fd)


def _failed(directory: Directory, error: OSError) -> StepError:
    return StepError("remove cgroup " + directory.path, error.errno or 0, filename=directory.path)
