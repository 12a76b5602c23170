"""Calls of systemd's manager, of the host or of a user, over D-Bus (org.freedesktop.systemd1(5)).

The messages are jeepney's: it is pure Python without dependencies, small, keeps protocol and sockets apart, and Debian
has it; with ``socket`` it takes 25 ms to import, and only here. dbus-fast needs asyncio, which takes 43 ms alone, and
sdbus needs libsystemd. What jeepney's own connection lacks is written here: a deadline on every call, the private
socket of a systemd without a bus, and a greeting that a user namespace does not spoil.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time

from jeepney import DBusAddress, HeaderFields, MessageType, Parser, new_method_call

from ocirt.errors import StepError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from jeepney import Message

    from ocirt.cgroup.unit_properties import Property

CALL_DEADLINE_SEC = 25.0  # that of sd-bus
JOB_DEADLINE_SEC = 30.0  # that of runc
_NAME = "org.freedesktop.systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_PATH = "/org/freedesktop/systemd1"
_BUS = DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus")
_MATCH = f"type='signal',sender='{_NAME}',interface='{_MANAGER}',member='JobRemoved',path='{_PATH}'"
# No identity is claimed, so the other side takes the one that the kernel tells. Inside a user namespace ours would be
# another number, and the claim false.
_GREETING = (b"\0AUTH EXTERNAL\r\n", b"DATA\r\n")
_LINE_LIMIT = 4096

UNIT_EXISTS = _NAME + ".UnitExists"
NO_SUCH_UNIT = _NAME + ".NoSuchUnit"
_ERRNOS = {
    UNIT_EXISTS: errno.EEXIST,
    NO_SUCH_UNIT: errno.ENOENT,
    "org.freedesktop.DBus.Error.AccessDenied": errno.EACCES,
    "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired": errno.EACCES,
    "org.freedesktop.DBus.Error.InvalidArgs": errno.EINVAL,
    "org.freedesktop.DBus.Error.LimitsExceeded": errno.EAGAIN,
    "org.freedesktop.DBus.Error.NoReply": errno.ETIMEDOUT,
    "org.freedesktop.DBus.Error.PropertyReadOnly": errno.EROFS,
    "org.freedesktop.DBus.Error.TimedOut": errno.ETIMEDOUT,
}
_ERRNO_PREFIX = "System.Error."


class BusError(StepError):
    """A call that failed; ``name`` is that of the D-Bus error, or "" when there was no answer."""

    name: str

    def __init__(self, step: str, number: int, *, name: str = "", detail: str = "", hint: str | None = None) -> None:
        super().__init__(step, number, detail=detail, hint=hint)
        self.name = name


class Systemd:
    """A connection to one manager: of the host, or with *user* that of the calling user. StepError from all methods.

    Both are reached by their bus, and without one by the socket that systemctl uses. Made by `connect`.
    """

    __slots__ = ("_has_bus", "_jobs", "_parser", "_serial", "_socket")

    def __init__(self, connected: socket.socket, *, has_bus: bool) -> None:
        self._socket = connected
        self._has_bus = has_bus
        self._parser = Parser()
        self._serial = 0
        self._jobs: list[tuple[str, str]] = []
        if has_bus:
            self._call(_BUS, "Hello")
            self._call(_BUS, "AddMatch", "s", (_MATCH,))

    @classmethod
    def connect(cls, *, user: bool) -> Systemd:
        """UnsupportedError where nothing listens."""
        tried = []
        for address, has_bus in _user_addresses() if user else _system_addresses():
            step = f"connect to systemd by {address}"
            try:
                connected = _connect(address)
            except OSError as error:
                tried.append(f"{address}: {os.strerror(error.errno or errno.EIO)}")
                continue
            try:
                _greet(connected)
                return cls(connected, has_bus=has_bus)
            except OSError as error:
                connected.close()
                if isinstance(error, StepError):
                    raise
                raise BusError(step, error.errno or errno.EIO) from error
        whose = "the user's systemd" if user else "systemd"
        unreachable = UnsupportedError(f"a container of {whose}", f"its bus ({'; '.join(tried) or 'no address'})")
        if user:
            unreachable.hint = "XDG_RUNTIME_DIR names the directory of a session that has one (pam_systemd(8))"
        raise unreachable

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Systemd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- units -------------------------------------------------------------------------------------------------------

    def start_scope(self, unit: str, properties: list[Property]) -> None:
        """Start the transient scope *unit*; it runs at return. BusError UNIT_EXISTS when there is one that is not the
        failed rest of another container."""
        arguments: tuple[Any, ...] = (unit, "replace", properties, [])
        try:
            (job,) = self._manager("StartTransientUnit", "ssa(sv)a(sa(sv))", arguments, unit)
        except BusError as error:
            if error.name != UNIT_EXISTS:
                raise
            self.reset_failed(unit)
            (job,) = self._manager("StartTransientUnit", "ssa(sv)a(sa(sv))", arguments, unit)
        result = self._wait_job(job, f"start unit {unit}")
        if result != "done":
            self.reset_failed(unit)
            raise BusError(f"start unit {unit}", errno.EIO, detail=f"the job ended as {result!r}")

    def stop(self, unit: str) -> None:
        """Stop *unit*, if there is one, and forget that it failed; its processes have ended at return."""
        try:
            (job,) = self._manager("StopUnit", "ss", (unit, "replace"), unit)
        except BusError as error:
            if error.name != NO_SUCH_UNIT:
                raise
            return
        self._wait_job(job, f"stop unit {unit}")
        self.reset_failed(unit)

    def reset_failed(self, unit: str) -> None:
        """Let *unit* go when it has failed. Nothing happens when it has not."""
        try:
            self._manager("ResetFailedUnit", "s", (unit,), unit)
        except BusError as error:
            if error.name != NO_SUCH_UNIT:
                raise

    def set_properties(self, unit: str, properties: list[Property]) -> None:
        """Change *properties* of *unit* until it is gone."""
        self._manager("SetUnitProperties", "sba(sv)", (unit, True, properties), unit)

    def properties(self, unit: str, names: set[str]) -> list[Property]:
        """Those properties of the scope *unit* that are called *names*."""
        (path,) = self._manager("GetUnit", "s", (unit,), unit)
        address = DBusAddress(path, _NAME, _PROPERTIES)
        (found,) = self._call(address, "GetAll", "s", (_NAME + ".Scope",), unit)
        return [(name, value) for name, value in found.items() if name in names]

    def attach(self, unit: str, below: str, pid: int) -> None:
        """Move the process *pid* into the cgroup *below* that of *unit*, "/" for the very one."""
        self._manager("AttachProcessesToUnit", "ssau", (unit, below, [pid]), unit)

    # -- manager -----------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """The release, 252 of "252.33-1~deb12u1" and "v252"."""
        text = str(self._manager_property("Version")).lstrip("v")
        digits = ""
        for character in text:
            if not character.isdecimal():
                break
            digits += character
        return int(digits or 0)

    def cgroup(self) -> str:
        """The cgroup below which all units are, "" for the root."""
        return str(self._manager_property("ControlGroup")).rstrip("/")

    def _manager_property(self, name: str) -> Any:
        address = DBusAddress(_PATH, _NAME, _PROPERTIES)
        ((_, value),) = self._call(address, "Get", "ss", (_MANAGER, name), name)
        return value

    def _manager(self, method: str, signature: str, arguments: tuple[Any, ...], unit: str) -> tuple[Any, ...]:
        return self._call(DBusAddress(_PATH, _NAME, _MANAGER), method, signature, arguments, unit)

    # -- messages ----------------------------------------------------------------------------------------------------

    def _call(
        self,
        address: DBusAddress,
        method: str,
        signature: str | None = None,
        arguments: tuple[Any, ...] = (),
        about: str = "",
    ) -> tuple[Any, ...]:
        """The answer to a call. BusError, which names *about* and the method."""
        step = f"call {method} of systemd" + (f" for {about}" if about else "")
        deadline = time.monotonic() + CALL_DEADLINE_SEC
        self._serial += 1
        try:
            message = new_method_call(address, method, signature, arguments).serialise(self._serial)
        except (TypeError, ValueError, OverflowError) as error:
            raise BusError(step, errno.EINVAL, detail=str(error)) from None
        serial = self._serial
        try:
            self._socket.settimeout(CALL_DEADLINE_SEC)
            self._socket.sendall(message)
            while True:
                reply = self._receive(deadline)
                if reply.header.fields.get(HeaderFields.reply_serial) == serial:
                    break
        except OSError as error:
            raise BusError(step, error.errno or errno.ETIMEDOUT) from error
        if reply.header.message_type == MessageType.error:
            name = str(reply.header.fields.get(HeaderFields.error_name))
            text = str(reply.body[0]) if reply.body else ""
            raise BusError(step, _errno(name), name=name, detail=f"{name}: {text}")
        return reply.body  # type: ignore[no-any-return]

    def _receive(self, deadline: float) -> Message:
        """The next message; ends of jobs are noted. OSError, TimeoutError at the *deadline*."""
        while True:
            message = self._parser.get_next_message()
            if message is not None:
                if message.header.fields.get(HeaderFields.member) == "JobRemoved":
                    _, path, _, result = message.body
                    self._jobs.append((path, result))
                return message
            self._parser.add_data(_read(self._socket, deadline))

    def _wait_job(self, job: str, step: str) -> str:
        """How *job* has ended: "done", "failed", "timeout", "canceled" or the like."""
        deadline = time.monotonic() + JOB_DEADLINE_SEC
        while True:
            for path, result in self._jobs:
                if path == job:
                    return result
            try:
                self._receive(deadline)
            except OSError as error:
                detail = f"no end of job {job.rpartition('/')[2]}"
                raise BusError(step, error.errno or errno.ETIMEDOUT, detail=detail) from error


def _system_addresses() -> list[tuple[str, bool]]:
    """(D-Bus address, whether a bus is there), in the order in which they are tried."""
    bus = os.getenv("DBUS_SYSTEM_BUS_ADDRESS") or "unix:path=/run/dbus/system_bus_socket"
    return [(bus, True), ("unix:path=/run/systemd/private", False)]


def _user_addresses() -> list[tuple[str, bool]]:
    addresses = []
    bus, directory = os.getenv("DBUS_SESSION_BUS_ADDRESS"), os.getenv("XDG_RUNTIME_DIR")
    if bus:
        addresses.append((bus, True))
    if directory:
        addresses += [(f"unix:path={directory}/bus", True), (f"unix:path={directory}/systemd/private", False)]
    return addresses


def _connect(address: str) -> socket.socket:
    """A socket that is connected to the first of the alternatives of *address* that answers. OSError."""
    failure = OSError(errno.EAFNOSUPPORT, "not a socket of this host")
    for alternative in address.split(";"):
        kind, _, pairs = alternative.partition(":")
        options = dict([pair.partition("=")[::2] for pair in pairs.split(",")])
        path = options.get("path") or ("\0" + options["abstract"] if "abstract" in options else "")
        if kind != "unix" or not path:
            continue
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            # Without O_NONBLOCK: a listener with a full queue is waited for, instead of EAGAIN.
            seconds = int(CALL_DEADLINE_SEC).to_bytes(8, "little") + bytes(8)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, seconds)
            connected.connect(os.fsdecode(_unescape(path)))
            return connected
        except OSError as error:
            connected.close()
            failure = error
    raise failure


def _unescape(text: str) -> bytes:
    """*text* without the %HH of a D-Bus address."""
    first, *rest = os.fsencode(text).split(b"%")
    return first + b"".join([bytes([int(part[:2], 16)]) + part[2:] for part in rest])


def _greet(connected: socket.socket) -> None:
    """Authenticate as whom the kernel says we are. OSError."""
    deadline = time.monotonic() + CALL_DEADLINE_SEC
    for line, wanted in zip(_GREETING, (b"DATA", b"OK "), strict=True):
        connected.sendall(line)
        answer = b""
        while not answer.endswith(b"\r\n"):
            answer += _read(connected, deadline)
            if len(answer) > _LINE_LIMIT:
                break
        if not answer.startswith(wanted):
            said = answer[:80].decode("utf-8", "replace").strip()
            raise BusError("authenticate to systemd", errno.EACCES, detail=said)
    connected.sendall(b"BEGIN\r\n")


def _read(connected: socket.socket, deadline: float) -> bytes:
    """What has come, before *deadline*. OSError, TimeoutError."""
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    if not poll.poll(max(0.0, (deadline - time.monotonic()) * 1000)):
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    data = connected.recv(65536)
    if not data:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    return data


def _errno(name: str) -> int:
    if name.startswith(_ERRNO_PREFIX):
        return int(getattr(errno, name.removeprefix(_ERRNO_PREFIX), errno.EIO))
    return _ERRNOS.get(name, errno.EIO)
