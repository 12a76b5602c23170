"""Python values to JSON text (RFC 8259) without the ``json`` package, which costs 10 ms to import.

The text is what ``json.dumps(value, ensure_ascii=False)`` gives, in one line without blanks or indented. A surrogate
that stands alone (a byte of a path that is not UTF-8, see ``os.fsdecode``) is written as an escape, so that the text
can always be encoded as UTF-8. Nothing is read here.
"""

from __future__ import annotations

from _json import encode_basestring, make_encoder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def quote(text: str) -> str:
    """*text* as a JSON string, with its quotation marks."""
    return _encodable(encode_basestring(text))


def _encodable(text: str) -> str:
    # Python's own escape of a lone surrogate, \udc80, happens to be JSON's.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def dumps(value: object, indent: int | None = None) -> str:
    """*value* as JSON text: in one line and without blanks, or with *indent* blanks per level.

    Values are None, bool, int, float, str, list, tuple and dict with str keys, of any depth that the stack allows.
    TypeError for anything else, ValueError for a float that is not finite.
    """
    if indent is None:
        try:
            return _encodable("".join(_encode(value, 0)))
        except ValueError:
            raise ValueError("a float that is not finite has no representation in JSON") from None
    if isinstance(value, str):
        return quote(value)
    if isinstance(value, dict):
        return _collection("{}", [(quote(_key(key)), member) for key, member in value.items()], indent)
    if isinstance(value, (list, tuple)):
        return _collection("[]", [("", element) for element in value], indent)
    return _scalar(value)


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"{type(value).__name__} has no representation in JSON")


# What json.dumps takes: markers against circles, default, encoder, indent, separators, sort_keys, skipkeys, allow_nan.
_encode = make_encoder(None, _refuse, encode_basestring, None, ":", ",", False, False, False)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"keys of a JSON object must be str, not {type(key).__name__}")
    return key


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if value - value != 0:
            raise ValueError(f"{value!r} has no representation in JSON")
        return float.__repr__(value)
    _refuse(value)


def _collection(brackets: str, members: list[tuple[str, object]], indent: int) -> str:
    if not members:
        return brackets
    margin = "\n" + " " * indent
    texts = [(name + ": " if name else "") + dumps(member, indent) for name, member in members]
    # A line feed inside of a string is always written as an escape, so each one in a member's text is ours to indent.
    return brackets[0] + ",".join(margin + text.replace("\n", margin) for text in texts) + "\n" + brackets[1]
