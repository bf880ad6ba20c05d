"""The only writer of segments. It turns lines into the object's bytes, and records where each batch's lines are.

Landing writes small segments in memory. Compaction streams: it takes bytes while it writes (`take`), and copies whole blocks
unchanged (`copy`).
"""

import itertools
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec
import zstandard

from evermuse import public_ids
from evermuse.instants import microseconds
from lake.json_text import one_line
from lake.segments import layout
from lake.segments.layout import BatchPart, BlockSize, Breaks, Listing, Owner

LEVEL = 1


@dataclass(frozen=True, slots=True)
class LineBatch:
    """The batch of a line. ``number``: the batch's sequence."""

    number: int
    source: str
    accepted_at: datetime


class Line(msgspec.Struct, gc=False):
    """A record to be written to a segment.

    ``key``: the 16 bytes of its identity. ``index``: its position among the records sent. ``offset``, ``size``: in the body as
    it was sent. ``document``: the normalized record. Its line breaks become spaces, and the listing stores their positions.
    """

    batch: LineBatch
    index: int
    offset: int
    size: int
    key: bytes
    document: bytes


@dataclass(slots=True)
class Span:
    """Where a batch's lines are: the bytes of the object, and the block of each line.

    ``ends``: the end of each block, counted from ``start``. ``firsts``: the offset of each block's first line of the batch.
    """

    start: int
    ends: list[int] = field(default_factory=list)
    firsts: list[int] = field(default_factory=list)
    lines: int = 0

    @property
    def length(self) -> int:
        return self.ends[-1]


def _part(first: Line, lines: int) -> BatchPart:
    batch = first.batch
    return BatchPart(
        public_ids.of_batch(batch.number), batch.number, batch.source, microseconds(batch.accepted_at), lines
    )


def _parts(lines: Sequence[Line]) -> list[BatchPart]:
    """The batches of a block's lines. A batch's lines are adjacent, so most blocks hold only one batch."""
    if lines[0].batch.number == lines[-1].batch.number:
        return [_part(lines[0], len(lines))]
    batches = [list(members) for _, members in itertools.groupby(lines, key=lambda line: line.batch.number)]
    return [_part(members[0], len(members)) for members in batches]


class _BlockCompressor(threading.local):
    """A thread's own compressor: making one takes longer than compressing a small frame."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)


_mine = _BlockCompressor()


class SegmentWriter:
    """A segment of one workspace and type. A batch's lines must be added together, by index.

    ``spans``: where each batch's lines are, by the batch's number. Complete after `finish`.
    """

    def __init__(self, *, workspace_id: int, workspace: str, type: str) -> None:
        self._owner, self._type = Owner(workspace_id, workspace), type
        self._lines: list[Line] = []
        self._bytes = 0
        self._out: list[bytes] = []
        self._blocks: list[BlockSize] = []
        self._at = 0
        self.spans: dict[int, Span] = {}
        self.line_count = 0

    @property
    def size(self) -> int:
        """Bytes of the blocks written so far."""
        return self._at

    def add(self, line: Line) -> None:
        """Append a line."""
        size = len(line.document) + 1
        if self._bytes + size > layout.FRAME_BYTES and self._lines:
            self._flush()
        self._lines.append(line)
        self._bytes += size

    def copy(self, block: bytes, size: BlockSize, listing: Listing) -> None:
        """Append a block of another segment unchanged."""
        self._flush()
        self._append([block], size, listing)

    def take(self) -> bytes:
        """The bytes written since the last call."""
        content = b"".join(self._out)
        self._out.clear()
        return content

    def finish(self) -> bytes:
        """Finish the object and return the rest of its bytes."""
        self._flush()
        self._out.append(layout.seek_table(self._blocks))
        return self.take()

    def _flush(self) -> None:
        if not self._lines:
            return
        documents = [line.document for line in self._lines]
        breaks = layout.breaks_of(documents)
        for number in breaks:
            documents[number] = one_line(documents[number])
        data = _mine.compressor.compress(b"\n".join([*documents, b""]))
        listing = self._listing(breaks)
        frame = layout.listing_frame(listing, _mine.compressor)
        self._append([data, frame], BlockSize(len(data), len(frame), self._bytes), listing)
        self._lines, self._bytes = [], 0

    def _listing(self, breaks: dict[int, Breaks]) -> Listing:
        lines = self._lines
        return Listing(
            workspace=self._owner,
            type=self._type,
            batches=_parts(lines),
            index=[line.index for line in lines],
            offset=[line.offset for line in lines],
            size=[line.size for line in lines],
            record_id=["rec_" + line.key.hex() for line in lines],
            breaks=breaks,
        )

    def _append(self, content: list[bytes], size: BlockSize, listing: Listing) -> None:
        start = self._at
        self._out += content
        self._blocks.append(size)
        self._at += size.size
        at = 0
        for part in listing.batches:
            span = self.spans.get(part.number)
            if span is None:
                span = self.spans[part.number] = Span(start)
            span.ends.append(self._at - span.start)
            span.firsts.append(listing.offset[at])
            span.lines += part.lines
            at += part.lines
        self.line_count += at
