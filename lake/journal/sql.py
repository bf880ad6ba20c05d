"""Raw SQL of the journal."""

from lake import index_statements

# -- Entries: inserted as the last statement of the transaction that they describe --

NOTE = """
INSERT INTO lake_journalentry (workspace_id, kind, at, batch_ids, record_ids, reason)
VALUES (%(workspace)s::bigint, %(kind)s::text, %(at)s::timestamptz, %(batches)s::bigint[], %(records)s::uuid[], %(reason)s::text)
RETURNING id
"""

# -- Entries that are not written yet --

# Each workspace with entries, and when its oldest one was noted. Two index look-ups for each, however many entries wait.
WAITING = """
WITH RECURSIVE one AS (
  (SELECT workspace_id FROM lake_journalentry ORDER BY workspace_id LIMIT 1)
  UNION ALL
  SELECT (SELECT e.workspace_id FROM lake_journalentry e WHERE e.workspace_id > one.workspace_id
    ORDER BY e.workspace_id LIMIT 1)
  FROM one WHERE one.workspace_id IS NOT NULL
)
SELECT workspace_id, (
  SELECT noted_at FROM lake_journalentry e WHERE e.workspace_id = one.workspace_id ORDER BY e.id LIMIT 1
) AS since
FROM one WHERE workspace_id IS NOT NULL
"""

# The batches among these whose landing is not written yet. ``before``: an instant after they landed.
UNWRITTEN = """
SELECT unnest(batch_ids) FROM lake_journalentry
WHERE kind = 'L' AND noted_at < %(before)s AND batch_ids && %(batches)s::bigint[]
"""

# -- Writing --

ADD_JOURNALS = """
INSERT INTO lake_journal (workspace_id, last_number, bound, claim_token)
SELECT id, 0, '{}', 0 FROM unnest(%s::bigint[]) AS w (id) ORDER BY id
ON CONFLICT (workspace_id) DO NOTHING RETURNING workspace_id
"""

# A lease further in the future than we ever set means that the clock was turned back.
CLAIM = """
UPDATE lake_journal SET claim_token = claim_token + 1,
  claimed_until = statement_timestamp() + make_interval(secs => %(lease)s)
WHERE workspace_id IN (
  SELECT workspace_id FROM lake_journal
  WHERE workspace_id = ANY(%(workspaces)s::bigint[]) AND (claimed_until IS NULL OR claimed_until < statement_timestamp()
    OR claimed_until > statement_timestamp() + make_interval(secs => %(lease)s * 2))
  ORDER BY workspace_id FOR UPDATE SKIP LOCKED
)
RETURNING workspace_id
"""

# Entries that a worker bound to numbers before it died keep them. Otherwise the next entries get the next numbers.
BIND = """
WITH next AS (
  SELECT w.id AS workspace_id,
    ARRAY(SELECT e.id FROM lake_journalentry e WHERE e.workspace_id = w.id ORDER BY e.id LIMIT %(limit)s) AS ids
  FROM unnest(%(workspaces)s::bigint[]) AS w (id)
)
UPDATE lake_journal AS j SET
  bound = CASE WHEN j.bound = '{}' THEN next.ids ELSE j.bound END,
  last_number = j.last_number + CASE WHEN j.bound = '{}' THEN cardinality(next.ids) ELSE 0 END
FROM next WHERE j.workspace_id = next.workspace_id
RETURNING j.workspace_id, j.claim_token AS token, j.last_number - cardinality(j.bound) + 1 AS first, j.bound AS entry_ids
"""

BOUND = """
SELECT e.id, e.kind, e.noted_at, e.at, e.batch_ids, e.record_ids, e.versions, e.reason
FROM lake_journalentry e WHERE e.workspace_id = %(workspace)s AND e.id = ANY(%(ids)s::bigint[])
"""

# The fence: a worker whose claim was taken over publishes nothing.
FINISH = """
UPDATE lake_journal SET bound = '{}', claimed_until = NULL WHERE workspace_id = %s AND claim_token = %s RETURNING workspace_id
"""
DELETE_ENTRIES = "DELETE FROM lake_journalentry WHERE workspace_id = %s AND id = ANY(%s::bigint[]) RETURNING id"

RELEASE = """
UPDATE lake_journal SET claimed_until = NULL
WHERE (workspace_id, claim_token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[])) RETURNING workspace_id
"""

# -- The content of events, from committed rows --

OUTCOMES = "SELECT batch_id, letters, record_ids FROM lake_batchoutcomes WHERE batch_id = ANY(%s::bigint[])"

PLACES = """
SELECT CASE WHEN b.line_count = 0 THEN '' ELSE s.key END AS key, b.batch_id, b.line_count, b.start, b.length
FROM lake_segmentbatch b LEFT JOIN lake_segment s ON s.id = b.segment_id
WHERE b.batch_id = ANY(%s::bigint[]) AND (b.line_count = 0 OR s.id IS NOT NULL) ORDER BY 1, b.batch_id
"""

# The versions that batches wrote over earlier ones.
WRITTEN_VERSIONS = """
SELECT v.replaced_by_id, v.record_id, v.version + 1 FROM lake_recordversion v
WHERE v.record_id = ANY(%s::uuid[]) AND v.replaced_by_id = ANY(%s::bigint[])
"""

CURRENT, WIDE_CURRENT = (
    index_statements.current(index_statements.COMPACT),
    index_statements.current(index_statements.WIDE),
)
REPLACED = """
SELECT v.record_id, v.version, v.batch_id, v.body_offset, v.replaced_by_id, v.replaced_at
FROM lake_recordversion v JOIN lake_record r ON r.id = v.record_id
WHERE v.record_id = ANY(%s::uuid[]) AND r.workspace_id = %s ORDER BY v.record_id, v.version
"""

# -- Records that were stored before the journal existed --

# One step: an entry for each workspace of the next records, in the order of their ids.
FILL = """
WITH place AS (
  SELECT after_id FROM lake_journalfill WHERE id = 1 AND ended_at IS NULL AND starts_at <= statement_timestamp()
  FOR UPDATE SKIP LOCKED
), page AS (
  SELECT r.id, r.workspace_id FROM place CROSS JOIN LATERAL (
    SELECT id, workspace_id FROM lake_record WHERE id > place.after_id ORDER BY id LIMIT %(limit)s
  ) AS r
), noted AS (
  INSERT INTO lake_journalentry (workspace_id, kind, record_ids, reason)
  SELECT workspace_id, 'C', array_agg(id), '' FROM page GROUP BY workspace_id
)
UPDATE lake_journalfill SET
  after_id = coalesce((SELECT id FROM page ORDER BY id DESC LIMIT 1), after_id),
  ended_at = CASE WHEN (SELECT count(*) FROM page) < %(limit)s THEN statement_timestamp() END
WHERE id = 1 AND EXISTS (SELECT FROM place)
RETURNING (SELECT count(*) FROM page)
"""
