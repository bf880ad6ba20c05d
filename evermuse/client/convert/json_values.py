"""Splits a JSON file into its objects, each with its offset and its bytes.

Other values in the place of an object are found too, so that each can be rejected.

Accepts NDJSON, one document, an array, and answers of list endpoints, which have an array under a name. Only one object is
in memory at a time, so a file may be larger than the memory.
"""

import codecs
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from evermuse.client.convert.decoding import unmarked_utf16

BLOCK_BYTES = 1024 * 1024
# A record has at most 5 MiB, but a page of a list counts as one object until its array is found.
MAX_OBJECT_BYTES = 64 * 1024 * 1024
_MARK = re.compile(rb'["{}\[\]]')
_STRING_END = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
# What follows a member's name, unless an array does.
_NO_ARRAY = re.compile(rb"\s*:\s*[^\s\[]")
_LONGEST_GAP = 200
_SPACES = b" \t\r\n"
_WORD = re.compile(rb"[^\s,]+")
_LAST_WORD = re.compile(rb"[^\s,]+\Z")
_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*\Z')


@dataclass(frozen=True, slots=True)
class Value:
    """An object's bytes and the offset of the first one. ``key``: the name of the array that holds it, or empty."""

    raw: bytes
    offset: int
    key: str = ""
    is_whole: bool = True


def objects_in(path: Path, arrays: Sequence[str], wrapped: Sequence[str] = ()) -> Iterator[Value]:
    """The objects at the top of a file, in arrays, and in arrays with these names in a top-level object.

    An object with an ``id``, or with an object that is named in ``wrapped``, is itself the item: its arrays belong to it.
    A truncated object has ``is_whole=False``, and so has a line of NDJSON without any object.
    """
    own = frozenset([b'"id"', *(f'"{name}"'.encode() for name in wrapped)])
    with path.open("rb") as file, path.open("rb") as second:
        first = file.read(BLOCK_BYTES)
        codec = "utf-16" if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else unmarked_utf16(first)
        if codec:
            first += file.read()
            content = first.decode(codec, "replace").encode()
            yield from _values(BytesIO(content), BytesIO(content), frozenset(arrays), own)
        else:
            file.seek(0)
            yield from _values(file, second, frozenset(arrays), own)


def _values(file: BinaryIO, second: BinaryIO, arrays: frozenset[str], own: frozenset[bytes]) -> Iterator[Value]:
    """``second``: the same content, to look ahead in."""
    if not _has_lines(file.read(BLOCK_BYTES)):
        file.seek(0)
        scanner = _Scanner(arrays, partial(_has_own, second, 0, own))
        while block := file.read(BLOCK_BYTES):
            yield from scanner.feed(block)
        yield from scanner.end()
        return
    # A broken line does not affect the next one.
    offset = 0
    file.seek(0)
    for line in file:
        if (text := line.strip(_SPACES)) and text != codecs.BOM_UTF8:
            start = offset + line.index(text[:1])
            scanner = _Scanner(arrays, partial(_has_own, BytesIO(text), start, own), start)
            yield from scanner.feed(text)
            yield from scanner.end()
        offset += len(line)


def _has_lines(head: bytes) -> bool:
    """Whether a text is NDJSON: its first or second line is an object, and is not part of a larger one."""
    lines = [line for one in head.split(b"\n")[:50] if (line := one.strip(_SPACES).removeprefix(codecs.BOM_UTF8))][:3]
    if len(lines) < 2:
        return False
    if _is_object(lines[0]):
        return lines[1] not in (b"{", b"[")
    follow = all(line.startswith(b"{") for line in lines[1:])
    return follow and not lines[0].endswith((b"[", b"{", b",", b":")) and _is_object(lines[1])


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _has_own(source: BinaryIO, base: int, names: frozenset[bytes], start: int) -> bool:
    """Whether the object that begins at an offset has a member of one of the names, which is not an array.

    ``names``: in quotes. ``base``: the offset of the source's first byte. Members of inner objects do not count.
    """
    source.seek(start - base)
    buffer, depth, is_last = b"", 0, False
    while not is_last:
        block = source.read(BLOCK_BYTES)
        buffer, at, is_last = buffer + block, 0, not block
        while (mark := _MARK.search(buffer, at)) is not None:
            if mark[0] == b'"':
                closed = _STRING_END.match(buffer, mark.end())
                if not is_last and (closed is None or closed.end() + _LONGEST_GAP > len(buffer)):
                    at = mark.start()
                    break
                if closed is None:
                    return False
                at = closed.end()
                if depth == 1 and buffer[mark.start() : at] in names and _NO_ARRAY.match(buffer, at):
                    return True
                continue
            at = mark.end()
            depth += 1 if mark[0] in (b"{", b"[") else -1
            if depth == 0:
                return False
        else:
            at = len(buffer)
        buffer = buffer[at:]
    return False


def whole_objects(text: bytes) -> Iterator[Value]:
    """The whole objects in an array whose JSON is broken or truncated."""
    for value in _Scanner(frozenset(), lambda start: True).feed(text):
        if value.is_whole:
            yield value


class _Scanner:
    """Follows brackets and strings.

    ``_stack``: the open brackets. ``_start``, ``_depth``: the offset and the depth at which the current object began.
    ``_frame``: the depth of an object that only wraps a list. ``_array``: the name of the array being read.
    ``_is_item``: whether the object at an offset is an item with such an array, and not the wrapper of a list.
    """

    def __init__(self, arrays: frozenset[str], is_item: Callable[[int], bool], base: int = 0) -> None:
        self._arrays, self._is_item = arrays, is_item
        self._buffer, self._base, self._at, self._first = b"", base, 0, base
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
            if self._start is None:
                yield from self._words(at)
            if kind == b'"':
                closed = _STRING_END.match(self._buffer, at + 1)
                if closed is None:
                    # The string ends in a later block.
                    self._at = at
                    return
                self._at = closed.end()
                if self._is_between():
                    yield self._plain(at, self._at)
                continue
            self._at = at + 1
            if kind in (b"{", b"["):
                self._open(kind, at)
            elif self._stack:
                yield from self._close(at)
        end = len(self._buffer)
        if self._is_between() and (word := _LAST_WORD.search(self._buffer, max(self._at, end - _LONGEST_GAP))):
            end = word.start()  # the word may go on in the next block
        yield from self._words(end)
        self._at = end

    def _is_between(self) -> bool:
        """Whether the scanner is where an item may begin. Text before the first bracket does not count: see `end`."""
        if self._start is not None or not self._has_brackets:
            return False
        depth = len(self._stack)
        if self._frame:
            return bool(self._array) and depth == self._frame + 1
        return depth == 0 or (depth == 1 and self._stack[0] == b"[")

    def _words(self, end: int) -> Iterator[Value]:
        """The numbers, constants and other words up to an index, if they are where an item may begin."""
        if self._is_between():
            for word in _WORD.finditer(self._buffer, self._at, end):
                if word[0] != codecs.BOM_UTF8:  # of a file that was appended to another
                    yield self._plain(word.start(), word.end())

    def _plain(self, start: int, end: int) -> Value:
        """Something in the place of an item that is no object."""
        return Value(self._buffer[start:end], self._base + start, self._array)

    def end(self) -> Iterator[Value]:
        """The rest at the end of the file: an object that is not closed, or text that is not JSON."""
        size = self._base + len(self._buffer)
        is_broken_string = self._buffer[self._at : self._at + 1] == b'"' and not self._stack
        if not is_broken_string:
            yield from self._words(len(self._buffer))
        elif self._is_between():
            yield self._plain(self._at, len(self._buffer))
        if self._start is not None:
            yield Value(self._buffer[self._start - self._base :], self._start, self._array, is_whole=False)
        elif self._stack or (size and not self._has_brackets):
            yield Value(b"", size if self._stack else self._first, self._array, is_whole=False)

    def _open(self, kind: bytes, at: int) -> None:
        self._stack.append(kind)
        self._has_brackets = True
        depth = len(self._stack)
        if kind == b"[":
            is_in_object = self._start is not None and depth == self._depth + 1 and self._depth <= 2
            if is_in_object or (self._frame and depth == self._frame + 1):
                self._open_array(at)
        if self._start is None:
            is_item = (
                depth == self._frame + 2 and self._array
                if self._frame
                else ((depth == 1 and kind == b"{") or (depth == 2 and self._stack[0] == b"["))
            )
            # An array in the place of an item is kept as one value, so that it can be rejected.
            if is_item:
                self._start, self._depth = self._base + at, depth

    def _open_array(self, at: int) -> None:
        found = _KEY.search(self._buffer, max(at - 200, 0), at)
        name = found[1].decode("utf-8", "replace") if found else ""
        if self._frame:
            self._array = name if name in self._arrays else ""
        elif self._start is not None and name in self._arrays and not self._is_item(self._start):
            self._array, self._frame, self._start = name, self._depth, None

    def _close(self, at: int) -> Iterator[Value]:
        self._stack.pop()
        depth = len(self._stack)
        if self._start is not None and depth < self._depth:
            yield Value(self._buffer[self._start - self._base : at + 1], self._start, self._array)
            self._start = None
        if self._frame and depth <= self._frame:
            self._array = ""
        if depth < self._frame:
            self._frame = 0
