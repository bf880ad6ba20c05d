"""Reads segments that the restored database does not count: which batches have lines there, and where."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from evermuse.errors import ArchiveDamaged
from lake import object_store
from lake.models import Segment
from lake.restore.listing import BucketObject, day_of
from lake.segments import reader, sources
from lake.segments.layout import BatchPart
from lake.segments.sources import Source
from lake.segments.writer import Line, Span


@dataclass(frozen=True, slots=True)
class Unit:
    """The lines of one batch in one segment."""

    segment: "UnknownSegment"
    part: BatchPart
    span: Span


@dataclass(slots=True)
class UnknownSegment:
    """A segment of the bucket, as its listings describe it. ``units``: by batch number."""

    found: BucketObject
    workspace_id: int
    workspace: str
    type: str
    units: dict[int, Unit]

    @property
    def line_count(self) -> int:
        return sum(unit.span.lines for unit in self.units.values())


def read(found: BucketObject) -> UnknownSegment:
    """A segment's batches, from its listings. Raises StoreUnavailable, ArchiveDamaged."""
    day_of(found.key)
    source = Source(0, 0, found.key, Segment.Layout.LISTED, found.size, datetime.now(UTC))
    segment: UnknownSegment | None = None
    at = 0
    for block in sources.blocks(source):
        listing = block.listing
        if segment is None:
            segment = UnknownSegment(found, listing.workspace.id, listing.workspace.name, listing.type, {})
        line = 0
        for part in listing.batches:
            unit = segment.units.setdefault(part.number, Unit(segment, part, Span(at)))
            unit.span.ends.append(at + block.size.size - unit.span.start)
            unit.span.firsts.append(listing.offset[line])
            unit.span.lines += part.lines
            line += part.lines
        at += block.size.size
    if segment is None:
        raise ArchiveDamaged("the segment has no blocks")
    return segment


def lines(unit: Unit) -> Iterator[Line]:
    """The lines of a batch. Raises StoreUnavailable, ArchiveDamaged."""
    content = object_store.get_range(unit.segment.found.key, unit.span.start, unit.span.length)
    if content is None or len(content) != unit.span.length:
        raise ArchiveDamaged("the segment is shorter than its listings say")
    while content:
        block, content = reader.next_block(content)
        yield from (line for line in block.entries() if line.batch.number == unit.part.number)


def best(candidates: list[Unit], told: Mapping[int, str]) -> Unit:
    """Which of several copies of a batch's lines counts: the one that the journal named last, else the most complete one."""
    named = told.get(candidates[0].part.number)
    return max(candidates, key=lambda unit: (unit.segment.found.key == named, unit.span.lines, unit.segment.found.key))
