"""Splits a JSON file into its objects, each with its offset and its bytes.

Accepts NDJSON, one document, an array, and answers of list endpoints, which have an array under a name. Only one object is
in memory at a time, so a file may be larger than the memory.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evermuse.client.convert.decoding import unmarked_utf16

BLOCK_BYTES = 1024 * 1024
# A record has at most 5 MiB, but a page of a list counts as one object until its array is found.
MAX_OBJECT_BYTES = 64 * 1024 * 1024
_MARK = re.compile(rb'["{}\[\]]')
_STRING_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*\Z')


@dataclass(frozen=True, slots=True)
class Value:
    """An object's bytes and the offset of the first one. ``key``: the name of the array that holds it, or empty."""

    raw: bytes
    offset: int
    key: str = ""
    is_whole: bool = True


def objects_in(path: Path, arrays: Sequence[str]) -> Iterator[Value]:
    """The objects at the top of a file, in arrays, and in arrays with these names in a top-level object.

    A truncated object has ``is_whole=False``.
    """
    scanner = _Scanner(frozenset(arrays))
    with path.open("rb") as file:
        first = file.read(BLOCK_BYTES)
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            first = (first + file.read()).decode("utf-16", "replace").encode()
        elif codec := unmarked_utf16(first):
            first = (first + file.read()).decode(codec, "replace").encode()
        yield from scanner.feed(first)
        while block := file.read(BLOCK_BYTES):
            yield from scanner.feed(block)
    yield from scanner.end()


def whole_objects(text: bytes) -> Iterator[Value]:
    """The whole objects in an array whose JSON is broken or truncated."""
    for value in _Scanner(frozenset()).feed(text):
        if value.is_whole:
            yield value


class _Scanner:
    """Follows brackets and strings.

    ``_stack``: the open brackets. ``_start``, ``_depth``: the offset and the depth at which the current object began.
    ``_frame``: the depth of an object that only wraps a list. ``_array``: the name of the array being read.
    """

    def __init__(self, arrays: frozenset[str]) -> None:
        self._arrays = arrays
        self._buffer, self._base, self._at = b"", 0, 0
        self._stack: list[bytes] = []
        self._start: int | None = None
        self._depth = self._frame = 0
        self._array = ""
        self._has_brackets = False

    def feed(self, block: bytes) -> Iterator[Value]:
        """The objects that end in the next block."""
        keep = self._start - self._base if self._start is not None else max(min(self._at, len(self._buffer)) - 1024, 0)
        self._buffer = self._buffer[keep:] + block
        self._base += keep
        self._at -= keep
        while (mark := _MARK.search(self._buffer, self._at)) is not None:
            kind, at = mark[0], mark.start()
            if kind == b'"':
                closed = _STRING_END.match(self._buffer, at + 1)
                if closed is None:
                    # The string ends in a later block.
                    self._at = at
                    return
                self._at = closed.end()
                continue
            self._at = at + 1
            if kind in (b"{", b"["):
                self._open(kind, at)
            elif self._stack:
                yield from self._close(at)
        self._at = len(self._buffer)

    def end(self) -> Iterator[Value]:
        """The rest at the end of the file: an object that is not closed, or text that is not JSON."""
        size = self._base + len(self._buffer)
        if self._start is not None:
            yield Value(self._buffer[self._start - self._base :], self._start, self._array, is_whole=False)
        elif self._stack or (size and not self._has_brackets):
            yield Value(b"", size if self._stack else 0, self._array, is_whole=False)

    def _open(self, kind: bytes, at: int) -> None:
        self._stack.append(kind)
        self._has_brackets = True
        depth = len(self._stack)
        if kind == b"[":
            is_in_object = self._start is not None and depth == self._depth + 1 and self._depth <= 2
            if is_in_object or (self._frame and depth == self._frame + 1):
                self._open_array(at)
        elif self._start is None:
            is_item = (
                depth == self._frame + 2 and self._array
                if self._frame
                else (depth == 1 or (depth == 2 and self._stack[0] == b"["))
            )
            if is_item:
                self._start, self._depth = self._base + at, depth

    def _open_array(self, at: int) -> None:
        found = _KEY.search(self._buffer, max(at - 200, 0), at)
        name = found[1].decode("utf-8", "replace") if found else ""
        if self._frame:
            self._array = name if name in self._arrays else ""
        elif self._start is not None and name in self._arrays:
            # An object with an id is an item with such an array, and not the wrapper of a list.
            is_item = b'"id"' in self._buffer[self._start - self._base : at]
            if not is_item:
                self._array, self._frame, self._start = name, self._depth, None

    def _close(self, at: int) -> Iterator[Value]:
        self._stack.pop()
        depth = len(self._stack)
        if self._start is not None and depth < self._depth:
            yield Value(self._buffer[self._start - self._base : at + 1], self._start, self._array)
            self._start = None
        if self._frame and depth < self._frame:
            self._frame, self._array = 0, ""
