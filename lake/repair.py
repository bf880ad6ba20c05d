"""Repair: rows of the index put back for the batch that wrote them, without breaking "last accepted wins".

A row is put back where none stands and the lineage knows of no later version, or where the batch's own row differs. Rows
that another batch wrote stay; counts and outcomes too. What is put back counts as changed: readers that go on from what they
saw get it again.
"""

import psycopg
from django.db import connection

from lake.index import CREATED, UPDATED, IndexedBatch, of_batches, of_rows

# A version number that was lost with its row is counted again from the lineage. Terms are sorted to be compared: a record
# may have a hundred thousand of them, and the operators @> and <@ look at every pair.
REPAIR = """
INSERT INTO lake_record AS r (id, workspace_id, batch_id, sequence, version, type, product_id, event_at,
  first_accepted_at, updated_at, terms, digest, body_offset, body_size)
SELECT i.id, (%(workspace_id)b::bigint[])[i.b], (%(sequence)b::bigint[])[i.b], (%(sequence)b::bigint[])[i.b],
  coalesce(past.version, 0) + 1, (%(type)b::text[])[i.b], (%(product_id)b::text[])[i.b], i.event_at,
  coalesce(past.accepted_at, (%(accepted_at)b::timestamptz[])[i.b]), (%(changed_at)b::timestamptz[])[i.b],
  (%(terms)b::bigint[])[i.lo:i.hi], i.digest, i.body_offset, i.body_size
FROM unnest(%(id)b::uuid[], %(b)b::int[], %(event_at)b::timestamptz[], %(lo)b::int[], %(hi)b::int[], %(digest)b::bytea[],
  %(body_offset)b::int[], %(body_size)b::int[]) AS i (id, b, event_at, lo, hi, digest, body_offset, body_size)
CROSS JOIN LATERAL (
  SELECT max(v.version) AS version, min(b.created_at) AS accepted_at
  FROM lake_recordversion v JOIN ingest_batch b ON b.id = v.batch_id
  WHERE v.record_id = i.id AND v.replaced_by_id <= (%(sequence)b::bigint[])[i.b]
) AS past
WHERE NOT EXISTS (
  SELECT 1 FROM lake_recordversion v WHERE v.record_id = i.id AND v.replaced_by_id > (%(sequence)b::bigint[])[i.b]
)
ORDER BY i.id
ON CONFLICT (id) DO UPDATE SET
  type = EXCLUDED.type, product_id = EXCLUDED.product_id, event_at = EXCLUDED.event_at, terms = EXCLUDED.terms,
  digest = EXCLUDED.digest, body_offset = EXCLUDED.body_offset, body_size = EXCLUDED.body_size,
  updated_at = EXCLUDED.updated_at
WHERE r.batch_id = EXCLUDED.batch_id AND NOT (
  (r.type, r.product_id, r.event_at, r.digest, r.body_offset, r.body_size) IS NOT DISTINCT FROM
  (EXCLUDED.type, EXCLUDED.product_id, EXCLUDED.event_at, EXCLUDED.digest, EXCLUDED.body_offset, EXCLUDED.body_size)
  AND ARRAY(SELECT DISTINCT unnest(r.terms) ORDER BY 1) = ARRAY(SELECT DISTINCT unnest(EXCLUDED.terms) ORDER BY 1))
"""


def restore(batch: IndexedBatch, letters: str) -> int:
    """Put back what is missing or damaged, in the caller's transaction; the number of rows written. Idempotent.

    ``letters``: the outcomes of the batch's landing. Only the records that it created or updated have a say.
    """
    last = {record.key: record for record in batch.records if letters[record.index] in (CREATED, UPDATED)}
    if not last:
        return 0
    rows = [(1, last[key]) for key in sorted(last)]
    connection.ensure_connection()
    with connection.wrap_database_errors, psycopg.Cursor(connection.connection) as cursor:
        cursor.execute(REPAIR, {**of_batches([batch]), **of_rows([batch], rows)})
        return cursor.rowcount
