"""What a caller may say about a checkpoint or a restore."""

from __future__ import annotations

import os

from ocirt.errors import OcirtError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

#: What may become of cgroups, by criu's name and number; what is left out is criu's own default.
CGROUP_MODES = {"ignore": 0, "soft": 3, "full": 4, "strict": 5}
_DEFAULT_CGROUP_MODE = 6

#: The namespaces that may be left empty.
EMPTY_NAMESPACES = ("network",)


class CriuOptions:
    """Options of checkpoint and restore; see criu(8).

    image_path: directory of the images. work_path: directory of criu's log, that of the images where there is none.
    tcp_established, tcp_skip_in_flight, link_remap, ext_unix_sk, shell_job, file_locks: what criu refuses to save else.
    auto_dedup: without the pages that a newer image holds too. manage_cgroups_mode: one of CGROUP_MODES, or "".
    empty_namespaces: network, of which nothing is saved or restored, as is the case anyway. lazy_pages: the memory is
    fetched when it is used.

    For checkpoint: parent_path: directory of an earlier image, from image_path. leave_running: the container goes on.
    pre_dump: save the memory alone, and go on. page_server: (address, port) that the pages go to, and with lazy_pages
    those where they are served. status_fd: descriptor that gets a zero byte once they are.

    For restore: lsm_profile: another than the saved one, "apparmor:NAME" or "selinux:LABEL".
    lsm_mount_context: the SELinux context that mounts get in place of the saved one.
    """

    __slots__ = (
        "auto_dedup",
        "empty_namespaces",
        "ext_unix_sk",
        "file_locks",
        "image_path",
        "lazy_pages",
        "leave_running",
        "link_remap",
        "lsm_mount_context",
        "lsm_profile",
        "manage_cgroups_mode",
        "page_server",
        "parent_path",
        "pre_dump",
        "shell_job",
        "status_fd",
        "tcp_established",
        "tcp_skip_in_flight",
        "work_path",
    )

    def __init__(
        self,
        image_path: str,
        *,
        work_path: str | None = None,
        parent_path: str | None = None,
        leave_running: bool = False,
        pre_dump: bool = False,
        tcp_established: bool = False,
        tcp_skip_in_flight: bool = False,
        link_remap: bool = False,
        ext_unix_sk: bool = False,
        shell_job: bool = False,
        file_locks: bool = False,
        auto_dedup: bool = False,
        lazy_pages: bool = False,
        page_server: tuple[str, int] | None = None,
        status_fd: int | None = None,
        manage_cgroups_mode: str = "",
        empty_namespaces: Sequence[str] = (),
        lsm_profile: str | None = None,
        lsm_mount_context: str | None = None,
    ) -> None:
        self.image_path = image_path
        self.work_path = work_path
        self.parent_path = parent_path
        self.leave_running = leave_running
        self.pre_dump = pre_dump
        self.tcp_established = tcp_established
        self.tcp_skip_in_flight = tcp_skip_in_flight
        self.link_remap = link_remap
        self.ext_unix_sk = ext_unix_sk
        self.shell_job = shell_job
        self.file_locks = file_locks
        self.auto_dedup = auto_dedup
        self.lazy_pages = lazy_pages
        self.page_server = page_server
        self.status_fd = status_fd
        self.manage_cgroups_mode = manage_cgroups_mode
        self.empty_namespaces = empty_namespaces
        self.lsm_profile = lsm_profile
        self.lsm_mount_context = lsm_mount_context

    @property
    def cgroups_mode(self) -> int:
        """criu's number."""
        return CGROUP_MODES.get(self.manage_cgroups_mode, _DEFAULT_CGROUP_MODE)

    def check(self) -> None:
        """Raises OcirtError for a value that cannot be meant."""
        if self.manage_cgroups_mode and self.manage_cgroups_mode not in CGROUP_MODES:
            raise OcirtError(
                f"invalid manage-cgroups-mode value: {self.manage_cgroups_mode} (known are {', '.join(CGROUP_MODES)})"
            )
        for name in self.empty_namespaces:
            if name not in EMPTY_NAMESPACES:
                raise OcirtError(f'namespace "{name}" is not supported: only network can be left empty')
        if self.lsm_profile is not None and not _is_profile(self.lsm_profile):
            raise OcirtError(f"invalid lsm-profile value: {self.lsm_profile} (wanted apparmor:NAME or selinux:LABEL)")
        if self.status_fd is not None:
            _check_status_fd(self.status_fd)


def _is_profile(text: str) -> bool:
    kind, _, name = text.partition(":")
    return kind in ("apparmor", "selinux") and bool(name)


def _check_status_fd(fd: int) -> None:
    from fcntl import F_GETFL, fcntl

    from ocirt._shim import lib

    try:
        flags = fcntl(fd, F_GETFL)
    except OSError:
        flags = os.O_RDONLY
    if not lib.ocirt_is_inherited(fd) or flags & os.O_ACCMODE == os.O_RDONLY:
        raise OcirtError(f"invalid --status-fd argument {fd}: it is no open descriptor that can be written to")
