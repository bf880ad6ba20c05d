"""The bytes of a segment: zstd frames of lines, each followed by its listing, and a seek table at the end.

    block 1   data frame    about 64 KiB of NDJSON, compressed, whole lines
              listing       a skippable frame: the batch, position and record of each line
    block 2   …
    seek table              a skippable frame: the size of every frame before it

`zstd -d` skips skippable frames, so it prints the NDJSON. A block can be read without any other. Sources: RFC 8878 (frames),
the zstd seekable format 0.1.0 (seek table). ``evermuse/docs/segments.md`` describes the layout for other programs.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import zstandard

from evermuse.errors import ArchiveDamaged

# A frame holds at most this many bytes of lines, or one longer line.
FRAME_BYTES = 64 * 1024
# No line is longer, because it comes from a body of 5 MB.
MAX_FRAME_BYTES = 64 * 1024 * 1024

LISTING_MAGIC = 0x184D2A5A
SEEK_TABLE_MAGIC = 0x184D2A5E
SEEKABLE_MAGIC = 0x8F92EAB1
# Distinguishes our listing from other programs' skippable frames, and this version from a later one.
LISTING_MARK = b"EVS1"

_HEADER = struct.Struct("<II")  # of a skippable frame: magic, bytes that follow
_ENTRY = struct.Struct("<II")  # of the seek table: bytes of a frame, compressed and decompressed
_FOOTER = struct.Struct("<IBI")  # of the seek table: entries, descriptor, magic
_BREAKS = re.compile(rb"[\r\n]")
_CR, _LF = 13, 10


class Owner(msgspec.Struct, frozen=True):
    """The workspace of a segment."""

    id: int
    name: str


class BatchPart(msgspec.Struct, frozen=True, rename="camel"):
    """The lines of one batch in a frame. ``number``: its position in the order of acceptance. ``accepted_at``: µs since 1970."""

    batch_id: str
    number: int
    source: str
    accepted_at: int
    lines: int


class Breaks(msgspec.Struct, omit_defaults=True):
    """Where a line has a space instead of a line break, each as the distance from the previous one."""

    lf: list[int] = []
    cr: list[int] = []


class Listing(msgspec.Struct, rename="camel", omit_defaults=True, kw_only=True):
    """Describes the lines of a frame, in order. ``offset`` and ``size``: of the record in the body as it was sent."""

    workspace: Owner
    type: str
    batches: list[BatchPart]
    index: list[int]
    offset: list[int]
    size: list[int]
    record_id: list[str]
    breaks: dict[int, Breaks] = {}


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Listing).decode


def listing_frame(listing: Listing, compressor: zstandard.ZstdCompressor) -> bytes:
    """The skippable frame of a listing."""
    content = LISTING_MARK + compressor.compress(_encode(listing))
    return _HEADER.pack(LISTING_MAGIC, len(content)) + content


def listing_of(frame: bytes) -> Listing:
    """The listing in a skippable frame. Raises ArchiveDamaged."""
    try:
        magic, size = _HEADER.unpack_from(frame)
        content = frame[_HEADER.size : _HEADER.size + size]
        if magic != LISTING_MAGIC or len(content) != size or not content.startswith(LISTING_MARK):
            raise ArchiveDamaged("a frame of the segment has no listing")
        return _decode(decompressed(content[len(LISTING_MARK) :]))
    except (struct.error, msgspec.MsgspecError) as error:
        raise ArchiveDamaged(f"a listing of the segment cannot be read: {type(error).__name__}") from None


def decompressed(frame: bytes) -> bytes:
    """The content of one data frame, checked against its checksum. Raises ArchiveDamaged."""
    try:
        size = zstandard.get_frame_parameters(frame).content_size
        if not 0 < size <= MAX_FRAME_BYTES:
            raise ArchiveDamaged("a frame of the segment is empty, or too large")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise ArchiveDamaged(f"a frame of the segment cannot be decompressed: {error}") from None


def split_listing(content: bytes) -> tuple[bytes, bytes]:
    """The skippable frame at the beginning, and what follows it. Raises ArchiveDamaged."""
    if len(content) < _HEADER.size:
        raise ArchiveDamaged("a frame of the segment has no listing")
    end = _HEADER.size + _HEADER.unpack_from(content)[1]
    return content[:end], content[end:]


def split_block(block: bytes) -> tuple[bytes, bytes]:
    """A block's decompressed lines, and the bytes after its data frame, which begin with the listing. Raises ArchiveDamaged."""
    try:
        size = zstandard.get_frame_parameters(block).content_size
        if not 0 < size <= MAX_FRAME_BYTES:
            raise ArchiveDamaged("a frame of the segment is empty, or too large")
        decompressor = zstandard.ZstdDecompressor().decompressobj(write_size=size)
        text = decompressor.decompress(block)
    except zstandard.ZstdError as error:
        raise ArchiveDamaged(f"a frame of the segment cannot be decompressed: {error}") from None
    if not decompressor.eof or len(text) != size:
        raise ArchiveDamaged("a frame of the segment is cut off")
    return text, decompressor.unused_data


@dataclass(frozen=True, slots=True)
class BlockSize:
    """A block's sizes in the seek table, in bytes. ``data``: the compressed data frame. ``lines``: its decompressed content."""

    data: int
    listing: int
    lines: int

    @property
    def size(self) -> int:
        return self.data + self.listing


def seek_table(blocks: Sequence[BlockSize]) -> bytes:
    """The skippable frame that ends a segment. Listings have entries too, with a decompressed size of 0."""
    entries = b"".join(_ENTRY.pack(one.data, one.lines) + _ENTRY.pack(one.listing, 0) for one in blocks)
    content = entries + _FOOTER.pack(2 * len(blocks), 0, SEEKABLE_MAGIC)
    return _HEADER.pack(SEEK_TABLE_MAGIC, len(content)) + content


def seek_table_size(tail: bytes) -> int:
    """The size of a segment's seek table in bytes. ``tail``: at least the segment's last 9 bytes. Raises ArchiveDamaged."""
    try:
        count, descriptor, magic = _FOOTER.unpack_from(tail, len(tail) - _FOOTER.size)
    except struct.error:
        raise ArchiveDamaged("the segment is too short") from None
    if magic != SEEKABLE_MAGIC or descriptor != 0:
        raise ArchiveDamaged("the segment does not end with a seek table")
    return int(_HEADER.size + count * _ENTRY.size + _FOOTER.size)


def blocks_of(table: bytes) -> list[BlockSize]:
    """The blocks of a seek table. ``table``: the whole skippable frame. Raises ArchiveDamaged."""
    size = seek_table_size(table)
    if len(table) != size or _HEADER.unpack_from(table) != (SEEK_TABLE_MAGIC, size - _HEADER.size):
        raise ArchiveDamaged("the segment's seek table is damaged")
    entries = list(_ENTRY.iter_unpack(table[_HEADER.size : size - _FOOTER.size]))
    if len(entries) % 2 or any(lines for _, lines in entries[1::2]):
        raise ArchiveDamaged("the segment's seek table does not name frames in pairs")
    return [BlockSize(a, b, n) for (a, n), (b, _) in zip(entries[::2], entries[1::2], strict=True)]


def breaks_in(document: bytes) -> Breaks | None:
    """The line breaks of a document, or None if it has none."""
    if b"\n" not in document and b"\r" not in document:
        return None
    places = [found.start() for found in _BREAKS.finditer(document)]
    return Breaks(
        lf=_distances(at for at in places if document[at] == _LF),
        cr=_distances(at for at in places if document[at] == _CR),
    )


def breaks_of(documents: Sequence[bytes]) -> dict[int, Breaks]:
    """The line breaks of each document that has any, by its number."""
    # Usually no document has any. One search in all of them together is faster than one in each.
    together = b"".join(documents)
    if b"\n" not in together and b"\r" not in together:
        return {}
    return {number: breaks for number, one in enumerate(documents) if (breaks := breaks_in(one)) is not None}


def with_breaks(line: bytes, breaks: Breaks | None) -> bytes:
    """A line's document, with its line breaks restored."""
    if breaks is None:
        return line
    document = bytearray(line)
    for distances, character in ((breaks.lf, _LF), (breaks.cr, _CR)):
        at = 0
        for distance in distances:
            at += distance
            if not 0 <= at < len(document):
                raise ArchiveDamaged("a listing of the segment names a position outside of its line")
            document[at] = character
    return bytes(document)


def _distances(places: Iterable[int]) -> list[int]:
    found: list[int] = []
    before = 0
    for place in places:
        found.append(place - before)
        before = place
    return found
