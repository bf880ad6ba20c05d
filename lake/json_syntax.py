"""JSON's grammar: whether a text is JSON, and where it stops being JSON.

RFC 8259 with any nesting depth, any number and lone surrogate escapes. NaN, control characters in strings, leading
zeros and trailing commas are refused. The text must be valid UTF-8.

msgspec decides in nearly all cases. It gives up beyond Python's recursion limit; then yyjson decides, where it is
installed: the server has it, and the client need not. Their errors do not give the position as ours do. All other texts
are read here in pieces by one regular expression that never backtracks, and brackets are matched by replacing bytes. No step runs in Python for each token, so 5 MB take a fraction
of a second for any content.
"""

import re
from functools import cache

import msgspec

from lake import deep_containers

try:
    import yyjson
except ImportError:
    yyjson = None

SPACE = rb"[ \t\n\r]*+"
STRING = rb'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"'
SCALAR = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+|true|false|null"
# A string, in a text that is known to be JSON.
ANY_STRING = rb'"(?:[^"\\]++|\\.)*+"'

_SPACE, _STRING, _SCALAR = re.compile(SPACE), re.compile(STRING), re.compile(SCALAR)
_ANY_STRING = re.compile(ANY_STRING, re.DOTALL)
_OBJECT, _ARRAY = ord("("), ord("[")
# The number of steps in a piece of text. A piece with an error is read again in smaller pieces.
_STEPS = (4096, 32, 1)
# Everything except brackets, commas and colons.
_NO_STRUCTURE = bytes(sorted(set(range(256)) - set(b"[]{},:")))
_KIND = {ord("["): _ARRAY, ord("]"): _ARRAY, ord(","): _ARRAY, _OBJECT: _OBJECT, ord("}"): _OBJECT, ord(";"): _OBJECT}
_OPENINGS, _CLOSINGS = b"[(", b"]}"
_RUNS = re.compile(rb"[\[(]++|[\]}]++|[,;]")
_ALL_CLOSING = bytes.maketrans(b"(,;}", b"[]]]")
_OPENING_OF = bytes.maketrans(b"]}", b"[(")

# Reads a whole text of any JSON. Raises msgspec.MsgspecError and RecursionError.
decode = msgspec.json.Decoder(msgspec.Raw).decode
_ERROR_BYTE = re.compile(r"\(byte ([0-9]+)\)")


class JsonSyntaxError(ValueError):
    """The text stops being JSON at ``offset`` (bytes) for ``reason``."""

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.offset, self.reason = offset, reason


def without_surrogates(text: bytes) -> bytes:
    """A text of the same length and structure without escapes of surrogates, because msgspec refuses lone ones."""
    return text.replace(b"\\ud", b"\\u0").replace(b"\\uD", b"\\u0")


def check(text: bytes) -> None:
    """Raise JsonSyntaxError unless the text is one JSON value without surrounding white space."""
    plain = without_surrogates(text)
    try:
        decode(plain)
    except msgspec.MsgspecError as error:
        _check_in_pieces(text, *_sound_prefix(plain, str(error)))
    except RecursionError:
        if not _is_deep_json(plain):
            _check_in_pieces(text)


def _is_deep_json(text: bytes) -> bool:
    """Whether yyjson, which does not recurse, takes a text for JSON. False without yyjson: the pieces decide then."""
    if yyjson is None:
        return False
    try:
        yyjson.Document(text, flags=yyjson.ReaderFlags.NUMBERS_AS_RAW)
    except ValueError:
        return False
    return True


def _sound_prefix(text: bytes, error: str) -> tuple[int, bytes]:
    """The position of a comma before msgspec's error, and the containers that are open there. 0 if none is found soon."""
    told = _ERROR_BYTE.search(error)
    # msgspec names the byte after the one that follows a complete value.
    before = deep_containers.without_escapes(text[: max(0, int(told[1]) - 1)] if told else text)
    end = len(before)
    for _ in range(4):
        at = before.rfind(b",", 0, end)
        if at < 0:
            break
        if before.count(b'"', 0, at) % 2 == 0:
            stack = bytearray()
            # Outside of containers a comma is itself the error.
            return (at, bytes(stack)) if _nests(stack, _structure(before[:at])) and stack else (0, b"")
        end = before.rfind(b'"', 0, at)  # the comma is in a string
    return 0, b""


def _check_in_pieces(text: bytes, at: int = 0, open_containers: bytes = b"") -> None:
    """Raise JsonSyntaxError unless the text is JSON. It is known to be sound up to a comma ``at``."""
    stack = bytearray(open_containers)
    for steps in _STEPS:
        piece = _pieces(steps)
        while at < len(text):
            found = piece.match(text, at)
            after = bytearray(stack)
            if found is None or not _nests(after, _structure(found[0])):
                break
            at, stack = found.end(), after
        # Smaller pieces begin with the same step.
        if at == len(text) or found is None:
            break
    # The rest begins with an invalid step, or is empty.
    end = _scan(text, at, stack)
    if end != len(text):
        raise JsonSyntaxError(end, "something follows the value")


@cache
def _pieces(steps: int) -> re.Pattern[bytes]:
    """At most this many steps. What precedes a step says whether a value begins or has ended there."""
    scalar = rb"(?:%b|%b)" % (STRING, SCALAR)
    array = rb"\[%b(?:%b%b(?:,%b(?!\])|(?=\])))*+\]" % (SPACE, scalar, SPACE, SPACE)
    member = rb"%b%b:%b%b%b" % (STRING, SPACE, SPACE, scalar, SPACE)
    flat = rb"\{%b(?:%b(?:,%b(?!\})|(?=\})))*+\}" % (SPACE, member, SPACE)
    leaf = rb"(?:%b|%b|%b)" % (scalar, array, flat)
    more = rb"(?:%b,%b%b(?!%b:)){0,256}+" % (SPACE, SPACE, leaf, SPACE)
    opening = rb"(?:%b(?:\[(?!%b\])|\{%b%b%b:)){1,256}+" % (SPACE, SPACE, SPACE, STRING, SPACE)
    value = rb"(?:(?<=[\[,:])|(?<![\s\S]))%b(?:%b%b|%b)" % (SPACE, leaf, more, opening)
    ended = rb"(?<![\[,:])%b(?:[\]}]{1,256}+|,(?:%b%b%b:)?+)" % (SPACE, SPACE, STRING, SPACE)
    return re.compile(rb"(?:%b|%b){1,%d}+" % (value, ended, steps))


def _structure(piece: bytes) -> bytes:
    """The brackets and commas of a piece: an object's as ``(``, ``}`` and ``;``. Empty containers are left out."""
    # Without escapes, every other quote begins a string.
    found = _ANY_STRING.sub(b"", piece) if b"\\" in piece else b"".join(piece.split(b'"')[::2])
    found = found.translate(None, _NO_STRUCTURE)
    return found.replace(b",:", b";").replace(b"{:", b"(").replace(b"{}", b"").replace(b"[]", b"")


def _nests(stack: bytearray, structure: bytes) -> bool:
    """Whether brackets and commas fit the open containers. Updates the open containers."""
    # Each round removes the innermost containers. A round that removes little is the last, because deep nesting would
    # need many.
    size = 2 * len(structure)
    while size - len(structure) > size // 8:
        size = len(structure)
        structure = structure.replace(b",,", b",").replace(b";;", b";").replace(b"[,", b"[").replace(b"(;", b"(")
        structure = structure.replace(b",]", b"]").replace(b";}", b"}").replace(b"[]", b"").replace(b"(}", b"")
    # Long runs are compared at once.
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
    """Like `_nests`, for opening brackets alone, closing brackets alone, or a comma."""
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
    """The end of the value, read token by token from a position inside it. ``stack``: the containers that are open
    there.
    """
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
        # A value has ended: close its containers, or continue with the next value.
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
    """The position of a member's value, after its key and colon."""
    if text[at : at + 1] != b'"':
        raise JsonSyntaxError(at, _expected("a key in double quotes", text, at))
    at = _skip_space(text, _string(text, at))
    if text[at : at + 1] != b":":
        raise JsonSyntaxError(at, _expected("':'", text, at))
    return _skip_space(text, at + 1)
