"""Reads segments for compaction: blocks, a few megabytes at a time, and the lines of objects without listings."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from evermuse import prepared, public_ids
from evermuse.binary_arrays import uuids
from evermuse.errors import ArchiveDamaged
from lake import archive, frames, object_store, reading
from lake.frames import Place
from lake.identity import record_key
from lake.models import Segment
from lake.segments import layout, reader, sql
from lake.segments.layout import BlockSize, Listing
from lake.segments.writer import Line, LineBatch

# Blocks are read together up to this many bytes; one block may be larger.
READ_BYTES = 4 * 1024 * 1024
_BATCH = re.compile(r"/(batch_[0-9]{19})[^/]*$")
# The end of an object that is read first. A longer seek table is read by a second request.
TAIL_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Source:
    """A segment that is being merged: a row of `sql.CLAIM_SOURCES`. ``token``: the fence of its claim."""

    id: int
    token: int
    key: str
    layout: int
    size: int
    created_at: datetime
    dead_count: int = 0


@dataclass(frozen=True, slots=True)
class RawBlock:
    """A block as bytes. Its listing describes its lines, so it can be copied without decompression."""

    content: bytes
    size: BlockSize
    listing: Listing


def blocks(source: Source) -> Iterator[RawBlock]:
    """The blocks of a segment, in order. Raises StoreUnavailable, ArchiveDamaged."""
    if source.size <= READ_BYTES:
        content = _range(source, 0, source.size)
        for one, block in zip(reader.table_of(content), reader.blocks(content), strict=True):
            yield RawBlock(block, one, layout.listing_of(block[one.data :]))
        return
    at = 0
    together: list[BlockSize] = []
    for size in [*_table(source), None]:
        if together and (size is None or sum(one.size for one in together) + size.size > READ_BYTES):
            content = _range(source, at, sum(one.size for one in together))
            for one in together:
                block, content = content[: one.size], content[one.size :]
                yield RawBlock(block, one, layout.listing_of(block[one.data :]))
                at += one.size
            together = []
        if size is not None:
            together.append(size)


def _table(source: Source) -> list[BlockSize]:
    length = min(source.size, TAIL_BYTES)
    tail = _range(source, source.size - length, length)
    needed = layout.seek_table_size(tail)
    if needed > source.size:
        raise ArchiveDamaged("the segment's seek table is longer than the segment")
    if needed > length:
        tail = _range(source, source.size - needed, needed)
    return reader.table_of(tail)


def _range(source: Source, start: int, length: int) -> bytes:
    content = object_store.get_range(source.key, start, length)
    if content is None or len(content) != length:
        raise ArchiveDamaged(f"segment {source.id} is not what was stored")
    return content


def plain_lines(source: Source, segment: Segment) -> tuple[int, list[Line]] | None:
    """The batch and the needed lines of an object from a version before segments. None if they are unknown.

    Such an object has no listing, and its key contains the batch. The index tells which of its records are needed, and where
    they are in the payload. Retention keeps the payload until the lines are in a listed segment.
    """
    named = _BATCH.search(source.key)
    number = public_ids.batch_number(named[1]) if named else None
    old = archive.of(number) if number else None
    if number is None or old is None:
        return None
    if old.key != source.key:
        return number, []  # the batch was landed again, into another segment
    keys: dict[bytes, int] = {}
    for index, line in enumerate(archive.lines(old)):
        record = reading.relaxed(line)
        if record is None:
            return None
        keys[record_key(segment.workspace_id, record)] = index
    lines = _from_payload(LineBatch(number, segment.source, source.created_at), keys)
    return None if lines is None else (number, lines)


def _from_payload(batch: LineBatch, keys: dict[bytes, int]) -> list[Line] | None:
    parameters = {"ids": uuids(list(keys)), "batch": batch.number}
    if prepared.rows(sql.UNKNOWN_RECORDS, parameters):
        return None
    rows = prepared.rows(sql.PLACES_OF_BATCH, parameters)
    places = {record_id.bytes: Place(batch.number, offset, size) for record_id, offset, size in rows}
    sent = frames.read(places.values())
    lines: list[Line] = []
    for key, place in sorted(places.items(), key=lambda item: item[1].offset):
        if place not in sent:
            return None
        document = reading.stored(sent[place]).document
        lines.append(Line(batch, keys[key], place.offset, place.size, key, document))
    return lines
