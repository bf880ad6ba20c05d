"""Merges segments into one, as a stream. Full blocks are copied unchanged, and other lines are packed into new blocks."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from evermuse import logs, prepared
from evermuse.binary_arrays import int4s, int8s, uuids
from evermuse.errors import ArchiveDamaged
from lake.models import Segment
from lake.parted_upload import PartedUpload
from lake.segments import layout, reader, sources, sql
from lake.segments.sources import RawBlock, Source
from lake.segments.writer import SegmentWriter

log = logs.get(__name__)

# One query looks up the lines of this many blocks in the index.
BLOCKS_AT_ONCE = 32
# A block with at least this many bytes is not packed again.
FULL_BYTES = layout.FRAME_BYTES // 2
# The segment ends with the source that reaches one of these limits.
TARGET_BYTES = 128 * 1024 * 1024
MOST_BATCHES = 100_000


class SourceDamaged(ArchiveDamaged):
    """A segment that cannot be read."""

    def __init__(self, segment_id: int, reason: str) -> None:
        super().__init__(reason)
        self.segment_id = segment_id


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged source. ``kept``: its batches with lines in the new segment. ``emptied``: its batches without lines there."""

    source: Source
    kept: list[int]
    emptied: list[int]


def merge(
    segments: Sequence[tuple[Source, Segment]],
    writer: SegmentWriter,
    upload: PartedUpload,
    keep_claims: Callable[[], None],
) -> list[Merged]:
    """Write the needed lines of as many of these segments as fill one. The caller finishes the writer and the upload.

    ``keep_claims`` is called between reads, and may raise. A segment that cannot be merged is skipped.
    Raises StoreUnavailable, SourceDamaged.
    """
    merged: list[Merged] = []
    for source, segment in segments:
        keep_claims()
        try:
            one = _copied(source, segment, writer, upload, keep_claims)
        except ArchiveDamaged as error:
            raise SourceDamaged(source.id, str(error)) from None
        if one is None:
            log.warning("compaction.skipped", segment=source.id, reason="payload or rows of the index are missing")
            continue
        merged.append(one)
        if writer.size >= TARGET_BYTES or len(writer.spans) >= MOST_BATCHES:
            break
    return merged


def _copied(
    source: Source, segment: Segment, writer: SegmentWriter, upload: PartedUpload, keep_claims: Callable[[], None]
) -> Merged | None:
    """Write a segment's needed lines. Returns None and writes nothing if it is unknown which lines are needed."""
    if source.layout == Segment.Layout.LISTED:
        return _listed(source, writer, upload, keep_claims)
    plain = sources.plain_lines(source, segment)
    if plain is None:
        return None
    batch, lines = plain
    for line in lines:
        writer.add(line)
    return Merged(source, [batch] if lines else [], [] if lines else [batch])


def _listed(source: Source, writer: SegmentWriter, upload: PartedUpload, keep_claims: Callable[[], None]) -> Merged:
    """Write a segment's needed lines."""
    kept: set[int] = set()
    batches: set[int] = set()
    for group in _groups(sources.blocks(source)):
        keep_claims()
        batches.update(part.number for block in group for part in block.listing.batches)
        for block, needed in zip(group, _needed(source.id, group), strict=True):
            if len(needed) == len(block.listing.record_id) and block.size.lines >= FULL_BYTES:
                writer.copy(block.content, block.size, block.listing)
                kept.update(part.number for part in block.listing.batches)
            elif needed:
                for number, line in enumerate(reader.read_block(block.content).entries()):
                    if number in needed:
                        writer.add(line)
                        kept.add(line.batch.number)
        upload.write(writer.take())
    return Merged(source, sorted(kept), sorted(batches - kept))


def _needed(segment_id: int, group: Sequence[RawBlock]) -> list[set[int]]:
    """The numbers of the lines to keep, for each block."""
    keys: list[bytes] = []
    batches: list[int] = []
    offsets: list[int] = []
    ends: list[int] = []
    for block in group:
        listing = block.listing
        keys += [reader.key_of(record_id) for record_id in listing.record_id]
        for part in listing.batches:
            batches += [part.number] * part.lines
        offsets += listing.offset
        ends.append(len(keys))
    rows = prepared.rows(
        sql.NEEDED, {"id": uuids(keys), "batch": int8s(batches), "place": int4s(offsets), "segment": segment_id}
    )
    found = {row[0] - 1 for row in rows}
    begins = [0, *ends[:-1]]
    return [{n - a for n in range(a, b) if n in found} for a, b in zip(begins, ends, strict=True)]


def _groups(blocks: Iterator[RawBlock]) -> Iterator[list[RawBlock]]:
    group: list[RawBlock] = []
    for block in blocks:
        group.append(block)
        if len(group) == BLOCKS_AT_ONCE:
            yield group
            group = []
    if group:
        yield group
