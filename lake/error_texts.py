"""Texts of a record's errors: names of JSON's kinds, pointers, and clients' texts made safe to show."""

import re
from functools import cache
from typing import Any

from msgspec import inspect

# The most characters of a client's text that a message or pointer shows.
SHOWN = 128

_SURROGATES = re.compile("[\ud800-\udfff]")
_MARK = "\ufffd".encode()
_KINDS = {b"{": "an object", b"[": "an array", b'"': "a string", b"t": "true", b"f": "false", b"n": "null"}


def kind(opening: bytes) -> str:
    """The kind of a value, by the first byte of its text."""
    return _KINDS.get(opening[:1], "a number")


def _encodable(text: str) -> str:
    """A text with U+FFFD for each lone surrogate."""
    if text.isascii():
        return text
    # An encoder puts question marks there, several times faster than a regular expression.
    return (
        _SURROGATES.sub("\ufffd", text) if "?" in text else text.encode(errors="replace").replace(b"?", _MARK).decode()
    )


def clean(text: str) -> str:
    """A client's text, shortened, with U+FFFD for lone surrogates."""
    short = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
    return _encodable(short)


def escaped(key: str) -> str:
    """A name as part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1") if "~" in key or "/" in key else key


def place(key: str, pointer: str, path: str) -> tuple[str, str]:
    """A member's pointer, and its path for people."""
    name = key if len(key) <= SHOWN and key.isascii() else clean(key)
    return f"{pointer}/{escaped(key)}", f"{path}.{name}" if path else name


def shown_member(name: str, pointer: str) -> str:
    """The shown pointer of a member of an object. ``name``: cleaned."""
    return f"{shown(pointer)}/{escaped(name)}"


def shown(pointer: str) -> str:
    """A pointer with each name cleaned."""
    if len(pointer) <= SHOWN and pointer.isascii():
        return pointer
    if len(pointer) <= SHOWN:
        return _encodable(pointer)
    names = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    return "/".join(escaped(clean(name)) for name in names)


@cache
def one_of(values: Any) -> str:
    """The list of a field's allowed values."""
    words = [str(v) for v in values]
    return repr(words[0]) if len(words) == 1 else f"one of {', '.join(words)}"


def number_name(type: inspect.IntType | inspect.FloatType) -> str:
    """The kind of number that a field needs."""
    return "an integer" if isinstance(type, inspect.IntType) else "a number"
