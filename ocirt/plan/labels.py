"""``linux.mountLabel``: the SELinux label of the files in filesystems that are made for the container
(config-linux.md#mount-label).

Not of binds, whose files belong to others, nor of filesystems that the whole host shares. As with crun nothing happens
on a kernel without SELinux.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.plan.op import Compilation

_SHARED = frozenset(("proc", "sysfs", "cgroup", "cgroup2"))


def context(c: Compilation) -> tuple[str, ...]:
    """The option of mount(8) that labels a filesystem, as a tuple of one or of none."""
    label = c.linux.get("mountLabel")
    if not (label and c.host.selinux):
        return ()
    return (f"{c.annotations.get('run.oci.mount_context_type', 'context')}={label}",)


def options(c: Compilation, kind: str, given: list[str]) -> tuple[str, ...]:
    """What labels a filesystem of type *kind*; a label that is *given* already comes first. mqueue does not know the
    option, but its root can be labelled."""
    found = () if kind in _SHARED else context(c)
    if found and kind == "mqueue":
        return (f"security.selinux={c.linux['mountLabel']}",)
    names = {word.partition("=")[0] for word in given}
    return tuple(word for word in found if word.partition("=")[0] not in names)


def unquoted(word: str) -> str:
    """An option for a label as fsconfig(2) takes it: without the quotes that keep its commas apart for mount(2)."""
    name, _, value = word.partition("=")
    is_quoted = name.endswith("context") and len(value) > 1 and value[0] == value[-1] == '"'
    return f"{name}={value[1:-1]}" if is_quoted else word
