"""Typed values as text, "uint32 5" or "['a', 'b']", in; D-Bus signature and value out. PURE.

The text is that of ``busctl`` and ``gdbus``: the GVariant text format (GLib, gvariant-text), as far as D-Bus has its
types. It is what engines write into annotations, and what runc reads by godbus: numbers are decimal, octal (0755) or
hexadecimal (0x1f), an integer without a type is an int32, a byte string b'...' ends in a NUL byte.

A value is what jeepney takes for its signature: int, bool, float, str; bytes for "ay"; list; dict for "a{..}"; tuple
for "(..)"; (signature, value) for "v".
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TYPES = {
    "boolean": "b",
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
    "double": "d",
    "string": "s",
    "objectpath": "o",
    "signature": "g",
}
_BITS = {"y": 8, "n": 16, "q": 16, "i": 32, "u": 32, "x": 64, "t": 64}
_SIGNED = "nix"
_BASIC = frozenset("byqnuixtdsog")
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\n": ""}
_HEX_DIGITS = {"u": 4, "U": 8}
# D-Bus allows 32 levels of arrays and 32 of structs.
_DEPTH_LIMIT = 32


class Node:
    """A value whose type may not be known yet. ``kind`` is "number", "string", "bytes", "boolean", "array", "dict",
    "tuple" or "variant", ``content`` its text or its nodes, ``signature`` the type that the text gives it, or ""."""

    __slots__ = ("content", "kind", "signature")

    def __init__(self, kind: str, content: Any, signature: str) -> None:
        self.kind = kind
        self.content = content
        self.signature = signature


def parse(text: str) -> tuple[str, Any]:
    """The signature and the value of *text*. ValueError, which says what is wrong with it."""
    reader = _Reader(text)
    node = reader.read_node(0)
    reader.skip_space()
    if reader.rest:
        raise ValueError(f"unexpected {reader.rest[0]!r}")
    signature = _infer(node)
    return signature, _value(node, signature)


class _Reader:
    __slots__ = ("_position", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0

    @property
    def rest(self) -> str:
        return self._text[self._position :]

    def skip_space(self) -> None:
        while self._text[self._position : self._position + 1].isspace():
            self._position += 1

    def _peek(self) -> str:
        return self._text[self._position : self._position + 1]

    def _take(self, character: str) -> bool:
        """Whether *character* is next; it is passed over then."""
        self.skip_space()
        if self._peek() != character:
            return False
        self._position += 1
        return True

    def _expect(self, character: str) -> None:
        if not self._take(character):
            raise ValueError(f"wanted {character!r}, found {self._peek() or 'the end'!r}")

    def _word(self, more: str = "") -> str:
        start = self._position
        while self._peek().isalnum() or (self._peek() and self._peek() in more):
            self._position += 1
        return self._text[start : self._position]

    def read_node(self, depth: int, signature: str = "") -> Node:
        if depth > _DEPTH_LIMIT:
            raise ValueError(f"more than {_DEPTH_LIMIT} levels of brackets")
        self.skip_space()
        character = self._peek()
        if not character:
            raise ValueError("unexpected end")
        if character == "@":
            return self._read_annotated(depth, signature)
        if character in "'\"":
            return Node("string", self._read_string(), signature)
        if character == "b" and self.rest[1:2] in ("'", '"'):
            self._position += 1
            return Node("bytes", self._read_bytes(), signature)
        if character in "[{(<":
            self._position += 1
            return self._read_container(character, depth, signature)
        if character.isdigit() or character in "+-.":
            return Node("number", self._word("+-."), signature)
        return self._read_named(depth, signature)

    def _read_annotated(self, depth: int, signature: str) -> Node:
        if signature:
            raise ValueError("unexpected type annotation")
        self._position += 1
        signature = self._word("(){}")
        end = _type_end(signature, 0)
        # "@as[]" has no space in it, "@(ss)('a', 'b')" neither.
        self._position -= len(signature) - end
        return self.read_node(depth, signature[:end])

    def _read_named(self, depth: int, signature: str) -> Node:
        word = self._word()
        if word in ("true", "false"):
            return Node("boolean", word, signature)
        if word not in _TYPES:
            raise ValueError(f"unrecognized type {word or self._peek()!r}")
        if signature:
            raise ValueError("unexpected type annotation")
        return self.read_node(depth, _TYPES[word])

    def _read_container(self, opening: str, depth: int, signature: str) -> Node:
        if opening == "<":
            node = self.read_node(depth + 1)
            self._expect(">")
            return Node("variant", node, signature)
        kind, closing = {"[": ("array", "]"), "{": ("dict", "}"), "(": ("tuple", ")")}[opening]
        nodes: list[Any] = []
        while not self._take(closing):
            if nodes:
                self._expect(",")
                if kind == "tuple" and self._take(closing):
                    break
            node = self.read_node(depth + 1)
            if kind == "dict":
                self._expect(":")
                nodes.append((node, self.read_node(depth + 1)))
            else:
                nodes.append(node)
        return Node(kind, nodes, signature)

    def _read_string(self) -> str:
        quote, text = self._next(), ""
        while (character := self._next()) != quote:
            if character != "\\":
                text += character
                continue
            letter = self._next()
            if letter in _HEX_DIGITS:
                text += chr(self._read_digits(_HEX_DIGITS[letter], 16))
            else:
                text += _ESCAPES.get(letter, letter)
        return text

    def _read_bytes(self) -> bytes:
        """A NUL byte ends them, as GVariant has it."""
        quote, content = self._next(), b""
        while (character := self._next()) != quote:
            if character != "\\":
                content += character.encode("utf-8", "surrogateescape")
                continue
            letter = self._next()
            if letter == "x":
                content += bytes([self._read_digits(2, 16)])
            elif letter in "01234567":
                self._position -= 1
                content += bytes([self._read_digits(3, 8)])
            else:
                content += _ESCAPES.get(letter, letter).encode()
        return content + b"\0"

    def _next(self) -> str:
        character = self._peek()
        if not character:
            raise ValueError("unterminated string")
        self._position += 1
        return character

    def _read_digits(self, count: int, base: int) -> int:
        """A number of *count* digits, at most the greatest code point. ValueError, also of int() and bytes()."""
        digits = self.rest[:count]
        self._position += count
        if len(digits) < count or not digits.isalnum():
            raise ValueError(f"short escape {digits!r}")
        number = int(digits, base)
        if number > (0x10FFFF if base == 16 else 255):
            raise ValueError(f"escape {digits!r} is out of range")
        return number


def _type_end(signature: str, start: int, depth: int = 0) -> int:
    """Where the one complete type that begins at *start* ends. ValueError when it is none of D-Bus."""
    if depth > 2 * _DEPTH_LIMIT:
        raise ValueError("a type of too many levels")
    letter = signature[start : start + 1]
    if letter == "v" or letter in _BASIC:
        return start + 1
    if letter == "a":
        if signature[start + 1 : start + 2] != "{":
            return _type_end(signature, start + 1, depth + 1)
        if signature[start + 2 : start + 3] not in _BASIC:
            raise ValueError(f"{signature!r} is no type: the key of a dictionary is basic")
        end = _type_end(signature, start + 3, depth + 1)
        if signature[end : end + 1] != "}":
            raise ValueError(f"{signature!r} is no type")
        return end + 1
    if letter == "(":
        end = _type_end(signature, start + 1, depth + 1)
        while signature[end : end + 1] != ")":
            end = _type_end(signature, end, depth + 1)
        return end + 1
    raise ValueError(f"{signature!r} is no type")


def _infer(node: Node) -> str:
    """The signature of *node*. ValueError where nothing tells it, as in an empty array."""
    if node.signature:
        return node.signature
    if node.kind == "number":
        return "d" if _is_real(node.content) else "i"
    if node.kind in ("string", "bytes", "boolean", "variant"):
        return {"string": "s", "bytes": "ay", "boolean": "b", "variant": "v"}[node.kind]
    if node.kind == "tuple":
        if not node.content:
            raise ValueError("D-Bus has no empty tuple")
        return "(" + "".join([_infer(child) for child in node.content]) + ")"
    if node.kind == "array":
        return "a" + _infer_all(node.content)
    keys = [key for key, _ in node.content]
    return f"a{{{_infer_all(keys)}{_infer_all([child for _, child in node.content])}}}"


def _infer_all(nodes: list[Node]) -> str:
    """The one signature of all *nodes*, by the first that says it, else by the first that lets it be guessed."""
    for node in nodes:
        if node.signature:
            return node.signature
    guess = ""
    for node in nodes:
        try:
            found = _infer(node)
        except ValueError:
            continue
        if not guess or (guess == "i" and found == "d"):
            guess = found
    if not guess:
        raise ValueError("cannot tell the type of what is empty: write @as [] or the like")
    return guess


def _value(node: Node, signature: str) -> Any:
    """The value of *node* as one of *signature*. ValueError when it is none."""
    if node.signature and node.signature != signature:
        raise ValueError(f"a value of type {node.signature!r} where {signature!r} is wanted")
    kind, content = node.kind, node.content
    if kind == "number" and signature in _BITS:
        return _integer(content, signature)
    if kind == "number" and signature == "d":
        return float(content)
    if (kind, signature) == ("boolean", "b"):
        return content == "true"
    if kind == "string" and signature in ("s", "o", "g"):
        return content
    if (kind, signature) == ("bytes", "ay"):
        return content
    if (kind, signature) == ("variant", "v"):
        inner = _infer(content)
        return inner, _value(content, inner)
    if kind == "array" and signature[:1] == "a" and signature[1:2] != "{":
        values = [_value(child, signature[1:]) for child in content]
        return bytes(values) if signature == "ay" else values
    if kind == "dict" and signature[:2] == "a{":
        return {_value(key, signature[2]): _value(child, signature[3:-1]) for key, child in content}
    if kind == "tuple" and signature[:1] == "(":
        return _tuple(content, signature)
    raise ValueError(f"a {kind} where a value of type {signature!r} is wanted")


def _tuple(nodes: list[Node], signature: str) -> tuple[Any, ...]:
    values = []
    start = 1
    for node in nodes:
        if signature[start] == ")":
            break
        end = _type_end(signature, start)
        values.append(_value(node, signature[start:end]))
        start = end
    if signature[start] != ")" or len(values) != len(nodes):
        raise ValueError(f"{len(nodes)} values where {signature!r} is wanted")
    return tuple(values)


def _is_real(text: str) -> bool:
    return not text.lstrip("+-").startswith("0x") and any(letter in text for letter in ".eE")


def _integer(text: str, signature: str) -> int:
    digits = text.lstrip("+-")
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[:1] == "0" and len(digits) > 1 else 10
    try:
        number = int(text, base)
    except ValueError:
        raise ValueError(f"{text!r} is no integer") from None
    bits = _BITS[signature]
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signature in _SIGNED else (0, (1 << bits) - 1)
    if not low <= number <= high:
        raise ValueError(f"{text} is out of range for the type {signature!r}, {low} to {high}")
    return number
