"""``linux.maskedPaths`` and ``linux.readonlyPaths``: parts of /proc and /sys that a container must not read or write.

config-linux.md#masked-paths, #readonly-paths. They come before pivot_root, while the host's /dev/null is still in
reach.
"""

from __future__ import annotations

from ocirt.plan import labels
from ocirt.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation


def readonly(c: Compilation) -> list[Op]:
    return [
        Op("READONLY_PATH", f"make {path} read-only", f"/linux/readonlyPaths/{index}", path=path)
        for index, path in enumerate(c.linux.get("readonlyPaths") or ())
    ]


def masked(c: Compilation) -> list[Op]:
    paths = c.linux.get("maskedPaths") or []
    option = "".join(labels.context(c))
    return [
        Op("MASK_PATH", f"mask {path}", f"/linux/maskedPaths/{index}", path=path, text=option)
        for index, path in enumerate(paths)
        if path not in paths[:index]
    ]
