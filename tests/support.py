"""What tests on real containers are made of: bundles, the command, running containers, and the search for what is left
behind.

A test takes the fixtures ``runtime`` and ``bundle`` of conftest.py and reads like this::

    pytestmark = pytest.mark.needs_root

    def test_the_hostname_is_that_of_the_configuration(runtime: Runtime, bundle: Bundle) -> None:
        bundle.config["hostname"] = "box"
        assert runtime.probe(bundle, "uts")["hostname"] == "box"          # ocirt run, checked, its JSON

    def test_a_missing_rootfs_is_named(runtime: Runtime, bundle: Bundle) -> None:
        bundle.config["root"]["path"] = "nowhere"
        result = runtime.run(bundle)                                      # ocirt run, whatever comes of it
        assert result.status == 1 and "nowhere" in result.err

    def test_a_created_container_waits(runtime: Runtime, bundle: Bundle) -> None:
        container = runtime.create(bundle, "pause")                       # ocirt create, checked
        container.start()
        assert container.read_line() == "ready"
        assert container.exec("/init", "pids").value["pid"] != 1

The program in the container is tests/container_init, ``/init`` in the bundle's root filesystem: see its main.c.
Every test has a state directory of its own, ``runtime.root``, and ids that begin with ``runtime.token``; containers
that ``create``, ``start`` and ``run_detached`` have made are deleted by force when the test is over. After that nothing
may be left: no mount, no cgroup, no process, no state, no open descriptor, and /dev/null is as it was
(``host_view.Leftovers``).

What the host looks like, and how to wait for what happens there, is in host_view.py.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from host_view import CLONE_NEWNS, MS_PRIVATE, MS_REC, PATIENCE, Orphans, mount, unshare, wait_readable

#: An ordinary user of the host.
USER = 1000
#: The command under test: that of the environment in which the tests run.
OCIRT = Path(sys.executable).with_name("ocirt")

DEFAULT_CAPABILITIES = [
    f"CAP_{name}"
    for name in (
        *("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP"),
        *("NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"),
    )
]
NAMESPACES = ("pid", "network", "ipc", "uts", "mount")

PROC = {"destination": "/proc", "type": "proc", "source": "proc"}
DEV = {
    "destination": "/dev",
    "type": "tmpfs",
    "source": "tmpfs",
    "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
}
DEVPTS = {
    "destination": "/dev/pts",
    "type": "devpts",
    "source": "devpts",
    "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
}
SHM = {
    "destination": "/dev/shm",
    "type": "tmpfs",
    "source": "shm",
    "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
}
MQUEUE = {
    "destination": "/dev/mqueue",
    "type": "mqueue",
    "source": "mqueue",
    "options": ["nosuid", "noexec", "nodev"],
}
SYSFS = {
    "destination": "/sys",
    "type": "sysfs",
    "source": "sysfs",
    "options": ["nosuid", "noexec", "nodev", "ro"],
}
CGROUP = {
    "destination": "/sys/fs/cgroup",
    "type": "cgroup",
    "source": "cgroup",
    "options": ["nosuid", "noexec", "nodev", "relatime", "ro"],
}

_BASE: dict[str, Any] = {
    "ociVersion": "1.3.0",
    "process": {
        "args": ["/init"],
        "cwd": "/",
        "env": ["PATH=/"],
        "user": {"uid": 0, "gid": 0},
        "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), DEFAULT_CAPABILITIES),
    },
    "root": {"path": "rootfs"},
    "mounts": [PROC, DEV, DEVPTS],
    "linux": {"namespaces": [{"type": kind} for kind in NAMESPACES]},
}


class Bundle:
    """A bundle: ``config`` is written to config.json whenever the command is about to read it (``save``)."""

    def __init__(self, path: Path, init: Path) -> None:
        self.path = path
        self.rootfs = path / "rootfs"
        self.config: Any = copy.deepcopy(_BASE)
        self.rootfs.mkdir(parents=True)
        os.link(init, self.rootfs / "init")

    @property
    def process(self) -> Any:
        return self.config["process"]

    @property
    def linux(self) -> Any:
        return self.config["linux"]

    def save(self) -> None:
        (self.path / "config.json").write_text(json.dumps(self.config))

    def set_program(self, *words: str) -> None:
        """The program is the init with these commands."""
        self.process["args"] = ["/init", *words]

    def add_mount(self, destination: str, type: str | None = None, source: str | Path = "", *options: str) -> None:
        """Appends to ``mounts``; without a type it is a bind mount if the options say so."""
        mount: dict[str, Any] = {"destination": destination}
        if type is not None:
            mount["type"] = type
        if source:
            mount["source"] = str(source)
        if options:
            mount["options"] = list(options)
        self.config["mounts"].append(mount)

    def add_namespace(self, kind: str, path: str | None = None) -> None:
        """Appends to ``linux.namespaces``, in place of one of the same kind."""
        self.remove_namespace(kind)
        self.linux["namespaces"].append({"type": kind} if path is None else {"type": kind, "path": path})

    def remove_namespace(self, *kinds: str) -> None:
        self.linux["namespaces"] = [each for each in self.linux["namespaces"] if each["type"] not in kinds]

    def notify(self, path: Path, *names: str, **more: Any) -> None:
        """A seccomp profile that sends system calls, mkdir unless they are named, to the agent at *path*."""
        rules = [{"names": list(names) or ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]
        profile = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path), "syscalls": rules}
        self.linux["seccomp"] = {**profile, **more}

    def map_ids(self, *lines: tuple[int, int, int]) -> None:
        """A user namespace with these lines of (container id, host id, size), for users and for groups; the root
        filesystem is given to the user that is root inside."""
        self.add_namespace("user")
        mappings = [{"containerID": inside, "hostID": host, "size": size} for inside, host, size in lines]
        self.linux["uidMappings"] = mappings
        self.linux["gidMappings"] = copy.deepcopy(mappings)
        root = next((host for inside, host, _ in lines if inside == 0), lines[0][1])
        # The init is one file for all tests and belongs to root: everybody may execute it.
        os.chown(self.rootfs, root, root)
        open_path(self.rootfs)

    def write(self, path: str, text: str = "", mode: int = 0o644) -> Path:
        """A file in the root filesystem, with its directories."""
        target = self.rootfs / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        target.chmod(mode)
        return target

    def mkdir(self, path: str) -> Path:
        target = self.rootfs / path.lstrip("/")
        target.mkdir(parents=True, exist_ok=True)
        return target


def open_path(path: Path) -> None:
    """Lets every user search the directories that lead to *path*, as far as they are those of the tests."""
    for directory in (path, *path.parents):
        if directory.stat().st_uid != 0 or directory in (Path("/"), Path("/tmp"), Path("/var/tmp")):
            continue
        mode = directory.stat().st_mode
        if not mode & 0o001:
            directory.chmod(mode & 0o7777 | 0o011)


class Result:
    """What came of a command: ``status`` (negative: the signal that ended it), and what is on its outputs up to now."""

    def __init__(self, words: Sequence[str], status: int, out_fd: int, err_fd: int) -> None:
        self.words = list(words)
        self.status = status
        self._fds = out_fd, err_fd

    @property
    def out(self) -> str:
        return _content(self._fds[0])

    @property
    def err(self) -> str:
        return _content(self._fds[1])

    @property
    def values(self) -> list[Any]:
        """The JSON values on standard output, one per line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def value(self) -> Any:
        """The one JSON value on standard output."""
        (value,) = self.values
        return value

    def check(self) -> Result:
        """Fails unless the command has succeeded and has said nothing on standard error."""
        assert (self.status, self.err) == (0, ""), f"{self} failed"
        return self

    def fails(self, *texts: str, status: int = 1) -> Result:
        """Fails unless the command has failed in good style: with *status*, one log line, every one of *texts* on
        standard error, and no traceback."""
        err = self.err
        assert self.status == status, f"{self}: wanted status {status}"
        assert err.count("level=error") == 1, f"{self}: wanted one error"
        for text in texts:
            assert text in err.replace('\\"', '"'), f"{self}: wanted {text!r}"
        for word in ("Traceback", "internal error", "this is a bug", "while undoing"):
            assert word not in err, f"{self}: found {word!r}"
        return self

    def __repr__(self) -> str:
        return f"{' '.join(self.words)!r} -> status {self.status}, out {self.out[-2000:]!r}, err {self.err[-4000:]!r}"


def _content(fd: int) -> str:
    return os.pread(fd, 64 << 20, 0).decode("utf-8", "surrogateescape")


class Runtime:
    """The command with a state directory of its own. Made by the fixture ``runtime``; ``close`` ends everything that it
    has started."""

    def __init__(self, directory: Path, token: str, orphans: Orphans, *, user: tuple[int, int] | None = None) -> None:
        """With *user*, a uid and a gid, every command runs as that user."""
        self.orphans = orphans
        self._directory = directory
        self.root = directory / "state"
        self.token = token
        self.user = user
        #: Words in front of the command's name, behind --root.
        self.global_words: list[str] = []
        #: A command in front of the command, as of setpriv(1).
        self.wrapper: list[str] = []
        self._count = 0
        self._fds: list[int] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._containers: list[Container] = []

    def new_id(self) -> str:
        self._count += 1
        return f"{self.token}-{self._count}"

    def command(self, *words: str) -> list[str]:
        return [*self.wrapper, str(OCIRT), "--root", str(self.root), *self.global_words, *words]

    def popen(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Starts the command and returns; standard input is /dev/null unless *options* say otherwise."""
        options.setdefault("stdin", subprocess.DEVNULL)
        if self.user is not None:
            options.update(user=self.user[0], group=self.user[1], extra_groups=[])
        process = subprocess.Popen(self.command(*words), **options)
        self._processes.append(process)
        return process

    def __call__(self, *words: str, input: str | None = None, timeout: float = PATIENCE, **options: Any) -> Result:
        """Runs the command, waits for its end, and returns whatever came of it. *options* are those of
        subprocess.Popen."""
        out, err = self._memory("out"), self._memory("err")
        options.setdefault("stdout", out)
        options.setdefault("stderr", err)
        if input is not None:
            stdin = self._memory("in")
            os.pwrite(stdin, input.encode(), 0)
            options["stdin"] = stdin
        process = self.popen(*words, **options)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{words} hangs, out {_content(out)!r}, err {_content(err)!r}") from None
        return Result(words, status, out, err)

    def popen_in_mount_namespace(self, propagation: int = MS_PRIVATE) -> subprocess.Popen[bytes]:
        """A process that stays in a mount namespace of its own, a copy of the tests' with that propagation."""

        def enter() -> None:
            unshare(CLONE_NEWNS)
            mount(None, "/", flags=MS_REC | propagation)

        program = [sys.executable, "-ISc", "import os; os.write(1, b'x'); os.read(0, 1)"]
        process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=enter)
        self._processes.append(process)
        assert process.stdout is not None
        process.stdout.read(1)
        return process

    def _memory(self, name: str) -> int:
        fd = os.memfd_create(f"test-{name}")
        self._fds.append(fd)
        return fd

    def keep(self, fd: int) -> int:
        """Closes *fd* when the test is over."""
        self._fds.append(fd)
        return fd

    # -- containers --------------------------------------------------------------------------------------------------

    def run(self, bundle: Bundle, *program: str, flags: Iterable[str] = (), **options: Any) -> Result:
        """``ocirt run`` of the bundle, with the init's commands *program* if there are any."""
        if program:
            bundle.set_program(*program)
        bundle.save()
        return self("run", *flags, "--bundle", str(bundle.path), self.new_id(), **options)

    def probe(self, bundle: Bundle, *program: str, flags: Iterable[str] = (), **options: Any) -> Any:
        """The JSON value that the init prints, a list of them when there are several commands. The run must succeed in
        silence."""
        values = self.run(bundle, *program, flags=flags, **options).check().values
        return values[0] if len(values) == 1 else values

    def create(self, bundle: Bundle, *program: str, flags: Iterable[str] = (), **options: Any) -> Container:
        """``ocirt create``, which must succeed in silence. The container's standard output is a pipe:
        ``Container.read_line``."""
        return self._make("create", bundle, program, flags, options)

    def start(self, bundle: Bundle, *program: str, flags: Iterable[str] = (), **options: Any) -> Container:
        """``ocirt create`` and ``ocirt start``."""
        container = self.create(bundle, *program, flags=flags, **options)
        container.start()
        return container

    def run_detached(self, bundle: Bundle, *program: str, flags: Iterable[str] = (), **options: Any) -> Container:
        """``ocirt run --detach``, which must succeed in silence."""
        return self._make("run", bundle, program, ("--detach", *flags), options)

    def start_paused_program(self, bundle: Bundle, *before: str) -> Container:
        """A container whose program stays until it is killed, and does so already."""
        container = self.start(bundle, *before, "pause")
        container.read_until("ready")
        return container

    def _make(
        self, verb: str, bundle: Bundle, program: Sequence[str], flags: Iterable[str], options: dict[str, Any]
    ) -> Container:
        if program:
            bundle.set_program(*program)
        bundle.save()
        id = options.pop("id", None) or self.new_id()
        pid_file = self._directory / f"{id}.pid"
        reader, writer = os.pipe()
        self.keep(reader)
        try:
            options.setdefault("stdout", writer)
            words = ("--bundle", str(bundle.path), "--pid-file", str(pid_file))
            result = self(verb, *words, *flags, id, **options).check()
            if "--pid-file" in flags:
                pid_file = Path(list(flags)[list(flags).index("--pid-file") + 1])
        finally:
            os.close(writer)
        container = Container(self, id, bundle, int(pid_file.read_text()), reader, result)
        self._containers.append(container)
        return container

    def adopt(self, id: str, bundle: Bundle, pid: int = 0) -> Container:
        """A container that the test has made in another way; deleted when the test is over."""
        container = Container(self, id, bundle, pid, -1, None)
        self._containers.append(container)
        return container

    def ids(self) -> list[str]:
        """What is in the state directory, but for the cache of filters."""
        if not self.root.exists():
            return []
        return sorted(path.name for path in self.root.iterdir() if path.name != "@seccomp")

    def close(self) -> None:
        """Deletes the containers, ends the processes, closes the descriptors."""
        failures = []
        for container in self._containers:
            if (self.root / container.id).exists():
                result = self("delete", "--force", container.id)
                if result.status != 0:
                    failures.append(result)
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        texts = [repr(failure) for failure in failures]
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        assert texts == [], f"delete --force has failed: {texts}"


class Container:
    """A container that a test has made: ``pid`` is that of its init on the host, ``out_fd`` the reading end of its
    standard output, ``result`` that of the command which has made it."""

    def __init__(self, runtime: Runtime, id: str, bundle: Bundle, pid: int, out_fd: int, result: Result | None) -> None:
        self.runtime = runtime
        self.id = id
        self.bundle = bundle
        self.pid = pid
        self.out_fd = out_fd
        self.result = result
        self._unread = b""

    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self.runtime("state", self.id).check().out)
        return state

    @property
    def status(self) -> str:
        return str(self.state()["status"])

    def start(self) -> None:
        self.runtime("start", self.id).check()

    def kill(self, *words: str) -> None:
        self.runtime("kill", self.id, *words).check()

    def delete(self, *flags: str) -> None:
        self.runtime("delete", *flags, self.id).check()

    def exec(self, *words: str, flags: Iterable[str] = (), **options: Any) -> Result:
        """``ocirt exec`` with *words* as the command; whatever comes of it."""
        return self.runtime("exec", *flags, self.id, *words, **options)

    def probe(self, *program: str, flags: Iterable[str] = (), **options: Any) -> Any:
        """The JSON value that the init's commands print when they are executed in the container, a list when there are
        several."""
        values = self.exec("/init", *program, flags=flags, **options).check().values
        return values[0] if len(values) == 1 else values

    def read_line(self) -> str:
        """The next line of its standard output."""
        while b"\n" not in self._unread:
            assert self._fill(), f"the end of the output, behind {self._unread!r}"
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("utf-8", "surrogateescape")

    def read_value(self) -> Any:
        return json.loads(self.read_line())

    def read_until(self, line: str) -> list[str]:
        """The lines in front of *line*."""
        lines: list[str] = []
        while (found := self.read_line()) != line:
            lines.append(found)
        return lines

    def read_rest(self) -> str:
        """All output up to its end."""
        while self._fill():
            pass
        rest, self._unread = self._unread, b""
        return rest.decode("utf-8", "surrogateescape")

    def _fill(self) -> bool:
        wait_readable(self.out_fd, f"output of {self.id}")
        data = os.read(self.out_fd, 65536)
        self._unread += data
        return bool(data)

    def wait(self) -> int:
        """Waits for the end of the init; its exit status, negative: the signal."""
        return self.runtime.orphans.wait(self.pid)
