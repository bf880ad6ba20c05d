"""The index: one upsert for the records of several batches, in which only a later acceptance may overwrite."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import psycopg
from django.db import connection

from lake import terms
from lake.landing import LandedRecord

# Rows go in by the order of their key, so that two workers cannot deadlock. A row that RETURNING leaves out met a later
# acceptance and was skipped by WHERE. `head` and `data` stay as they are (their TOAST values too) when nothing changed.
UPSERT = """
INSERT INTO lake_record AS r (id, workspace_id, batch_id, sequence, version, type, product_id, event_at,
  first_accepted_at, updated_at, terms, digest, head, data, storage_uri)
SELECT i.id, i.workspace_id, i.sequence, i.sequence, 1, i.type, i.product_id, i.event_at,
  i.accepted_at, now(), i.terms::bigint[], i.digest, i.head, i.data, i.uri
FROM unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::text[], %b::text[], %b::timestamptz[], %b::timestamptz[],
  %b::text[], %b::bytea[], %b::bytea[], %b::bytea[], %b::text[])
  AS i (id, workspace_id, sequence, type, product_id, event_at, accepted_at, terms, digest, head, data, uri)
ORDER BY i.id
ON CONFLICT (id) DO UPDATE SET
  sequence = EXCLUDED.sequence,
  batch_id = CASE WHEN r.digest = EXCLUDED.digest THEN r.batch_id ELSE EXCLUDED.batch_id END,
  version = CASE WHEN r.digest = EXCLUDED.digest THEN r.version ELSE r.version + 1 END,
  updated_at = CASE WHEN r.digest = EXCLUDED.digest THEN r.updated_at ELSE EXCLUDED.updated_at END,
  product_id = EXCLUDED.product_id,
  terms = CASE WHEN r.digest = EXCLUDED.digest THEN r.terms ELSE EXCLUDED.terms END,
  head = CASE WHEN r.digest = EXCLUDED.digest THEN r.head ELSE EXCLUDED.head END,
  data = CASE WHEN r.digest = EXCLUDED.digest THEN r.data ELSE EXCLUDED.data END,
  storage_uri = CASE WHEN r.digest = EXCLUDED.digest THEN r.storage_uri ELSE EXCLUDED.storage_uri END,
  digest = EXCLUDED.digest
WHERE r.sequence < EXCLUDED.sequence
RETURNING r.id, r.batch_id = r.sequence AS is_ours, r.version
"""

CREATED, UPDATED, IDENTICAL, SUPERSEDED, REJECTED = "c", "u", "i", "s", "r"


@dataclass(slots=True)
class IndexedBatch:
    """The accepted records of a batch on their way into the index; ``outcomes`` is filled by `upsert`."""

    sequence: int
    workspace_id: int
    accepted_at: datetime
    uri: str
    records: Sequence[LandedRecord]
    outcomes: dict[int, str] = field(default_factory=dict)


def upsert(batches: Sequence[IndexedBatch]) -> None:
    """Write the records inside the caller's transaction and note each one's outcome under its index.

    One statement cannot touch a row twice: of two same records in one batch the later one counts, and versions that
    several batches hold go in one round after the other, in the order of acceptance. A later round touches only rows
    that the first one locked, so rounds cannot deadlock either.
    """
    rounds: list[dict[UUID, tuple[IndexedBatch, LandedRecord]]] = []
    depth: dict[UUID, int] = {}
    for batch in sorted(batches, key=lambda b: b.sequence):
        last: dict[UUID, LandedRecord] = {}
        for record in batch.records:
            if earlier := last.get(record.id):
                batch.outcomes[earlier.index] = SUPERSEDED
            last[record.id] = record
        for record_id, record in last.items():
            level = depth.get(record_id, 0)
            depth[record_id] = level + 1
            if level == len(rounds):
                rounds.append({})
            rounds[level][record_id] = (batch, record)
    for rows in rounds:
        _write(rows)


def _write(rows: dict[UUID, tuple[IndexedBatch, LandedRecord]]) -> None:
    ordered = sorted(rows.items())
    columns = list(zip(*(_row(batch, record) for _, (batch, record) in ordered), strict=True))
    connection.ensure_connection()
    # Django's own cursors bind on the client's side, as text; this one sends binary arrays in the same transaction.
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(UPSERT, [list(column) for column in columns])
        written = {row[0]: (row[1], row[2]) for row in cursor.fetchall()}
    for record_id, (batch, record) in ordered:
        if record_id not in written:
            outcome = SUPERSEDED
        else:
            is_ours, version = written[record_id]
            outcome = IDENTICAL if not is_ours else CREATED if version == 1 else UPDATED
        batch.outcomes[record.index] = outcome


def _row(batch: IndexedBatch, record: LandedRecord) -> tuple[object, ...]:
    normalized = record.normalized
    return (
        record.id,
        batch.workspace_id,
        batch.sequence,
        normalized.type,
        normalized.product_id,
        normalized.event_at,
        batch.accepted_at,
        f"{{{','.join(map(str, terms.of(batch.workspace_id, normalized)))}}}",
        record.digest,
        normalized.head,
        normalized.data,
        batch.uri,
    )
