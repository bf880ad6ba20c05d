"""The grammar of JSON: whether a text is JSON, and where it ceases to be.

RFC 8259, any nesting depth, any number, lone surrogate escapes allowed; NaN, control characters in strings, leading zeros
and trailing commas are not. The text must be valid UTF-8.

msgspec decides nearly always. It gives up beyond Python's recursion limit, and its errors do not name the place as ours do.
Those texts are read here in pieces by one regular expression, which never backtracks, and the brackets are matched by
replacements in bytes. No step runs in Python for each token, so that 5 MB take a fraction of a second, whatever they hold.
"""

import re
from functools import cache

import msgspec

SPACE = rb"[ \t\n\r]*+"
STRING = rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
SCALAR = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|true|false|null"
# A string of a text that is known to be JSON.
ANY_STRING = rb'"(?:[^"\\]++|\\.)*+"'

_SPACE, _STRING, _SCALAR = re.compile(SPACE), re.compile(STRING), re.compile(SCALAR)
_ANY_STRING = re.compile(ANY_STRING, re.DOTALL)
_OBJECT, _ARRAY = ord("("), ord("[")
# Pieces of a text: of this many steps at first, and where one of them is wrong, of fewer.
_STEPS = (4096, 32, 1)
# Everything but brackets, commas and colons.
_NO_STRUCTURE = bytes(sorted(set(range(256)) - set(b"[]{},:")))
_KIND = {ord("["): _ARRAY, ord("]"): _ARRAY, ord(","): _ARRAY, _OBJECT: _OBJECT, ord("}"): _OBJECT, ord(";"): _OBJECT}
_OPENINGS, _CLOSINGS = b"[(", b"]}"
_RUNS = re.compile(rb"[\[(]++|[\]}]++|[,;]")
_ALL_CLOSING = bytes.maketrans(b"(,;}", b"[]]]")
_OPENING_OF = bytes.maketrans(b"]}", b"[(")

_decode = msgspec.json.Decoder(msgspec.Raw).decode


class JsonSyntaxError(ValueError):
    """The text ceases to be JSON at ``offset`` (bytes) for ``reason``."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.offset, self.reason = offset, reason


def without_surrogates(text: bytes) -> bytes:
    """A text of the same length and structure, in which no escape stands for a surrogate: msgspec refuses lone ones."""
    return text.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0")


def check(text: bytes) -> None:
    """Raises JsonSyntaxError unless the text is one JSON value without white space around it."""
    try:
        _decode(without_surrogates(text))
    except (msgspec.MsgspecError, RecursionError):
        _check_in_pieces(text)


def _check_in_pieces(text: bytes) -> None:
    at, stack = 0, bytearray()
    for steps in _STEPS:
        piece = _pieces(steps)
        while at < len(text):
            found = piece.match(text, at)
            after = bytearray(stack)
            if found is None or not _nests(after, _structure(found[0])):
                break
            at, stack = found.end(), after
    # What is left is a step that is wrong, or nothing.
    end = _scan(text, at, stack)
    if end != len(text):
        raise JsonSyntaxError(end, "something follows the value")


@cache
def _pieces(steps: int) -> re.Pattern[bytes]:
    """At most so many steps. What comes before a step says whether a value begins or has ended there."""
    scalar = rb"(?:%b|%b)" % (STRING, SCALAR)
    array = rb"\[%b(?:%b%b(?:,%b(?!\])|(?=\])))*+\]" % (SPACE, scalar, SPACE, SPACE)
    member = rb"%b%b:%b%b%b" % (STRING, SPACE, SPACE, scalar, SPACE)
    flat = rb"\{%b(?:%b(?:,%b(?!\})|(?=\})))*+\}" % (SPACE, member, SPACE)
    leaf = rb"(?:%b|%b|%b)" % (scalar, array, flat)
    more = rb"(?:%b,%b%b(?!%b:)){0,256}+" % (SPACE, SPACE, leaf, SPACE)
    opening = rb"(?:\[(?!%b\])){1,256}+|\{%b%b%b:" % (SPACE, SPACE, STRING, SPACE)
    value = rb"(?:(?<=[\[,:])|(?<![\s\S]))%b(?:%b%b|%b)" % (SPACE, leaf, more, opening)
    ended = rb"(?<![\[,:])%b(?:[\]}]{1,256}+|,(?:%b%b%b:)?+)" % (SPACE, SPACE, STRING, SPACE)
    return re.compile(rb"(?:%b|%b){1,%d}+" % (value, ended, steps))


def _structure(piece: bytes) -> bytes:
    """The brackets and commas of a piece: an object's brackets as ``(`` and ``}``, its commas as ``;``; no empty container."""
    found = _ANY_STRING.sub(b"", piece) if b'"' in piece else piece
    found = found.translate(None, _NO_STRUCTURE)
    return found.replace(b",:", b";").replace(b"{:", b"(").replace(b"{}", b"").replace(b"[]", b"")


def _nests(stack: bytearray, structure: bytes) -> bool:
    """Whether brackets and commas fit what is open, which becomes what is open after them."""
    # Each round takes away the innermost containers. A round that takes little is the last: deep nesting would need many.
    size = 2 * len(structure)
    while size - len(structure) > size // 8:
        size = len(structure)
        structure = structure.replace(b",,", b",").replace(b";;", b";").replace(b"[,", b"[").replace(b"(;", b"(")
        structure = structure.replace(b",]", b"]").replace(b";}", b"}").replace(b"[]", b"").replace(b"(}", b"")
    # Long runs are compared as a whole.
    if structure.translate(_ALL_CLOSING).count(b"[]") * 16 <= len(structure):
        return all(_fits(stack, run) for run in _RUNS.findall(structure))
    for mark in structure:
        if mark in _OPENINGS:
            stack.append(mark)
        elif not stack or stack[-1] != _KIND[mark]:
            return False
        elif mark in _CLOSINGS:
            stack.pop()
    return True


def _fits(stack: bytearray, run: bytes) -> bool:
    """The same for opening brackets alone, closing brackets alone, or a comma."""
    if run[0] in _OPENINGS:
        stack += run
        return True
    if run[0] in _CLOSINGS:
        start = len(stack) - len(run)
        if start < 0 or stack[start:] != run[::-1].translate(_OPENING_OF):
            return False
        del stack[start:]
        return True
    return bool(stack) and stack[-1] == _KIND[run[0]]


def _scan(text: bytes, at: int, stack: bytearray) -> int:
    """The end of the value, read token by token from a place amid it. ``stack``: what is open there."""
    has_ended = at > 0 and text[at - 1] not in b"[,:"
    while True:
        if not has_ended:
            at = _skip_space(text, at)
            opening = text[at : at + 1]
            if opening in (b"{", b"["):
                inside = _skip_space(text, at + 1)
                if text[inside : inside + 1] != (b"}" if opening == b"{" else b"]"):
                    stack.append(_OBJECT if opening == b"{" else _ARRAY)
                    at = _key(text, inside) if opening == b"{" else inside
                    continue
                at = inside + 1
            else:
                at = _scalar(text, at)
        has_ended = False
        # A value has ended: close what it ends, or go on to the next one.
        while stack:
            at = _skip_space(text, at)
            mark = text[at : at + 1]
            is_object = stack[-1] == _OBJECT
            if mark == b",":
                at = _skip_space(text, at + 1)
                if is_object:
                    at = _key(text, at)
                break
            if mark != (b"}" if is_object else b"]"):
                raise JsonSyntaxError(at, _expected("',' or '}'" if is_object else "',' or ']'", text, at))
            stack.pop()
            at += 1
        else:
            return at


def _skip_space(text: bytes, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


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
        raise JsonSyntaxError(at, "bad string: not closed, or a control character or bad escape in it")
    return found.end()


def _key(text: bytes, at: int) -> int:
    """Past a key and its colon: where the member's value begins."""
    if text[at : at + 1] != b'"':
        raise JsonSyntaxError(at, _expected("a key in double quotes", text, at))
    at = _skip_space(text, _string(text, at))
    if text[at : at + 1] != b":":
        raise JsonSyntaxError(at, _expected("':'", text, at))
    return _skip_space(text, at + 1)
