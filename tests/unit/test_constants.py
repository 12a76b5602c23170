"""Numbers of the kernel that are written down in Python, compared with what the C compiler finds in the headers."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ocirt import host
from ocirt._shim import lib
from ocirt.config.words import CAPABILITIES
from ocirt.plan import Compilation, Host, cgroups, constants, hooks, mount_options, mounts, namespaces, net_devices

HEADERS = (
    "linux/capability.h",
    "linux/ioprio.h",
    "linux/mempolicy.h",
    "linux/mount.h",
    "linux/personality.h",
    "linux/sched.h",
    "linux/sched/types.h",
    "sys/resource.h",
    "sys/stat.h",
)

# Dictionaries of constants.py: the C name of a key.
C_NAMES = {
    "RLIMITS": "{}",
    "PERSONALITIES": "PER_{}",
    "IO_PRIORITY_CLASSES": "{}",
    "SCHEDULER_POLICIES": "{}",
    "SCHEDULER_FLAGS": "{}",
    "MEMORY_POLICY_MODES": "{}",
    "MEMORY_POLICY_FLAGS": "{}",
}
OTHER_NAMES = {"IO_PRIORITY_CLASS_SHIFT": "IOPRIO_CLASS_SHIFT"}


def python_numbers() -> dict[str, int]:
    """C name -> number, of everything in constants.py."""
    numbers: dict[str, int] = {}
    for name, value in vars(constants).items():
        if name.isupper() and isinstance(value, int):
            numbers[OTHER_NAMES.get(name, name)] = value
        elif name.isupper():
            numbers |= {C_NAMES[name].format(key): number for key, number in value.items()}
    return numbers


def c_numbers(names: list[str], directory: Path) -> dict[str, int]:
    includes = "".join(f"#include <{header}>\n" for header in HEADERS)
    prints = "".join(f'printf("{name} %lld\\n", (long long){name});\n' for name in names)
    source = f"#define _GNU_SOURCE\n#include <stdio.h>\n{includes}int main(void) {{\n{prints}return 0; }}\n"
    program = directory / "numbers"
    compiler = shlex.split(os.environ.get("CC") or "cc")
    subprocess.run([*compiler, "-x", "c", "-", "-o", str(program)], input=source, text=True, check=True)
    said = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    return {name: int(number) for name, number in map(str.split, said.splitlines())}


def test_every_number_of_a_plan_is_the_compilers(tmp_path: Path) -> None:
    numbers = python_numbers()
    assert len(numbers) > 40
    assert numbers == c_numbers(list(numbers), tmp_path)


def test_capabilities_are_in_the_kernels_order(tmp_path: Path) -> None:
    assert c_numbers(list(CAPABILITIES), tmp_path) == {name: bit for bit, name in enumerate(CAPABILITIES)}
    assert c_numbers(["CAP_SYS_ADMIN"], tmp_path) == {"CAP_SYS_ADMIN": host._CAP_SYS_ADMIN}


@pytest.mark.parametrize("word", ["private", "slave", "shared", "unbindable"])
def test_propagation_is_packed_as_the_init_unpacks_it(word: str) -> None:
    value: Any = getattr(lib, f"OCIRT_PROPAGATION_{word.upper()}")
    assert mount_options.PROPAGATIONS[word] == value
    assert mount_options.PROPAGATIONS["r" + word] == value | lib.OCIRT_PROPAGATION_RECURSIVE


def test_the_meetings_have_the_numbers_that_the_init_knows() -> None:
    linux = {"namespaces": [{"type": "user"}], "uidMappings": [], "gidMappings": []}
    config = {"linux": linux, "hooks": {"createRuntime": [{"path": "/bin/true"}]}}
    compilation = Compilation(config, Host(), id="box")
    assert namespaces.id_maps(compilation)[0].a == lib.OCIRT_SYNC_ID_MAPS
    assert hooks.create_runtime(compilation)[0].a == lib.OCIRT_SYNC_CREATE_RUNTIME
    assert mounts._SYNC_MOUNTS == lib.OCIRT_SYNC_MOUNTS
    assert net_devices._SYNC_NET_DEVICES == lib.OCIRT_SYNC_NET_DEVICES
    in_a_unit = Compilation(
        config, Host(unit="ocirt-box.scope", cgroup2=("/sys/fs/cgroup", "/sys/fs/cgroup/box")), id="box"
    )
    assert cgroups.create_late(in_a_unit)[0].a == lib.OCIRT_SYNC_CGROUP
