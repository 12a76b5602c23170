"""Cgroups: where they are on this host (`detect`), and one container's place in them (`Cgroup`)."""

from __future__ import annotations

from ocirt.cgroup.group import Cgroup
from ocirt.cgroup.layout import Hierarchy, Layout, detect

__all__ = ["Cgroup", "Hierarchy", "Layout", "detect"]
