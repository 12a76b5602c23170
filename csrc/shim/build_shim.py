"""Builds ``ocirt._shim``: the C headers themselves are cffi's declarations, so there is one definition of the
contract."""

import os
import re

from cffi import FFI

SHIM = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.relpath(SHIM, os.path.join(SHIM, "..", ".."))

# Constants of the kernel, taken from the compiler.
CONSTANTS = [
    "CLONE_NEWNS",
    "CLONE_NEWCGROUP",
    "CLONE_NEWUTS",
    "CLONE_NEWIPC",
    "CLONE_NEWUSER",
    "CLONE_NEWPID",
    "CLONE_NEWNET",
    "CLONE_NEWTIME",
    "OPEN_TREE_CLONE",
    "OPEN_TREE_CLOEXEC",
    "AT_RECURSIVE",
    "AT_SYMLINK_NOFOLLOW",
    "AT_EMPTY_PATH",
    "AT_SYMLINK_NOFOLLOW",
    "AT_FDCWD",
    "SIGCHLD",
    "SIGCONT",
    "SIGWINCH",
]


def declarations(header: str) -> str:
    """The text of a header without what cffi's parser does not know: preprocessor lines."""
    with open(os.path.join(SHIM, header), encoding="ascii") as file:
        return re.sub(r"^#.*$", "", file.read(), flags=re.MULTILINE)


ffibuilder = FFI()
ffibuilder.cdef(
    declarations("../plan.h")
    + declarations("shim.h")
    + declarations("bpf.h")
    + declarations("signals.h")
    + "".join(f"#define {name} ...\n" for name in CONSTANTS)
)
ffibuilder.set_source(
    "ocirt._shim",
    """
    #include <fcntl.h>
    #include <sched.h>
    #include <signal.h>
    #include <linux/mount.h>
    #ifndef CLONE_NEWTIME
    #define CLONE_NEWTIME 0x80
    #endif
    #ifndef AT_RECURSIVE
    #define AT_RECURSIVE 0x8000
    #endif
    #include "shim.h"
    #include "bpf.h"
    #include "signals.h"
    """,
    sources=[os.path.join(SOURCE, name) for name in ("shim.c", "spawn.c", "mount.c", "criu.c", "bpf.c", "signals.c")],
    include_dirs=[SOURCE],
    depends=[os.path.join(SOURCE, name) for name in ("shim.h", "bpf.h", "clone.h", "signals.h", "../plan.h")],
    define_macros=[("_GNU_SOURCE", None)],
    extra_compile_args=["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-function"],
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
