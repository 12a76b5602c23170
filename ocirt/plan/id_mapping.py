"""Id-mapped mounts: ``uidMappings`` and ``gidMappings`` of a mount, or its option ``idmap`` or ``ridmap``.

config.md#posix-platform-mounts, mount_setattr(2). crun's own form of the option is known as well::

    idmap=uids=0-1-10#10-11-10;gids=@0-5-10

Each triple is an id of the filesystem, an id of the host, and how many there are from there on; behind "@" the second
is an id of the container.
"""

from __future__ import annotations

from ocirt.errors import ConfigError, UnsupportedError
from ocirt.plan.op import IdMap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ocirt.plan.op import Compilation

    Extent = tuple[int, int, int]


def id_map(c: Compilation, mount: Any, option: str | None, pointer: str) -> IdMap | None:
    """The mapping of *mount*, whose last option of the kind is *option*; None for an ordinary mount."""
    word, _, inline = (option or "").partition("=")
    recursive = word == "ridmap"
    if not (word or mount.get("uidMappings")):
        return None
    if not c.host.privileged:
        raise UnsupportedError("an id-mapped mount", "a runtime that is root on the host", pointer=pointer)
    if mount.get("uidMappings"):
        # "If `uidMappings` or `gidMappings` are specified for the mount, the runtime MUST use those values."
        if "user" in c.create_namespaces and all(mount[k] == c.linux.get(k) for k in ("uidMappings", "gidMappings")):
            return IdMap("", "", recursive)
        return IdMap(_lines(mount["uidMappings"]), _lines(mount["gidMappings"]), recursive)
    if not inline:
        return IdMap("", "", recursive)
    maps = {"uids": "", "gids": ""}
    for part in inline.split(";"):
        name, _, triples = part.partition("=")
        if name not in maps:
            raise ConfigError(f'wanted "uids=" or "gids=", found {part!r} in {option!r}', pointer=pointer)
        maps[name] = _text(_extents(c, name, triples, pointer))
    if not (maps["uids"] and maps["gids"]):
        raise ConfigError(f'wanted both "uids=" and "gids=", found {option!r}', pointer=pointer)
    return IdMap(maps["uids"], maps["gids"], recursive)


def _lines(mappings: Any) -> str:
    return _text((m["containerID"], m["hostID"], m["size"]) for m in mappings)


def _text(extents: Iterator[Extent]) -> str:
    return "".join(f"{inside} {outside} {size}\n" for inside, outside, size in extents)


def _extents(c: Compilation, name: str, triples: str, pointer: str) -> Iterator[Extent]:
    for triple in triples.split("#"):
        numbers = triple.removeprefix("@").split("-")
        if len(numbers) != 3 or not all(n.isascii() and n.isdecimal() and len(n) < 11 for n in numbers):
            raise ConfigError(f"wanted ids as FILESYSTEM-HOST-SIZE, found {triple!r}", pointer=pointer)
        first, second, size = map(int, numbers)
        if triple.startswith("@"):
            yield from _through(c, name, first, second, size, pointer)
        else:
            yield first, second, size


def _through(c: Compilation, name: str, first: int, second: int, size: int, pointer: str) -> Iterator[Extent]:
    """Ids of the container as ids of the host. A range may run over several of the container's mappings."""
    key = name[:-1] + "Mappings"
    while size:
        for mapping in c.linux.get(key) or ():
            offset = second - mapping["containerID"]
            if 0 <= offset < mapping["size"]:
                break
        else:
            raise ConfigError(f"wanted ids of the container behind @, found {second}, no id of {key}", pointer=pointer)
        count = min(size, mapping["size"] - offset)
        yield first, mapping["hostID"] + offset, count
        first, second, size = first + count, second + count, size - count
