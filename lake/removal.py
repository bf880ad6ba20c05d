"""Removes records, and lists removed records for readers.

A removal draws an instant from the workspace's clock and keeps the clock locked until it commits. So removals commit in the
order of their instants, and a reader that continues from the greatest ``removedAt`` misses none. It draws its instant while
no landing of the workspace is open, and later landings get later instants. So a reader of both lists can tell whether a
record was removed or landed last.
"""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Q

from evermuse import public_ids
from evermuse.instants import milliseconds
from lake import horizon, standby
from lake.journal import notes
from lake.models import OpenLanding, RemovedRecord
from lake.segments import dead_lines

# Uses the small index on the age of events, and needs no order: the next query finds what is left.
EXPIRED = """
SELECT id FROM lake_record WHERE workspace_id = %(workspace)s AND event_at < %(before)s LIMIT %(limit)s
"""
ALL_EXPIRED = "SELECT id FROM lake_record WHERE workspace_id = %(workspace)s AND event_at < %(before)s"
# A locked record is being landed. The next run removes it.
LOCK_EXPIRED = """
SELECT id FROM lake_record
WHERE id = ANY(%(ids)s::uuid[]) AND workspace_id = %(workspace)s AND event_at < %(before)s
ORDER BY id FOR UPDATE SKIP LOCKED
"""
_LINES = """
  SELECT batch_id FROM lake_recordversion WHERE record_id = ANY(%(ids)s::uuid[])
  UNION SELECT batch_id FROM lake_record WHERE id = ANY(%(ids)s::uuid[])
"""
SEGMENTS = f"SELECT DISTINCT segment_id FROM lake_segmentbatch WHERE batch_id IN ({_LINES}) ORDER BY segment_id"  # noqa: S608
# Counts dead lines. Compaction removes them once a segment has many.
DELETE = """
WITH versions AS (
  DELETE FROM lake_recordversion WHERE record_id = ANY(%(ids)s::uuid[]) RETURNING batch_id
), records AS (
  DELETE FROM lake_record WHERE id = ANY(%(ids)s::uuid[]) RETURNING id, batch_id
), dead AS (
  SELECT b.segment_id, count(*) AS n
  FROM (SELECT batch_id FROM versions UNION ALL SELECT batch_id FROM records) AS line JOIN lake_segmentbatch b USING (batch_id)
  GROUP BY b.segment_id
), counted AS (
  UPDATE lake_segment AS s SET dead_count = s.dead_count + dead.n FROM dead WHERE s.id = dead.segment_id
)
INSERT INTO lake_removedrecord (workspace_id, removed_at, record_id, reason)
SELECT %(workspace)s, %(at)s, id, %(reason)s FROM records RETURNING record_id
"""


# Seconds.
LONGEST_WAIT_FOR_LANDINGS = 1.0


class LandingOpen(Exception):
    """A landing of the workspace is open, so nothing can be removed at the moment."""


def expired(workspace_id: int, before: datetime, *, limit: int) -> list[UUID]:
    """Up to ``limit`` of a workspace's records whose event is older than ``before``."""
    return _ids(EXPIRED, workspace=workspace_id, before=before, limit=limit)


def all_expired(workspace_id: int, before: datetime, *, limit: int) -> Iterator[UUID]:
    """All of a workspace's records whose event is older than ``before``, read in one transaction, ``limit`` at a time."""
    with transaction.atomic(), connection.cursor() as settings:
        settings.execute("SET LOCAL statement_timeout = 0")
        with connection.connection.cursor(name="expired_records") as cursor:
            cursor.execute(ALL_EXPIRED, {"workspace": workspace_id, "before": before})
            while page := cursor.fetchmany(limit):
                yield from (row[0] for row in page)


def draw(workspace_id: int) -> datetime:
    """Draw the instant of a removal. Claims of the workspace wait until the caller's transaction ends, so keep it short.

    Waits a moment for open landings. No other landing opens meanwhile. Raises LandingOpen; the caller must then end the
    transaction.
    """
    at = horizon.draw(workspace_id)
    ends_at = time.monotonic() + LONGEST_WAIT_FOR_LANDINGS
    while OpenLanding.objects.filter(workspace_id=workspace_id).exists():
        if time.monotonic() >= ends_at:
            raise LandingOpen
        time.sleep(0.02)
    return at


def lock_expired(workspace_id: int, before: datetime, ids: Sequence[UUID]) -> list[UUID]:
    """The records that are still expired, locked until the caller's transaction ends."""
    return _ids(LOCK_EXPIRED, workspace=workspace_id, before=before, ids=list(ids))


def remove(workspace_id: int, ids: Sequence[UUID], *, at: datetime, reason: RemovedRecord.Reason) -> int:
    """Remove locked records with their earlier versions, and list them for readers. Returns their number. ``at``: from `draw`."""
    dead_lines.hold(SEGMENTS, {"ids": list(ids)})
    gone = _ids(DELETE, workspace=workspace_id, ids=list(ids), at=at, reason=str(reason))
    if gone:
        notes.removed(workspace_id, at, gone, str(reason))
    return len(gone)


def removed_after(record_ids: Sequence[UUID], instant: datetime) -> set[UUID]:
    """The records that were removed after an instant."""
    rows = RemovedRecord.objects.filter(record_id__in=record_ids, removed_at__gt=instant)
    return set(rows.values_list("record_id", flat=True))


def page(
    workspace_id: int, *, since: datetime, after: Sequence[Any] | None, limit: int
) -> tuple[list[bytes], list[Any] | None]:
    """Removed records in the order of their removal, as JSON, and the cursor of the next page."""
    rows = RemovedRecord.objects.filter(workspace_id=workspace_id, removed_at__gte=since)
    if after is not None:
        instant, last = datetime.fromisoformat(after[0]), UUID(after[1])
        rows = rows.filter(removed_at__gte=instant).filter(Q(removed_at__gt=instant) | Q(record_id__gt=last))
    with standby.snapshot(workspace_id):
        found = list(rows.order_by("removed_at", "record_id")[: limit + 1])
    following = None
    if len(found) > limit:
        end = found[limit - 1]
        following = [end.removed_at.isoformat(), end.record_id.hex]
    return [_encode(one) for one in found[:limit]], following


def _encode(one: RemovedRecord) -> bytes:
    return json.dumps(
        {
            "recordId": public_ids.of_record(one.record_id),
            "removedAt": milliseconds(one.removed_at),
            "reason": one.reason,
        }
    ).encode()


def _ids(statement: str, **parameters: Any) -> list[UUID]:
    return [row[0] for row in _executed(statement, parameters)]


def _executed(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
