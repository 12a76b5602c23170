"""Cgroups: where they are on this host (`detect`), and one container's place in them (`Cgroup`).

Names are loaded when they are first used: what a container's status needs is a small part.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cgroup.group import Cgroup as Cgroup
    from ocirt.cgroup.layout import Hierarchy as Hierarchy
    from ocirt.cgroup.layout import Layout as Layout
    from ocirt.cgroup.layout import detect as detect

__all__ = ["Cgroup", "Hierarchy", "Layout", "detect"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'ocirt.cgroup' has no attribute {name!r}")
    home = "ocirt.cgroup.group" if name == "Cgroup" else "ocirt.cgroup.layout"
    value: object = getattr(__import__(home, fromlist=[name]), name)
    globals()[name] = value
    return value
