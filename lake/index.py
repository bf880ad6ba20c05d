"""The index: writes the records of several batches. Only a later acceptance may overwrite a record."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from evermuse import prepared
from evermuse.binary_arrays import BinaryArray, byteas, int4s, int8s, int8s_of_bytes, timestamps, uuids
from lake import term_sets
from lake.filters import Terms
from lake.landing import LandedRecord
from lake.normalization import DIGEST_BYTES

# Rows are written in the order of their keys, so that two workers cannot deadlock. Values that all records of a batch
# share are sent once for each batch: ``b`` is the number of a row's batch, and ``lo`` and ``hi`` select its terms from
# all terms.
_INCOMING = """
  SELECT * FROM unnest(%(id)b::uuid[], %(b)b::int[], %(event_at)b::timestamptz[], %(lo)b::int[], %(hi)b::int[],
    %(digest)b::bytea[], %(body_offset)b::int[], %(body_size)b::int[]) WITH ORDINALITY
    AS i (id, b, event_at, lo, hi, digest, body_offset, body_size, n)
"""
# Inserts new records, and returns their numbers. If another transaction is inserting the same record, this waits for
# it.
INSERT = f"""
WITH incoming AS ({_INCOMING}), written AS (
  INSERT INTO lake_record AS r (id, workspace_id, batch_id, sequence, version, type, product_id, event_at,
    first_accepted_at, updated_at, terms, digest, body_offset, body_size)
  SELECT i.id, (%(workspace_id)b::bigint[])[i.b], (%(sequence)b::bigint[])[i.b], (%(sequence)b::bigint[])[i.b], 1,
    (%(type)b::text[])[i.b], (%(product_id)b::text[])[i.b], i.event_at, (%(accepted_at)b::timestamptz[])[i.b],
    (%(changed_at)b::timestamptz[])[i.b],
    (%(terms)b::bigint[])[i.lo:i.hi], i.digest, i.body_offset, i.body_size
  FROM incoming i ORDER BY i.id
  ON CONFLICT (id) DO NOTHING
  RETURNING r.id
)
SELECT string_agg(CASE WHEN w.id IS NULL THEN '-' ELSE 'c' END, '' ORDER BY i.n) FROM incoming i LEFT JOIN written w USING (id)
"""  # noqa: S608  (put together from constants)
# Updates existing records. A separate statement, so that it sees what INSERT waited for. Rows are locked first, so that
# the values read from them are those that the update replaces. A row that the update skips was written by a later
# acceptance. A later acceptance may have an earlier instant; the greater one is kept, because no reader has seen it yet
# (`lake.horizon`). The place of a replaced version is stored in `RecordVersion`. Returns one letter for each row in
# their order, and a dash for a record that was removed after INSERT.
ADVANCE = f"""
WITH incoming AS ({_INCOMING}), known AS (
  SELECT r.id, r.batch_id, r.sequence, r.version, r.digest, r.body_offset, r.body_size
  FROM lake_record r WHERE r.id = ANY(%(id)b::uuid[]) ORDER BY r.id FOR NO KEY UPDATE
), written AS (
  UPDATE lake_record AS r SET
    sequence = (%(sequence)b::bigint[])[i.b],
    batch_id = CASE WHEN substring(k.digest, 1, 16) = i.digest THEN r.batch_id ELSE (%(sequence)b::bigint[])[i.b] END,
    version = CASE WHEN substring(k.digest, 1, 16) = i.digest THEN r.version ELSE r.version + 1 END,
    updated_at = CASE WHEN substring(k.digest, 1, 16) = i.digest THEN r.updated_at
      ELSE greatest(r.updated_at, (%(changed_at)b::timestamptz[])[i.b]) END,
    product_id = (%(product_id)b::text[])[i.b],
    terms = CASE WHEN substring(k.digest, 1, 16) = i.digest THEN r.terms ELSE (%(terms)b::bigint[])[i.lo:i.hi] END,
    body_offset = CASE WHEN substring(k.digest, 1, 16) = i.digest THEN r.body_offset ELSE i.body_offset END,
    body_size = CASE WHEN substring(k.digest, 1, 16) = i.digest THEN r.body_size ELSE i.body_size END,
    digest = i.digest
  FROM incoming i JOIN known k ON k.id = i.id
  WHERE r.id = i.id AND k.sequence < (%(sequence)b::bigint[])[i.b]
  RETURNING r.id, r.batch_id, CASE WHEN substring(k.digest, 1, 16) = i.digest THEN 'i' ELSE 'u' END AS outcome,
    k.version AS old_version, k.batch_id AS old_batch_id, k.body_offset AS old_offset, k.body_size AS old_size,
    k.digest AS old_digest
), replaced AS (
  INSERT INTO lake_recordversion (record_id, version, batch_id, body_offset, body_size, replaced_by_id, replaced_at, digest)
  SELECT id, old_version, old_batch_id, old_offset, old_size, batch_id, now(), old_digest FROM written WHERE outcome = 'u'
  ON CONFLICT (record_id, version) DO NOTHING
)
SELECT string_agg(coalesce(w.outcome, CASE WHEN k.id IS NULL THEN '-' ELSE 's' END), '' ORDER BY i.n)
FROM incoming i LEFT JOIN written w USING (id) LEFT JOIN known k USING (id)
"""  # noqa: S608  (put together from constants)

CREATED, UPDATED, IDENTICAL, SUPERSEDED, REJECTED = "c", "u", "i", "s", "r"
# For a row that this statement could not write. The other statement can.
_OPEN = "-"


@dataclass(slots=True)
class IndexedBatch:
    """The accepted records of a batch. `upsert` fills ``outcomes``.

    ``changed_at``: the instant of the landing (`lake.horizon`).
    """

    sequence: int
    workspace_id: int
    accepted_at: datetime
    changed_at: datetime
    records: Sequence[LandedRecord]
    outcomes: dict[int, str] = field(default_factory=dict)


class Row(NamedTuple):
    """A record, with the number of its batch among those that are written together, counted from 1, and its stored terms."""

    number: int
    record: LandedRecord
    terms: Sequence[bytes]


def upsert(batches: Sequence[IndexedBatch]) -> None:
    """Write the records in the caller's transaction, and store each outcome under its record's index.

    One statement cannot write a row twice. If a batch contains a record twice, the later one counts. If several batches
    contain a record, its versions are written in rounds, in the order of acceptance. Later rounds write only rows that
    the first one locked, so they cannot deadlock.
    """
    ordered = sorted((batch for batch in batches if batch.records), key=lambda b: b.sequence)
    rounds: list[dict[bytes, tuple[int, LandedRecord]]] = []
    depth: dict[bytes, int] = {}
    for number, batch in enumerate(ordered, 1):
        last: dict[bytes, LandedRecord] = {}
        for record in batch.records:
            if earlier := last.get(record.key):
                batch.outcomes[earlier.index] = SUPERSEDED
            last[record.key] = record
        for key, record in last.items():
            level = depth.get(key, 0)
            depth[key] = level + 1
            if level == len(rounds):
                rounds.append({})
            rounds[level][key] = (number, record)
    # Terms of all rounds, before rows of records are locked.
    sorted_rows = [[rows[key] for key in sorted(rows)] for rows in rounds]
    rows = iter(with_terms(ordered, list(itertools.chain.from_iterable(sorted_rows)), may_add_sets=True))
    for part in sorted_rows:
        _write(ordered, list(itertools.islice(rows, len(part))))


def _write(batches: Sequence[IndexedBatch], rows: Sequence[Row]) -> None:
    # Django's cursors bind parameters as text on the client. This sends binary arrays in the same transaction.
    for statement in itertools.cycle((INSERT, ADVANCE)):
        [(letters,)] = prepared.rows(statement, {**of_batches(batches), **of_rows(rows)})
        left: list[Row] = []
        for row, letter in zip(rows, letters, strict=True):
            if letter == _OPEN:
                left.append(row)
            else:
                batches[row.number - 1].outcomes[row.record.index] = letter
        if not left:
            return
        rows = left


def of_batches(batches: Sequence[IndexedBatch]) -> dict[str, object]:
    """Parameters of the statements: the values that all records of a batch share."""
    # A batch has one type and one product, as admission ensures.
    heads = [batch.records[0].normalized for batch in batches]
    return {
        "workspace_id": int8s([batch.workspace_id for batch in batches]),
        "sequence": int8s([batch.sequence for batch in batches]),
        "type": [head.type for head in heads],
        "product_id": [head.product_id for head in heads],
        "accepted_at": [batch.accepted_at for batch in batches],
        "changed_at": [batch.changed_at for batch in batches],
    }


def of_rows(rows: Sequence[Row]) -> dict[str, BinaryArray]:
    """Parameters of the statements: the rows in their order."""
    ends = list(itertools.accumulate(len(row.terms) for row in rows))
    records = [row.record for row in rows]
    return {
        "id": uuids([record.key for record in records]),
        "b": int4s([row.number for row in rows]),
        "event_at": timestamps([record.normalized.event_seconds for record in records]),
        "lo": int4s([1, *(end + 1 for end in ends[:-1])]),
        "hi": int4s(ends),
        "digest": byteas([record.digest[:DIGEST_BYTES] for record in records]),
        "body_offset": int4s([record.place.offset for record in records]),
        "body_size": int4s([record.place.size for record in records]),
        "terms": int8s_of_bytes(list(itertools.chain.from_iterable(row.terms for row in rows))),
    }


def with_terms(
    batches: Sequence[IndexedBatch], records: Sequence[tuple[int, LandedRecord]], *, may_add_sets: bool
) -> list[Row]:
    """The rows of records that come with the number of their batch. Records of one workspace are handled together."""
    members: dict[int, list[int]] = {}
    for place, (number, _) in enumerate(records):
        members.setdefault(batches[number - 1].workspace_id, []).append(place)
    found: list[list[bytes]] = [[] for _ in records]
    for workspace_id, places in sorted(members.items()):
        terms = Terms(workspace_id).of(records[place][1].normalized for place in places)
        stored = term_sets.stored(workspace_id, terms, may_add=may_add_sets)
        for place, one in zip(places, stored, strict=True):
            found[place] = one
    return [Row(number, record, terms) for (number, record), terms in zip(records, found, strict=True)]
