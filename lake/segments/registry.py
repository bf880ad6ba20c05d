"""Rows of segments: committed before the object is written, and published in the transaction that points to their lines."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from django.conf import settings

from evermuse import prepared
from evermuse.binary_arrays import int4s, int8s
from lake import object_store
from lake.segments import sql
from lake.segments.writer import Line, SegmentWriter, Span

# The longest time that writing an object takes, in seconds (`lake.object_store`).
STORE_SECONDS = 15
# `lake.models.Segment.Layout`. This module is also read where Django is not set up.
LISTED = 1


@dataclass(frozen=True, slots=True)
class Partition:
    """What all records of a segment have in common. ``day``: the UTC date of their acceptance."""

    workspace_id: int
    workspace: str
    source: str
    type: str
    day: date

    def new_key(self) -> str:
        """A new key that cannot be guessed."""
        part = object_store.partition
        return (
            f"workspace={part(self.workspace)}/source={part(self.source)}/type={part(self.type)}/date={self.day:%Y-%m-%d}"
            f"/segment-{secrets.token_hex(16)}.ndjson.zst"
        )


@dataclass(slots=True)
class Draft:
    """A segment whose bytes are ready. ``id``: its row's, after `intend`. ``spans``: by batch number."""

    partition: Partition
    key: str
    content: bytes
    spans: Mapping[int, Span]
    line_count: int
    id: int = 0
    layout: int = LISTED


def draft(partition: Partition, lines: Iterable[Line]) -> Draft:
    """A segment of these lines."""
    writer = SegmentWriter(workspace_id=partition.workspace_id, workspace=partition.workspace, type=partition.type)
    for line in lines:
        writer.add(line)
    content = writer.finish()
    return Draft(partition, partition.new_key(), content, writer.spans, writer.line_count)


def grace_seconds() -> int:
    """An intended segment that is not published within this time never will be."""
    return settings.EVERMUSE_LEASE_SECONDS + STORE_SECONDS


def intend(drafts: Sequence[Draft]) -> None:
    """Commit the keys of objects that are about to be written."""
    of = [one.partition for one in drafts]
    rows = prepared.rows(
        sql.INTEND,
        {
            "grace": grace_seconds(),
            "workspace_id": [partition.workspace_id for partition in of],
            "source": [partition.source for partition in of],
            "type": [partition.type for partition in of],
            "day": [partition.day for partition in of],
            "key": [one.key for one in drafts],
            "layout": [int(one.layout) for one in drafts],
            "size": [len(one.content) for one in drafts],
            "lines": [one.line_count for one in drafts],
        },
    )
    ids = {key: id for id, key in rows}
    for one in drafts:
        one.id = ids[one.key]


def publish(ids: Sequence[int]) -> set[int]:
    """Make intended segments live, in the transaction that points to them. Returns those that the sweeper had not abandoned."""
    return {row[0] for row in prepared.rows(sql.PUBLISH, [list(ids)])} if ids else set()


def point(spans: Sequence[tuple[int, int, Span]]) -> None:
    """Point batches to their lines, in the transaction that publishes. ``spans``: (batch, segment, span)."""
    if spans:
        prepared.rows(sql.POINT, parameters_of(spans))


def parameters_of(spans: Sequence[tuple[int, int, Span]]) -> dict[str, object]:
    """Spans as parameters of a statement. All spans' blocks share two arrays. A span of one block needs none."""
    ends: list[int] = []
    firsts: list[int] = []
    lo: list[int] = []
    hi: list[int] = []
    for _, _, span in spans:
        lo.append(len(ends) + 1)
        ends += span.ends
        firsts += span.firsts
        hi.append(len(ends))
    return {
        "batch_id": int8s([batch for batch, _, _ in spans]),
        "segment_id": int8s([segment for _, segment, _ in spans]),
        "lines": int4s([span.lines for _, _, span in spans]),
        "start": int4s([span.start for _, _, span in spans]),
        "length": int4s([span.length for _, _, span in spans]),
        "lo": int4s(lo),
        "hi": int4s(hi),
        "ends": int4s(ends),
        "firsts": int4s(firsts),
    }


def give_up(ids: Sequence[int]) -> None:
    """Abandon segments that will not be published. The sweeper deletes their objects. Idempotent."""
    if ids:
        prepared.rows(sql.GIVE_UP, [list(ids)])
