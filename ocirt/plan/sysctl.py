"""``linux.sysctl``: kernel parameters of the container's own namespaces (config-linux.md#sysctl, sysctl.d(5))."""

from __future__ import annotations

from ocirt.plan.op import Op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation


def path_of(key: str) -> str:
    """The file below /proc/sys: whichever of ``.`` and ``/`` comes first separates, the other is part of a name
    (sysctl.d(5))."""
    dot, slash = key.find("."), key.find("/")
    if slash >= 0 and (dot < 0 or slash < dot):
        return key
    return key.translate(str.maketrans("./", "/."))


def ops(c: Compilation) -> list[Op]:
    return [
        Op(
            "SYSCTL",
            f"set sysctl {key} to {value}",
            "/linux/sysctl/" + key.replace("~", "~0").replace("/", "~1"),
            path=path_of(key),
            text=value,
        )
        for key, value in (c.linux.get("sysctl") or {}).items()
    ]
