"""Create: from a bundle to a process that waits for start. Everything that fails is undone, in reverse.

The order is DESIGN's: configuration, plan, id, cgroup and init, pid file last.
"""

from __future__ import annotations

import os
import time

from ocirt import host
from ocirt._shim import ffi, lib
from ocirt.cgroup import Cgroup, detect
from ocirt.config.warnings import config_warnings
from ocirt.config.words import has_filter
from ocirt.errors import ConfigError, HookError, OcirtError, StepError
from ocirt.launch.channel import check
from ocirt.launch.doers import Creator, connect_console, send_pidfd
from ocirt.launch.walk import Walk
from ocirt.plan import CREATE, CREATE_WITHOUT_PROCESS, Compilation, Plan, compile_plan
from ocirt.state import CACHE_NAME, LISTENER, Entry, make_root, state_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ocirt.config.load import Bundle
    from ocirt.launch.net_devices import NetDevices
    from ocirt.options import Options
    from ocirt.plan.op import Op


def prepare(bundle: Bundle, id: str, options: Options, *, filter: Any = None) -> tuple[Plan, Cgroup, Compilation]:
    """Compiles the plan of a container. No effect on the host, which is only looked at."""
    config: Any = bundle.config
    layout = detect()
    linux = config.get("linux") or {}
    cgroup = Cgroup.resolve(
        layout,
        linux.get("cgroupsPath"),
        id,
        manager=options.cgroup_manager,
        rootless=host.is_rootless(),
        annotations=config.get("annotations"),
    )
    facts = host.facts(cgroup, unit=cgroup.unit)
    compilation = Compilation(config, facts, id=id, bundle=bundle.path, rootfs=_rootfs(bundle))
    if cgroup.directories or cgroup.skipped:
        from ocirt.cgroup import resources

        # Also for a configuration that asks for nothing: what is not allowed by a rule, of devices, is denied.
        wanted = linux.get("resources") or {}
        rules = wanted.get("devices") or ()
        compilation.settings = cgroup.adapt(resources.compile(wanted, layout), rules)
        cgroup.refuse_skipped(compilation.settings)
        compilation.device_program = resources.device_program(rules, layout)
    compilation.no_pivot = options.no_pivot
    compilation.no_new_keyring = options.no_new_keyring
    compilation.preserve_fds = options.all_preserved_fds()
    compilation.console = bool(compilation.process and compilation.process.get("terminal"))
    compilation.detached = not options.attached
    compilation.filter = filter
    compilation.is_traced = options.trace is not None
    compilation.mount_fds = options.mount_descriptors(config)
    options.pass_environment(compilation)
    _refuse_changes_of_host(linux)
    plan = compile_plan(CREATE if compilation.process else CREATE_WITHOUT_PROCESS, compilation)
    for warning in (*compilation.warnings, *cgroup.warnings):
        options.warn(warning)
    if cgroup.rootless and not cgroup.directories and "pid" not in compilation.create_namespaces:
        # The second sentence is runc's.
        options.warn(
            "the container has neither a cgroup nor a PID namespace of its own, by which kill and delete would find "
            "its processes. Such configuration is strongly discouraged"
        )
    return plan, cgroup, compilation


def _refuse_changes_of_host(linux: Any) -> None:
    """A network namespace given by path may be the host's own, whose parameters and devices a container must not
    change."""
    keys = [key for key in linux.get("sysctl") or () if key.startswith(("net.", "net/"))]
    devices = list(linux.get("netDevices") or ())
    for namespace in linux.get("namespaces") or () if keys or devices else ():
        path = namespace.get("path")
        if namespace["type"] == "network" and path and host.is_own_namespace(path, "net"):
            found, pointer = (keys[0], "/linux/sysctl") if keys else (devices[0], "/linux/netDevices")
            raise ConfigError(f"{found} is of the host: {path} is the host's own network namespace", pointer=pointer)


def _rootfs(bundle: Bundle) -> str:
    config: Any = bundle.config
    if not config.get("root"):
        raise ConfigError("wanted the root filesystem, found none: create needs it", pointer="/root")
    path = os.path.join(bundle.path, config["root"]["path"])
    try:
        real = os.path.realpath(path, strict=True)
    except OSError as error:
        raise StepError(f"use root filesystem {path}", error.errno or 0, filename=path, origin="/root/path") from None
    if not os.path.isdir(real):
        raise StepError(f"use root filesystem {path}", 20, filename=path, origin="/root/path")
    return real


class Creation:
    """One create. ``run`` leaves ``walk`` at the meeting where the init waits for start."""

    __slots__ = (
        "bundle",
        "cgroup",
        "config",
        "document",
        "doer",
        "entry",
        "id",
        "joined_mounts_fd",
        "net_devices",
        "options",
        "root",
        "walk",
    )

    def __init__(self, root: str, id: str, bundle: Bundle, options: Options) -> None:
        self.root = root
        self.id = id
        self.bundle = bundle
        self.options = options
        self.config: Any = bundle.config
        self.walk: Walk | None = None
        self.net_devices: NetDevices | None = None
        self.joined_mounts_fd = -1
        self.entry: Entry
        self.document: dict[str, Any] = {}

    def run(self) -> None:
        """Raises what went wrong after everything is undone; errors of the undoing are notes of it."""
        self.options.check()
        for warning in config_warnings(self.config):
            self.options.warn(warning)
        self.entry = Entry.reserve(self.root, self.id)
        try:
            self._add_notify_socket()
            plan, self.cgroup, compilation = prepare(self.bundle, self.id, self.options, filter=self._filter())
            self._check_console(compilation.console)
            self.cgroup.plan_to_make()
            self._write_state(0, "creating")
            self._launch(plan, compilation)
            self._publish()
        except BaseException as error:
            self._undo(error)
            if isinstance(error, HookError):
                self._run_poststop()
            raise
        finally:
            if self.joined_mounts_fd >= 0:
                os.close(self.joined_mounts_fd)

    def _add_notify_socket(self) -> None:
        if not (self.options.notify_socket and self.config.get("process")):
            return
        from ocirt import notify

        self.entry.make_directory(notify.DIRECTORY)
        self.config["mounts"] = [*(self.config.get("mounts") or ()), notify.mount(self.entry.path)]
        process = self.config["process"]
        process["env"] = [*(process.get("env") or ()), f"NOTIFY_SOCKET={notify.INSIDE}"]

    def _run_poststop(self) -> None:
        """A failing hook stops the container, and the lifecycle goes on where it is destroyed and the poststop hooks
        are invoked (runtime.md#lifecycle, steps 3 to 5, 12 and 13)."""
        from ocirt import hooks
        from ocirt.json_text import dumps

        if self.document["poststop"]:
            annotations = self.document["annotations"]
            state = dumps(state_document(self.id, "stopped", 0, self.bundle.path, annotations))
            hooks.run_poststop(self.document["poststop"], state, annotations, self.bundle.path, self.options.warn)

    def _filter(self) -> Any:
        if self.options.recorder is not None:
            linux = self.config.setdefault("linux", {})
            if has_filter(self.config):
                self.options.warn("the seccomp filter of the configuration is not in force while a profile is recorded")
            linux["seccomp"] = self.options.recorder.section()
            return self.options.recorder.filter()
        if not has_filter(self.config):
            return None
        from ocirt.seccomp import container_filter

        make_root(self.root)
        return container_filter(self.config, cache_directory=f"{self.root}/{CACHE_NAME}")

    def _check_console(self, wanted: bool) -> None:
        has_socket = self.options.console_socket is not None or self.options.console_fd is not None
        if wanted and not has_socket:
            raise OcirtError("cannot allocate tty if ocirt will detach without setting console socket")
        if not wanted and self.options.console_socket is not None:
            raise OcirtError("cannot use console socket if ocirt will not detach or allocate tty")

    def _launch(self, plan: Plan, compilation: Compilation) -> None:
        bundle_fd = os.open(self.bundle.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        doer = self.doer = self._creator(compilation, bundle_fd)
        try:
            self.walk = Walk(plan, doer, self.options.timeline)
            self.walk.run()
        finally:
            if self.walk is not None:
                self.options.trace_walk(self.walk)
            os.close(bundle_fd)
            doer.close()

    def _mounts_joined(self, namespace_fd: int) -> None:
        # Kept for the undoing: later on the path may lead elsewhere, as when a pid is another process's.
        self.joined_mounts_fd = os.dup(namespace_fd)

    def _creator(self, compilation: Compilation, bundle_fd: int) -> Creator:
        doer = Creator(bundle_fd=bundle_fd, cgroup=self.cgroup, console=self._console, state_text=self._state_text)
        doer.annotations = self.config.get("annotations") or {}
        doer.bundle = self.bundle.path
        doer.listener = self._listen
        doer.save_words = self._save_words
        doer.mounts_joined = self._mounts_joined
        doer.privileged = compilation.host.privileged
        doer.settings = compilation.settings
        doer.cgroup_made = self._cgroup_made
        doer.make_resctrl = self._make_resctrl
        doer.move_net_devices = self._move_net_devices
        return doer

    def _cgroup_made(self) -> None:
        self._write_state(0, "creating")
        if self.options.trace is not None and self.cgroup.rootless:
            from ocirt.cgroup.losses import losses

            for line in losses(self.cgroup):
                self.options.trace(line)

    def _make_resctrl(self, rdt: Any, pid: int) -> None:
        from ocirt.resctrl import Group, find_root

        group = Group.resolve(rdt, self.id, find_root())
        # Known before it is made: a create that is killed leaves it to `delete`.
        self.document["resctrl"] = group.to_state()
        self._write_state(0, "creating")
        group.create(rdt)
        group.join(pid)

    def _move_net_devices(self, wanted: Any, pid: int) -> None:
        from ocirt.launch.net_devices import NetDevices

        self.net_devices = NetDevices(pid, "/linux/netDevices")
        self.net_devices.move(wanted)

    def _save_words(self) -> None:
        """What start and exec will ask for, while there is nothing to do but to wait for the init."""
        assert self.walk is not None
        if not self.options.attached:
            self.entry.write_document("start.json", _remaining(self.walk))
        self.entry.write("config.json", self.bundle.text)

    def _publish(self) -> None:
        """The init is ready: from now on there is a created container."""
        assert self.walk is not None
        self._write_state(self.walk.pid, "created")
        self._tell(self.walk.pid, self.walk.pidfd)
        if not self.options.attached:
            self.walk.commit(and_start=False)
        if self.net_devices is not None:
            self.net_devices.close()
            self.net_devices = None

    def _tell(self, pid: int, pidfd: int) -> None:
        """Tells the caller of the container's process."""
        self.options.send_pidfd(pidfd)
        receiver = self.document["annotations"].get("run.oci.pidfd_receiver")
        if receiver:
            origin = "/annotations/run.oci.pidfd_receiver"
            send_pidfd(pidfd, os.path.join(self.bundle.path, receiver), origin)
        self.options.write_pid_file(pid)

    def _listen(self) -> int:
        path = self.entry.socket_path(LISTENER)
        fd = check(lib.ocirt_listen(ffi.from_buffer(os.fsencode(path) + b"\0")), "make the socket for start")
        os.chmod(path, 0o600)  # whatever the caller's umask is
        return fd

    def _console(self) -> int:
        if self.options.console_socket is not None:
            return connect_console(self.options.console_socket)
        assert self.options.console_fd is not None
        return os.dup(self.options.console_fd)

    def _state_text(self, inside: bool) -> str:
        """The state for a hook. "For hooks executed in the container namespace, it is the pid as seen by the container"
        (runtime.md#state)."""
        from ocirt.json_text import dumps

        pid = self.walk.pid if self.walk else 0
        pid = host.pid_inside(pid) if inside else pid
        return dumps(state_document(self.id, "created", pid, self.bundle.path, self.config.get("annotations")))

    def _write_state(self, pid: int, status: str) -> None:
        """What later commands need, so that none of them has to read the configuration."""
        if not self.document:
            now = time.time_ns()
            seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
            hooks = self.config.get("hooks") or {}
            process = self.config.get("process") or {}
            linux = self.config.get("linux") or {}
            namespaces = linux.get("namespaces") or ()
            kinds = {namespace["type"] for namespace in namespaces}
            # The end of its init ends all others only in a PID namespace that was made for it.
            own_pid_namespace = any(each["type"] == "pid" and not each.get("path") for each in namespaces)
            self.document = {
                "version": 1,
                "id": self.id,
                "bundle": self.bundle.path,
                "rootfs": _rootfs(self.bundle),
                "created": f"{seconds}.{now % 10**9:09d}Z",
                "uid": os.geteuid(),
                "annotations": self.config.get("annotations") or {},
                "poststart": hooks.get("poststart") or [],
                "poststop": hooks.get("poststop") or [],
                "hasProcess": bool(process),
                "terminal": bool(process.get("terminal")),
                "ownPidNamespace": own_pid_namespace,
                "ownMountNamespace": "mount" in kinds,
                "noPivot": self.options.no_pivot,
                "noNewKeyring": self.options.no_new_keyring,
                "streams": host.standard_streams(),
            }
        stat = host.process_stat(pid) if pid else None
        self.document["status"] = status
        self.document["pid"] = pid
        self.document["startTime"] = stat.start_time if stat else 0
        self.document["cgroup"] = self.cgroup.to_state()
        self.entry.write_state(self.document)

    def _undo(self, error: BaseException) -> None:
        steps: list[Any] = []
        if self.net_devices is not None:
            steps += [self.net_devices.bring_back, self.net_devices.close]
        if self.walk is not None:
            steps += [self.walk.abort, self.walk.close]
        if hasattr(self, "cgroup"):
            steps += [lambda: self.cgroup.kill(9), self.cgroup.delete]
        if "resctrl" in self.document:
            steps.append(lambda: remove_resctrl(self.document))
        # Before that, what is mounted there is somebody else's. A mount namespace that was made for the container goes
        # with its init; one that was joined stays, and what had been mounted there before the root was changed.
        own = self.document.get("ownMountNamespace") and self.joined_mounts_fd < 0
        if self.walk is not None and self.walk.is_beyond("ROOTFS") and not own:
            steps.append(lambda: unmount_rootfs(self.document["rootfs"], self.joined_mounts_fd))
        steps += [self.entry.remove, self.entry.close]
        for step in steps:
            try:
                step()
            except Exception as failure:
                error.add_note(f"while undoing: {failure}")


def remove_resctrl(document: dict[str, Any]) -> None:
    """Removes the resctrl groups that were made for the container."""
    if "resctrl" in document:
        from ocirt.resctrl import Group

        Group.from_state(document["resctrl"]).delete()


def unmount_rootfs(rootfs: str, namespace_fd: int = -1) -> None:
    """In a mount namespace that is not the container's own (the runtime's unless *namespace_fd* is given), its mounts
    hang below the one at the root filesystem."""
    result = lib.ocirt_unmount(namespace_fd, ffi.from_buffer(os.fsencode(rootfs) + b"\0"))
    if result not in (0, -22, -2):  # EINVAL: nothing is mounted there; ENOENT
        check(result, f"unmount {rootfs}", rootfs)


def _remaining(walk: Walk) -> dict[str, Any]:
    """The words for the operations that come after start, which another process will have to report on."""
    tail = walk.remaining()
    return {"first": len(walk.ops) - len(tail), "ops": [_words(op) for op in tail]}


def _words(op: Op) -> dict[str, Any]:
    words: dict[str, Any] = {"kind": op.kind, "step": op.step, "origin": op.origin}
    if op.path:
        words["path"] = op.path
    if op.kind == "HOOK":
        value: Any = op.value
        kind, index, hook = value
        words["hook"] = [kind, index, {"path": hook["path"], "timeout": hook.get("timeout")}]
    elif op.kind == "SECCOMP" and op.value is not None:
        words["agent"] = op.value
    elif op.kind == "EXECVE":
        words["name"] = op.data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    return words
