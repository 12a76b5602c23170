"""``ocirt update``: other limits for a container that runs.

``resources_document`` is the pure part: the words of the command line give a ``linux.resources`` object with what they
ask for, and nothing else.
"""

from __future__ import annotations

from ocirt.cli.parser import Command, Flag, UsageError
from ocirt.container import Container

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ocirt.cli.parser import Call, Words

    Document = dict[str, object]

# flag -> (object of linux.resources, property)
_UNSIGNED = {
    "cpu-burst": ("cpu", "burst"),
    "cpu-period": ("cpu", "period"),
    "cpu-rt-period": ("cpu", "realtimePeriod"),
    "cpu-share": ("cpu", "shares"),
}
_SIGNED = {
    "blkio-weight": ("blockIO", "weight"),
    "cpu-idle": ("cpu", "idle"),
    "cpu-quota": ("cpu", "quota"),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime"),
    "pids-limit": ("pids", "limit"),
}
_SIZES = {
    "memory": ("memory", "limit"),
    "memory-swap": ("memory", "swap"),
    "memory-reservation": ("memory", "reservation"),
    "kernel-memory": ("memory", "kernel"),
    "kernel-memory-tcp": ("memory", "kernelTCP"),
}
_TEXTS = {"cpuset-cpus": ("cpu", "cpus"), "cpuset-mems": ("cpu", "mems")}
_RDT = {
    "l3-cache-schema": "Intel RDT/CAT: l3 cache schema is not enabled",
    "mem-bw-schema": "Intel RDT/MBA: memory bandwidth schema is not enabled",
}
_UNITS = "bkmgtp"


def parse_size(text: str) -> int:
    """Bytes of *text*: a number, with a fraction if you like, and a unit of b, k, m, g, t or p (powers of 1024).

    A blank may stand between them, the case does not matter, and "kb" and "KiB" mean the same. UsageError.
    """
    end = max((index for index, character in enumerate(text) if character in "0123456789. "), default=-1)
    digits, unit = text[: end + 1], text[end + 1 :].lower()
    number = digits.removesuffix(" ")
    whole, _, fraction = number.partition(".")
    if not (whole + fraction).isdecimal() or not number.isascii():
        raise UsageError(f"invalid size: '{text}'")
    scale = _UNITS.find(unit[:1]) if unit else 0
    if scale < 0 or unit[1:] not in (("",) if scale == 0 else ("", "b", "ib")):
        raise UsageError(f"invalid suffix: '{unit}'")
    size = int(whole or "0") << 10 * scale
    return size + ((int(fraction) << 10 * scale) // 10 ** len(fraction) if fraction else 0)


def resources_document(words: Words) -> Document:
    """What *words* ask for, as a ``linux.resources`` object. UsageError for a value that is none."""
    document: dict[str, Document] = {}
    for flags, parse in ((_TEXTS, str), (_UNSIGNED, _unsigned), (_SIGNED, _signed), (_SIZES, _size)):
        for flag, (name, key) in flags.items():
            text = words.text(flag)
            if text is not None:
                try:
                    document.setdefault(name, {})[key] = parse(text)
                except UsageError as error:
                    raise UsageError(f"invalid value for {flag}: {error}") from None
    return {**document}


def _size(text: str) -> int:
    return -1 if text == "-1" else parse_size(text)


def _unsigned(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f'wanted a number from 0, found "{text}"')
    return int(text)


def _signed(text: str) -> int:
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise UsageError(f'wanted a number, found "{text}"')
    return int(text)


def run(call: Call) -> int:
    words = call.words
    container = Container.load(words.arguments[0], root=call.root)
    container.warn = call.log.warning
    path = words.text("resources")
    if path is not None:
        from ocirt.config.load import load_resources

        container.update(load_resources(path))
        return 0
    for flag, complaint in _RDT.items():
        if words.text(flag) is not None:
            raise UsageError(complaint)
    container.update(resources_document(words))
    return 0


COMMAND = Command(
    "update",
    run,
    arguments="<container-id>",
    description="""\
Change the limits of the container while it runs: all that is asked for, or nothing. What no option
says stays as it is. A file of --resources is a linux.resources object of config.md, and may
have all of its properties, device rules too, which take effect behind those in force:

    {
      "memory": {"limit": 268435456, "swap": 536870912, "checkBeforeUpdate": true},
      "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0-1"},
      "pids": {"limit": 100},
      "devices": [{"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"}]
    }

Sizes are in bytes, or have a unit, as in 256M; -1 is without limit.""",
    flags=(
        Flag(
            "resources",
            "path to the file containing the resources to update or '-' to read from the standard input; "
            "all other options are ignored then",
            short="r",
        ),
        Flag("blkio-weight", "per cgroup weight, range is from 10 to 1000"),
        Flag("cpu-period", "CPU CFS period to be used for hardcapping (in usecs). 0 to use system default"),
        Flag("cpu-quota", "CPU CFS hardcap limit (in usecs). Allowed cpu time in a given period"),
        Flag(
            "cpu-burst", "CPU CFS hardcap burst limit (in usecs). Allowed accumulated cpu time for burst a given period"
        ),
        Flag("cpu-share", "CPU shares (relative weight vs. other containers)"),
        Flag("cpu-rt-period", "CPU realtime period to be used for hardcapping (in usecs). 0 to use system default"),
        Flag("cpu-rt-runtime", "CPU realtime hardcap limit (in usecs). Allowed cpu time in a given period"),
        Flag("cpuset-cpus", "CPU(s) to use"),
        Flag("cpuset-mems", "memory node(s) to use"),
        Flag("kernel-memory", "(obsoleted; do not use)", hidden=True),
        Flag("kernel-memory-tcp", "(obsoleted; do not use)", hidden=True),
        Flag("memory", "memory limit (in bytes)"),
        Flag("cpu-idle", "set cgroup SCHED_IDLE or not, 0: default behavior, 1: SCHED_IDLE"),
        Flag("memory-reservation", "memory reservation or soft_limit (in bytes)"),
        Flag("memory-swap", "total memory usage (memory + swap); set '-1' to enable unlimited swap"),
        Flag("pids-limit", "maximum number of pids allowed in the container"),
        Flag("l3-cache-schema", "the string of Intel RDT/CAT L3 cache schema"),
        Flag("mem-bw-schema", "the string of Intel RDT/MBA memory bandwidth schema"),
    ),
    minimum=1,
    maximum=1,
    examples=(
        ("Half of a CPU and 256 MiB", "{program} update --cpu-quota 50000 --cpu-period 100000 --memory 256M hello"),
        ("Limits from a program", "make-limits | {program} update --resources - hello"),
    ),
)
