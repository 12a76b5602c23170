"""Names of capabilities -> the bits of capset(2) (capabilities(7))."""

from __future__ import annotations

from ocirt.config.words import CAPABILITIES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

CAP_LAST_CAP_PATH = "/proc/sys/kernel/cap_last_cap"
_BITS = {name: 1 << number for number, name in enumerate(CAPABILITIES)}


def mask(names: Iterable[str]) -> int:
    """The bits of *names*; bit n is capability n. A name that no kernel has adds none, so that a set is never wider
    than what was asked for; ocirt.config.rules has the warning that the spec wants (config.md#linux-process)."""
    bits = 0
    for name in names:
        bits |= _BITS.get(name, 0)
    return bits


def last_cap() -> int:
    """The number of the highest capability of the running kernel (proc_sys_kernel(5), Linux 3.2); raises OSError."""
    with open(CAP_LAST_CAP_PATH, encoding="ascii") as file:
        return int(file.read())
