"""CVE-2021-43784 (runc before 1.0.3): a length of 16 bits between the runtime and its child wraps around.

More than 64 KiB of paths or mappings made the child read others than were meant. Lengths have 32 bits here, and
every bound is checked before the first step (tests/init has the plan's own).
"""

from __future__ import annotations

import pytest
from support import Bundle, Runtime

pytestmark = pytest.mark.needs_root

#: Around the places where 16 bits wrap.
SIZES = [65533, 65534, 65535, 65536, 65537, 70000]


@pytest.mark.parametrize("size", SIZES)
def test_a_namespace_with_a_very_long_path_is_refused(runtime: Runtime, bundle: Bundle, size: int) -> None:
    bundle.add_namespace("network", "/" + "n" * (size - 1))
    runtime.run(bundle).fails("wanted a path of at most 4095 bytes", "/linux/namespaces/4/path")


@pytest.mark.needs_userns
@pytest.mark.parametrize("count", [341, 20000])
def test_very_many_id_mappings_are_refused(runtime: Runtime, bundle: Bundle, count: int) -> None:
    bundle.map_ids(*((id, 100000 + id, 1) for id in range(count)))
    runtime.run(bundle).fails("wanted at most 340 mappings", "/linux/uidMappings")


@pytest.mark.parametrize("size", SIZES)
def test_a_very_long_value_arrives_whole_and_moves_no_other(runtime: Runtime, bundle: Bundle, size: int) -> None:
    env = ["PATH=/", "LONG=" + "v" * (size - 5), "AFTER=1", "HOME=/"]
    bundle.process["env"] = env
    bundle.config["hostname"] = "behind"
    found, names, pids = runtime.probe(bundle, "env", ";", "uts", ";", "pids")
    assert found == env
    assert names["hostname"] == "behind"
    assert pids["pid"] == 1


def test_values_of_a_megabyte_together_arrive_whole(runtime: Runtime, bundle: Bundle) -> None:
    env = [f"V{i}=" + "v" * 10000 for i in range(100)]
    bundle.process["env"] = [*env, "HOME=/"]
    assert runtime.probe(bundle, "env") == [*env, "HOME=/"]
