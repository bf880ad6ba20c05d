"""Splits bytes into records: NDJSON, arrays, `{"records": […]}`, single or pretty-printed objects. Constant memory."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

import msgspec

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"
# The most bytes of a value that are kept. A longer value cannot be a record, because a record has at most 5 MB.
MAX_VALUE_BYTES = 16 * 1024 * 1024
_RECORDS = re.compile(rb'\{[ \t\r\n]*"records"[ \t\r\n]*:[ \t\r\n]*\[')
# Strings, brackets, and an unfinished string.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]|"', re.DOTALL)
_SCALAR_END = re.compile(rb"[ \t\r\n,\[\]{}]")
_HEAD_BYTES = 1024 * 1024
_FORM_BYTES = 4096


def records(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The records as they were written, some at a time. Text that is not JSON is yielded too; the validator reports it."""
    stream = iter(blocks)
    head = _head(stream)
    text = head.removeprefix(_BOM).lstrip(_SPACE)
    if text[:1] == b"[":
        return _values(chain([text[1:]], stream), is_array=True)
    if found := _RECORDS.match(text):
        return _values(chain([text[found.end() :]], stream), is_array=True)
    if _begins_like_lines(text):
        return _lines(chain([text], stream))
    return _values(chain([text], stream), is_array=False)


def _head(stream: Iterator[bytes]) -> bytes:
    """The beginning, as long as is needed to recognise the form: some kilobytes with a whole line, or a megabyte."""
    parts: list[bytes] = []
    size = 0
    for block in stream:
        parts.append(block)
        size += len(block)
        if size >= _HEAD_BYTES or (size >= _FORM_BYTES and b"\n" in block):
            break
    return b"".join(parts)


def _begins_like_lines(text: bytes) -> bool:
    """Whether the first line is a whole value, or cannot be the beginning of a value over several lines."""
    line, separator, _ = text.partition(b"\n")
    if not separator or line[:1] not in {b"{", b"["}:
        return True
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        # If an object continues on the next line, this line ends with one of these.
        return line.rstrip(_SPACE)[-1:] not in {b"{", b"[", b",", b":"}
    except RecursionError:
        pass
    return True


def _lines(blocks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The lines that are not blank, stripped of white space. Lines that are too long are truncated."""
    rest: list[bytes] = []
    size = 0
    for block in blocks:
        first, *others = block.split(b"\n")
        if size < MAX_VALUE_BYTES:
            rest.append(first)
            size += len(first)
        if not others:
            continue
        found = [b"".join(rest), *others[:-1]]
        rest, size = [others[-1]], len(others[-1])
        if lines := [line for one in found if (line := one.strip(_SPACE))]:
            yield lines
    if line := b"".join(rest).strip(_SPACE):
        yield [line]


def _values(blocks: Iterable[bytes], *, is_array: bool) -> Iterator[list[bytes]]:
    """Successive values, separated by commas in an array. Stops at the array's end."""
    splitter = _ValueSplitter(is_array=is_array)
    for block in blocks:
        if found := splitter.feed(block):
            yield found
        if splitter.is_over:
            return
    if rest := splitter.rest():
        yield [rest]


class _ValueSplitter:
    """Finds the ends of values, block by block. Scans each byte about once."""

    def __init__(self, *, is_array: bool) -> None:
        self._separators = b" \t\r\n," if is_array else _SPACE
        self._is_array = is_array
        self._buffer = b""
        self._scanned = 0
        self._depth = 0
        self.is_over = False

    def feed(self, block: bytes) -> list[bytes]:
        """The values that end in this block."""
        self._buffer += block
        if len(self._buffer) > 2 * MAX_VALUE_BYTES:
            # Too long for a record. Keep its beginning, which will be rejected, and its tail, which is needed to find its end.
            cut = self._scanned
            self._buffer = self._buffer[:MAX_VALUE_BYTES] + self._buffer[cut:]
            self._scanned = MAX_VALUE_BYTES
        found: list[bytes] = []
        while (value := self._next()) is not None:
            found.append(value)
        return found

    def rest(self) -> bytes:
        """The unfinished value at the end of the input."""
        return b"" if self.is_over else self._buffer.strip(self._separators)

    def _next(self) -> bytes | None:
        if self._depth == 0 and self._scanned == 0:
            self._buffer = self._buffer.lstrip(self._separators)
            if self._is_array and self._buffer[:1] in {b"]", b"}"}:
                self.is_over = True
            if self.is_over or not self._buffer:
                return None
            if self._buffer[:1] not in {b"{", b"["}:
                return self._scalar()
        return self._container()

    def _container(self) -> bytes | None:
        for token in _TOKEN.finditer(self._buffer, self._scanned):
            text = token[0]
            if text == b'"':  # its end is in a later block
                self._scanned = token.start()
                return None
            if len(text) == 1:
                self._depth += 1 if text in b"{[" else -1
                if self._depth == 0:
                    return self._taken(token.end())
            self._scanned = token.end()
        return None

    def _scalar(self) -> bytes | None:
        """A string, a number, or text that is not JSON, up to the next separator."""
        if self._buffer[:1] == b'"' and (string := _TOKEN.match(self._buffer)):
            return self._taken(string.end()) if len(string[0]) > 1 else None
        end = _SCALAR_END.search(self._buffer, 1)
        return self._taken(end.start()) if end else None

    def _taken(self, end: int) -> bytes:
        value, self._buffer = self._buffer[:end], self._buffer[end:]
        self._scanned = self._depth = 0
        return value
