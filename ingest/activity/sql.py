"""Raw SQL of the activity app. Each statement reads by an index, never a whole table.

Times are read by BRIN indexes: they cost accepting almost nothing, and do not depend on the order of the clock.
"""

from evermuse.advisory_locks import AdvisoryLock

# Only one round at a time over all workers, because two could add the same difference twice.
LOCK = f"SELECT pg_try_advisory_xact_lock({AdvisoryLock.ROLL_UP:d})"

NOW = "SELECT statement_timestamp()"

BATCHES = """
SELECT workspace_id, count(*), count(*) FILTER (WHERE status = 'COMPLETE'), count(*) FILTER (WHERE status = 'FAILED'),
  sum(record_count), sum(accepted_count), sum(rejected_count)
FROM ingest_batch WHERE created_at >= %(start)s AND created_at < %(end)s GROUP BY workspace_id
"""

LANDED = """
SELECT workspace_id, count(*) FROM ingest_batch WHERE landed_at >= %(start)s AND landed_at < %(end)s GROUP BY workspace_id
"""

# Counts a rejected record once for each of its distinct errors. Replaces \\u0000 and surrogates, which PostgreSQL's JSON
# functions refuse. The pointer keeps its JSON escapes; indexes in lists become `*`.
REASONS = r"""
SELECT b.workspace_id, left(e.reason, 200), count(*)
FROM ingest_batch b JOIN lake_rejectedrecord r ON r.batch_id = b.id
CROSS JOIN LATERAL (
  SELECT DISTINCT (one->>'code') || ' ' || regexp_replace(trim(both '"' from (one->'pointer')::text), '/[0-9]+(?=/|$)', '/*', 'g')
    AS reason
  FROM json_array_elements(
    regexp_replace(r.errors, '\\u(0000|d[89a-f][0-9a-f]{2})', '\\ufffd', 'gi')::json) AS one
) AS e
WHERE b.created_at >= %(start)s AND b.created_at < %(end)s AND b.rejected_count > 0 AND e.reason IS NOT NULL
GROUP BY 1, 2
"""

FILES = """
SELECT workspace_id, left(host, 150), count(*), coalesce(sum(size), 0) FROM attachments_attachment
WHERE state = 'COMPLETE' AND completed_at >= %(start)s AND completed_at < %(end)s GROUP BY 1, 2
"""

# Attempts that failed on the vendor's side. A fresh URL, a worker that stopped or died, and our own store are not failures
# of a host.
DOWNLOAD_FAILURES = """
SELECT a.workspace_id, left(a.host, 150) || ' ' || d.code, count(*)
FROM attachments_downloadattempt d JOIN attachments_attachment a ON a.id = d.attachment_id
WHERE d.finished_at >= %(start)s AND d.finished_at < %(end)s
  AND d.code NOT IN ('OK', 'IN_PROGRESS', 'REPLACED', 'INTERRUPTED', 'YIELDED', 'LEASE_LOST', 'WORKER_LOST', 'WORKER_CRASHED', 'STORE_UNAVAILABLE')
GROUP BY 1, 2
"""

ADD = """
INSERT INTO activity_rollup AS r (resolution, at, workspace_id, metric, label, value)
SELECT %s, %s, n.* FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[]) AS n (workspace_id, metric, label, value)
ON CONFLICT (resolution, at, workspace_id, metric, label) DO UPDATE SET value = r.value + EXCLUDED.value
"""

# Closed minutes with batches that landed or completed since the last round.
NOTE_CHANGES = """
INSERT INTO activity_staleminute (at)
SELECT DISTINCT date_trunc('minute', created_at) FROM ingest_batch
WHERE (landed_at >= %(since)s OR completed_at >= %(since)s) AND created_at < %(closed)s
ON CONFLICT DO NOTHING
"""

# The counters, plus what the open minutes have beyond them. One statement, so that both have the same snapshot.
TOTALS = """
WITH fresh AS (
  SELECT workspace_id, n.metric, n.value
  FROM (
    SELECT workspace_id, count(*) AS batches, count(*) FILTER (WHERE status = 'COMPLETE') AS complete,
      count(*) FILTER (WHERE status = 'FAILED') AS failed, sum(record_count) AS records, sum(accepted_count) AS accepted,
      sum(rejected_count) AS rejected
    FROM ingest_batch WHERE created_at >= %(open)s GROUP BY workspace_id
  ) AS b
  CROSS JOIN LATERAL (VALUES ('batches', b.batches), ('batches_complete', b.complete), ('batches_failed', b.failed),
    ('records', b.records), ('records_accepted', b.accepted), ('records_rejected', b.rejected)) AS n (metric, value)
  UNION ALL
  SELECT workspace_id, 'batches_landed', count(*) FROM ingest_batch WHERE landed_at >= %(open)s GROUP BY workspace_id
), stored AS (
  SELECT workspace_id, metric, sum(value) AS value FROM activity_rollup
  WHERE resolution = 'minute' AND at >= %(open)s AND label = '' GROUP BY 1, 2
)
SELECT workspace_id, metric, label, sum(value)::bigint FROM (
  SELECT workspace_id, metric, label, value FROM activity_rollup WHERE resolution = 'ever'
  UNION ALL
  SELECT workspace_id, metric, '', greatest(fresh.value - coalesce(stored.value, 0), 0)
  FROM fresh LEFT JOIN stored USING (workspace_id, metric)
) AS found
WHERE %(workspace)s::bigint IS NULL OR workspace_id = %(workspace)s
GROUP BY 1, 2, 3
"""

_OF = "(%(workspace)s::bigint IS NULL OR workspace_id = %(workspace)s)"

# Sums by step and sums by label, in one pass.
PERIOD = f"""
SELECT at, metric, label, sum(value)::bigint FROM activity_rollup
WHERE resolution = %(resolution)s AND at >= %(start)s AND {_OF}
GROUP BY GROUPING SETS ((at, metric), (metric, label))
"""

# Rows in each state, counted up to a limit by partial indexes. A state with its own index is not read from the rows.
UNSETTLED_BATCHES = f"""
SELECT status, count(*) FROM (
  (SELECT 'LANDING' AS status FROM ingest_batch WHERE status = 'LANDING' AND {_OF} LIMIT %(limit)s)
  UNION ALL
  (SELECT status FROM ingest_batch WHERE status IN ('LANDED', 'PROCESSING') AND {_OF} LIMIT %(limit)s)
  UNION ALL
  (SELECT 'FAILED' FROM ingest_batch WHERE status = 'FAILED' AND {_OF} LIMIT %(limit)s)
) AS found GROUP BY status
"""
UNSETTLED_FILES = f"""
SELECT state, count(*) FROM (
  (SELECT 'PENDING' AS state FROM attachments_attachment WHERE state = 'PENDING' AND {_OF} LIMIT %(limit)s)
  UNION ALL
  (SELECT 'IN_PROGRESS' FROM attachments_attachment WHERE state = 'IN_PROGRESS' AND {_OF} LIMIT %(limit)s)
  UNION ALL
  (SELECT 'FAILED' FROM attachments_attachment WHERE state = 'FAILED' AND {_OF} LIMIT %(limit)s)
) AS found GROUP BY state
"""

# The oldest batch of each workspace, by one index lookup for each workspace.
OLDEST_BATCH = """
WITH RECURSIVE first AS (
  (SELECT workspace_id, created_at FROM ingest_batch WHERE status = 'LANDING' ORDER BY workspace_id, id LIMIT 1)
  UNION ALL
  SELECT following.* FROM first CROSS JOIN LATERAL (
    SELECT b.workspace_id, b.created_at FROM ingest_batch b
    WHERE b.status = 'LANDING' AND b.workspace_id > first.workspace_id ORDER BY b.workspace_id, b.id LIMIT 1
  ) AS following
)
SELECT extract(epoch FROM statement_timestamp() - min(created_at))::float FROM first
"""
OLDEST_BATCH_OF_WORKSPACE = """
SELECT extract(epoch FROM statement_timestamp() - created_at)::float FROM ingest_batch
WHERE status = 'LANDING' AND workspace_id = %(workspace)s ORDER BY id LIMIT 1
"""

# How long the file that waits longest has been due. Read from the lanes, which are far fewer than files.
_FIRST_DUE = """
SELECT extract(epoch FROM statement_timestamp() - min(due_at))::float FROM (
  SELECT due_at, workspace_id FROM attachments_lane
  UNION ALL
  SELECT next_attempt_at, workspace_id FROM attachments_attachment WHERE state = 'PENDING' AND crashes > 0
) AS waiting
"""
OLDEST_FILE = _FIRST_DUE
OLDEST_FILE_OF_WORKSPACE = _FIRST_DUE + "WHERE workspace_id = %(workspace)s"
