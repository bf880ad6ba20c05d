"""Lines of a stream, in constant memory: one line and one part at a time."""

from collections.abc import AsyncIterator, Iterable, Iterator


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
