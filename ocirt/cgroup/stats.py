"""What a container uses: the files of its cgroups in, the document of ``ocirt events --stats`` out.

Names and units are those of runc (types/events.go), whatever version each controller has: bytes, nanoseconds, counts;
a limit that is none is 2**64 - 1, of processes 0. Zeros and what the host does not count are left out where runc leaves
them out. Beyond runc's there are the pressure of a hybrid host's v2 cgroup, ``cpuset`` on v2, and ``rdma`` and ``misc``
where they are in use. A file that is missing is no error: a controller may be, and the container may end meanwhile.
"""

from __future__ import annotations

import errno
import os

from ocirt.cgroup.directory import read
from ocirt.errors import StepError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ocirt.cgroup.directory import Directory

    Document = dict[str, Any]

UNLIMITED = 2**64 - 1
_NSEC = 10**9
_MISSING = (errno.ENOENT, errno.ENODEV, errno.EOPNOTSUPP)
# (key, file of the BFQ and of the CFQ scheduler behind "blkio.bfq." and "blkio.", file of the block layer's throttling)
_BLKIO = (
    ("ioServiceBytesRecursive", "io_service_bytes_recursive", "throttle.io_service_bytes"),
    ("ioServicedRecursive", "io_serviced_recursive", "throttle.io_serviced"),
    ("ioQueueRecursive", "io_queued_recursive", ""),
    ("ioServiceTimeRecursive", "io_service_time_recursive", ""),
    ("ioWaitTimeRecursive", "io_wait_time_recursive", ""),
    ("ioMergedRecursive", "io_merged_recursive", ""),
    ("ioTimeRecursive", "time_recursive", ""),
    ("sectorsRecursive", "sectors_recursive", ""),
)
_IO_STAT = {
    "rbytes": ("ioServiceBytesRecursive", "Read"),
    "wbytes": ("ioServiceBytesRecursive", "Write"),
    "rios": ("ioServicedRecursive", "Read"),
    "wios": ("ioServicedRecursive", "Write"),
}
_CPUSET_FLAGS = (
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
)


def collect(directories: Iterable[Directory], init_pid: int = 0) -> Document:
    """What the processes in the cgroups *directories* use, and, with *init_pid*, its network interfaces. StepError."""
    files = Files(directories)
    document = {
        "cpu": _cpu(files),
        "cpuset": _cpuset(files),
        "memory": _memory(files),
        "pids": _pids(files),
        "blkio": _blkio(files),
        "hugetlb": _hugetlb(files),
        "intel_rdt": {},
        "network_interfaces": network_interfaces(init_pid) if init_pid else None,
    }
    for name, found in (("rdma", _rdma(files)), ("misc", _misc(files))):
        if found:
            document[name] = found
    return document


class Files:
    """The files of a container's cgroups, by controller."""

    __slots__ = ("by_controller", "v2")

    def __init__(self, directories: Iterable[Directory]) -> None:
        self.by_controller: dict[str, Directory] = {}
        self.v2: Directory | None = None
        for directory in directories:
            for controller in directory.controllers:
                self.by_controller.setdefault(controller, directory)
            if directory.version == 2:
                self.v2 = directory

    def version(self, controller: str) -> int:
        directory = self.by_controller.get(controller)
        return directory.version if directory else 0

    def text(self, controller: str, file: str) -> str | None:
        """The content of *file*, None when there is none. StepError."""
        directory = self.by_controller.get(controller)
        return None if directory is None else _text(f"{directory.path}/{file}")

    def number(self, controller: str, file: str) -> int | None:
        """The number in *file*. The kernel's own accounting may be below zero by a little, which counts as 0."""
        text = self.text(controller, file)
        return None if text is None else _number(text.strip())

    def table(self, controller: str, file: str) -> dict[str, int]:
        """The lines "name number" of *file*."""
        return _table(self.text(controller, file) or "")

    def names(self, controller: str) -> list[str]:
        """The files of the cgroup of *controller*, sorted."""
        directory = self.by_controller.get(controller)
        try:
            return sorted(os.listdir(directory.path)) if directory else []
        except FileNotFoundError:
            return []


def _text(path: str) -> str | None:
    try:
        return read(path)
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise StepError("read " + path, error.errno or 0, filename=path) from error


def _number(text: str) -> int:
    return UNLIMITED if text == "max" else max(int(text), 0)


def _table(text: str) -> dict[str, int]:
    return {name: _number(number) for name, _, number in [line.partition(" ") for line in text.splitlines()]}


def _without_zeros(document: Document) -> Document:
    return {name: value for name, value in document.items() if value}


def _pressure(files: Files, file: str) -> Document:
    """``psi``: shares of time in which some or all processes waited for a resource, in percent, and its sum in usec."""
    text = _text(f"{files.v2.path}/{file}") if files.v2 is not None else None
    if not text:
        return {}
    found: Document = {kind: {"avg10": 0, "avg60": 0, "avg300": 0, "total": 0} for kind in ("some", "full")}
    for line in text.splitlines():
        kind, *fields = line.split()
        for name, _, value in [field.partition("=") for field in fields]:
            found.setdefault(kind, {})[name] = int(value) if name == "total" else _percent(value)
    return {"psi": found}


def _percent(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number


def _cpu(files: Files) -> Document:
    if files.version("cpu") == 2 or files.version("cpuacct") == 0:
        table = _table(_text(f"{files.v2.path}/cpu.stat") or "") if files.v2 is not None else {}
        usage = {"total": table.get("usage_usec", 0) * 1000}
        kernel, user = table.get("system_usec", 0) * 1000, table.get("user_usec", 0) * 1000
        throttled_nsec = table.get("throttled_usec", 0) * 1000
    else:
        usage = _usage_v1(files)
        ticks = files.table("cpuacct", "cpuacct.stat")
        hertz = os.sysconf("SC_CLK_TCK")
        kernel, user = (ticks.get(name, 0) * _NSEC // hertz for name in ("system", "user"))
        table = files.table("cpu", "cpu.stat")
        throttled_nsec = table.get("throttled_time", 0)
    throttling = {
        "periods": table.get("nr_periods", 0),
        "throttledPeriods": table.get("nr_throttled", 0),
        "throttledTime": throttled_nsec,
    }
    document: Document = {}
    if kernel or user or any(usage.values()):
        document["usage"] = {**_without_zeros(usage), "kernel": kernel, "user": user}
    if any(throttling.values()):
        document["throttling"] = _without_zeros(throttling)
    return {**document, **_pressure(files, "cpu.pressure")}


def _usage_v1(files: Files) -> Document:
    """Of all CPUs together, and of each; in all and by mode."""
    lines = (files.text("cpuacct", "cpuacct.usage_all") or "").splitlines()[1:]
    modes = [[int(field) for field in line.split()] for line in lines]
    return {
        "total": files.number("cpuacct", "cpuacct.usage") or 0,
        "percpu": [int(field) for field in (files.text("cpuacct", "cpuacct.usage_percpu") or "").split()],
        "percpu_kernel": [system for _, _, system in modes],
        "percpu_user": [user for _, user, _ in modes],
    }


def _cpuset(files: Files) -> Document:
    document: Document = {}
    suffix = ".effective" if files.version("cpuset") == 2 else ""
    flags = {name: files.text("cpuset", "cpuset." + name) for name in _CPUSET_FLAGS}
    for name, before in (("cpus", "cpu_exclusive"), ("mems", "mem_hardwall")):
        numbers = _numbers((files.text("cpuset", f"cpuset.{name}{suffix}") or "").strip())
        if numbers:
            document[name] = numbers
        document[before] = int(flags.pop(before) or 0)
    return {**document, **{name: int(value or 0) for name, value in flags.items()}}


def _numbers(text: str) -> list[int]:
    """The numbers of a list like "0-2,7"."""
    found: list[int] = []
    for part in text.split(","):
        if part:
            first, _, last = part.partition("-")
            found += range(int(first), int(last or first) + 1)
    return found


def _memory(files: Files) -> Document:
    raw = files.table("memory", "memory.stat")
    if files.version("memory") == 2:
        cache = raw.get("file", 0)
        usage = _entry_v2(files, "memory")
        swap = _entry_v2(files, "memory.swap")
        if swap:
            # As on v1, where memory and swap are counted and limited together, and their peak is that of the sum.
            swap["usage"] = swap.get("usage", 0) + usage.get("usage", 0)
            swap["limit"] = min(swap["limit"] + usage["limit"], UNLIMITED)
            swap.pop("max", None)
        entries = {"usage": usage, "swap": swap}
    else:
        cache = raw.get("cache", 0)
        entries = {
            "usage": _entry_v1(files, "memory"),
            "swap": _entry_v1(files, "memory.memsw"),
            "kernel": _entry_v1(files, "memory.kmem"),
            "kernelTCP": _entry_v1(files, "memory.kmem.tcp"),
        }
    document: Document = {"cache": cache, **entries, "raw": dict(sorted(raw.items()))}
    return {**_without_zeros(document), **_pressure(files, "memory.pressure")}


def _entry_v1(files: Files, prefix: str) -> Document:
    usage = files.number("memory", prefix + ".usage_in_bytes")
    if usage is None:
        return {}
    return _entry(
        files.number("memory", prefix + ".limit_in_bytes"),
        usage,
        files.number("memory", prefix + ".max_usage_in_bytes"),
        files.number("memory", prefix + ".failcnt"),
    )


def _entry_v2(files: Files, prefix: str) -> Document:
    """``failcnt`` is how often the limit was hit, as on v1."""
    usage = files.number("memory", prefix + ".current")
    if usage is None:
        return {}
    hits = files.table("memory", prefix + ".events").get("max")
    return _entry(files.number("memory", prefix + ".max"), usage, files.number("memory", prefix + ".peak"), hits)


def _entry(limit: int | None, usage: int, peak: int | None, failures: int | None) -> Document:
    document: Document = {"limit": limit or 0}
    if usage:
        document["usage"] = usage
    if peak:
        document["max"] = peak
    document["failcnt"] = failures or 0
    return document if usage or peak or limit or failures else {}


def _pids(files: Files) -> Document:
    current = files.number("pids", "pids.current")
    if current is None:
        text = _text(f"{files.v2.path}/cgroup.procs") if files.v2 is not None else None
        return _without_zeros({"current": len((text or "").split())})
    limit = files.number("pids", "pids.max")
    return _without_zeros({"current": current, "limit": 0 if limit == UNLIMITED else limit})


def _blkio(files: Files) -> Document:
    document = _io_stat(files) if files.version("io") == 2 else _blkio_v1(files)
    return {**_without_zeros(document), **_pressure(files, "io.pressure")}


def _io_stat(files: Files) -> Document:
    document: Document = {key: [] for key, _, _ in _BLKIO}
    for line in (files.text("io", "io.stat") or "").splitlines():
        device, *fields = line.split()
        for name, _, value in [field.partition("=") for field in fields]:
            if name in _IO_STAT:
                key, operation = _IO_STAT[name]
                document[key].append(_block_entry(device, operation, int(value)))
    return document


def _blkio_v1(files: Files) -> Document:
    """Of the I/O scheduler in use; where it does not count, of the throttling, which sees all but flushes."""
    for prefix in ("blkio.bfq.", "blkio."):
        document = {key: _block_entries(files, prefix + file) for key, file, _ in _BLKIO}
        if document["ioServiceBytesRecursive"]:
            return document
    for suffix in ("_recursive", ""):
        document = {key: _block_entries(files, f"blkio.{file}{suffix}") for key, _, file in _BLKIO if file}
        if document["ioServiceBytesRecursive"]:
            return document
    return document


def _block_entries(files: Files, file: str) -> list[Document]:
    """Lines "8:0 Read 4096", and "8:0 4096" where there is one operation only; their sum, "Total 4096", is left out."""
    found = []
    for line in (files.text("blkio", file) or "").splitlines():
        device, *fields = line.split()
        if ":" in device:
            found.append(_block_entry(device, fields[0] if len(fields) > 1 else "", int(fields[-1])))
    return found


def _block_entry(device: str, operation: str, value: int) -> Document:
    major, _, minor = device.partition(":")
    return _without_zeros({"major": int(major), "minor": int(minor), "op": operation, "value": value})


def _hugetlb(files: Files) -> Document:
    """By page size: of what is reserved, if the kernel counts that (Linux 5.7), else of the pages in use."""
    version = files.version("hugetlb")
    suffix = ".limit_in_bytes" if version == 1 else ".max"
    names = set(files.names("hugetlb"))
    found = {}
    for name in sorted(names):
        if not (name.startswith("hugetlb.") and name.endswith(suffix) and ".rsvd." not in name):
            continue
        size = name.removeprefix("hugetlb.").removesuffix(suffix)
        prefix = f"hugetlb.{size}"
        reserved = prefix + (".rsvd" if f"{prefix}.rsvd{suffix}" in names else "")
        if version == 1:
            entry = {
                "usage": files.number("hugetlb", reserved + ".usage_in_bytes") or 0,
                "max": files.number("hugetlb", reserved + ".max_usage_in_bytes") or 0,
            }
            failures = files.number("hugetlb", reserved + ".failcnt")
        else:
            entry = {"usage": files.number("hugetlb", reserved + ".current") or 0}
            failures = files.table("hugetlb", prefix + ".events").get("max")
        found[size] = {**_without_zeros(entry), "failcnt": failures or 0}
    return found


def _rdma(files: Files) -> Document:
    found = {}
    for name, file in (("limit", "rdma.max"), ("current", "rdma.current")):
        entries = []
        for line in (files.text("rdma", file) or "").splitlines():
            device, *fields = line.split()
            values = {key: _number(value) for key, _, value in [field.partition("=") for field in fields]}
            entries.append(
                {
                    "device": device,
                    "hca_handles": values.get("hca_handle", 0),
                    "hca_objects": values.get("hca_object", 0),
                }
            )
        if entries:
            found[name] = entries
    return found


def _misc(files: Files) -> Document:
    events = files.table("misc", "misc.events")
    return {
        name: {"usage": usage, "events": events.get(name + ".max", 0)}
        for name, usage in files.table("misc", "misc.current").items()
    }


def network_interfaces(pid: int) -> list[Document]:
    """The interfaces in the network namespace of the process *pid*, from its /proc/PID/net/dev (proc_pid_net(5))."""
    lines = (_text(f"/proc/{pid}/net/dev") or "").splitlines()[2:]
    found = []
    for line in lines:
        name, _, counters = line.rpartition(":")
        fields = [int(field) for field in counters.split()]
        document: Document = {"Name": name.strip()}
        for direction, first in (("Rx", 0), ("Tx", 8)):
            for index, counter in enumerate(("Bytes", "Packets", "Errors", "Dropped")):
                document[direction + counter] = fields[first + index]
        found.append(document)
    return found
