"""Words that the spec and the kernel share, and how error messages point at values and show them."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

#: The capabilities of Linux 5.9 and later; the index is the number (linux/capability.h, capabilities(7)).
CAPABILITIES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)

#: The resources of getrlimit(2).
RLIMITS = (
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
)

HOOK_KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")

#: Annotations of crun that name a file or a socket of the host; a relative one is the bundle's.
PATH_ANNOTATIONS = ("run.oci.hooks.stderr", "run.oci.hooks.stdout", "run.oci.pidfd_receiver")
#: crun's as well: instructions that take the place of ``linux.seccomp``.
FILTER_ANNOTATION = "run.oci.seccomp_bpf_data"
#: What run.oci.mount_context_type may be: options of mount(8).
CONTEXT_TYPES = ("context", "defcontext", "fscontext", "rootcontext")
#: The annotations that change how a container is made; one that ends in a dot is a prefix.
ANNOTATIONS = (
    "org.criu.config",
    "org.systemd.property.",
    *PATH_ANNOTATIONS,
    FILTER_ANNOTATION,
    "run.oci.delegate-cgroup",
    "run.oci.keep_original_groups",
    "run.oci.mount_context_type",
    "run.oci.seccomp_fail_unknown_syscall",
    "run.oci.systemd.subgroup",
)

#: Longest path that a system call takes, in bytes and without the final NUL (PATH_MAX, path_resolution(7)).
PATH_BYTES = 4095


def has_filter(config: Mapping[str, Any]) -> bool:
    """Whether a configuration asks for a seccomp filter."""
    return bool((config.get("linux") or {}).get("seccomp")) or FILTER_ANNOTATION in (config.get("annotations") or {})


def token(name: str) -> str:
    """*name* as a token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def shown(value: object) -> str:
    """*value* as an error message quotes it: JSON, cut after some sixty characters, or its type if it is none."""
    from ocirt.json_text import dumps

    try:
        text = dumps(value)
    except (RecursionError, TypeError, ValueError):
        text = f"a {type(value).__name__}" if type(value) is not float else f"{value!r}"
    return text if len(text) <= 64 else text[:60] + "..."


def strings_of(value: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Every string of a JSON value, the names of members included, with its pointer, in no promised order."""
    pending: list[tuple[str, object]] = [(pointer, value)]
    while pending:
        pointer, value = pending.pop()
        if isinstance(value, str):
            yield pointer, value
        elif isinstance(value, dict):
            for name, member in value.items():
                place = f"{pointer}/{token(name)}"
                yield place, name
                pending.append((place, member))
        elif isinstance(value, list):
            pending.extend((f"{pointer}/{index}", element) for index, element in enumerate(value))


def parse_list(text: str, greatest: int) -> list[tuple[int, int]]:
    """The ranges, (first, last), of a list of CPUs or memory nodes like ``0-3,7``; blanks and empty entries are
    allowed.

    ValueError, with words for the user, for anything else, for a range that runs backwards, and above *greatest*.
    """
    ranges = []
    for entry in text.split(","):
        entry = entry.strip(" ")
        if not entry:
            continue
        first, dash, last = entry.partition("-")
        if not dash:
            last = first
        if not (first.isascii() and first.isdigit() and last.isascii() and last.isdigit()):
            raise ValueError(f"wanted a number or a range, found {shown(entry)}")
        if max(len(first), len(last)) > 9 or max(int(first), int(last)) > greatest:
            raise ValueError(f"wanted numbers up to {greatest}, found {shown(entry)}")
        if int(first) > int(last):
            raise ValueError(f"wanted the smaller number first, found {shown(entry)}")
        ranges.append((int(first), int(last)))
    return ranges
