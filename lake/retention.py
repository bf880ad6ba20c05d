"""Retention of the lake's own rows: rejected records, outcomes, and replaced versions."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet

from evermuse import public_ids, retention
from evermuse.retention import Due, Kind
from lake.models import BatchOutcomes, PayloadKept, PayloadPart, RejectedRecord, RemovedRecord
from lake.segments import dead_lines

# In the order of the indexes, one page at a time.
HELD_REJECTED = """
SELECT batch_id, count(*) FROM lake_rejectedrecord WHERE batch_id > %s AND batch_id <= %s
GROUP BY batch_id ORDER BY batch_id LIMIT %s
"""
HELD_PAYLOADS = """
SELECT batch_id, 1 FROM lake_payload WHERE batch_id > %s AND batch_id <= %s ORDER BY batch_id LIMIT %s
"""
# A landing writes all accepted records of a batch into one segment, in the commit that makes the batch LANDED. Once compaction has
# left out all of them, the batch needs no segment.
IN_SEGMENTS = """
SELECT b.batch_id FROM lake_segmentbatch b
LEFT JOIN lake_segment s ON s.id = b.segment_id AND s.layout = 1 AND s.state = 'L'
WHERE b.batch_id = ANY(%s) AND (b.line_count = 0 OR s.id IS NOT NULL)
ORDER BY b.batch_id FOR SHARE OF b
"""
HELD_OUTCOMES = """
SELECT batch_id, 1 FROM lake_batchoutcomes WHERE batch_id > %s AND batch_id <= %s ORDER BY batch_id LIMIT %s
"""
# A version stays until the journal has told of the landing that replaced it (its entry is of the same instant).
EXPIRED_VERSIONS = """
SELECT replaced_at, record_id, version FROM lake_recordversion v
WHERE replaced_at < least(%s, (SELECT min(noted_at) FROM lake_journalentry WHERE kind = 'L'))
  AND (replaced_at, record_id, version) > (%s::timestamptz, %s::uuid, %s::int)
  AND NOT EXISTS (SELECT FROM lake_record r WHERE r.id = v.record_id AND r.workspace_id = ANY(%s))
ORDER BY replaced_at, record_id, version LIMIT %s
"""
SEGMENTS_OF_VERSIONS = """
SELECT DISTINCT segment_id FROM lake_segmentbatch WHERE batch_id IN (
  SELECT batch_id FROM lake_recordversion
  WHERE (record_id, version) IN (SELECT * FROM unnest(%(record_ids)s::uuid[], %(versions)s::int[]))
)
ORDER BY segment_id
"""
# The journal records them too.
REMOVE_VERSIONS = """
WITH gone AS (
  DELETE FROM lake_recordversion v
  WHERE (record_id, version) IN (SELECT * FROM unnest(%(record_ids)s::uuid[], %(versions)s::int[]))
    AND replaced_at < least(%(before)s, (SELECT min(noted_at) FROM lake_journalentry WHERE kind = 'L'))
    AND NOT EXISTS (SELECT FROM lake_record r WHERE r.id = v.record_id AND r.workspace_id = ANY(%(held)s))
  RETURNING record_id, version, batch_id
), dead AS (
  SELECT b.segment_id, count(*) AS n FROM gone JOIN lake_segmentbatch b USING (batch_id) GROUP BY b.segment_id
), counted AS (
  UPDATE lake_segment AS s SET dead_count = s.dead_count + dead.n FROM dead WHERE s.id = dead.segment_id
), noted AS (
  INSERT INTO lake_journalentry (workspace_id, kind, record_ids, versions, reason)
  SELECT r.workspace_id, 'V', array_agg(gone.record_id), array_agg(gone.version), 'retention'
  FROM gone JOIN lake_record r ON r.id = gone.record_id GROUP BY r.workspace_id
)
SELECT count(*) FROM gone
"""


def payloads_of(after: int, until: int, limit: int) -> list[tuple[int, int]]:
    """Batches that have their payload, like `rejected_of`."""
    return _rows(HELD_PAYLOADS, [after, until, limit])


def in_segments(batch_ids: Sequence[int]) -> list[int]:
    """The batches whose accepted records are all in a live segment with listings, except those that no version needs.

    Compaction moves none of them until the caller's transaction ends.
    """
    return [row[0] for row in _rows(IN_SEGMENTS, [list(batch_ids)])]


def remove_payloads(batch_ids: Sequence[int]) -> int:
    """Remove the payloads of these batches."""
    parts = PayloadPart.objects.filter(batch_id__in=batch_ids).delete()[0]
    return parts + PayloadKept.objects.filter(batch_id__in=batch_ids).delete()[0]


def rejected_of(after: int, until: int, limit: int) -> list[tuple[int, int]]:
    """Batches with rejected records and their number, by id, after ``after`` and up to ``until``."""
    return _rows(HELD_REJECTED, [after, until, limit])


def remove_rejected(batch_ids: Sequence[int]) -> int:
    """Remove all rejected records of these batches. A batch keeps all of them or none."""
    return RejectedRecord.objects.filter(batch_id__in=batch_ids).delete()[0]


def outcomes_of(after: int, until: int, limit: int) -> list[tuple[int, int]]:
    """Batches with outcomes, like `rejected_of`."""
    return _rows(HELD_OUTCOMES, [after, until, limit])


def remove_outcomes(batch_ids: Sequence[int]) -> int:
    """Remove the outcomes of these batches."""
    return BatchOutcomes.objects.filter(batch_id__in=batch_ids).delete()[0]


def versions(held: Callable[[], list[int]]) -> Kind:
    """Versions that a later one replaced. ``held``: returns the workspaces under a legal hold, and is called for each step."""

    def due(before: datetime) -> Iterator[Due]:
        place: list[Any] = ["-infinity", "00000000-0000-0000-0000-000000000000", 0]
        while True:
            page = _rows(EXPIRED_VERSIONS, [before, *place, held(), retention.READ_AT_ONCE])
            for _, record_id, version in page:
                yield Due((record_id, version), f"{public_ids.of_record(record_id)} version {version}")
            if len(page) < retention.READ_AT_ONCE:
                return
            place = list(page[-1])

    def remove(before: datetime, found: Sequence[Due]) -> int:
        columns = {"record_ids": [one.key[0] for one in found], "versions": [one.key[1] for one in found]}
        with transaction.atomic():
            dead_lines.hold(SEGMENTS_OF_VERSIONS, columns)
            return int(_rows(REMOVE_VERSIONS, {**columns, "before": before, "held": held()})[0][0])

    return Kind("replaced-versions", "Replaced versions", "EVERMUSE_VERSION_RETENTION_DAYS", due, remove)


def _removed_records(before: datetime) -> QuerySet[RemovedRecord]:
    return RemovedRecord.objects.filter(removed_at__lt=before)


REMOVED_RECORDS = retention.of_rows(
    "removed-records",
    "The list of removed records",
    "EVERMUSE_REMOVED_RETENTION_DAYS",
    _removed_records,
    shown="record_id",
)


def _rows(statement: str, parameters: list[Any] | dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
