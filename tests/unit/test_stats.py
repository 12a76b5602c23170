"""The files of cgroups as the document of ``ocirt events --stats``, and as the table of ``ocirt stats``.

The files are those that Linux 6.12 and 6.18 have, cut to what matters.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ocirt.cgroup.directory import Directory
from ocirt.cgroup.stats import UNLIMITED, collect, network_interfaces
from ocirt.cli.stats import row, size, table

HERTZ = os.sysconf("SC_CLK_TCK")
PRESSURE = "some avg10=1.50 avg60=0.00 avg300=0.25 total=1234\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"
V2_FILES = {
    "cpu.stat": "usage_usec 1000\nuser_usec 600\nsystem_usec 400\nnr_periods 5\nnr_throttled 2\nthrottled_usec 30\n",
    "cpu.pressure": PRESSURE,
    "cpuset.cpus.effective": "0-2,5\n",
    "cpuset.mems.effective": "0\n",
    "memory.current": "4096\n",
    "memory.max": "max\n",
    "memory.peak": "8192\n",
    "memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 1\n",
    "memory.stat": "anon 1000\nfile 2000\nkernel_stack -5\n",
    "memory.swap.current": "100\n",
    "memory.swap.max": "1000\n",
    "memory.pressure": PRESSURE,
    "pids.current": "3\n",
    "pids.max": "20\n",
    "io.stat": "8:16 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:0 \n7:0 rbytes=5 wbytes=0 cost.usage=9\n",
    "hugetlb.2MB.max": "max\n",
    "hugetlb.2MB.current": "1\n",
    "hugetlb.2MB.events": "max 4\n",
    "hugetlb.2MB.rsvd.max": "max\n",
    "hugetlb.2MB.rsvd.current": "2097152\n",
    "hugetlb.1GB.max": "max\n",
    "hugetlb.1GB.current": "0\n",
    "hugetlb.1GB.events": "max 0\n",
    "rdma.max": "mlx4_0 hca_handle=2 hca_object=max\n",
    "rdma.current": "mlx4_0 hca_handle=1 hca_object=0\n",
    "misc.current": "sev 2\n",
    "misc.events": "sev.max 1\n",
}
V1_FILES = {
    "cpuacct.usage": "5000\n",
    "cpuacct.usage_percpu": "2000 3000 \n",
    "cpuacct.usage_all": "cpu user system\n0 1500 500\n1 1000 2000\n",
    "cpuacct.stat": f"user {HERTZ}\nsystem {2 * HERTZ}\n",
    "cpu.stat": "nr_periods 4\nnr_throttled 1\nthrottled_time 99\n",
    "cpuset.cpus": "0-1\n",
    "cpuset.mems": "0\n",
    "cpuset.cpu_exclusive": "1\n",
    "cpuset.sched_load_balance": "1\n",
    "cpuset.sched_relax_domain_level": "-1\n",
    "memory.stat": "cache 300\nrss 100\n",
    "memory.usage_in_bytes": "400\n",
    "memory.max_usage_in_bytes": "500\n",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.failcnt": "2\n",
    "memory.kmem.usage_in_bytes": "50\n",
    "memory.kmem.max_usage_in_bytes": "60\n",
    "memory.kmem.failcnt": "0\n",
    "pids.current": "1\n",
    "pids.max": "max\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\nTotal 4096\n",
    "blkio.throttle.io_serviced_recursive": "8:0 Read 1\nTotal 1\n",
    "hugetlb.2MB.limit_in_bytes": "9223372036852678656\n",
    "hugetlb.2MB.usage_in_bytes": "0\n",
    "hugetlb.2MB.max_usage_in_bytes": "0\n",
    "hugetlb.2MB.failcnt": "0\n",
    "hugetlb.2MB.rsvd.limit_in_bytes": "9223372036852678656\n",
    "hugetlb.2MB.rsvd.usage_in_bytes": "2097152\n",
    "hugetlb.2MB.rsvd.max_usage_in_bytes": "4194304\n",
    "hugetlb.2MB.rsvd.failcnt": "1\n",
}
V2_CONTROLLERS = ("cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc")
V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb")


def directory(path: Path, files: dict[str, str], version: int, controllers: tuple[str, ...]) -> Directory:
    path.mkdir()
    for name, text in files.items():
        (path / name).write_text(text)
    return Directory(controllers, str(path), version, str(path.parent))


@pytest.fixture
def v2(tmp_path: Path) -> Any:
    return collect([directory(tmp_path / "v2", V2_FILES, 2, V2_CONTROLLERS)])


@pytest.fixture
def v1(tmp_path: Path) -> Any:
    return collect([directory(tmp_path / "v1", V1_FILES, 1, V1_CONTROLLERS)])


def test_the_parts_come_in_the_order_of_runc(v1: Any) -> None:
    assert list(v1) == [
        *("cpu", "cpuset", "memory", "pids", "blkio", "hugetlb", "intel_rdt", "network_interfaces"),
    ]
    assert v1["intel_rdt"] == {}
    assert v1["network_interfaces"] is None


def test_cpu_times_are_nanoseconds(v1: Any, v2: Any) -> None:
    assert v2["cpu"]["usage"] == {"total": 1_000_000, "kernel": 400_000, "user": 600_000}
    assert v2["cpu"]["throttling"] == {"periods": 5, "throttledPeriods": 2, "throttledTime": 30_000}
    assert v1["cpu"] == {
        "usage": {
            "total": 5000,
            "percpu": [2000, 3000],
            "percpu_kernel": [500, 2000],
            "percpu_user": [1500, 1000],
            "kernel": 2 * 10**9,
            "user": 10**9,
        },
        "throttling": {"periods": 4, "throttledPeriods": 1, "throttledTime": 99},
    }


def test_pressure_is_a_share_and_a_sum(v2: Any) -> None:
    pressure = {
        "some": {"avg10": 1.5, "avg60": 0, "avg300": 0.25, "total": 1234},
        "full": {"avg10": 0, "avg60": 0, "avg300": 0, "total": 7},
    }
    assert v2["cpu"]["psi"] == v2["memory"]["psi"] == pressure
    assert "psi" not in v2["blkio"]


def test_cpuset_lists_are_written_out(v1: Any, v2: Any) -> None:
    assert v2["cpuset"]["cpus"] == [0, 1, 2, 5]
    assert (v1["cpuset"]["cpus"], v1["cpuset"]["mems"]) == ([0, 1], [0])
    assert v1["cpuset"]["cpu_exclusive"] == 1
    assert v1["cpuset"]["sched_relax_domain_level"] == -1
    assert list(v1["cpuset"])[:4] == ["cpus", "cpu_exclusive", "mems", "mem_hardwall"]


def test_memory_of_v2_is_told_as_that_of_v1(v2: Any) -> None:
    memory = v2["memory"]
    assert memory["cache"] == 2000
    assert memory["usage"] == {"limit": UNLIMITED, "usage": 4096, "max": 8192, "failcnt": 3}
    assert memory["swap"] == {"limit": UNLIMITED, "usage": 4196, "failcnt": 0}
    assert memory["raw"] == {"anon": 1000, "file": 2000, "kernel_stack": 0}


def test_memory_of_v1_has_the_parts_that_the_kernel_counts(v1: Any) -> None:
    memory = v1["memory"]
    assert memory["cache"] == 300
    assert memory["usage"] == {"limit": 9223372036854771712, "usage": 400, "max": 500, "failcnt": 2}
    assert memory["kernel"] == {"limit": 0, "usage": 50, "max": 60, "failcnt": 0}
    assert "swap" not in memory
    assert "kernelTCP" not in memory


def test_no_limit_of_processes_is_left_out(v1: Any, v2: Any) -> None:
    assert v1["pids"] == {"current": 1}
    assert v2["pids"] == {"current": 3, "limit": 20}


def test_block_devices_have_an_entry_for_each_operation(v1: Any, v2: Any) -> None:
    assert v2["blkio"]["ioServiceBytesRecursive"] == [
        {"major": 8, "minor": 16, "op": "Read", "value": 10},
        {"major": 8, "minor": 16, "op": "Write", "value": 20},
        {"major": 7, "op": "Read", "value": 5},
        {"major": 7, "op": "Write"},
    ]
    assert v2["blkio"]["ioServicedRecursive"][1] == {"major": 8, "minor": 16, "op": "Write", "value": 2}
    assert v1["blkio"] == {
        "ioServiceBytesRecursive": [
            {"major": 8, "op": "Read", "value": 4096},
            {"major": 8, "op": "Write"},
            {"major": 8, "op": "Total", "value": 4096},
        ],
        "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 1}],
    }


def test_the_io_scheduler_counts_before_the_throttling(tmp_path: Path) -> None:
    files = {
        **V1_FILES,
        "blkio.bfq.io_service_bytes_recursive": "8:0 Read 1\n",
        "blkio.bfq.io_serviced_recursive": "8:0 Read 2\n",
        "blkio.bfq.time_recursive": "8:0 3\n",
    }
    found = collect([directory(tmp_path / "v1", files, 1, V1_CONTROLLERS)])["blkio"]
    assert found == {
        "ioServiceBytesRecursive": [{"major": 8, "op": "Read", "value": 1}],
        "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 2}],
        "ioTimeRecursive": [{"major": 8, "value": 3}],
    }


def test_huge_pages_are_counted_by_what_is_reserved_where_the_kernel_does(v1: Any, v2: Any) -> None:
    assert v2["hugetlb"] == {"1GB": {"failcnt": 0}, "2MB": {"usage": 2097152, "failcnt": 4}}
    assert v1["hugetlb"] == {"2MB": {"usage": 2097152, "max": 4194304, "failcnt": 1}}


def test_rdma_and_misc_are_told_where_they_are_in_use(v1: Any, v2: Any) -> None:
    assert v2["rdma"] == {
        "limit": [{"device": "mlx4_0", "hca_handles": 2, "hca_objects": UNLIMITED}],
        "current": [{"device": "mlx4_0", "hca_handles": 1, "hca_objects": 0}],
    }
    assert v2["misc"] == {"sev": {"usage": 2, "events": 1}}
    assert "rdma" not in v1


def test_on_a_hybrid_host_each_controller_is_asked_where_it_is(tmp_path: Path) -> None:
    first = directory(tmp_path / "v1", V1_FILES, 1, V1_CONTROLLERS[:-1])
    second = directory(tmp_path / "v2", V2_FILES, 2, ("hugetlb",))
    found = collect([first, second])
    assert found["pids"] == {"current": 1}
    assert found["cpu"]["usage"]["total"] == 5000
    assert found["cpu"]["psi"]["some"]["total"] == 1234
    assert found["hugetlb"]["2MB"]["failcnt"] == 4


def test_a_container_that_has_ended_has_used_nothing(tmp_path: Path) -> None:
    found = collect([Directory(V2_CONTROLLERS, str(tmp_path / "gone"), 2, str(tmp_path))])
    assert (found["cpu"], found["memory"], found["pids"], found["blkio"]) == ({}, {}, {}, {})


def test_without_the_controller_processes_are_counted_by_their_list(tmp_path: Path) -> None:
    found = collect([directory(tmp_path / "v2", {"cgroup.procs": "1\n2\n"}, 2, ("memory",))])
    assert found["pids"] == {"current": 2}


def test_network_interfaces_are_those_of_the_process() -> None:
    found = {interface["Name"]: interface for interface in network_interfaces(os.getpid())}
    assert "lo" in found
    assert list(found["lo"]) == [
        *("Name", "RxBytes", "RxPackets", "RxErrors", "RxDropped"),
        *("TxBytes", "TxPackets", "TxErrors", "TxDropped"),
    ]
    assert network_interfaces(2**22 - 1) == []


# -- the table ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.0KiB"),
        (1536, "1.5KiB"),
        (100 << 10, "100KiB"),
        (999 << 20, "999MiB"),
        (1000 << 20, "1.0GiB"),
        (5 << 60, "5.0EiB"),
    ],
)
def test_sizes_have_few_digits(count: int, text: str) -> None:
    assert size(count) == text


def test_a_row_tells_the_share_of_a_cpu_between_two_looks(v1: Any, v2: Any) -> None:
    later = {**v2, "cpu": {"usage": {"total": v2["cpu"]["usage"]["total"] + 3 * 10**9}}}
    assert row("web", v2, later, 2.0) == (*("web", "150.0", "4.0KiB / -", "-", "3 / 20", "15B / 20B", "-"),)
    limited = {**v1, "memory": {"usage": {"usage": 512, "limit": 1024}}, "network_interfaces": []}
    assert row("db", limited, limited, 1.0) == ("db", "0.0", "512B / 1.0KiB", "50.0", "1 / -", "4.0KiB / 0B", "0B / 0B")


def test_the_loopback_counts_for_nothing(v1: Any) -> None:
    interfaces = [
        {"Name": "lo", "RxBytes": 5000, "TxBytes": 5000},
        {"Name": "eth0", "RxBytes": 10, "TxBytes": 20},
        {"Name": "eth1", "RxBytes": 1, "TxBytes": 2},
    ]
    assert row("c", v1, {**v1, "network_interfaces": interfaces}, 1.0)[-1] == "11B / 22B"


def test_numbers_stand_at_the_right() -> None:
    cells = ("web", "1.0", "2", "3", "4", "5", "6")
    first, second = table([cells]).splitlines()
    assert first.startswith("ID    CPU %   MEMORY / LIMIT")
    assert second.startswith("web     1.0                2")
    assert len(first) == len(second)
