"""Paths of cgroups as configurations and command lines say them. PURE."""

from __future__ import annotations

from ocirt.errors import OcirtError


def clean(path: str) -> str:
    """*path* without empty components and ".", relative; "" when nothing remains or it has ".." in it."""
    components = [component for component in path.split("/") if component not in ("", ".")]
    return "" if ".." in components else "/".join(components)


def descend(path: str, sub: str) -> str:
    """The cgroup *sub* below the directory *path*. OcirtError when it is not below."""
    components: list[str] = []
    for component in sub.split("/"):
        if component == "..":
            if not components:
                raise OcirtError(f"bad sub cgroup path: {sub}")
            components.pop()
        elif component not in ("", "."):
            components.append(component)
    return "/".join([path, *components])
