"""Rebuilds a workspace from the bucket alone, and compares it with PostgreSQL."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

from minio.error import S3Error

from tests.journeys.deployment import BUCKET, LEASE_SECONDS, Deployment, until
from tests.lake.journal.rebuilt import Rebuilt, Replaced, Version, rebuild

WAITING = """
SELECT (SELECT count(*) FROM lake_journalentry WHERE workspace_id = %s)
  + (SELECT count(*) FROM lake_segment WHERE workspace_id = %s AND layout = 2 AND state = 'I')
"""
RECORDS = """
SELECT r.id, r.version, r.batch_id, r.body_offset, coalesce(r.resent_by, r.batch_id),
  coalesce(r.first_accepted_at, b.created_at), r.updated_at
FROM lake_record r JOIN ingest_batch b ON b.id = r.batch_id WHERE r.workspace_id = %s
"""
REPLACED = """
SELECT v.record_id, v.version, v.batch_id, v.body_offset, v.replaced_by_id, v.replaced_at
FROM lake_recordversion v JOIN lake_record r ON r.id = v.record_id WHERE r.workspace_id = %s
"""
OUTCOMES = """
SELECT o.batch_id, o.letters FROM lake_batchoutcomes o JOIN ingest_batch b ON b.id = o.batch_id WHERE b.workspace_id = %s
"""
PLACES = """
SELECT l.batch_id, s.key, l.line_count, l.start, l.length FROM lake_segmentbatch l JOIN lake_segment s ON s.id = l.segment_id
WHERE s.workspace_id = %s AND l.line_count > 0
"""
REMOVED = "SELECT record_id, removed_at, reason FROM lake_removedrecord WHERE workspace_id = %s ORDER BY removed_at"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def differences(stack: Deployment, workspace: str, workspace_id: int) -> list[str]:
    """Where the bucket differs from PostgreSQL, once the journal is up to date."""
    until(
        lambda: stack.rows(WAITING, workspace_id, workspace_id) == [(0,)],
        "the journal is written",
        seconds=LEASE_SECONDS + 60,
    )
    try:
        told = _rebuilt(stack, f"journal/workspace={workspace}/")
    except AssertionError as error:
        return [str(error)]
    known: dict[str, Any] = {
        "records": {
            row[0].hex: Version(row[1], (row[2], row[3]), row[4], _us(row[5]), _us(row[6]))
            for row in stack.rows(RECORDS, workspace_id)
        },
        "replaced": {
            (row[0].hex, row[1]): Replaced((row[2], row[3]), row[4], _us(row[5]))
            for row in stack.rows(REPLACED, workspace_id)
        },
        "places": {row[0]: tuple(row[1:]) for row in stack.rows(PLACES, workspace_id)},
        "removed": {row[0].hex: (_us(row[1]), row[2]) for row in stack.rows(REMOVED, workspace_id)},
    }
    found = [_first(name, getattr(told, name), rows) for name, rows in known.items() if getattr(told, name) != rows]
    letters = {number: letters for number, (letters, _) in told.outcomes.items()}
    if letters != (stored := dict(stack.rows(OUTCOMES, workspace_id))):
        found.append(_first("outcomes", letters, stored))
    return found


def _rebuilt(stack: Deployment, prefix: str) -> Rebuilt:
    """What the journal's objects tell. An object of a killed writer may be deleted after it was listed."""
    while True:
        keys = [found.object_name for found in stack.store.list_objects(BUCKET, prefix, recursive=True)]
        try:
            return rebuild([key for key in keys if key], lambda key: _content(stack, key))
        except S3Error as error:
            if error.code != "NoSuchKey":
                raise


def _first(name: str, told: dict[Any, Any], known: dict[Any, Any]) -> str:
    different = [key for key in told.keys() | known.keys() if told.get(key) != known.get(key)]
    key = different[0]
    return f"journal: {len(different)} {name} differ, such as {key}: {told.get(key)} and {known.get(key)}"


def _content(stack: Deployment, key: str) -> bytes:
    with contextlib.closing(stack.store.get_object(BUCKET, key)) as answer:
        return bytes(answer.read())


def _us(instant: datetime) -> int:
    return (instant - _EPOCH) // timedelta(microseconds=1)
