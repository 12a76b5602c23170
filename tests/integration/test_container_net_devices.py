"""``linux.netDevices``: a device of the host goes into the container's network namespace with all that it has, or
stays where and as it is."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest
from pyroute2 import IPRoute, NetlinkError
from support import Bundle, Container, Runtime

pytestmark = pytest.mark.needs_root

UP = 1


class Network:
    """A network namespace as it is seen from inside."""

    def __init__(self, pid: int | str) -> None:
        self.route = IPRoute(netns=f"/proc/{pid}/ns/net", flags=0)

    def link(self, name: str) -> Any:
        try:
            return self.route.link("get", ifname=name)[0]
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise
            return None

    def addresses(self, name: str) -> set[str]:
        """Those that do not come and go by themselves."""
        found = self.route.get_addr(index=self.link(name)["index"])
        return {f"{each.get('address')}/{each['prefixlen']}" for each in found if each["scope"] != 253}

    def add_address(self, name: str, address: str, prefix: int, **more: Any) -> None:
        self.route.addr("add", index=self.link(name)["index"], address=address, prefixlen=prefix, **more)


@pytest.fixture
def host() -> Iterator[Network]:
    network = Network("self")
    yield network
    network.route.close()


@pytest.fixture
def device(host: Network) -> Iterator[str]:
    """One end of a pair that is made for the test; the other end goes with it."""
    name = f"oc{os.getpid()}"
    host.route.link("add", ifname=name, kind="veth", peer={"ifname": name + "p"})
    yield name
    if host.link(name + "p") is not None:
        host.route.link("del", index=host.link(name + "p")["index"])


@pytest.fixture
def networks() -> Iterator[Any]:
    opened: list[Network] = []

    def of(container: Container) -> Network:
        opened.append(Network(container.pid))
        return opened[-1]

    yield of
    for network in opened:
        network.route.close()


def test_a_device_moves_under_its_own_name_and_is_up(
    runtime: Runtime, bundle: Bundle, host: Network, device: str, networks: Any
) -> None:
    bundle.linux["netDevices"] = {device: {}}
    network = networks(runtime.start_paused_program(bundle))
    assert host.link(device) is None
    assert network.link(device)["flags"] & UP


def test_a_device_gets_the_name_that_is_wanted(
    runtime: Runtime, bundle: Bundle, host: Network, device: str, networks: Any
) -> None:
    bundle.linux["netDevices"] = {device: {"name": "inside0"}}
    network = networks(runtime.start_paused_program(bundle))
    assert (host.link(device), host.link("inside0"), network.link(device)) == (None, None, None)
    assert network.link("inside0")["flags"] & UP


def test_a_template_makes_the_kernel_choose_a_free_name(
    runtime: Runtime, bundle: Bundle, device: str, networks: Any
) -> None:
    bundle.linux["netDevices"] = {device: {"name": "eth%d"}, device + "p": {"name": "eth%d"}}
    network = networks(runtime.start_paused_program(bundle))
    assert network.link("eth0")["flags"] & network.link("eth1")["flags"] & UP


def test_permanent_global_addresses_of_both_families_the_mtu_and_the_hardware_address_stay(
    runtime: Runtime, bundle: Bundle, host: Network, device: str, networks: Any
) -> None:
    host.route.link("set", index=host.link(device)["index"], mtu=1400, address="02:11:22:33:44:55")
    host.add_address(device, "192.0.2.7", 24, broadcast="192.0.2.255")
    host.add_address(device, "2001:db8::7", 64)
    bundle.linux["netDevices"] = {device: {"name": "inside0"}}
    network = networks(runtime.start_paused_program(bundle))
    link = network.link("inside0")
    assert (link.get("mtu"), link.get("address")) == (1400, "02:11:22:33:44:55")
    assert network.addresses("inside0") == {"192.0.2.7/24", "2001:db8::7/64"}
    (v4,) = network.route.get_addr(index=link["index"], family=2)
    assert v4.get("broadcast") == "192.0.2.255"


def test_addresses_of_a_device_that_is_up_stay(
    runtime: Runtime, bundle: Bundle, host: Network, device: str, networks: Any
) -> None:
    host.route.link("set", index=host.link(device)["index"], state="up")
    host.add_address(device, "2001:db8::7", 64, flags=2)
    bundle.linux["netDevices"] = {device: {}}
    assert networks(runtime.start_paused_program(bundle)).addresses(device) == {"2001:db8::7/64"}


def test_addresses_that_are_not_global_or_not_permanent_do_not_come_along(
    runtime: Runtime, bundle: Bundle, host: Network, device: str, networks: Any
) -> None:
    host.add_address(device, "192.0.2.8", 24, scope=254)
    host.add_address(device, "2001:db8::8", 64, preferred=1000, valid=2000)
    host.add_address(device, "192.0.2.9", 32)
    bundle.linux["netDevices"] = {device: {}}
    assert networks(runtime.start_paused_program(bundle)).addresses(device) == {"192.0.2.9/32"}


def test_a_device_goes_into_a_namespace_that_is_joined_and_stays_there(
    runtime: Runtime, bundle: Bundle, make_bundle: Any, host: Network, device: str, networks: Any
) -> None:
    other = runtime.start_paused_program(make_bundle("other"))
    network = networks(other)
    bundle.add_namespace("network", f"/proc/{other.pid}/ns/net")
    bundle.linux["netDevices"] = {device: {}}
    runtime.run(bundle, "pids").check()
    assert host.link(device) is None
    assert network.link(device)["flags"] & UP


# -- errors ------------------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_named(runtime: Runtime, bundle: Bundle) -> None:
    bundle.linux["netDevices"] = {"absent~0": {}}
    runtime.run(bundle, "pids").fails(
        "cannot move network device absent~0 into the container: no such device",
        "config.json#/linux/netDevices/absent~00",
    )
    assert runtime.ids() == []


def test_a_name_that_is_taken_is_an_error_and_no_device_has_moved(
    runtime: Runtime, bundle: Bundle, host: Network, device: str
) -> None:
    host.add_address(device, "192.0.2.7", 24)
    bundle.linux["netDevices"] = {device: {}, device + "p": {"name": "lo"}}
    runtime.run(bundle, "pids").fails("file exists", "lo already", f"config.json#/linux/netDevices/{device}p")
    assert host.addresses(device) == {"192.0.2.7/24"}
    assert host.link(device + "p") is not None
    assert runtime.ids() == []


def test_a_device_that_cannot_move_is_an_error_and_the_others_come_back_as_they_were(
    runtime: Runtime, bundle: Bundle, host: Network, device: str
) -> None:
    host.route.link("set", index=host.link(device)["index"], state="up")
    host.add_address(device, "192.0.2.7", 24)
    bundle.linux["netDevices"] = {device: {"name": "inside0"}, "lo": {"name": "lo1"}}
    runtime.run(bundle, "pids").fails("cannot move network device lo into the container as lo1", "/linux/netDevices/lo")
    assert host.addresses(device) == {"192.0.2.7/24"}
    assert host.link(device)["flags"] & UP


def test_a_create_that_fails_later_gives_the_devices_back(
    runtime: Runtime, bundle: Bundle, host: Network, device: str
) -> None:
    host.add_address(device, "192.0.2.7", 24)
    bundle.linux["netDevices"] = {device: {"name": "inside0"}}
    bundle.process["args"] = ["/absent"]
    runtime.run(bundle).fails("no such file or directory")
    assert host.addresses(device) == {"192.0.2.7/24"}
    assert not host.link(device)["flags"] & UP


def test_the_hosts_own_network_namespace_is_no_place_to_move_to(
    runtime: Runtime, bundle: Bundle, host: Network, device: str
) -> None:
    bundle.add_namespace("network", f"/proc/{os.getpid()}/ns/net")
    bundle.linux["netDevices"] = {device: {"name": "inside0"}}
    runtime.run(bundle, "pids").fails("is of the host", "/linux/netDevices")
    assert host.link(device) is not None
