"""The words of ``mounts[].options``: what each means to the kernel (config.md#mounts, mount(8), mount_setattr(2)).

A word that is not here is an option of the filesystem itself.
"""

from __future__ import annotations

from ocirt.plan.constants import (
    MOUNT_ATTR__ATIME,
    MOUNT_ATTR_NOATIME,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_NOSYMFOLLOW,
    MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_RELATIME,
    MOUNT_ATTR_STRICTATIME,
)

# word -> (attributes to set, attributes to clear)
ATTRIBUTES = {
    "ro": (MOUNT_ATTR_RDONLY, 0),
    "rw": (0, MOUNT_ATTR_RDONLY),
    "nosuid": (MOUNT_ATTR_NOSUID, 0),
    "suid": (0, MOUNT_ATTR_NOSUID),
    "nodev": (MOUNT_ATTR_NODEV, 0),
    "dev": (0, MOUNT_ATTR_NODEV),
    "noexec": (MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, MOUNT_ATTR_NOEXEC),
    "nosymfollow": (MOUNT_ATTR_NOSYMFOLLOW, 0),
    "symfollow": (0, MOUNT_ATTR_NOSYMFOLLOW),
}

# The access times are one field of three values, and a bit. For mount(2), and so mount(8), what is said of them is all
# of it: a word sets, its opposite only takes that word back, and where none is left they stay as they are.
ACCESS_TIMES = {
    "relatime": MOUNT_ATTR_RELATIME,
    "noatime": MOUNT_ATTR_NOATIME,
    "strictatime": MOUNT_ATTR_STRICTATIME,
    "nodiratime": MOUNT_ATTR_NODIRATIME,
}
TAKEN_BACK = {"norelatime": "relatime", "atime": "noatime", "nostrictatime": "strictatime", "diratime": "nodiratime"}

# With an "r" in front of the word the whole tree below has them (mount_setattr(2), Linux 5.12): setting a value of the
# field means clearing the field, and there is a default.
RECURSIVE_ATTRIBUTES = {
    **{"r" + word: value for word, value in ATTRIBUTES.items()},
    "rnodiratime": (MOUNT_ATTR_NODIRATIME, 0),
    "rdiratime": (0, MOUNT_ATTR_NODIRATIME),
    "rrelatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "rnorelatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "rnoatime": (MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
    "ratime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
    "rstrictatime": (MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
    "rnostrictatime": (MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
}

# word -> enum ocirt_propagation
PROPAGATIONS = {
    "private": 1,
    "slave": 2,
    "shared": 3,
    "unbindable": 4,
    "rprivate": 8 | 1,
    "rslave": 8 | 2,
    "rshared": 8 | 3,
    "runbindable": 8 | 4,
}

# Flags of the filesystem, not of the mount: word -> what fsconfig(2) is told, or "" where the default says it.
SUPERBLOCK = {
    "async": "async",
    "sync": "sync",
    "dirsync": "dirsync",
    "lazytime": "lazytime",
    "nolazytime": "nolazytime",
    "mand": "mand",
    "nomand": "nomand",
    "silent": "",  # concerns messages of mount(2) only
    "loud": "",
    "iversion": "iversion",
    "noiversion": "",
    "defaults": "",
}

BINDS = {"bind": False, "rbind": True}

# runc's own: what the image has at the place of a tmpfs is copied into it.
EXTENSIONS = frozenset(("tmpcopyup",))

# crun's own, for binds: flags of BIND. A link at the end of the source, or of the destination, is not followed; one
# that is the source is made again at the destination.
LINKS = {
    "src-nofollow": ("SOURCE_LINK",),
    "dest-nofollow": ("TARGET_LINK",),
    "copy-symlink": ("SOURCE_LINK", "COPY_LINK"),
}

# ocirt.plan.id_mapping says what may stand behind them.
ID_MAPS = frozenset(("idmap", "ridmap"))

OPTION_WORDS = tuple(
    sorted(
        {
            *ATTRIBUTES,
            *ACCESS_TIMES,
            *TAKEN_BACK,
            *RECURSIVE_ATTRIBUTES,
            *PROPAGATIONS,
            *SUPERBLOCK,
            *BINDS,
            *EXTENSIONS,
            *LINKS,
            *ID_MAPS,
        }
    )
)


class Options:
    """The options of one mount, sorted out: ``set``/``clear`` for the mount, ``tree_set``/``tree_clear`` for the tree
    below, ``has_attributes``: some word is about the mount, ``propagation`` packed as in csrc/plan.h, ``bind`` (None,
    or whether it is recursive), ``data`` and ``superblock`` for the filesystem, ``copy_up``: the content of the target
    is copied into it, ``id_map``: the option idmap or ridmap as it stands there, ``links`` the words of LINKS."""

    __slots__ = (
        "bind",
        "clear",
        "copy_up",
        "data",
        "has_attributes",
        "id_map",
        "links",
        "propagation",
        "set",
        "superblock",
        "tree_clear",
        "tree_set",
    )

    def __init__(self, words: list[str]) -> None:
        self.set = 0
        self.clear = 0
        self.tree_set = 0
        self.tree_clear = 0
        self.propagation: list[int] = []
        self.bind: bool | None = None
        self.data: list[str] = []
        self.superblock: list[str] = []
        self.copy_up = False
        self.id_map: str | None = None
        self.links: list[str] = []
        access_times: list[str] = []
        for word in words:
            if word in ATTRIBUTES:
                self.set, self.clear = _apply(self.set, self.clear, ATTRIBUTES[word])
            elif word in ACCESS_TIMES or word in TAKEN_BACK:
                access_times.append(word)
            elif word in RECURSIVE_ATTRIBUTES:
                self.tree_set, self.tree_clear = _apply(self.tree_set, self.tree_clear, RECURSIVE_ATTRIBUTES[word])
            elif word in PROPAGATIONS:
                self.propagation.append(PROPAGATIONS[word])
            elif word in BINDS:
                self.bind = BINDS[word] or bool(self.bind)
            elif word in EXTENSIONS:
                self.copy_up = True
            elif word in LINKS:
                self.links.append(word)
            elif word in SUPERBLOCK:
                if SUPERBLOCK[word]:
                    self.superblock.append(SUPERBLOCK[word])
            elif word.partition("=")[0] in ID_MAPS:
                self.id_map = word
            elif word:
                self.data.append(word)
        self.has_attributes = bool(self.set or self.clear or access_times)
        self._set_access_times(access_times)

    @property
    def attributes(self) -> int:
        """Of a filesystem that is mounted, below which there is nothing: what the recursive words say comes last."""
        return self.set & ~self.tree_clear | self.tree_set

    def _set_access_times(self, words: list[str]) -> None:
        said: dict[bool, str] = {}  # the last word of the field, and that of directories
        for word in words:
            of_directories = word in ("nodiratime", "diratime")
            if word in ACCESS_TIMES:
                said[of_directories] = word
            elif said.get(of_directories) == TAKEN_BACK[word]:
                del said[of_directories]
        for word in said.values():
            self.set |= ACCESS_TIMES[word]
            self.clear |= MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME
        self.clear &= ~(self.set & MOUNT_ATTR_NODIRATIME)


def _apply(set_: int, clear: int, change: tuple[int, int]) -> tuple[int, int]:
    """The last word wins: "ro,rw" is writable. A field is cleared before a value of it is set, as mount_setattr(2)
    does."""
    to_set, to_clear = change
    return (set_ & ~to_clear) | to_set, (clear | to_clear) & ~(to_set & ~MOUNT_ATTR__ATIME)


def split_data(words: str) -> list[str]:
    """The options of a filesystem in *words*, with commas between them as mount(2) takes them. A comma is part of an
    option behind a backslash (overlay), in front of a digit ("mpol=bind:0,2" of tmpfs), and in a label."""
    if "," not in words or words.partition("=")[0].endswith("context"):
        return [words]
    found = [""]
    for part in words.split(","):
        if found[-1].endswith("\\") or (found[-1] and part[:1].isdigit()):
            found[-1] += "," + part
        else:
            found.append(part)
    return [word for word in found if word]


def pack_propagation(values: list[int]) -> int:
    """Four bits each, the first in the lowest; the init applies them in order."""
    packed = 0
    for position, value in enumerate(values[-16:]):
        packed |= value << (4 * position)
    return packed
