"""``linux.resources`` in, files of cgroupfs and what to write to them out (config-linux.md#control-groups). PURE.

Each controller's properties get the names of v1 or v2, by the hierarchy that has the controller on this host, so on a
hybrid host they may be of both. Values are bytes, microseconds and counts as in the spec. 0 means unset wherever
engines send it for that: memory, cpu, weights. -1 means without limit.

On v2 the spec's v1 values are converted; "if the conversion is not possible the runtime MUST generate an error".
"""

from __future__ import annotations

from ocirt.cgroup.device_rules import Policy, device_transition, device_writes
from ocirt.errors import ConfigError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ocirt.cgroup.layout import Layout

POINTER = "/linux/resources"
UNSET_SWAPPINESS = (-1, 2**64 - 1)
# (property, file of v1, key of io.max)
_THROTTLES = (
    ("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
    ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
    ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
    ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"),
)


class Setting:
    """One write: ``value`` to ``file`` of the container's cgroup in the hierarchy of ``controller``.

    ``pointer`` is who asked. When the file is missing, ``fallback`` is written instead, if there is one; else it is an
    error, unless ``optional``. ``reset`` is what undoes the write where the file has a line per device, ``undo`` are
    the (file, value) that do where it cannot be read. ``usage`` is (what, bytes): the write is refused when
    memory.current is not below.
    """

    __slots__ = ("controller", "fallback", "file", "optional", "pointer", "reset", "undo", "usage", "value")

    def __init__(
        self,
        controller: str,
        file: str,
        value: str,
        pointer: str,
        *,
        optional: bool = False,
        fallback: Setting | None = None,
        reset: str | None = None,
        undo: tuple[tuple[str, str], ...] = (),
        usage: tuple[str, int] | None = None,
    ) -> None:
        self.controller = controller
        self.file = file
        self.value = value
        self.pointer = pointer
        self.optional = optional
        self.fallback = fallback
        self.reset = reset
        self.undo = undo
        self.usage = usage

    def __repr__(self) -> str:
        return f"Setting({self.controller!r}, {self.file!r}, {self.value!r}, {self.pointer!r})"


def compile(resources: Mapping[str, Any], layout: Layout, *, devices: bool = True) -> list[Setting]:
    """*resources* as settings for a host of *layout*, in the order in which the kernel takes them.

    *devices* is false for an update, see `device_changes`. Without any rule, v1 still gets the default ones. On v2,
    device rules are a program: there is no setting for them, see `device_program`.

    ConfigError for values that contradict each other, UnsupportedError for what this host has no controller for.
    """
    settings: list[Setting] = []
    if devices:
        settings += _devices(resources.get("devices") or (), layout)
    for name, compile_one in (
        ("cpu", _cpu),
        ("memory", _memory),
        ("pids", _pids),
        ("blockIO", _block_io),
        ("hugepageLimits", _hugepage_limits),
        ("network", _network),
        ("rdma", _rdma),
        ("unified", _unified),
    ):
        asked = resources.get(name)
        if asked:
            settings += compile_one(asked, layout)
    return settings


def device_program(rules: Sequence[Mapping[str, Any]], layout: Layout) -> bytes:
    """The program that decides about devices by *rules*; b"" where the v1 controller does, or nothing can.

    ConfigError for a rule that is none.
    """
    if layout.version_of("devices") == 1 or layout.v2_mount is None:
        return b""
    from ocirt.cgroup.device_program import assemble

    return assemble(Policy(rules, holes=True))


def device_changes(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]], layout: Layout) -> list[Setting]:
    """What takes a container from the device rules *old* to *new* on v1, one write after the other, and back again.

    ConfigError, UnsupportedError.
    """
    if layout.version_of("devices") != 1:
        return []
    before, after = Policy(old), Policy(new)
    writes = device_transition(before, after)
    undo = tuple([(file, value) for file, value, _ in device_transition(after, before)])
    settings = [Setting("devices", file, value, pointer) for file, value, pointer in writes]
    if settings:
        # Whichever of the writes fails, this sets the old policy: to allow or deny again what is, changes nothing.
        settings[0].undo = undo
    return settings


def cpu_weight(shares: int) -> int:
    """The v2 weight, 1 to 10000, of v1 *shares*, 2 to 262144: minimum, maximum and default (1024, 100) correspond.

    The exponent is a quadratic function of log2(shares), the one of runc 1.3.2 and crun 1.23.
    """
    import math

    if shares <= 2:
        return 1
    if shares >= 262144:
        return 10000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """The v2 weight, 1 to 10000, of a v1 *weight*, 10 to 1000."""
    return 1 + (weight - 10) * 9999 // 990


def _version(layout: Layout, v1: str, v2: str, what: str, pointer: str) -> int:
    """Which version the controller has that is *v1* or *v2* by name; UnsupportedError when the host has neither."""
    if layout.version_of(v1) == 1:
        return 1
    if v2 and layout.version_of(v2) == 2:
        return 2
    raise UnsupportedError(what, f"the cgroup controller {v2 if layout.mode == 'v2' and v2 else v1}", pointer=pointer)


def _only_v1(what: str, pointer: str) -> UnsupportedError:
    return UnsupportedError(what, "cgroup v1", pointer=pointer)


def _max(value: int) -> str:
    return "max" if value < 0 else str(value)


def _devices(rules: Sequence[Mapping[str, Any]], layout: Layout) -> list[Setting]:
    if layout.version_of("devices") != 1:
        # Without a controller that denies, a container could open every disk by a node that it makes itself.
        if layout.mode == "v1" or (layout.mode == "none" and rules):
            raise UnsupportedError(
                "device access control", "the cgroup controller devices", pointer=POINTER + "/devices"
            )
        return []
    return [Setting("devices", file, value, pointer) for file, value, pointer in device_writes(Policy(rules))]


def _cpu(cpu: Mapping[str, Any], layout: Layout) -> list[Setting]:
    pointer = POINTER + "/cpu"
    settings = []
    for name in ("cpus", "mems"):
        if cpu.get(name):
            where = f"{pointer}/{name}"
            _version(layout, "cpuset", "cpuset", f"cpu.{name}", where)
            settings.append(Setting("cpuset", "cpuset." + name, cpu[name], where))
    # 0 is the kernel's default for idle and burst: nothing is asked for that it needs a file for.
    asked = [name for name in cpu if name not in ("cpus", "mems") and (cpu[name] or name in ("idle", "burst"))]
    if not asked:
        return settings
    wanted = [name for name in asked if cpu[name]]
    if not wanted and not layout.version_of("cpu"):
        return settings
    first = (wanted or asked)[0]
    version = _version(layout, "cpu", "cpu", "cpu." + first, f"{pointer}/{first}")
    return settings + (_cpu_v1 if version == 1 else _cpu_v2)(cpu, pointer)


def _cpu_v1(cpu: Mapping[str, Any], pointer: str) -> list[Setting]:
    shares = cpu.get("shares") or 0
    if shares and not 2 <= shares <= 262144:
        # The kernel would take it for the nearest that it allows.
        bound = "minimum allowed cpu-shares is 2" if shares < 2 else "maximum allowed cpu-shares is 262144"
        raise ConfigError(f"the {bound}, found {shares}", pointer=pointer + "/shares")
    settings = []
    for name, file in (
        # Before any process enters: one with a real-time policy needs the bandwidth.
        ("realtimePeriod", "cpu.rt_period_us"),
        ("realtimeRuntime", "cpu.rt_runtime_us"),
        ("shares", "cpu.shares"),
        ("period", "cpu.cfs_period_us"),
        ("quota", "cpu.cfs_quota_us"),
    ):
        if cpu.get(name):
            settings.append(Setting("cpu", file, str(max(cpu[name], -1)), f"{pointer}/{name}"))
    return _with_burst_and_idle(settings, cpu, pointer, "cpu.cfs_burst_us")


def _cpu_v2(cpu: Mapping[str, Any], pointer: str) -> list[Setting]:
    for name in ("realtimePeriod", "realtimeRuntime"):
        if cpu.get(name):
            raise _only_v1("cpu." + name, f"{pointer}/{name}")
    settings = []
    if cpu.get("shares"):
        settings.append(Setting("cpu", "cpu.weight", str(cpu_weight(cpu["shares"])), pointer + "/shares"))
    quota, period = cpu.get("quota") or 0, cpu.get("period") or 0
    if quota or period:
        # One number alone is the quota, and leaves the period.
        value = _max(quota or -1) + (f" {period}" if period else "")
        settings.append(Setting("cpu", "cpu.max", value, pointer + ("/quota" if quota else "/period")))
    return _with_burst_and_idle(settings, cpu, pointer, "cpu.max.burst")


def _with_burst_and_idle(
    settings: list[Setting], cpu: Mapping[str, Any], pointer: str, burst_file: str
) -> list[Setting]:
    burst, idle = cpu.get("burst"), cpu.get("idle")
    if burst is not None:
        settings = [*settings, Setting("cpu", burst_file, str(burst), pointer + "/burst", optional=burst == 0)]
    if idle is None:
        return settings
    setting = Setting("cpu", "cpu.idle", str(idle), pointer + "/idle", optional=idle == 0)
    # An idle cgroup has no shares (EINVAL), and one that is idle no more has the default ones.
    return [*settings, setting] if idle else [setting, *settings]


def _memory(memory: Mapping[str, Any], layout: Layout) -> list[Setting]:
    """``kernel`` is left out, as the kernel did in Linux 5.16: kernel memory counts towards the limit."""
    pointer = POINTER + "/memory"
    swappiness = memory.get("swappiness")
    asked = [name for name in ("limit", "swap", "reservation", "disableOOMKiller", "kernelTCP") if memory.get(name)]
    if swappiness is not None and swappiness not in UNSET_SWAPPINESS:
        asked.append("swappiness")
    if memory.get("useHierarchy") is False:
        # Since Linux 5.11 every memory cgroup is hierarchical.
        raise UnsupportedError("memory.useHierarchy false", "a kernel before 5.11", pointer=pointer + "/useHierarchy")
    if not asked:
        return []
    version = _version(layout, "memory", "memory", "memory." + asked[0], f"{pointer}/{asked[0]}")
    return (_memory_v1 if version == 1 else _memory_v2)(memory, asked, pointer)


def _memory_v1(memory: Mapping[str, Any], asked: Sequence[str], pointer: str) -> list[Setting]:
    settings = []
    for name, file in (
        ("limit", "memory.limit_in_bytes"),
        ("swap", "memory.memsw.limit_in_bytes"),
        ("reservation", "memory.soft_limit_in_bytes"),
        ("kernelTCP", "memory.kmem.tcp.limit_in_bytes"),
        ("swappiness", "memory.swappiness"),
    ):
        if name in asked:
            settings.append(Setting("memory", file, str(memory[name]), f"{pointer}/{name}"))
    if memory.get("limit") == -1 and not memory.get("swap"):
        # No limit of memory alone makes no sense below one of memory and swap.
        settings.append(Setting("memory", "memory.memsw.limit_in_bytes", "-1", pointer + "/limit", optional=True))
    if "disableOOMKiller" in asked:
        settings.append(Setting("memory", "memory.oom_control", "1", pointer + "/disableOOMKiller"))
    return settings


def _memory_v2(memory: Mapping[str, Any], asked: Sequence[str], pointer: str) -> list[Setting]:
    """``kernelTCP`` is left out: socket memory counts towards the limit."""
    for name in ("disableOOMKiller", "swappiness"):
        if name in asked:
            raise _only_v1("memory." + name, f"{pointer}/{name}")
    limit, swap = memory.get("limit") or 0, memory.get("swap") or 0
    check = bool(memory.get("checkBeforeUpdate"))
    settings = []
    swap_max = _swap_max(limit, swap, pointer)
    if swap_max is not None:
        settings.append(
            Setting(
                "memory",
                "memory.swap.max",
                swap_max,
                pointer + ("/swap" if swap else "/limit"),
                # A host without swap, or without its accounting, has no such file, and nothing to limit.
                optional=swap_max in ("max", "0"),
                usage=("memory+swap", swap) if check and swap > 0 else None,
            )
        )
    if limit:
        usage = ("memory", limit) if check and limit > 0 else None
        settings.append(Setting("memory", "memory.max", _max(limit), pointer + "/limit", usage=usage))
    if memory.get("reservation"):
        settings.append(Setting("memory", "memory.low", _max(memory["reservation"]), pointer + "/reservation"))
    return settings


def _swap_max(limit: int, swap: int, pointer: str) -> str | None:
    """memory.swap.max, of swap alone, for the spec's *swap*, of memory and swap; None when it is not asked for."""
    if swap == 0:
        return "max" if limit < 0 else None
    if swap < 0:
        return "max"
    if limit < 0:
        return str(swap)
    if limit == 0:
        raise ConfigError("unable to set swap limit without memory limit", pointer=pointer + "/swap")
    if swap < limit:
        raise ConfigError(
            f"memory+swap limit should be >= memory limit, found {swap} < {limit}", pointer=pointer + "/swap"
        )
    return str(swap - limit)


def _pids(pids: Mapping[str, Any], layout: Layout) -> list[Setting]:
    """A limit of 0 is written as 1, as runc and systemd do: no container can be in a cgroup that has no room for it."""
    limit = pids.get("limit")
    pointer = POINTER + "/pids/limit"
    if limit is None or (limit < 0 and not layout.version_of("pids")):
        return []
    _version(layout, "pids", "pids", "pids.limit", pointer)
    return [Setting("pids", "pids.max", _max(limit or 1), pointer, optional=limit < 0)]


def _block_io(block_io: Mapping[str, Any], layout: Layout) -> list[Setting]:
    asked = [name for name in block_io if block_io[name]]
    if not asked:
        return []
    pointer = POINTER + "/blockIO"
    version = _version(layout, "blkio", "io", "blockIO." + asked[0], f"{pointer}/{asked[0]}")
    return (_block_io_v1 if version == 1 else _block_io_v2)(block_io, pointer)


def _block_io_v1(block_io: Mapping[str, Any], pointer: str) -> list[Setting]:
    """The files without "bfq" are those of the CFQ scheduler, which is gone since Linux 5.0, and of some vendors."""
    settings = []
    if block_io.get("weight"):
        settings.append(_blkio("weight", str(block_io["weight"]), pointer + "/weight"))
    if block_io.get("leafWeight"):
        settings.append(_blkio("leaf_weight", str(block_io["leafWeight"]), pointer + "/leafWeight"))
    for index, entry in enumerate(block_io.get("weightDevice") or ()):
        where = f"{pointer}/weightDevice/{index}"
        device = f"{entry['major']}:{entry['minor']}"
        if entry.get("weight"):
            settings.append(_blkio("weight_device", f"{device} {entry['weight']}", where, f"{device} 0"))
        if entry.get("leafWeight"):
            settings.append(_blkio("leaf_weight_device", f"{device} {entry['leafWeight']}", where, f"{device} 0"))
    for name, file, _ in _THROTTLES:
        for index, entry in enumerate(block_io.get(name) or ()):
            device = f"{entry['major']}:{entry['minor']}"
            where = f"{pointer}/{name}/{index}"
            settings.append(Setting("blkio", file, f"{device} {entry.get('rate') or 0}", where, reset=f"{device} 0"))
    return settings


def _blkio(name: str, value: str, pointer: str, reset: str | None = None) -> Setting:
    bfq = Setting("blkio", "blkio.bfq." + name, value, pointer, reset=reset)
    return Setting("blkio", "blkio." + name, value, pointer, fallback=bfq, reset=reset)


def _block_io_v2(block_io: Mapping[str, Any], pointer: str) -> list[Setting]:
    """io.bfq.weight has the range of v1, io.weight (of the cost model) another."""
    settings = []
    if block_io.get("leafWeight"):
        raise _only_v1("blockIO.leafWeight", pointer + "/leafWeight")
    if block_io.get("weight"):
        weight, where = block_io["weight"], pointer + "/weight"
        cost = Setting("io", "io.weight", str(io_weight(weight)), where)
        settings.append(Setting("io", "io.bfq.weight", str(weight), where, fallback=cost))
    for index, entry in enumerate(block_io.get("weightDevice") or ()):
        where = f"{pointer}/weightDevice/{index}"
        device = f"{entry['major']}:{entry['minor']}"
        if entry.get("leafWeight"):
            raise _only_v1("blockIO.weightDevice.leafWeight", where + "/leafWeight")
        if entry.get("weight"):
            weight, reset = entry["weight"], f"{device} default"
            cost = Setting("io", "io.weight", f"{device} {io_weight(weight)}", where, reset=reset)
            settings.append(Setting("io", "io.bfq.weight", f"{device} {weight}", where, fallback=cost, reset=reset))
    for name, _, key in _THROTTLES:
        for index, entry in enumerate(block_io.get(name) or ()):
            device = f"{entry['major']}:{entry['minor']}"
            where = f"{pointer}/{name}/{index}"
            # Rate 0 lifts the limit on v1, but is out of range here.
            value = f"{device} {key}={entry.get('rate') or 'max'}"
            settings.append(Setting("io", "io.max", value, where, reset=f"{device} {key}=max"))
    return settings


def _hugepage_limits(limits: Sequence[Mapping[str, Any]], layout: Layout) -> list[Setting]:
    """Of the reservations if the kernel counts them (Linux 5.7), and of the pages in use."""
    settings = []
    for index, entry in enumerate(limits):
        pointer = f"{POINTER}/hugepageLimits/{index}"
        version = _version(layout, "hugetlb", "hugetlb", "hugepageLimits", pointer)
        suffix = "limit_in_bytes" if version == 1 else "max"
        prefix = "hugetlb." + entry["pageSize"]
        value = str(entry["limit"])
        settings.append(Setting("hugetlb", f"{prefix}.{suffix}", value, pointer))
        settings.append(Setting("hugetlb", f"{prefix}.rsvd.{suffix}", value, pointer, optional=True))
    return settings


def _network(network: Mapping[str, Any], layout: Layout) -> list[Setting]:
    pointer = POINTER + "/network"
    settings = []
    if network.get("classID"):
        _version(layout, "net_cls", "", "network.classID", pointer + "/classID")
        settings.append(Setting("net_cls", "net_cls.classid", str(network["classID"]), pointer + "/classID"))
    for index, entry in enumerate(network.get("priorities") or ()):
        where = f"{pointer}/priorities/{index}"
        _version(layout, "net_prio", "", "network.priorities", where)
        name = entry["name"]
        value = f"{name} {entry['priority']}"
        settings.append(Setting("net_prio", "net_prio.ifpriomap", value, where, reset=f"{name} 0"))
    return settings


def _rdma(rdma: Mapping[str, Mapping[str, Any]], layout: Layout) -> list[Setting]:
    settings = []
    for device, limits in rdma.items():
        pointer = f"{POINTER}/rdma/{device.replace('~', '~0').replace('/', '~1')}"
        _version(layout, "rdma", "rdma", "rdma", pointer)
        value = device
        for name, key in (("hcaHandles", "hca_handle"), ("hcaObjects", "hca_object")):
            if limits.get(name) is not None:
                value += f" {key}={limits[name]}"
        if value != device:
            reset = f"{device} hca_handle=max hca_object=max"
            settings.append(Setting("rdma", "rdma.max", value, pointer, reset=reset))
    return settings


def _unified(unified: Mapping[str, str], layout: Layout) -> list[Setting]:
    """Last, as it has the last word; the keys are files of the container's v2 cgroup."""
    pointer = POINTER + "/unified"
    if layout.mode != "v2":
        raise ConfigError("invalid configuration: cannot use unified on cgroup v1", pointer=pointer)
    settings = []
    for key, value in unified.items():
        where = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        controller, dot, _ = key.partition(".")
        if not controller or not dot or "/" in key:
            raise ConfigError(f"wanted a file name CONTROLLER.PARAMETER, found {key!r}", pointer=where)
        settings.append(Setting(controller, key, value, where))
    # An idle cgroup has no weight (EINVAL): it loses it last, and gets it back first.
    settings.sort(key=lambda setting: {"cpu.idle": -1 if setting.value.strip() == "0" else 1}.get(setting.file, 0))
    return settings
