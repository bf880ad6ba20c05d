"""Where the values of a JSON text begin and end, for slices that must stay as they were sent.

The text must be JSON, as `lake.json_syntax.check` proves. Nothing here recurses, and native code reads each byte a few
times at most.
"""

import json
import re
from collections.abc import Iterator

import msgspec

from lake import deep_containers
from lake.json_syntax import ANY_STRING, SCALAR, SPACE, without_surrogates

_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")
_LONE_HIGH = re.compile("[\ud800-\udfff]")

_SIMPLE = rb"%b|%b|\[[^\[\]{}\"]*+\]|\{(?:[^\[\]{}\"]++|%b)*+\}" % (ANY_STRING, SCALAR, ANY_STRING)
_SCALAR_OR_STRING = re.compile(rb"%b|%b" % (ANY_STRING, SCALAR), re.DOTALL)
_MEMBER = re.compile(rb"[{, \t\n\r]*+(%b)%b:%b(%b)?+" % (ANY_STRING, SPACE, SPACE, _SIMPLE), re.DOTALL)
_ELEMENT = re.compile(rb"[, \t\n\r]*+(?:(%b)|(?=[\[{]))" % _SIMPLE, re.DOTALL)
# Deeper values are not built as trees, because that takes long. No field of the envelope nests half as deep.
DEEPEST = 16
# Python converts no longer texts into integers (sys.get_int_max_str_digits).
MAX_DIGITS = 4300
# With more digits in the exponent, no number of digits in a body could make up for it.
_LONGEST_POWER = 12

_decode = msgspec.json.Decoder(msgspec.Raw).decode
_TRAILING = re.compile(r"trailing characters \(byte ([0-9]+)\)")


class JsonText:
    """A text that is JSON. Offsets are in bytes."""

    __slots__ = ("_ends", "_plain", "_unescaped", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        # The ends of containers that took long to find, by their beginnings.
        self._ends: dict[int, int] = {}
        self._plain = memoryview(without_surrogates(raw))
        self._unescaped: bytes | None = None

    def skip(self, at: int) -> int:
        """The end of the value that begins at ``at``."""
        if self.raw[at] in b"[{":
            return self._skip_container(at)
        found = _SCALAR_OR_STRING.match(self.raw, at)
        assert found is not None
        return found.end()

    def _skip_container(self, at: int) -> int:
        """The end of a container. msgspec's error names the position where something follows the value."""
        if at in self._ends:
            return self._ends[at]
        try:
            _decode(self._plain[at:])
        except RecursionError:
            return self._skip_deep(at)
        except msgspec.MsgspecError as error:
            told = _TRAILING.search(str(error))
            if told is None:
                return self._skip_deep(at)
            # msgspec names the byte after the one that follows the value. White space may come before it.
            following = at + int(told[1]) - 1
            return max(self.raw.rfind(b"]", at, following), self.raw.rfind(b"}", at, following)) + 1
        return len(self.raw)

    def _skip_deep(self, at: int) -> int:
        end = self._ends[at] = deep_containers.end_of(self._without_escapes(), at)
        return end

    def _without_escapes(self) -> bytes:
        if self._unescaped is None:
            self._unescaped = deep_containers.without_escapes(self.raw)
        return self._unescaped

    def may_be_deep(self, start: int, end: int) -> bool:
        """False if the value between ``start`` and ``end`` nests no deeper than DEEPEST."""
        return start in self._ends or deep_containers.may_be_deeper(self._without_escapes()[start:end], DEEPEST)

    def members(self, at: int) -> Iterator[tuple[bytes, int, int]]:
        """The members of the object at ``at``: the key as a slice with its quotes, and the value's beginning and end."""
        raw = self.raw
        while found := _MEMBER.match(raw, at):
            start, at = found.span(2)
            if start < 0:
                start = found.end()
                at = self._skip_container(start)
            yield found[1], start, at

    def elements(self, at: int) -> Iterator[tuple[int, int]]:
        """The beginning and end of each element of the array at ``at``."""
        raw = self.raw
        at += 1
        while found := _ELEMENT.match(raw, at):
            start, at = found.span(1)
            if start < 0:
                start = found.end()
                at = self._skip_container(start)
            yield start, at


def decode_string(slice: bytes) -> str:
    """The string of a slice with quotes. It may contain lone surrogates."""
    return str(json.loads(slice)) if b"\\" in slice else slice[1:-1].decode()


def integer(number: bytes, max_digits: int) -> bytes | None:
    """The digits of a JSON number that is an integer in any spelling (``5.0``, ``50e-1``), or None for another number.

    It does not return the value, because Python needs quadratic time to make it. Raises OverflowError for an integer of
    more than ``max_digits`` digits.
    """
    mantissa, _, exponent = number.lower().partition(b"e")
    whole, _, fraction = mantissa.lstrip(b"-").partition(b".")
    digits = (whole + fraction).lstrip(b"0")
    significant = digits.rstrip(b"0")
    if not significant:
        return b"0"
    power = exponent.lstrip(b"+-").lstrip(b"0") or b"0"
    if len(power) > _LONGEST_POWER:
        if exponent[:1] == b"-":
            return None
        raise OverflowError
    zeros = len(digits) - len(significant) - len(fraction) + (-int(power) if exponent[:1] == b"-" else int(power))
    if zeros < 0:
        return None
    if len(significant) + zeros > max_digits:
        raise OverflowError
    return (b"-" if number[:1] == b"-" else b"") + significant + b"0" * zeros


def has_lone_surrogate(text: str) -> bool:
    """Whether a string contains half of a surrogate pair, which UTF-8 cannot encode."""
    return not text.isascii() and _LONE_HIGH.search(text) is not None


def place(text: bytes, offset: int) -> tuple[int, int]:
    """Line and column of an offset, counted from 1, the column in characters."""
    before = text[:offset]
    line_start = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[line_start:].decode(errors="replace")) + 1


def one_line(raw: bytes) -> bytes:
    """The text with spaces instead of CR and LF. In JSON these can only be between tokens."""
    return raw.translate(_LINE_BREAKS) if b"\n" in raw or b"\r" in raw else raw
