"""Restore: files become a container's processes. Around criu it is what create does: the id, the cgroups with their
limits, hooks, the state; and everything that fails is undone."""

from __future__ import annotations

import os

from ocirt import host
from ocirt._shim import ffi, lib
from ocirt.cgroup.processes import enter
from ocirt.criu import images, preparation, program, request, rpc
from ocirt.criu.dump import config_file, ready, require_root
from ocirt.criu.service import FIRST_FD, CriuError, Service
from ocirt.criu.streams import Streams, open_own
from ocirt.criu.yard import Yard
from ocirt.errors import StepError
from ocirt.json_text import dumps
from ocirt.launch.channel import check
from ocirt.launch.create import Creation
from ocirt.state import state_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.config.load import Bundle
    from ocirt.criu.options import CriuOptions
    from ocirt.criu.program import Criu
    from ocirt.criu.request import External
    from ocirt.options import Options
    from ocirt.plan import Compilation, Plan

#: Of the operations of the host that create does, those that are about where a process is.
_HOST_OPS = ("begin-cgroup", "create-cgroup", "limit", "devices", "create-resctrl")


class Restoration(Creation):
    """One restore. ``pid`` is the restored init's, 0 before there is one."""

    __slots__ = ("_externals", "_fds", "_image_fd", "_service", "_streams", "_work_fd", "criu", "criu_options", "pid")

    def __init__(self, root: str, id: str, bundle: Bundle, options: Options, criu_options: CriuOptions) -> None:
        super().__init__(root, id, bundle, options)
        self.criu_options = criu_options
        self.criu: Criu
        self.pid = 0
        self._service: Service | None = None
        self._streams: Streams
        self._externals: list[External] = []
        self._image_fd = self._work_fd = -1
        self._fds: list[int] = []

    def run(self) -> None:
        require_root()
        self.criu_options.check()
        self.criu = ready(self.criu_options)
        try:
            super().run()
        finally:
            for fd in self._fds:
                os.close(fd)

    def _filter(self) -> Any:
        """The processes have theirs, in the images."""
        return None

    def _launch(self, plan: Plan, compilation: Compilation) -> None:
        request.refuse(compilation)
        fields = self._fields(compilation)
        preparation.make_mount_points(compilation)
        inherited = self._inherit(compilation, fields)
        keyring = None if self.options.no_new_keyring else f"_ses.{self.id}"
        self._service = service = Service(
            self.criu, fds=inherited, rootfs=compilation.rootfs, mount_point=self.entry.path, keyring=keyring
        )
        self._enter_cgroup(plan, compilation, service.pid)
        fields["cg_root"] = _cgroup_roots(service.pid)
        fields["images_dir_fd"] = self._image_fd
        if "user" in compilation.create_namespaces:
            mappings = self.config["linux"].get("uidMappings") or ()
            fields["images_dir_fd"] = self._keep(images.open_mapped(self._image_fd, mappings))
        # By criu's own mounts, not ours: it mounts something below the directory in which it works.
        fields["work_dir_fd"] = self._keep(images.open_as(service.pid, self._work_fd))
        with preparation.Room(compilation), Yard(self.entry) as yard:
            fields.update(yard.fields)
            self._restore(service, fields)

    def _restore(self, service: Service, fields: dict[str, Any]) -> None:
        try:
            self.pid = service.request(rpc.RESTORE, fields, self._notified).pid
        except CriuError as error:
            directory = self.criu_options.work_path or self.criu_options.image_path
            log = program.read_log(self._work_fd, fields["log_file"])
            raise program.failure("restore", str(error), log, f"{directory}/{fields['log_file']}") from None
        service.close()

    def _fields(self, compilation: Compilation) -> dict[str, Any]:
        fields = request.restore_options(self.criu_options)
        self._image_fd = self._work_fd = self._keep(images.open_directory(self.criu_options.image_path, make=False))
        if self.criu_options.work_path is not None:
            self._work_fd = self._keep(images.open_directory(self.criu_options.work_path, make=True))
        fields["root"] = self.entry.path
        self._streams = Streams.read(self._image_fd)
        self._externals = request.externals(compilation)
        fields["ext_mnt"] = request.restored_mounts(self._externals, os.path.realpath)
        path = config_file(compilation)
        if path is not None:
            fields["config_file"] = path
        return fields

    def _keep(self, fd: int) -> int:
        """Closes *fd* when all is done."""
        self._fds.append(fd)
        return fd

    def _inherit(self, compilation: Compilation, fields: dict[str, Any]) -> list[int]:
        """Enters what of the host takes the place of what the processes had into *fields*: standard streams and
        namespaces. Returns the descriptors that criu has to be given."""
        inherited, joined = request.joined_namespaces(compilation)
        fds = [self._keep(fd) for fd in open_own()]
        fields["inherit_fd"] = [{"key": name, "fd": FIRST_FD + fd} for name, fd in self._streams.inherited()]
        for path, key, pointer in inherited:
            fields["inherit_fd"].append({"key": key, "fd": FIRST_FD + len(fds)})
            fds.append(self._open_namespace(path, pointer))
        fields["join_ns"] = [
            {"ns": word, "ns_file": f"/proc/{os.getpid()}/fd/{self._open_namespace(path, pointer)}"}
            for path, word, pointer in joined
        ]
        return fds

    def _open_namespace(self, path: str, pointer: str) -> int:
        try:
            return self._keep(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            raise StepError(f"join namespace {path}", error.errno or 0, filename=path, origin=pointer) from None

    def _enter_cgroup(self, plan: Plan, compilation: Compilation, pid: int) -> None:
        """What criu starts is where criu is."""
        doer = self._creator(compilation, -1)
        for op in plan.ops:
            if op.where == "host" and op.kind in _HOST_OPS:
                doer.do(op, lambda: pid)
        enter(self.cgroup.directories, pid)

    def _notified(self, word: str, pid: int, fds: list[int]) -> None:
        if word == "setup-namespaces":
            self._run_hooks(pid)
            self.pid = pid
        elif word == "post-setup-namespaces" and self._has_own_network():
            preparation.set_loopback_up(self.pid)
        elif word == "orphan-pts-master" and fds:
            socket_fd = self._console()
            try:
                check(lib.ocirt_send_fd(socket_fd, fds[0], ffi.from_buffer(b"/dev/ptmx\0")), "send the terminal")
            finally:
                os.close(socket_fd)
        elif word == "post-restore":
            self.pid = pid
            readonly = bool(self.config["root"].get("readonly"))
            preparation.restrict_mounts(pid, self._externals, readonly_root=readonly)
            self._remember()

    def _look_at_privileges(self) -> None:
        """criu 3.17 does not restore no_new_privs, and nobody else can set it for a process."""
        if not (self.config.get("process") or {}).get("noNewPrivileges"):
            return
        try:
            with open(f"/proc/{self.pid}/status", encoding="utf-8", errors="replace") as file:
                is_lost = any(line.split() == ["NoNewPrivs:", "0"] for line in file)
        except OSError:
            return  # it has ended already
        if is_lost:
            self.options.warn(f"criu {self.criu.version} has not restored no_new_privs of the container's process")

    def _has_own_network(self) -> bool:
        namespaces = (self.config.get("linux") or {}).get("namespaces") or ()
        return any(each["type"] == "network" and not each.get("path") for each in namespaces)

    def _run_hooks(self, pid: int) -> None:
        """As runc does: those that the runtime runs when the namespaces are there. The container's own have run when it
        was created."""
        from ocirt import hooks

        annotations = self.config.get("annotations") or {}
        text = dumps(state_document(self.id, "created", pid, self.bundle.path, annotations))
        for kind in ("prestart", "createRuntime"):
            for index, hook in enumerate((self.config.get("hooks") or {}).get(kind) or ()):
                hooks.run(kind, index, hook, text, annotations, self.bundle.path)

    def _remember(self) -> None:
        """From now on there is a container, which the next moment runs."""
        config = self.config
        linux = config.get("linux") or {}
        kinds = [each["type"] for each in linux.get("namespaces") or ()]
        # criu gives every container a time namespace, so that its clocks go on where they were; exec has to join it.
        if "time" not in kinds and not host.is_own_namespace(f"/proc/{self.pid}/ns/time", "time"):
            config = {**config, "linux": {**linux, "namespaces": [*linux.get("namespaces", ()), {"type": "time"}]}}
        self.entry.write("config.json", dumps(config))
        self._write_state(self.pid, "running")

    def _publish(self) -> None:
        self._look_at_privileges()
        self._tell(self.pid, self._keep(os.pidfd_open(self.pid)))

    def _undo(self, error: BaseException) -> None:
        try:
            if self._service is not None:
                self._service.close()
            if self.pid:
                _end(self.pid)
        except Exception as failure:
            error.add_note(f"while undoing: {failure}")
        super()._undo(error)


def _end(pid: int) -> None:
    """Ends a child, the init of a PID namespace, and with it all in there."""
    try:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass


def _cgroup_roots(pid: int) -> list[dict[str, str]]:
    """The field cg_root: below which cgroup, in each hierarchy, criu finds those of the images again."""
    path = f"/proc/{pid}/cgroup"
    roots = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            _, controllers, place = line.rstrip("\n").split(":", 2)
            roots.append({"ctrl": controllers, "path": place})
    return roots
