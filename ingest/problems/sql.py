"""Raw SQL of the problem inbox.

Collection locks the rows that failed, unmarks them, and writes groups in the order of their key, all in one transaction. So
a failure is counted once whichever process dies, and two collectors neither share a row nor deadlock.
"""

from evermuse.advisory_locks import AdvisoryLock

# Failures that were not counted yet, oldest first, without rows that another collector or a landing has locked. Partial
# indexes contain exactly these rows.
TAKE_REJECTED = """
WITH found AS (
  SELECT id FROM lake_rejectedrecord WHERE awaits_collection ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
), marked AS (
  UPDATE lake_rejectedrecord AS r SET awaits_collection = false FROM found WHERE r.id = found.id
  RETURNING r.batch_id, r.index, r.errors
)
SELECT m.batch_id, m.index, m.errors, b.workspace_id, b.source, coalesce(b.landed_at, b.completed_at, b.created_at)
FROM marked m JOIN ingest_batch b ON b.id = m.batch_id ORDER BY m.batch_id, m.index
"""

TAKE_FILES = """
WITH found AS (
  SELECT id FROM attachments_attachment
  WHERE state = 'FAILED' AND (collected_token IS NULL OR collected_token < claim_token)
  ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE attachments_attachment AS a SET collected_token = a.claim_token FROM found WHERE a.id = found.id
RETURNING a.id, a.batch_id, a.record_index, a.error_code, left(a.error_message, 500), a.host, a.workspace_id,
  coalesce(a.completed_at, statement_timestamp())
"""

TAKE_BATCHES = """
WITH found AS (
  SELECT id FROM ingest_batch
  WHERE status = 'FAILED' AND failure_code = 'GIVEN_UP' AND (collected_token IS NULL OR collected_token < claim_token)
  ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED
)
UPDATE ingest_batch AS b SET collected_token = b.claim_token FROM found WHERE b.id = found.id
RETURNING b.id, b.failure, b.source, b.workspace_id, coalesce(b.completed_at, statement_timestamp())
"""

# `p.state` is the state before the upsert. A resolved group that is seen again becomes OPEN, with a new alert.
_SEEN_AGAIN = """
  state = CASE WHEN p.state = 'RESOLVED' THEN 'OPEN' ELSE p.state END,
  is_alert_due = p.is_alert_due OR p.state = 'RESOLVED',
  opened_at = CASE WHEN p.state = 'RESOLVED' THEN EXCLUDED.opened_at ELSE p.opened_at END,
  first_seen_at = least(p.first_seen_at, EXCLUDED.first_seen_at),
  last_seen_at = greatest(p.last_seen_at, EXCLUDED.last_seen_at),
  sample_message = EXCLUDED.sample_message, sample_batch = EXCLUDED.sample_batch,
  sample_index = EXCLUDED.sample_index, sample_attachment = EXCLUDED.sample_attachment"""

_INSERT_PROBLEMS = """
INSERT INTO problems_problem AS p (kind, workspace_id, party, code, field, state, is_alert_due, count, first_seen_at,
  last_seen_at, opened_at, sample_message, sample_batch, sample_index, sample_attachment)
SELECT n.kind, n.workspace, n.party, n.code, n.field, 'OPEN', true, n.count, n.first, n.last, statement_timestamp(),
  n.message, n.batch, n.index, n.attachment
FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::timestamptz[],
  %s::timestamptz[], %s::text[], %s::bigint[], %s::int[], %s::bigint[])
  AS n (kind, workspace, party, code, field, count, first, last, message, batch, index, attachment)
ON CONFLICT (kind, workspace_id, party, code, field) DO UPDATE SET"""

_KEYS = "RETURNING id, kind, workspace_id, party, code, field"

COUNT = f"{_INSERT_PROBLEMS} count = p.count + EXCLUDED.count, {_SEEN_AGAIN} {_KEYS}"
MEASURE = f"{_INSERT_PROBLEMS} count = EXCLUDED.count, {_SEEN_AGAIN} {_KEYS}"

# Groups in which nothing waits any more are resolved. A muted group stays muted.
NOTHING_WAITS = """
UPDATE problems_problem SET count = 0, is_alert_due = false,
  state = CASE WHEN state = 'OPEN' THEN 'RESOLVED' ELSE state END
WHERE kind IN ('WAITING_BATCHES', 'WAITING_FILES', 'PROCESSORS') AND count > 0 AND NOT id = ANY(%s)
"""

COUNT_HOURS = """
INSERT INTO problems_problemhour AS h (problem_id, hour, count)
SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[])
ON CONFLICT (problem_id, hour) DO UPDATE SET count = h.count + EXCLUDED.count
"""
MEASURE_HOURS = """
INSERT INTO problems_problemhour AS h (problem_id, hour, count)
SELECT * FROM unnest(%s::bigint[], %s::timestamptz[], %s::bigint[])
ON CONFLICT (problem_id, hour) DO UPDATE SET count = greatest(h.count, EXCLUDED.count)
"""

COUNT_BATCHES = """
INSERT INTO problems_problembatch AS b (problem_id, batch_id, count, last_seen_at)
SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::timestamptz[])
ON CONFLICT (problem_id, batch_id) DO UPDATE SET
  count = b.count + EXCLUDED.count, last_seen_at = greatest(b.last_seen_at, EXCLUDED.last_seen_at)
"""

# One measurement at a time; a second one would find the same.
MEASURE_LOCK = f"SELECT pg_try_advisory_xact_lock({AdvisoryLock.MEASURE_STANDING:d})"

# A batch is stuck if it has waited for long and met a fault or lost a worker. A batch that only waits for its turn belongs to
# the backlog, which has an alert of its own.
_STANDING_BATCHES = """status = 'LANDING' AND (failure_code IS NOT NULL OR (failure = '' AND crashes > 0))
  AND created_at < statement_timestamp() - make_interval(secs => %(stuck)s)"""
_FAILURE_CODE = "coalesce(failure_code, 'WORKER_DIED')"

STANDING_BATCHES = f"""
SELECT workspace_id, source, {_FAILURE_CODE} AS code, count(*), min(created_at), max(id), left(max(failure), 500)
FROM ingest_batch WHERE {_STANDING_BATCHES}
GROUP BY workspace_id, source, code
"""

# A processor keeps failing for a batch after three failures in a row. One failure may pass, and the first retries are quick.
# The error begins with the name of the exception's class.
_FAILING_RUNS = """FROM ingest_processorrun r JOIN ingest_batch b ON b.id = r.batch_id
WHERE r.next_attempt_at IS NOT NULL AND r.attempts >= 3 AND b.status = 'PROCESSING'"""
_ERROR_CLASS = "left(split_part(r.error, ':', 1), 64)"
_OF_GROUP = f"b.workspace_id = %(workspace)s AND r.processor = %(processor)s AND {_ERROR_CLASS} = %(error)s"

FAILING_PROCESSORS = f"""
SELECT b.workspace_id, r.processor, {_ERROR_CLASS} AS error_class, count(*), min(b.landed_at), max(b.id), left(max(r.error), 500)
{_FAILING_RUNS}
GROUP BY b.workspace_id, r.processor, error_class
"""
COUNT_FAILING_RUNS = f"SELECT count(*), coalesce(max(b.id), 0) {_FAILING_RUNS} AND {_OF_GROUP}"
SLICE_OF_FAILING_RUNS = f"""
SELECT b.id {_FAILING_RUNS} AND {_OF_GROUP} AND b.id > %(cursor)s AND b.id <= %(until)s
ORDER BY b.id LIMIT %(limit)s
"""

FORGET_HOURS = "DELETE FROM problems_problemhour WHERE hour < statement_timestamp() - interval '30 days'"

# -- Jobs --

# A lease that ended without a result means that the worker died: one more fault.
CLAIM_JOB = """
UPDATE problems_job AS j SET
  claim_token = j.claim_token + 1, claimed_until = statement_timestamp() + make_interval(secs => %(lease)s),
  faults = j.faults + (j.claimed_until IS NOT NULL)::int,
  state = CASE WHEN j.faults + (j.claimed_until IS NOT NULL)::int >= %(max_faults)s THEN 'FAILED' ELSE 'RUNNING' END,
  error = CASE WHEN j.claimed_until IS NOT NULL AND j.error = '' THEN 'its worker died' ELSE j.error END,
  started_at = coalesce(j.started_at, statement_timestamp())
FROM (
  SELECT id FROM problems_job
  WHERE state IN ('QUEUED', 'RUNNING') AND (claimed_until IS NULL OR claimed_until < statement_timestamp()
    OR claimed_until > statement_timestamp() + make_interval(secs => %(lease)s * 2))
  ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
) AS waiting
WHERE j.id = waiting.id
RETURNING j.id, j.claim_token, j.state
"""

# A slice of a group's batches, in the order of the key.
SLICE_OF_BATCHES = """
SELECT m.batch_id, b.status FROM problems_problembatch m JOIN ingest_batch b ON b.id = m.batch_id
WHERE m.problem_id = %(problem)s AND m.batch_id > %(cursor)s AND m.batch_id <= %(until)s
ORDER BY m.batch_id LIMIT %(limit)s
"""

SLICE_OF_STANDING_BATCHES = f"""
SELECT id FROM ingest_batch
WHERE {_STANDING_BATCHES} AND workspace_id = %(workspace)s AND source = %(party)s AND {_FAILURE_CODE} = %(code)s
  AND id > %(cursor)s AND id <= %(until)s
ORDER BY id LIMIT %(limit)s
"""

COUNT_STANDING_BATCHES = f"""
SELECT count(*), coalesce(max(id), 0) FROM ingest_batch
WHERE {_STANDING_BATCHES} AND workspace_id = %(workspace)s AND source = %(party)s AND {_FAILURE_CODE} = %(code)s
"""

# -- Alerts --

TAKE_ALERTS = """
UPDATE problems_alert AS a SET
  attempts = a.attempts + 1, next_attempt_at = statement_timestamp() + make_interval(secs => %(lease)s)
FROM (
  SELECT id FROM problems_alert WHERE next_attempt_at <= statement_timestamp()
  ORDER BY next_attempt_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS due
WHERE a.id = due.id
RETURNING a.id, a.channel, a.event, a.body, a.attempts
"""
