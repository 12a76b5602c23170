"""What a valid configuration may have and still should not, as sentences for the log.

Input is a document that has passed the rules. What other runtimes accept is no error here: what the spec calls
REQUIRED is then taken as 0, and said to be missing.
"""

from __future__ import annotations

from ocirt.config.words import CAPABILITIES, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RESERVED = "org.opencontainers."
#: The keys of the image specification, which config.md#annotations refers to for the values of some.
_IMAGE = "org.opencontainers.image."


def config_warnings(config: dict[str, Any]) -> list[str]:
    """What is to be said of a whole configuration."""
    sentences = [
        f"mount destination {shown(mount['destination'])}: a relative path is deprecated, it is used as relative to /"
        for mount in config.get("mounts", ())
        if not mount["destination"].startswith("/")
    ]
    for key, value in config.get("annotations", {}).items():
        if key.startswith(_RESERVED):
            sentences += _reserved_annotation(key, value)
    process = config.get("process")
    return sentences + process_warnings(process, "/process") if process else sentences


def process_warnings(process: dict[str, Any], pointer: str = "") -> list[str]:
    """What is to be said of a ``process`` object, which stands at *pointer*.

    "Any value which cannot be mapped to a relevant kernel interface, or cannot be granted otherwise MUST be logged as a
    warning by the runtime" (config.md#linux-process, of capabilities).
    """
    user = process.get("user", {})
    sentences = [_missing(f"{pointer}/user", name) for name in ("uid", "gid") if name not in user]
    if "priority" not in process.get("ioPriority", {"priority": 0}):
        sentences.append(_missing(f"{pointer}/ioPriority", "priority"))
    capabilities = process.get("capabilities")
    if not capabilities:
        return sentences
    sets = {
        name: capabilities.get(name, ()) for name in ("bounding", "effective", "inheritable", "permitted", "ambient")
    }
    unknown = sorted({word for words in sets.values() for word in words if word not in CAPABILITIES})
    if unknown:
        sentences.append(f"ignoring unknown capabilities: {', '.join(unknown)}")
    for word in sets["ambient"]:
        if word in CAPABILITIES and not (word in sets["permitted"] and word in sets["inheritable"]):
            sentences.append(f"can't raise ambient capability {word}: it is not both permitted and inheritable")
    return sentences


def _missing(pointer: str, name: str) -> str:
    return f'{pointer}: wanted the property "{name}", found none: it is taken as 0'


def _reserved_annotation(key: str, value: str) -> list[str]:
    """The values of most are any string; to that of stopSignal engines write a number, too."""
    wanted = ""
    if not key.startswith(_IMAGE):
        wanted = f'wanted none of the keys below "{_RESERVED}", which are reserved for specifications'
    elif key == _IMAGE + "created" and not _is_date_time(value):
        wanted = f'wanted a date and time of RFC 3339, like "2026-01-31T23:59:59Z", found {shown(value)}'
    elif key == _IMAGE + "stopSignal" and not _is_signal(value):
        wanted = f'wanted a signal, like "SIGKILL" or "SIGRTMIN+3", found {shown(value)}'
    return [f"annotation {key}: {wanted}"] if wanted else []


def _is_date_time(text: str) -> bool:
    """Whether *text* is a date-time (RFC 3339, section 5.6)."""
    import re
    from datetime import datetime

    shape = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)(\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)"
    parts = re.fullmatch(shape, text, re.ASCII | re.IGNORECASE)
    if not parts:
        return False
    minute, second, zone = parts.groups()
    try:
        # It knows no leap second.
        datetime.fromisoformat(f"{minute}{'59' if second == '60' else second}{zone}".upper())
    except ValueError:
        return False
    return True


def _is_signal(text: str) -> bool:
    name, plus, number = text.partition("+")
    if plus:
        return name == "SIGRTMIN" and number.isascii() and number.isdigit()
    return text.isascii() and ((text.startswith("SIG") and text[3:].isalnum()) or text.isdigit())
