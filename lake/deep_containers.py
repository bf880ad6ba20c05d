"""The ends and the depth of containers that nest too deeply for decoders.

They are read without their strings, by the depth after each bracket. No step runs in Python for each bracket. The text
must be JSON.
"""

import re
from array import array
from functools import cache
from itertools import accumulate

_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))
# 1 and -1 as signed bytes.
_STEP = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_RUNS = re.compile(rb"(\x01*+)(\xff*+)")
# A piece is twice as long as the previous one, so little is read beyond the container's end.
_FIRST_BYTES, _MOST_BYTES = 1024, 64 * 1024
# Brackets in so few bytes are found one by one.
_SMALL_BYTES = 128


def without_escapes(text: bytes) -> bytes:
    """A text of the same length and structure in which every quote begins or ends a string."""
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def end_of(text: bytes, at: int) -> int:
    """The end of the container that begins at ``at``. ``text``: without escapes. Raises ValueError if it has no end."""
    depth, size = 0, _FIRST_BYTES
    while at < len(text):
        piece = text[at : at + size]
        end = at + len(piece)
        outside = piece.split(b'"')
        if len(outside) % 2 == 0:  # the piece ends in a string
            outside.pop()
            end = text.find(b'"', end) + 1
            if not end:
                break
        steps = b"".join(outside[::2]).translate(_STEP, _NO_BRACKETS)
        closing = steps.count(b"\xff")
        if closing >= depth and (closed := _closed_after(steps, depth)):
            return _past_brackets(text, at, closed, end)
        depth += len(steps) - 2 * closing
        at = end
        size = min(2 * size, _MOST_BYTES)
    raise ValueError("the text is not JSON")


def may_be_deeper(text: bytes, levels: int) -> bool:
    """False if a value without escapes nests no deeper than this. Brackets in strings may make it true."""
    if text.count(b"[") + text.count(b"{") <= levels:
        return False
    return b"[" * (levels + 1) in text or _depth(text) > levels


def _depth(text: bytes) -> int:
    steps = b"".join(text.split(b'"')[::2]).translate(_STEP, _NO_BRACKETS)
    return max(accumulate(array("b", steps)), default=0)


def _closed_after(steps: bytes, depth: int) -> int:
    """The number of steps after which the depth is 0, or 0 if it never is. ``steps``: 1 and -1 as signed bytes."""
    if steps.count(b"\xff\x01") * 16 > len(steps):
        depths = list(accumulate(array("b", steps), initial=depth))[1:]
        return depths.index(0) + 1 if 0 in depths else 0
    # Long runs are counted at once.
    at = 0
    for opened, closed in _RUNS.findall(steps):
        depth += len(opened)
        if len(closed) >= depth:
            return at + len(opened) + depth
        depth -= len(closed)
        at += len(opened) + len(closed)
    return 0


def _past_brackets(text: bytes, at: int, count: int, end: int) -> int:
    """The end of this many brackets outside strings. ``end``: they are before it."""
    # Often they are adjacent.
    if not text[at : at + count].translate(None, b"[]{}"):
        return at + count
    # A half is counted by native code; the regular expression takes time for each bracket.
    while end - at > _SMALL_BYTES:
        middle = (at + end) // 2
        outside = text[at:middle].split(b'"')
        before = len(b"".join(outside[::2]).translate(None, _NO_BRACKETS))
        if before >= count:
            end = middle
            continue
        count -= before
        at = middle if len(outside) % 2 else text.index(b'"', middle) + 1
    found = _brackets(count).match(text, at)
    assert found is not None
    return found.end()


@cache
def _brackets(count: int) -> re.Pattern[bytes]:
    return re.compile(rb"(?:(?:[^\"\[\]{}]++|\"[^\"]*+\")*+[\[\]{}]){%d}+" % count)
