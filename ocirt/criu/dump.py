"""Checkpoint: a container's processes become files. Everything that can be known before is looked at before the
container is stopped."""

from __future__ import annotations

import os
from stat import S_ISCHR

from ocirt import host
from ocirt._shim import ffi, lib
from ocirt.cgroup.freezer import freezer
from ocirt.criu import images, program, request, rpc
from ocirt.criu.program import Criu
from ocirt.criu.service import CriuError, Service
from ocirt.criu.streams import Streams
from ocirt.criu.yard import Yard
from ocirt.errors import ConfigError, StepError, UnsupportedError, WrongStatus
from ocirt.plan import Compilation
from ocirt.state import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.container import Container
    from ocirt.criu.options import CriuOptions
    from ocirt.criu.request import External

_ALLOWED = ("running", "paused")


def checkpoint(container: Container, options: CriuOptions) -> None:
    """Saves *container*, whose processes have ended then unless the options say otherwise; `Container.checkpoint` says
    what is raised. After an error they go on."""
    require_root()
    options.check()
    status = container.status()
    if status not in _ALLOWED:
        raise _wrong(f"Container cannot be checkpointed in {status} state", status)
    compilation = _compilation(container)
    request.refuse(compilation)
    if options.parent_path is not None:
        images.check_parent(options.image_path, options.parent_path)
    criu = ready(options)
    fds: list[int] = []
    try:
        image_fd = work_fd = images.open_directory(options.image_path, make=True)
        fds.append(image_fd)
        if options.work_path is not None:
            work_fd = images.open_directory(options.work_path, make=True)
            fds.append(work_fd)
        fields = _fields(container, compilation, options)
        fields.update(images_dir_fd=image_fd, work_dir_fd=work_fd)
        if not options.pre_dump:
            streams = _streams(container)
            streams.write(image_fd)
            fields["external"] += streams.files()
        entry = Entry.open(container.root, container.id)
        try:
            with Yard(entry) as yard:
                fields.update(yard.fields)
                _dump(container, criu, options, fields, was_paused=status == "paused")
        finally:
            entry.close()
    except (FileNotFoundError, ProcessLookupError):
        # Files of procfs: the init has ended meanwhile.
        raise _wrong("container not running", "stopped") from None
    finally:
        for fd in fds:
            os.close(fd)


def _wrong(text: str, status: str) -> WrongStatus:
    return WrongStatus(text, status=status, operation="checkpoint", allowed=_ALLOWED)


def require_root() -> None:
    if host.is_rootless():
        raise UnsupportedError("checkpoint and restore", "root of the host, as criu does")


def ready(options: CriuOptions) -> Criu:
    """criu, if it can do what is asked for; UnsupportedError with the reason."""
    features = {}
    if options.pre_dump or options.parent_path is not None:
        features["mem_dirty_track"] = "saving the memory in advance"
    if options.lazy_pages:
        features["uffd-noncoop"] = "fetching memory when it is used"
    return Criu.find(features)


def _compilation(container: Container) -> Compilation:
    cgroup = container.cgroup()
    facts = host.facts(cgroup, unit=cgroup.unit)
    return Compilation(container.config(), facts, id=container.id, bundle=container.bundle, rootfs=container.rootfs)


def _fields(container: Container, compilation: Compilation, options: CriuOptions) -> dict[str, Any]:
    pid = container.pid
    fields = request.dump_options(options)
    fields["pid"] = pid
    fields["root"] = container.rootfs
    fields["external"] = request.external_namespaces(compilation, lambda word: os.stat(f"/proc/{pid}/ns/{word}").st_ino)
    directory = freezer(container.cgroup().directories)
    if directory is not None:
        fields["freeze_cgroup"] = directory.path
    path = config_file(compilation)
    if path is not None:
        fields["config_file"] = path
    if not options.pre_dump:
        found = request.externals(compilation)
        pidfd = os.pidfd_open(pid)
        try:
            fields["ext_mnt"] = request.dumped_mounts(found, _MountPoints(pid, pidfd).find)
        finally:
            os.close(pidfd)
    return fields


def config_file(compilation: Compilation) -> str | None:
    """As `request.config_file`, and ConfigError for a file that another than root can write to: criu executes programs
    that it names."""
    path = request.config_file(compilation, os.path.exists)
    if path is None:
        return None
    pointer = "/annotations/org.criu.config"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        step = f"read criu's configuration file {path}"
        raise StepError(step, error.errno or 0, filename=path, origin=pointer) from None
    try:
        status = os.fstat(fd)
    finally:
        os.close(fd)
    if status.st_uid != 0 or status.st_mode & 0o022:
        found = f"one of user {status.st_uid} with mode {status.st_mode & 0o7777:04o}"
        raise ConfigError(f"wanted a file that root alone can write to, found {found}: {path}", pointer=pointer)
    return path


def _streams(container: Container) -> Streams:
    return Streams.of(container.pid, container.pids(), set(mounts_of(container.pid)), container.streams)


class _MountPoints:
    """Where destinations lead to in the container, as it is now: it may have moved what a path goes through."""

    __slots__ = ("_known", "_pidfd")

    def __init__(self, pid: int, pidfd: int) -> None:
        self._pidfd = pidfd
        self._known = set(mounts_of(pid).values())

    def find(self, external: External) -> str | None:
        path = ffi.from_buffer(os.fsencode(external.destination) + b"\0")
        fd = lib.ocirt_open_tree_of(self._pidfd, path, lib.OPEN_TREE_CLOEXEC)
        if fd < 0:
            return None
        try:
            point = os.readlink(f"/proc/self/fd/{fd}")
            # Over a masked directory is a filesystem that criu saves.
            is_masked_directory = external.source == request.NULL and not S_ISCHR(os.fstat(fd).st_mode)
        finally:
            os.close(fd)
        return point if point in self._known and not is_masked_directory else None


def mounts_of(pid: int) -> dict[int, str]:
    """The ids and mount points of the process's mount namespace, below its root. StepError."""
    path = f"/proc/{pid}/mountinfo"
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            fields = [line.split(" ") for line in file]
    except OSError as error:
        raise StepError(f"read {path}", error.errno or 0, filename=path) from None
    return {int(words[0]): _unescape(words[4]) for words in fields}


def _unescape(text: str) -> str:
    """Blanks and backslashes are octal numbers there (proc(5))."""
    for character in "\\ \t\n#":
        if character != "\\":
            text = text.replace(f"\\{ord(character):03o}", character)
    return text.replace("\\134", "\\")


def _dump(container: Container, criu: Criu, options: CriuOptions, fields: dict[str, Any], *, was_paused: bool) -> None:
    def notified(word: str, pid: int, fds: list[int]) -> None:
        if word == "status-ready" and options.status_fd is not None:
            os.write(options.status_fd, b"\0")
            os.close(options.status_fd)

    service = Service(criu)
    try:
        service.request(rpc.PRE_DUMP if options.pre_dump else rpc.DUMP, fields, notified)
    except BaseException as error:
        service.close()
        if not was_paused and container.status() == "paused":
            container.cgroup().thaw()
        if isinstance(error, CriuError):
            directory = options.work_path or options.image_path
            log = program.read_log(fields["work_dir_fd"], fields["log_file"])
            raise program.failure("checkpoint", str(error), log, f"{directory}/{fields['log_file']}") from None
        raise
    service.close()
