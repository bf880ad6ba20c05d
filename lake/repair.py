"""Repair: restores rows of the index for the batch that wrote them, without breaking "last accepted wins".

A row is restored if it is missing and no later version is known, or if the batch's own row differs. Rows of other batches,
counts and outcomes do not change. A restored row counts as changed, so that incremental readers get it again.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import psycopg

from evermuse.raw_connection import raw_connection
from lake.index import CREATED, UPDATED, IndexedBatch, of_batches, of_rows, with_terms

# Takes batch ids and returns when these batches were accepted. Batches belong to a layer above this one.
AcceptedAt = Callable[[Sequence[int]], Mapping[int, datetime]]

EARLIER_WRITERS = "SELECT DISTINCT batch_id FROM lake_recordversion WHERE record_id = ANY(%(id)b::uuid[])"

# All terms of a row, with those of its sets, because sets come and go. Terms are sorted before they are compared, because
# a record may have a hundred thousand of them, and the operators @> and <@ compare every pair.
_WHOLE = """ARRAY(
    SELECT DISTINCT unnest(coalesce(s.terms, ARRAY[t.term])) FROM unnest({}) AS t (term)
    LEFT JOIN lake_termset s ON s.id = t.term ORDER BY 1)"""
# A version number that was lost with its row is computed from the earlier versions.
REPAIR = f"""
WITH past AS (
  SELECT v.record_id, max(v.version) AS version, min(a.accepted_at) AS accepted_at
  FROM lake_recordversion v
  LEFT JOIN unnest(%(writer)b::bigint[], %(written_at)b::timestamptz[]) AS a (batch_id, accepted_at) USING (batch_id)
  WHERE v.record_id = ANY(%(id)b::uuid[]) AND v.replaced_by_id <= (%(sequence)b::bigint[])[1]
  GROUP BY v.record_id
)
INSERT INTO lake_record AS r (id, workspace_id, batch_id, sequence, version, type, product_id, event_at,
  first_accepted_at, updated_at, terms, digest, body_offset, body_size)
SELECT i.id, (%(workspace_id)b::bigint[])[i.b], (%(sequence)b::bigint[])[i.b], (%(sequence)b::bigint[])[i.b],
  coalesce(past.version, 0) + 1, (%(type)b::text[])[i.b], (%(product_id)b::text[])[i.b], i.event_at,
  coalesce(past.accepted_at, (%(accepted_at)b::timestamptz[])[i.b]), (%(changed_at)b::timestamptz[])[i.b],
  (%(terms)b::bigint[])[i.lo:i.hi], i.digest, i.body_offset, i.body_size
FROM unnest(%(id)b::uuid[], %(b)b::int[], %(event_at)b::timestamptz[], %(lo)b::int[], %(hi)b::int[], %(digest)b::bytea[],
  %(body_offset)b::int[], %(body_size)b::int[]) AS i (id, b, event_at, lo, hi, digest, body_offset, body_size)
LEFT JOIN past ON past.record_id = i.id
WHERE NOT EXISTS (
  SELECT 1 FROM lake_recordversion v WHERE v.record_id = i.id AND v.replaced_by_id > (%(sequence)b::bigint[])[i.b]
)
ORDER BY i.id
ON CONFLICT (id) DO UPDATE SET
  type = EXCLUDED.type, product_id = EXCLUDED.product_id, event_at = EXCLUDED.event_at, terms = EXCLUDED.terms,
  digest = EXCLUDED.digest, body_offset = EXCLUDED.body_offset, body_size = EXCLUDED.body_size,
  updated_at = EXCLUDED.updated_at
WHERE r.batch_id = EXCLUDED.batch_id AND NOT (
  (r.type, r.product_id, r.event_at, substring(r.digest, 1, 16), r.body_offset, r.body_size) IS NOT DISTINCT FROM
  (EXCLUDED.type, EXCLUDED.product_id, EXCLUDED.event_at, EXCLUDED.digest, EXCLUDED.body_offset, EXCLUDED.body_size)
  AND {_WHOLE.format("r.terms")} = {_WHOLE.format("EXCLUDED.terms")})
"""  # noqa: S608  (put together from constants)


def restore(batch: IndexedBatch, letters: str, accepted_at: AcceptedAt) -> int:
    """Restore missing or damaged rows in the caller's transaction. Returns the number of rows written. Idempotent.

    ``letters``: the outcomes of the batch's landing. Only records that it created or updated are restored.
    """
    last = {record.key: record for record in batch.records if letters[record.index] in (CREATED, UPDATED)}
    if not last:
        return 0
    rows = with_terms([batch], [(1, last[key]) for key in sorted(last)], may_add_sets=False)
    with raw_connection() as raw, psycopg.Cursor(raw) as cursor:
        values = {**of_batches([batch]), **of_rows(rows)}
        written_at = accepted_at([batch_id for (batch_id,) in cursor.execute(EARLIER_WRITERS, values)])
        values |= {"writer": list(written_at), "written_at": list(written_at.values())}
        cursor.execute(REPAIR, values)
        return cursor.rowcount
