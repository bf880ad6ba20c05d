"""Lines of a stream, in constant memory: one line and one part at a time."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator

_BLANK = re.compile(rb"\n[ \t\r]*\n")


class LineSplitter:
    """Splits parts of bytes at line feeds. A line without its end is kept until the next part."""

    def __init__(self) -> None:
        self._open: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The lines that end in this part."""
        first, *others = part.split(b"\n")
        self._open.append(first)
        for other in others:
            yield b"".join(self._open)
            self._open = [other]

    def rest(self) -> bytes:
        """The bytes after the last line feed."""
        return b"".join(self._open)


class BlockSplitter:
    """Splits parts of bytes into blocks of whole lines. A line without its end is kept until the next part."""

    def __init__(self) -> None:
        self._open: list[bytes] = []

    def feed(self, part: bytes) -> Iterator[bytes]:
        """The lines that end in this part, as one block."""
        ended, separator, rest = part.rpartition(b"\n")
        if separator:
            yield from _without_blanks(b"".join([*self._open, ended, separator]))
            self._open = []
        self._open.append(rest)

    def rest(self) -> Iterator[bytes]:
        """The line after the last line feed, with one."""
        if any(self._open):
            yield from _without_blanks(b"".join([*self._open, b"\n"]))


def whole(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Blocks of whole lines that are not blank, each with its line feed."""
    splitter = BlockSplitter()
    for part in parts:
        yield from splitter.feed(part)
    yield from splitter.rest()


async def whole_async(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Like `whole`, for an asynchronous stream."""
    splitter = BlockSplitter()
    async for part in parts:
        for block in splitter.feed(part):
            yield block
    for block in splitter.rest():
        yield block


def _without_blanks(block: bytes) -> Iterator[bytes]:
    if block[:1].isspace() or _BLANK.search(block):
        block = b"".join(line + b"\n" for line in block.split(b"\n") if line.strip())
    if block:
        yield block


def split(parts: Iterable[bytes]) -> Iterator[bytes]:
    """The lines that are not blank."""
    splitter = LineSplitter()
    for part in parts:
        yield from (line for line in splitter.feed(part) if line.strip())
    if (rest := splitter.rest()).strip():
        yield rest


async def split_async(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Like `split`, for an asynchronous stream."""
    splitter = LineSplitter()
    async for part in parts:
        for line in splitter.feed(part):
            if line.strip():
                yield line
    if (rest := splitter.rest()).strip():
        yield rest
