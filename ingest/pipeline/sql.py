"""Raw SQL of the partitions of payloads, and of the search for lost batch ids."""

# Payloads that must not be dropped with their partition: those of batches that settled too recently, are not in a live
# segment although it has lines, were given up, or are under a legal hold. The rule is that of `ingest.pipeline.detail`. A
# payload without a batch may be dropped.
PAYLOADS_THAT_STAY = """
SELECT p.batch_id FROM {table} p JOIN ingest_batch b ON b.id = p.batch_id JOIN ingest_workspace w ON w.id = b.workspace_id
WHERE w.legal_hold OR coalesce(b.completed_at, b.created_at) >= %(before)s OR NOT CASE b.status
  WHEN 'COMPLETE' THEN EXISTS (
    SELECT FROM lake_segmentbatch l LEFT JOIN lake_segment s ON s.id = l.segment_id AND s.layout = 1 AND s.state = 'L'
    WHERE l.batch_id = b.id AND (l.line_count = 0 OR s.id IS NOT NULL))
  WHEN 'FAILED' THEN coalesce(b.failure_code <> 'GIVEN_UP', b.failure = '')
  ELSE false END
ORDER BY p.batch_id LIMIT %(limit)s
"""
LOCK_BATCHES = "SELECT id FROM ingest_batch WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id FOR NO KEY UPDATE"
MOVE_PAYLOADS = """
WITH moved AS (
  DELETE FROM {table} WHERE batch_id = ANY(%(ids)s::bigint[]) RETURNING batch_id, media_type, query, size, frames, content
)
INSERT INTO lake_payloadkept (batch_id, media_type, query, size, frames, content) SELECT * FROM moved
ON CONFLICT (batch_id) DO NOTHING
"""

# Ranges of ids without a batch. A row is added before and after the range, so that gaps at its ends are found too.
IDS_WITHOUT_BATCH = """
WITH there AS (
  SELECT id FROM ingest_batch WHERE id BETWEEN %(first)s AND %(last)s
  UNION ALL SELECT %(first)s::bigint - 1 UNION ALL SELECT %(last)s::bigint + 1
), pairs AS (
  SELECT id, lead(id) OVER (ORDER BY id) AS next FROM there
)
SELECT id + 1, next - 1 FROM pairs WHERE next > id + 1 ORDER BY 1
"""
