"""Moves network devices from the runtime's network namespace into the container's, and back when create fails.

The messages are pyroute2's (rtnetlink(7)); it is slow to import, and imported only for a container that has such
devices. What becomes of a device later is the business of who owns the namespace, never of the runtime.
"""

from __future__ import annotations

import errno
import os

from pyroute2 import IPRoute, NetlinkError

from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IFF_UP = 1
_IFA_F_PERMANENT = 0x80
# How an address is used, as its owner has said; the other flags tell what the kernel has made of it.
_IFA_F_KEPT = 0x02 | 0x10 | 0x100 | 0x200 | 0x400  # NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN
_RT_SCOPE_UNIVERSE = 0


class _Namespace:
    """A network namespace, and a netlink socket in it."""

    __slots__ = ("fd", "route")

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.route = IPRoute(netns=f"/proc/self/fd/{self.fd}", flags=0)
        except BaseException:
            os.close(self.fd)
            raise

    def find(self, name: str) -> Any:
        """The link of this name. Raises NetlinkError ENODEV."""
        return self.route.link("get", ifname=name)[0]

    def has(self, name: str) -> bool:
        try:
            self.find(name)
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise
            return False
        return True

    def indexes(self) -> set[int]:
        return {link["index"] for link in self.route.get_links()}

    def close(self) -> None:
        self.route.close()
        os.close(self.fd)


class _Device:
    """A link as it was on the host: its name, whether it was up, and the addresses that go with it."""

    __slots__ = ("addresses", "index", "is_up", "name", "pointer", "wanted")

    def __init__(self, host: _Namespace, name: str, wanted: str, pointer: str) -> None:
        link = host.find(name)
        self.name = name
        self.wanted = wanted
        self.pointer = pointer
        self.index: int = link["index"]
        self.is_up = bool(link["flags"] & _IFF_UP)
        # Before the move, which takes the link down and its addresses away.
        self.addresses = [
            address for address in map(_kept, host.route.get_addr(index=self.index)) if address is not None
        ]

    def carry(self, source: _Namespace, target: _Namespace, name: str) -> None:
        """The kernel renames in the same step, so that a name that is taken in between is in nobody's way."""
        before = target.indexes() if "%d" in name else set()
        source.route.link("set", index=self.index, ifname=name, net_ns_fd=target.fd)
        if "%d" in name:
            first, _, last = name.partition("%d")
            self.index = next(
                link["index"]
                for link in target.route.get_links()
                if link["index"] not in before
                and link.get("ifname").startswith(first)
                and link.get("ifname").endswith(last)
            )
        else:
            self.index = target.find(name)["index"]

    def settle(self, target: _Namespace, *, up: bool) -> None:
        for address in self.addresses:
            target.route.addr("add", index=self.index, **address)
        if up:
            target.route.link("set", index=self.index, state="up")


def _kept(message: Any) -> dict[str, Any] | None:
    """What to say to make an address again; None for one that stays: "all permanent IP addresses (IFA_F_PERMANENT flag)
    of any family with global scope (RT_SCOPE_UNIVERSE value)" are preserved, and no others."""
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    if not flags & _IFA_F_PERMANENT or message["scope"] != _RT_SCOPE_UNIVERSE:
        return None
    address = {"family": message["family"], "prefixlen": message["prefixlen"], "flags": flags & _IFA_F_KEPT}
    for key in ("address", "local", "broadcast"):
        value = message.get_attr(f"IFA_{key.upper()}")
        if value is not None:
            address[key] = value
    return address


class NetDevices:
    """The devices of one container on their way, until its create is complete."""

    __slots__ = ("_container", "_host", "_moved")

    def __init__(self, pid: int, pointer: str) -> None:
        self._moved: list[_Device] = []
        path = f"/proc/{pid}/ns/net"
        try:
            self._host = _Namespace("/proc/thread-self/ns/net")
            try:
                self._container = _Namespace(path)
            except BaseException:
                self._host.close()
                raise
        except OSError as error:
            raise StepError(
                "open the container's network namespace", error.errno or 0, filename=path, origin=pointer
            ) from None

    def move(self, wanted: list[tuple[str, str, str]]) -> None:
        """*wanted* are the name on the host, the name in the container, the pointer. Raises StepError; `bring_back`
        undoes what was done before it."""
        devices = []
        for name, inside, pointer in wanted:
            step = f"move network device {name} into the container"
            try:
                devices.append(_Device(self._host, name, inside, pointer))
                taken = "%d" not in inside and self._container.has(inside)
            except NetlinkError as error:
                raise _failure(step, error, pointer) from None
            if taken:
                raise StepError(
                    step, errno.EEXIST, origin=pointer, detail=f"the container has a network device {inside} already"
                )
        for device in devices:
            try:
                device.carry(self._host, self._container, device.wanted)
                self._moved.append(device)
                device.settle(self._container, up=True)
            except NetlinkError as error:
                step = f"move network device {device.name} into the container as {device.wanted}"
                raise _failure(step, error, device.pointer) from None

    def bring_back(self) -> None:
        """With the namespace of a container that has never been, the kernel would end its virtual devices."""
        failures = []
        for device in reversed(self._moved):
            try:
                device.carry(self._container, self._host, device.name)
                device.settle(self._host, up=device.is_up)
            except NetlinkError as error:
                failures.append(_failure(f"move network device {device.name} back", error, device.pointer))
        self._moved = []
        if failures:
            raise failures[0]

    def close(self) -> None:
        self._host.close()
        self._container.close()


def _failure(step: str, error: Any, pointer: str) -> StepError:
    return StepError(step, error.code, origin=pointer)
