"""Writing settings to the container's cgroup, all or none.

Settings are written in their order, with one exception: the kernel refuses a value (EINVAL) that does not fit another
one of the same controller, such as a memory limit above that of memory and swap. Whether the right order is up or down
depends on values that only the kernel has, so one that is refused is tried again when the others are written.
"""

from __future__ import annotations

import errno
import os

from ocirt.cgroup import v2
from ocirt.cgroup.directory import WRITE, read
from ocirt.errors import StepError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ocirt.cgroup.directory import Directory
    from ocirt.cgroup.resources import Setting

READ_WRITE = os.O_RDWR | os.O_CLOEXEC


def write_settings(
    settings: Sequence[Setting], directories: Sequence[Directory], then: Callable[[], None] | None = None
) -> None:
    """Write *settings* to the files of *directories*, and call *then*.

    When either fails, what was written is put back: `StepError`, `UnsupportedError`, or what *then* raised.
    """
    writer = _Writer(directories)
    try:
        refused = []
        for setting in settings:
            try:
                writer.write(setting)
            except StepError:
                raise
            except OSError as error:
                if error.errno != errno.EINVAL or setting.controller == "devices":
                    raise writer.failure(setting, error) from error
                refused.append(setting)
        for setting in refused:
            try:
                writer.write(setting)
            except OSError as error:
                raise writer.failure(setting, error) from error
        if then is not None:
            then()
    except BaseException:
        writer.put_back()
        raise
    finally:
        writer.close()


class _Writer:
    """Writes settings, and knows what was there before.

    A file stays open until another one is needed, since device rules come by the dozen.
    """

    __slots__ = ("before", "by_controller", "fd", "path")

    def __init__(self, directories: Sequence[Directory]) -> None:
        self.by_controller: dict[str, Directory] = {}
        for directory in directories:
            for controller in directory.controllers:
                self.by_controller.setdefault(controller, directory)
            if directory.version == 2:
                # The files of the core, "cgroup.max.depth".
                self.by_controller["cgroup"] = directory
        self.before: list[tuple[str, str]] = []
        self.path = ""
        self.fd = -1

    def write(self, setting: Setting) -> None:
        """Write *setting*, or its fallback when there is no such file. OSError, StepError, UnsupportedError."""
        directory = self.by_controller.get(setting.controller)
        if directory is None:
            if not setting.optional:
                raise UnsupportedError(
                    setting.file, f"the cgroup controller {setting.controller}", pointer=setting.pointer
                )
            return
        try:
            readable = self._open(directory, setting)
        except FileNotFoundError:
            if setting.fallback is not None:
                self.write(setting.fallback)
            elif not setting.optional:
                raise UnsupportedError(setting.file, _missing(directory, setting), pointer=setting.pointer) from None
            return
        if setting.usage is not None:
            _refuse_below_usage(directory, setting)
        for file, value in reversed(setting.undo):
            self.before.append((f"{directory.path}/{file}", value))
        if readable:
            self.before.append((self.path, _previous(os.fsdecode(os.pread(self.fd, 16384, 0)), setting)))
        for line in setting.value.split("\n"):
            os.write(self.fd, os.fsencode(line))

    def failure(self, setting: Setting, error: OSError) -> StepError:
        """The error that says that *setting* could not be written."""
        hint = None
        detail = ""
        if setting.controller == "devices" and error.errno == errno.EPERM:
            hint = "device rules need CAP_SYS_ADMIN in the initial user namespace, and allow no more than the parent's"
        elif setting.file == "memory.limit_in_bytes" and error.errno == errno.EBUSY:
            above = self.path.rpartition("/")[0]
            usage = read(above + "/memory.usage_in_bytes").strip()
            peak = read(above + "/memory.max_usage_in_bytes").strip()
            detail = f"current usage: {usage}, peak usage: {peak}"
        return StepError(
            f"write {setting.value!r} to {self.path}",
            error.errno or 0,
            filename=self.path,
            origin=setting.pointer,
            detail=detail,
            hint=hint,
        )

    def put_back(self) -> None:
        """Write what was there before, the last first, so that each value fits the others again.

        A device rule that was added cannot be told from one that was there: those of an update say how to undo them,
        those of a new cgroup go with it.
        """
        for path, value in reversed(self.before):
            try:
                self._reopen(path, WRITE)
                for line in value.split("\n"):
                    os.write(self.fd, os.fsencode(line or "\n"))
            except OSError:
                continue

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _open(self, directory: Directory, setting: Setting) -> bool:
        """Open the file of *setting*; false when it can only be written. OSError."""
        path = f"{directory.path}/{setting.file}"
        if setting.controller == "devices":
            self._reopen(path, WRITE)
            return False
        try:
            self._reopen(path, READ_WRITE)
        except FileNotFoundError:
            # Beside v1, the controllers of v2 are enabled when they are needed.
            if directory.version == 1 or setting.controller not in directory.controllers:
                raise
            v2.enable(directory.path, directory.mount, (setting.controller,))
            self._reopen(path, READ_WRITE)
        except PermissionError:
            self._reopen(path, WRITE)
            return False
        return True

    def _reopen(self, path: str, flags: int) -> None:
        if path != self.path or self.fd < 0:
            self.close()
            self.path = path
            self.fd = os.open(path, flags)


def _previous(content: str, setting: Setting) -> str:
    """What has to be written to undo *setting*, where its file had *content* before."""
    lines = content.splitlines()
    if setting.reset is not None:
        # One line per device: "8:0 1048576"
        key = setting.value.partition(" ")[0] + " "
        for line in lines:
            if line.startswith(key):
                return line
        return setting.reset
    if setting.file == "memory.oom_control":
        return lines[0].rpartition(" ")[2]
    return "\n".join(lines)


def _missing(directory: Directory, setting: Setting) -> str:
    """What is needed for the file of *setting*, which *directory* does not have."""
    if directory.version == 2 and setting.controller != "cgroup":
        if setting.controller not in directory.controllers:
            return f"the cgroup controller {setting.controller}"
        if setting.controller not in read(directory.path + "/cgroup.controllers").split():
            parent = directory.path.rpartition("/")[0]
            return f"the cgroup controller {setting.controller}, which cannot be enabled in {parent}"
    return "a kernel that has this file"


def _refuse_below_usage(directory: Directory, setting: Setting) -> None:
    """StepError when more is in use already than *setting* allows; v2 would call the OOM killer (v1 refuses itself)."""
    assert setting.usage is not None
    what, limit_bytes = setting.usage
    try:
        usage_bytes = int(read(directory.path + "/memory.current"))
    except FileNotFoundError:
        return
    if limit_bytes <= usage_bytes:
        raise StepError(
            f"write {setting.value!r} to {directory.path}/{setting.file}",
            errno.EBUSY,
            filename=f"{directory.path}/{setting.file}",
            origin=setting.pointer,
            detail=f"rejecting {what} limit {limit_bytes} <= usage {usage_bytes}",
        )
