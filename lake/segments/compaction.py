"""Compaction: merges the small segments of a closed date into segments of about 128 MiB.

    claim the segments ▸ commit the key of the new one ▸ stream their needed lines into it ▸ one transaction: the batches
    point to the new segment, which is live, and the old ones are replaced

If the process is killed before the transaction, the sweeper deletes the new segment, and the claims expire with their lease.
After the transaction the old objects stay for an hour, for reads in progress. Two workers never merge the same segment: the
transaction locks all segments in the order of their ids and checks the tokens of their claims.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

from django.conf import settings
from django.db import transaction

from evermuse import logs, prepared
from evermuse.binary_arrays import int8s
from evermuse.errors import LeaseLost, StoreUnavailable
from lake.journal import merging as journals
from lake.journal import notes
from lake.models import Segment
from lake.parted_upload import PartedUpload
from lake.segments import merging, registry, sql
from lake.segments.merging import Merged, SourceDamaged
from lake.segments.registry import Draft, Partition
from lake.segments.sources import Source
from lake.segments.writer import SegmentWriter

log = logs.get(__name__)

# Replaced segments stay this long for reads that began earlier.
KEPT_SECONDS = 3600
# Batches of yesterday may still land in the first hour of a date.
CLOSED_AFTER = timedelta(hours=1)
MOST_SOURCES, MOST_LINES = 5000, 400_000
# The number of pointers that one statement moves.
MOVED_AT_ONCE = 5000
DAMAGED_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class MergeGroup:
    """What segments must have in common to be merged."""

    day: date
    workspace_id: int
    source: str
    type: str


@dataclass(slots=True)
class Result:
    """Counts of segments merged and written, and their bytes."""

    merged: int = 0
    written: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


def closed_before() -> date:
    """Dates before this one are closed. Nearly all batches accepted on them have landed."""
    return (datetime.now(UTC) - CLOSED_AFTER).date()


def compact(*, seconds: float, before: date | None = None) -> Result:
    """Merge segments for about ``seconds``. A merge that has begun is finished. ``before``: earlier dates count as closed.

    Segments written meanwhile are left to the next round. Otherwise a round during landing would never end, and would write
    the same lines again and again.
    """
    result = Result()
    ends_at = time.monotonic() + seconds
    [(until,)] = prepared.rows(sql.LAST_SEGMENT, [])
    group = MergeGroup(date.min, 0, "", "")
    while time.monotonic() < ends_at:
        found = prepared.rows(sql.NEXT_GROUP, {**asdict(group), "before": before or closed_before(), "until": until})
        if not found:
            break
        group = MergeGroup(*found[0])
        try:
            while time.monotonic() < ends_at and _compact(group, until, result):
                pass
        except (LeaseLost, StoreUnavailable, SourceDamaged) as error:
            log.warning("compaction.failed", error=f"{type(error).__name__}: {error}"[:300], day=str(group.day))
    return result


def _compact(group: MergeGroup, until: int, result: Result) -> bool:
    """Write one new segment. False if there is nothing to merge."""
    segments = _claim(group, until)
    if not segments:
        return False
    first = segments[0][1]
    partition = Partition(group.workspace_id, first.workspace.name, group.source, group.type, group.day)
    claimed = [source for source, _ in segments]
    if journals.is_journal(group.source):
        segments = journals.successive(segments)
        if not segments:
            _Claims(claimed, 0).release()
            return False
        draft = journals.draft(partition, segments)
    else:
        draft = Draft(partition, partition.new_key(), b"", {}, 0)
    registry.intend([draft])
    claims = _Claims(claimed, draft.id)
    try:
        merge = _merge_journal if journals.is_journal(group.source) else _merge
        merged, size = merge(segments, draft, claims)
    except SourceDamaged as error:
        claims.set_aside(error.segment_id)
        raise
    finally:
        registry.give_up([draft.id])
        claims.release()
    if merged:
        result.merged += len(merged)
        result.written += bool(size)
        result.bytes_before += sum(one.source.size for one in merged)
        result.bytes_after += size
        log.info("segments.compacted", segments=len(merged), into=draft.id, bytes=size)
    return bool(merged)


def _claim(group: MergeGroup, until: int) -> list[tuple[Source, Segment]]:
    """Claim segments of a group that no other worker merges, as many as fill one. Empty if there is nothing to gain."""
    parameters = {**asdict(group), "until": until, "limit": MOST_SOURCES}
    chosen: list[int] = []
    size = lines = 0
    for id, bytes_, count in prepared.rows(sql.SOURCES, parameters):
        chosen.append(id)
        size, lines = size + bytes_, lines + count
        if size >= merging.TARGET_BYTES or lines >= MOST_LINES:
            break
    claimed = {"lease": settings.EVERMUSE_LEASE_SECONDS, "ids": chosen}
    sources = sorted(prepared.rows_of(Source, sql.CLAIM_SOURCES, claimed), key=lambda source: source.id)
    found = Segment.objects.select_related("workspace").in_bulk([source.id for source in sources])
    segments = [(source, found[source.id]) for source in sources]
    if len(segments) == 1 and not _is_worth_it(segments[0][1]):
        _Claims(sources, 0).release()
        return []
    return segments


def _is_worth_it(segment: Segment) -> bool:
    """Whether a segment is rewritten although there is no other to merge it with."""
    is_old = segment.created_at < datetime.now(UTC) - timedelta(days=sql.REWRITE_DAYS)
    has_dead_lines = segment.dead_count * 3 > segment.line_count or (segment.dead_count > 0 and is_old)
    return segment.layout == Segment.Layout.PLAIN or has_dead_lines


class _Claims:
    """The claims on the segments being merged, and the intended segment that replaces them."""

    def __init__(self, sources: Sequence[Source], target: int) -> None:
        self._sources, self._target = sources, target
        self._renewed_at = time.monotonic()

    def keep(self) -> None:
        """Renew the claims after a third of the lease. Raises LeaseLost if another worker has taken one over."""
        if time.monotonic() < self._renewed_at + settings.EVERMUSE_LEASE_SECONDS / 3:
            return
        parameters = {
            **_tokens(self._sources), "target": self._target, "lease": settings.EVERMUSE_LEASE_SECONDS,
            "grace": registry.grace_seconds(),
        }  # fmt: skip
        if len(prepared.rows(sql.RENEW_SOURCES, parameters)) != len(self._sources):
            raise LeaseLost("another worker merges a segment of this claim")
        self._renewed_at = time.monotonic()

    def set_aside(self, segment_id: int) -> None:
        """Keep the claim on a segment that cannot be read for an hour, so that the others can be merged."""
        self._sources = [source for source in self._sources if source.id != segment_id]
        prepared.rows(sql.SET_ASIDE, [DAMAGED_SECONDS, segment_id])

    def release(self) -> None:
        """Release the claims on segments that were not replaced."""
        tokens = _tokens(self._sources)
        prepared.rows(sql.RELEASE_SOURCES, [tokens["ids"], tokens["tokens"]])


def _tokens(sources: Sequence[Source]) -> dict[str, list[int]]:
    return {"ids": [source.id for source in sources], "tokens": [source.token for source in sources]}


def _merge(segments: Sequence[tuple[Source, Segment]], draft: Draft, claims: _Claims) -> tuple[list[Merged], int]:
    """Write the new segment and point the batches to it. Returns what was merged, and the new segment's bytes."""
    of = draft.partition
    writer = SegmentWriter(workspace_id=of.workspace_id, workspace=of.workspace, type=of.type)
    with PartedUpload(draft.key, "application/zstd") as upload:
        merged = merging.merge(segments, writer, upload, claims.keep)
        if not merged or (len(merged) == 1 and not _is_worth_it(dict(segments)[merged[0].source])):
            return [], 0
        end = writer.finish()
        if writer.line_count:
            upload.write(end)
            claims.keep()
            upload.complete()
    with transaction.atomic():
        dead_count = _swap(draft.id, merged, writer)
        # Without a line there is no object, and the new segment is given up. Its batches need none.
        if writer.line_count:
            _publish(draft.id, size=upload.size, lines=writer.line_count, dead=dead_count)
        notes.moved(of.workspace_id, sorted({batch for one in merged for batch in (*one.kept, *one.emptied)}))
    return merged, upload.size


def _merge_journal(
    segments: Sequence[tuple[Source, Segment]], draft: Draft, claims: _Claims
) -> tuple[list[Merged], int]:
    """The same for a journal: no batch points to its objects."""
    with PartedUpload(draft.key, "application/zstd") as upload:
        merged = journals.merge(segments, upload, claims.keep)
        claims.keep()
        upload.complete()
    sources = [one.source for one in merged]
    with transaction.atomic():
        _hold(draft.id, sources)
        prepared.rows(sql.REPLACE, [KEPT_SECONDS, [source.id for source in sources]])
        _publish(draft.id, size=upload.size, lines=draft.line_count, dead=0)
    return merged, upload.size


def _hold(target: int, sources: Sequence[Source]) -> dict[int, int]:
    """Lock the sources and the new segment: the dead lines of each. Raises LeaseLost."""
    held = dict(prepared.rows(sql.HOLD_SOURCES, {**_tokens(sources), "target": target}))
    if len(held) != len(sources) + 1:
        raise LeaseLost("another worker merges a segment of this claim, or the sweeper has abandoned the new one")
    return held


def _publish(target: int, *, size: int, lines: int, dead: int) -> None:
    if not prepared.rows(sql.PUBLISH_TARGET, [size, lines, dead, target]):
        raise LeaseLost("the sweeper has abandoned the new segment")


def _swap(target: int, merged: Sequence[Merged], writer: SegmentWriter) -> int:
    """Point the batches to the new segment, in the caller's transaction. Returns an upper limit of its dead lines.

    Records that were removed since the claim may have been copied before. A line that was left out after all costs one more
    rewriting; a dead line that nobody counts would stay for good. Raises LeaseLost.
    """
    sources = [one.source for one in merged]
    held = _hold(target, sources)
    moved = sorted((batch, one.source.id) for one in merged for batch in one.kept)
    emptied = sorted((batch, one.source.id) for one in merged for batch in one.emptied)
    for at in range(0, len(moved), MOVED_AT_ONCE):
        part = moved[at : at + MOVED_AT_ONCE]
        spans = [(batch, target, writer.spans[batch]) for batch, _ in part]
        prepared.rows(sql.MOVE, {**registry.parameters_of(spans), "source": int8s([source for _, source in part])})
    for at in range(0, len(emptied), MOVED_AT_ONCE):
        part = emptied[at : at + MOVED_AT_ONCE]
        columns = {"batch_id": int8s([batch for batch, _ in part]), "source": int8s([source for _, source in part])}
        prepared.rows(sql.EMPTY, {**columns, "target": target})
    prepared.rows(sql.REPLACE, [KEPT_SECONDS, [source.id for source in sources]])
    return sum(held[source.id] - source.dead_count for source in sources)
