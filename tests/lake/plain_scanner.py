"""A strict JSON scanner over bytes that returns offsets, for values that must stay as they were sent.

Accepts RFC 8259 at any nesting depth (without recursion), any number, and lone surrogate escapes. Rejects NaN,
control characters in strings, leading zeros and trailing commas. The text must be valid UTF-8. This is the reference
for the fast scanners of the product: it checks token by token and reports where a text stops being JSON.
"""

import json
import re

_SPACE = re.compile(rb"[ \t\n\r]*+")
_STRING = re.compile(rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_SCALAR = re.compile(rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|true|false|null")
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_LONE_HIGH = re.compile("[\ud800-\udfff]")

_OBJECT, _ARRAY = 0, 1


class JsonSyntaxError(ValueError):
    """The text stops being JSON at ``offset`` (bytes), for ``reason``."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.offset, self.reason = offset, reason


def place(text: bytes, offset: int) -> tuple[int, int]:
    """Returns line and column of an offset, both from 1; the column counts characters."""
    before = text[:offset]
    line_start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[line_start:].decode(errors="replace")) + 1


def skip_space(text: bytes, at: int) -> int:
    """Returns the offset of the next byte that is not white space."""
    found = _SPACE.match(text, at)
    return found.end() if found else at


def skip_value(text: bytes, at: int) -> int:
    """Returns the end of the value that begins at ``at``. Raises JsonSyntaxError."""
    stack = bytearray()
    while True:
        opening = text[at : at + 1]
        if opening in (b"{", b"["):
            kind = _OBJECT if opening == b"{" else _ARRAY
            inside = skip_space(text, at + 1)
            if text[inside : inside + 1] == (b"}" if kind == _OBJECT else b"]"):
                at = inside + 1
            else:
                stack.append(kind)
                at = _key(text, inside) if kind == _OBJECT else inside
                continue
        else:
            at = _scalar(text, at)
        # A value has ended: close every container that ends with it, or continue with the next value.
        while stack:
            at = skip_space(text, at)
            mark = text[at : at + 1]
            if mark == b",":
                at = skip_space(text, at + 1)
                if stack[-1] == _OBJECT:
                    at = _key(text, at)
                break
            if mark != (b"}" if stack[-1] == _OBJECT else b"]"):
                raise JsonSyntaxError(at, _expected("',' or '}'" if stack[-1] == _OBJECT else "',' or ']'", text, at))
            stack.pop()
            at += 1
        else:
            return at


def _expected(what: str, text: bytes, at: int) -> str:
    return f"expected {what}" + ("" if at < len(text) else ", but the text ends")


def _scalar(text: bytes, at: int) -> int:
    if text[at : at + 1] == b'"':
        return _string(text, at)
    found = _SCALAR.match(text, at)
    if not found:
        raise JsonSyntaxError(at, _expected("a value", text, at))
    return found.end()


def _string(text: bytes, at: int) -> int:
    found = _STRING.match(text, at)
    if not found:
        reason = "bad string: not closed, or a control character or bad escape in it"
        raise JsonSyntaxError(at, reason if text[at : at + 1] == b'"' else _expected("a string", text, at))
    return found.end()


def _key(text: bytes, at: int) -> int:
    """Skips a key and its colon; returns where the member's value begins."""
    if text[at : at + 1] != b'"':
        raise JsonSyntaxError(at, _expected("a key in double quotes", text, at))
    at = skip_space(text, _string(text, at))
    if text[at : at + 1] != b":":
        raise JsonSyntaxError(at, _expected("':'", text, at))
    return skip_space(text, at + 1)


def members(text: bytes, at: int) -> list[tuple[bytes, int, int]]:
    """Returns the members of the object at ``at``: each key's slice with its quotes, and its value's start and end."""
    found: list[tuple[bytes, int, int]] = []
    at = skip_space(text, at + 1)
    while text[at : at + 1] != b"}":
        key_end = _string(text, at)
        start = _key(text, at)
        end = skip_value(text, start)
        found.append((text[at:key_end], start, end))
        at = _next(text, end, b"}")
    return found


def elements(text: bytes, at: int) -> list[tuple[int, int]]:
    """Returns start and end of each element of the array at ``at``."""
    found: list[tuple[int, int]] = []
    at = skip_space(text, at + 1)
    while text[at : at + 1] != b"]":
        end = skip_value(text, at)
        found.append((at, end))
        at = _next(text, end, b"]")
    return found


def _next(text: bytes, at: int, closing: bytes) -> int:
    at = skip_space(text, at)
    if text[at : at + 1] == b",":
        at = skip_space(text, at + 1)
        if text[at : at + 1] == closing:
            raise JsonSyntaxError(at, "a comma before the end")
        return at
    if text[at : at + 1] != closing:
        raise JsonSyntaxError(at, _expected(f"',' or '{closing.decode()}'", text, at))
    return at


def decode_string(slice: bytes) -> str:
    """Decodes a string from its slice, quotes included; the result may hold lone surrogates."""
    return str(json.loads(slice))


def has_lone_surrogate(text: str) -> bool:
    """Whether a string holds half of a surrogate pair, which UTF-8 cannot encode."""
    return _LONE_HIGH.search(text) is not None


def one_line(raw: bytes) -> bytes:
    """Replaces CR and LF by spaces; in JSON they can only occur between tokens."""
    return raw.translate(_LINE_BREAKS) if b"\n" in raw or b"\r" in raw else raw
