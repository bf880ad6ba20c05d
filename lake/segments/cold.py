"""Cold reads: reads records from segments after their payload was removed, by several ranged requests at a time."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from evermuse import logs, prepared
from evermuse.errors import ArchiveDamaged
from lake import object_store
from lake.frames import Place
from lake.models import Segment
from lake.segments import cache, reader, sql
from lake.segments.reader import Block

log = logs.get(__name__)

# Blocks that are in memory at once. A block has about 64 KiB, or more if a record is larger.
BLOCKS_AT_ONCE = 64
# Blocks at most GAP_BYTES apart are read by one request of up to RANGE_BYTES, because a request costs more than some bytes.
GAP_BYTES, RANGE_BYTES = 128 * 1024, 1024 * 1024
_readers = ThreadPoolExecutor(16, thread_name_prefix="cold")


@dataclass(frozen=True, slots=True)
class _Where:
    """A block of a segment: bytes of the object."""

    segment_id: int
    start: int
    end: int
    key: str


def read(places: Iterable[Place]) -> dict[Place, bytes]:
    """Records from their segments, normalized. A record whose batch has no segment is missing.

    Raises StoreUnavailable, ArchiveDamaged.
    """
    wanted = list(places)
    try:
        return _read(wanted)
    except _SegmentGone:
        # Compaction moved the lines after the query and before the read.
        try:
            return _read(wanted)
        except _SegmentGone as error:
            raise ArchiveDamaged(f"the object store has no {object_store.uri(str(error))}") from None


class _SegmentGone(Exception):
    """The object of a segment does not exist."""


def _read(places: Sequence[Place]) -> dict[Place, bytes]:
    by_block: defaultdict[_Where, list[Place]] = defaultdict(list)
    batches = _batches({place.batch_id for place in places})
    for place in places:
        if (row := batches.get(place.batch_id)) is not None:
            by_block[row.block_of(place)].append(place)
    found: dict[Place, bytes] = {}
    ordered = sorted(by_block, key=lambda where: (where.segment_id, where.start))
    for at in range(0, len(ordered), BLOCKS_AT_ONCE):
        for where, block in _blocks(ordered[at : at + BLOCKS_AT_ONCE]):
            for place in by_block[where]:
                document = block.find(place.batch_id, place.offset)
                if document is not None:
                    found[place] = document
    return found


@dataclass(frozen=True, slots=True)
class _BatchLines:
    """A row of `sql.WHERE_BATCHES_ARE`."""

    batch_id: int
    segment_id: int
    key: str
    layout: int
    start: int
    length: int
    ends: list[int] | None
    firsts: list[int] | None

    def block_of(self, place: Place) -> _Where:
        """The block that holds a record of the batch."""
        if self.layout != Segment.Layout.LISTED:
            raise ArchiveDamaged("the payload was removed before its records were written to a segment")
        if not self.ends or not self.firsts:
            return _Where(self.segment_id, self.start, self.start + self.length, self.key)
        nth = max(bisect_right(self.firsts, place.offset) - 1, 0)
        begins = self.ends[nth - 1] if nth else 0
        return _Where(self.segment_id, self.start + begins, self.start + self.ends[nth], self.key)


def _batches(ids: set[int]) -> dict[int, _BatchLines]:
    rows = prepared.rows_of(_BatchLines, sql.WHERE_BATCHES_ARE, {"batches": sorted(ids)}, binary=True)
    return {row.batch_id: row for row in rows}


def _blocks(wanted: Sequence[_Where]) -> Iterator[tuple[_Where, Block]]:
    """These blocks, from the cache or else from the bucket, in any order."""
    missing: list[_Where] = []
    for where in wanted:
        block = cache.blocks.get((where.segment_id, where.start))
        if block is None:
            missing.append(where)
        else:
            yield where, block
    ranges = list(_ranges(missing))
    fetched = map(_fetch, ranges) if len(ranges) == 1 else _readers.map(_fetch, ranges)
    for blocks in fetched:
        for where, block in blocks:
            cache.blocks.put((where.segment_id, where.start), block)
            yield where, block


def _ranges(blocks: Sequence[_Where]) -> Iterator[list[_Where]]:
    """Groups of blocks that are close together in an object. ``blocks`` must be in the order of their objects."""
    together: list[_Where] = []
    for where in blocks:
        if together and (
            where.segment_id != together[-1].segment_id
            or where.start - together[-1].end > GAP_BYTES
            or where.end - together[0].start > RANGE_BYTES
        ):
            yield together
            together = []
        together.append(where)
    if together:
        yield together


def _fetch(together: Sequence[_Where]) -> list[tuple[_Where, Block]]:
    start, end, key = together[0].start, together[-1].end, together[0].key
    content = object_store.get_range(key, start, end - start)
    if content is None:
        raise _SegmentGone(key)
    if len(content) != end - start:
        raise ArchiveDamaged(f"{object_store.uri(key)} is shorter than what was stored")
    return [(where, reader.read_block(content[where.start - start : where.end - start])) for where in together]
