"""A JSON text as Python objects that keep what `json.loads` loses: repeated keys, and the spelling of numbers.

An object is a tuple of pairs, an array a list, a number a `Number`. Native code builds the tree at once, which is many
times faster than finding each value's position in the text (`lake.json_text`). It takes memory, so use it for short
texts.
"""

import json
from typing import Any


class Number(str):
    """A number as it was written."""

    __slots__ = ()


_decode = json.JSONDecoder(object_pairs_hook=tuple, parse_int=Number, parse_float=Number).decode
_OPENINGS: dict[type, bytes] = {tuple: b"{", list: b"[", str: b'"', type(None): b"n"}


def tree(text: bytes) -> Any:
    """The objects of a text that is JSON. Raises RecursionError if it is nested too deeply."""
    return _decode(text.decode())


def opening(node: Any) -> bytes:
    """The first byte of a value."""
    if (found := _OPENINGS.get(node.__class__)) is not None:
        return found
    return node[:1].encode() if isinstance(node, Number) else b"t" if node else b"f"


def text(node: Any) -> bytes:
    """The JSON text of a tree without lone surrogates."""
    if isinstance(node, Number):
        return node.encode()
    if isinstance(node, tuple):
        return b"{%b}" % b",".join([b"%b:%b" % (text(key), text(member)) for key, member in node])
    if isinstance(node, list):
        return b"[%b]" % b",".join(map(text, node))
    return json.dumps(node, ensure_ascii=False).encode()
