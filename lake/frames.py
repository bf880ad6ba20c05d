"""Stores bodies in zstd frames of 32 KiB, so that one record can be read without its whole batch.

The body is written once, when it is accepted. A record of the index has only the position of its slice
(``body_offset``, ``body_size``). ``data`` is read from there, so its bytes are those that were sent.
"""

import threading
from collections.abc import Iterable, Sequence

import msgspec
import psycopg
import zstandard

from evermuse.raw_connection import raw_connection

FRAME_BYTES = 32 * 1024
LEVEL = 1

# The frames of a body that contain a slice. `frames` has the end of each frame, and is empty if there is only one.
READ = """
SELECT w.batch_id, w.first, w.last, p.size, p.frames[w.first + 1 : w.last + 1], coalesce(p.frames[w.first], 0),
  substring(p.content FROM coalesce(p.frames[w.first], 0) + 1
    FOR coalesce(p.frames[w.last + 1], octet_length(p.content)) - coalesce(p.frames[w.first], 0))
FROM unnest(%b::bigint[], %b::int[], %b::int[]) AS w (batch_id, first, last)
JOIN lake_payload p ON p.batch_id = w.batch_id
"""


class Place(msgspec.Struct, frozen=True, gc=False):
    """The position of a record in the decompressed body of its batch, in bytes."""

    batch_id: int
    offset: int
    size: int

    @property
    def frames(self) -> tuple[int, int, int]:
        """The batch, and the first and last frame that contain the record."""
        return self.batch_id, self.offset // FRAME_BYTES, (self.offset + self.size - 1) // FRAME_BYTES


class _FrameCompressor(threading.local):
    """A thread's compressor. Creating one takes longer than compressing a small body."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL)


_mine = _FrameCompressor()


def pack(body: bytes) -> tuple[bytes, list[int]]:
    """The compressed body, and the end of each frame. No ends for a body of one frame."""
    compress = _mine.compressor.compress
    if len(body) <= FRAME_BYTES:
        return compress(body), []
    view = memoryview(body)
    frames = [compress(view[start : start + FRAME_BYTES]) for start in range(0, len(body), FRAME_BYTES)]
    ends: list[int] = []
    at = 0
    for frame in frames:
        at += len(frame)
        ends.append(at)
    return b"".join(frames), ends


def unpack(content: bytes, ends: Sequence[int], size: int) -> bytes:
    """The whole body. ``size``: its bytes."""
    decompressor = zstandard.ZstdDecompressor()
    if not ends:
        return decompressor.decompress(content, max_output_size=max(size, 1))
    view = memoryview(content)
    starts = (0, *ends)
    return b"".join(decompressor.decompress(view[a:b]) for a, b in zip(starts, ends, strict=False))


def read(places: Iterable[Place]) -> dict[Place, bytes]:
    """The slices of records as they were sent. Slices whose payload has been removed are missing.

    Each frame is read and decompressed once.
    """
    wanted = list(places)
    needed = sorted({place.frames for place in wanted})
    if not needed:
        return {}
    with raw_connection() as raw, psycopg.Cursor(raw) as cursor:
        cursor.execute(READ, [list(column) for column in zip(*needed, strict=True)], binary=True)
        # The decompressed part, and its position in the body.
        found: dict[tuple[int, int, int], tuple[bytes, int]] = {}
        for batch_id, first, last, size, ends, start, content in cursor.fetchall():
            part = unpack(content, [end - start for end in ends or ()], size)
            found[batch_id, first, last] = part, first * FRAME_BYTES if ends else 0
    slices: dict[Place, bytes] = {}
    for place in wanted:
        if (framed := found.get(place.frames)) is not None:
            part, begins = framed
            slices[place] = part[place.offset - begins : place.offset - begins + place.size]
    return slices
