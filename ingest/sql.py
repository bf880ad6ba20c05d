"""Raw SQL of the ingest app: what the ORM cannot do in one round trip, or with the lock that it needs.

Parameters have names, and columns have the names of the fields that they fill (`evermuse.named_rows`).
"""

from evermuse import public_ids

# -- Keys --

# A live key and its workspace. A small workspace's products and projects come with it, so that most requests need no other
# query before they store their batch.
_KEY = """
SELECT k.id AS api_key_id, k.workspace_id, w.name AS workspace_name, k.source, k.permissions::text AS permissions,
  k.rate_limit,
  ARRAY(SELECT product_id::text FROM ingest_product p WHERE p.workspace_id = k.workspace_id
    ORDER BY 1 LIMIT %(catalog_limit)s) AS products,
  ARRAY(SELECT project_id::text FROM ingest_project p WHERE p.workspace_id = k.workspace_id
    ORDER BY 1 LIMIT %(catalog_limit)s) AS projects,
  k.last_used_at IS NULL OR k.last_used_at < statement_timestamp() - make_interval(secs => %(last_used_step)s) AS is_stale,
  k.digest
FROM ingest_apikey k JOIN ingest_workspace w ON w.id = k.workspace_id
WHERE k.digest = %(digest)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp())
"""

# ``snapshot`` is the whole row as one text: what ACCEPT_IF_KEY_IS_UNCHANGED compares.
LIVE_KEY = f"SELECT key.*, key::text AS snapshot FROM ({_KEY}) AS key"

# The given products and projects that a workspace has.
KNOWN_IDS = """
SELECT 'product' AS kind, product_id AS id FROM ingest_product
WHERE workspace_id = %(workspace_id)s AND product_id = ANY(%(product_ids)s)
UNION ALL
SELECT 'project' AS kind, project_id AS id FROM ingest_project
WHERE workspace_id = %(workspace_id)s AND project_id = ANY(%(project_ids)s)
"""

# -- Acceptance --

_INSERT_BATCH = """
  INSERT INTO ingest_batch (workspace_id, api_key_id, source, type, status, created_at, record_count, accepted_count,
    rejected_count, error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes, lone_crashes,
    failure, failure_code)
  SELECT %(workspace_id)s, %(api_key_id)s, %(source)s, %(type)s, %(status)s, clock_timestamp(), %(record_count)s,
    %(accepted_count)s, %(rejected_count)s, %(error_count)s, %(first_errors)s, 0, '', false, 0, 0, 0, %(failure)s, nullif(%(failure_code)s, '')"""
_INSERT_PAYLOAD = """
  INSERT INTO lake_payloadpart (batch_id, media_type, query, size, frames, content)
  SELECT id, %(media_type)s, %(query)s, %(size)s, %(frames)s, %(content)s FROM batch"""

# Batch, sequence number and payload in one statement, so that the commit behind a 202 is one round trip. The id is drawn
# here, inside the accepting transaction.
ACCEPT = f"""
WITH batch AS ({_INSERT_BATCH}
  RETURNING id
), payload AS ({_INSERT_PAYLOAD}
)
SELECT id FROM batch
"""

# Like ACCEPT, for a cached key: inserts nothing and returns no row if the key has changed since it was cached.
ACCEPT_IF_KEY_IS_UNCHANGED = f"""
WITH batch AS ({_INSERT_BATCH}
  FROM ({_KEY}) AS key WHERE key::text = %(snapshot)s
  RETURNING id
), payload AS ({_INSERT_PAYLOAD}
)
SELECT id FROM batch
"""

# Like ACCEPT_IF_KEY_IS_UNCHANGED, for a batch with an Idempotency-Key: stores its answer too. Inserts nothing and returns no row
# if the Idempotency-Key has an answer, or if another request holds its lock. ``answer``: a format with a place for the
# batch's number. It raises a unique violation if the answer was committed after this statement began.
ACCEPT_ONCE_IF_KEY_IS_UNCHANGED = f"""
WITH batch AS ({_INSERT_BATCH}
  FROM ({_KEY}) AS key
  WHERE key::text = %(snapshot)s AND pg_try_advisory_xact_lock(%(idempotency_lock)s) AND NOT EXISTS (
    SELECT FROM ingest_idempotencykey once
    WHERE once.workspace_id = %(workspace_id)s AND once.key = %(idempotency_key)s)
  RETURNING id
), payload AS ({_INSERT_PAYLOAD}
), answer AS (
  INSERT INTO ingest_idempotencykey (workspace_id, key, fingerprint, batch_id, answer, created_at)
  SELECT %(workspace_id)s, %(idempotency_key)s, %(fingerprint)s, id,
    format(%(answer)s, lpad(id::text, {public_ids.BATCH_DIGITS}, '0')), statement_timestamp() FROM batch
)
SELECT id FROM batch
"""

# -- Claims --

# A batch that a worker may claim. A time further in the future than we ever set means that the clock was turned back: it
# is ignored, and a lease that ended that way does not count as a crash.
_IS_WAITING = """status = 'LANDING'
  AND (claimed_until IS NULL OR claimed_until < statement_timestamp()
    OR claimed_until > statement_timestamp() + make_interval(secs => %(lease)s * 2))
  AND (not_before IS NULL OR not_before <= statement_timestamp()
    OR not_before > statement_timestamp() + make_interval(secs => %(longest_delay)s * 2))"""

# Workspaces take turns by id: the next one after the last one served, else the first. Two index lookups, however many
# batches and workspaces wait.
NEXT_WORKSPACE = f"""
(SELECT workspace_id FROM ingest_batch WHERE {_IS_WAITING} AND workspace_id > %(after)s ORDER BY workspace_id, id LIMIT 1)
UNION ALL
(SELECT workspace_id FROM ingest_batch WHERE {_IS_WAITING} ORDER BY workspace_id, id LIMIT 1)
LIMIT 1
"""

# The next workspace's waiting batches, oldest first, without those that another worker has locked. A claim never mixes
# workspaces, so that a landing that has to wait delays no other workspace.
WAITING = f"""
SELECT id, workspace_id, record_count,
  coalesce((SELECT size FROM lake_payload WHERE batch_id = batch.id), 0) AS size,
  coalesce(claimed_until < statement_timestamp(), false) AS crashed, claimed_alone, crashes, lone_crashes
FROM ingest_batch AS batch
WHERE workspace_id = ({NEXT_WORKSPACE}) AND {_IS_WAITING}
ORDER BY id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""

WAITING_ANYWHERE = f"SELECT id FROM ingest_batch WHERE {_IS_WAITING} ORDER BY workspace_id, id LIMIT %(limit)s"

# A lease that ended without a release counts as a crash of its worker.
# Whether a claim need not wait any longer: another workspace's batch waits, or as many of one of these as a claim takes.
GATHERED = f"""
SELECT EXISTS (SELECT FROM ingest_batch WHERE {_IS_WAITING} AND workspace_id <> ALL(%(workspaces)s))
  OR EXISTS (
    SELECT FROM unnest(%(workspaces)s::bigint[]) AS w (id) WHERE %(limit)s = (
      SELECT count(*) FROM (SELECT FROM ingest_batch WHERE {_IS_WAITING} AND workspace_id = w.id LIMIT %(limit)s) AS few
    )
  ) AS go
"""

CLAIM = """
UPDATE ingest_batch SET
  claim_token = claim_token + 1, claimed_until = statement_timestamp() + make_interval(secs => %(lease)s), claimed_by = %(who)s,
  claimed_alone = %(alone)s, attempts = attempts + 1, not_before = NULL,
  crashes = crashes + batch.crashed, lone_crashes = lone_crashes + batch.claimed_alone::int * batch.crashed
FROM (
  SELECT id AS old_id, claimed_alone, coalesce(claimed_until < statement_timestamp(), false)::int AS crashed
  FROM ingest_batch WHERE id = ANY(%(ids)s)
) AS batch
WHERE id = batch.old_id
RETURNING id, claim_token, attempts
"""

_HAS_CLAIM = """status = 'LANDING'
    AND (id, claim_token) IN (SELECT * FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[]))"""

# Skips locked rows: those are being committed at this moment. A claim that was released has no lease to extend.
RENEW = f"""
WITH held AS (
  SELECT id FROM ingest_batch WHERE claimed_until IS NOT NULL AND {_HAS_CLAIM}
  FOR UPDATE SKIP LOCKED
)
UPDATE ingest_batch AS b SET claimed_until = statement_timestamp() + make_interval(secs => %(lease)s)
FROM held WHERE b.id = held.id
RETURNING b.id
"""

GIVE_UP = """
UPDATE ingest_batch SET status = 'FAILED', claimed_until = NULL, claim_token = claim_token + 1,
  completed_at = statement_timestamp(), lone_crashes = lone_crashes + 1, crashes = crashes + 1, failure = %(failure)s,
  failure_code = %(failure_code)s
WHERE id = ANY(%(ids)s) AND status = 'LANDING'
RETURNING id
"""

# Gives claims back before their lease ends. After a crash the batch is claimed alone; after a crash alone it waits
# ``lone_wait``.
RELEASE = """
UPDATE ingest_batch AS b SET claimed_until = NULL,
  not_before = statement_timestamp()
    + make_interval(secs => CASE WHEN %(crashed)s AND b.claimed_alone THEN n.lone_wait ELSE n.wait END),
  failure = %(failure)s, failure_code = %(failure_code)s, crashes = b.crashes + %(crashed)s::int,
  lone_crashes = b.lone_crashes + (%(crashed)s AND b.claimed_alone)::int
FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(waits)s::float8[], %(lone_waits)s::float8[])
  AS n (id, token, wait, lone_wait)
WHERE b.status = 'LANDING' AND b.id = n.id AND b.claim_token = n.token
RETURNING b.id
"""

# Locked in the order of the key, so that two workers cannot deadlock.
HOLD = f"SELECT id FROM ingest_batch WHERE {_HAS_CLAIM} ORDER BY id FOR UPDATE"

INCOMING = """
SELECT b.id, b.workspace_id, w.name AS workspace, b.source, b.created_at AS accepted_at, p.media_type, p.size, p.frames,
  p.content
FROM ingest_batch b JOIN lake_payload p ON p.batch_id = b.id JOIN ingest_workspace w ON w.id = b.workspace_id
WHERE b.id = ANY(%(ids)s::bigint[])
"""

# -- Transitions --

LANDED = """
UPDATE ingest_batch AS b SET
  status = n.status, type = n.type, accepted_count = n.accepted, rejected_count = n.rejected, error_count = n.errors,
  first_errors = n.first_errors, claimed_until = NULL, failure = n.failure, failure_code = n.failure_code,
  landed_at = CASE WHEN n.status = 'LANDED' THEN statement_timestamp() END,
  completed_at = CASE WHEN n.status = 'FAILED' THEN statement_timestamp() END
FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(statuses)s::text[], %(types)s::text[], %(accepted)s::int[],
  %(rejected)s::int[], %(errors)s::int[], %(first_errors)s::text[], %(failures)s::text[], %(failure_codes)s::text[])
  AS n (id, token, status, type, accepted, rejected, errors, first_errors, failure, failure_code)
WHERE b.id = n.id AND b.claim_token = n.token AND b.status = 'LANDING'
RETURNING b.id
"""

# Returns all batches that are PROCESSING now, including those that another worker moved. Their processors may be called again.
PROCESSING = """
WITH moved AS (
  UPDATE ingest_batch SET status = 'PROCESSING', processing_at = statement_timestamp()
  WHERE id = ANY(%(ids)s::bigint[]) AND status = 'LANDED' RETURNING id
)
SELECT id FROM moved
UNION
SELECT id FROM ingest_batch WHERE id = ANY(%(ids)s::bigint[]) AND status = 'PROCESSING'
"""

COMPLETE = """
UPDATE ingest_batch SET status = 'COMPLETE', completed_at = statement_timestamp()
WHERE id = ANY(%(ids)s::bigint[]) AND status = 'PROCESSING' RETURNING id
"""

# Gives codes to the failures that a version without codes wrote while it ran beside this one.
ADD_FAILURE_CODES = """
UPDATE ingest_batch SET failure_code = CASE split_part(failure, ':', 1)
  WHEN 'every record was rejected' THEN 'ALL_REJECTED' WHEN 'given up' THEN 'GIVEN_UP'
  WHEN 'object store' THEN 'STORE_UNAVAILABLE' WHEN 'database' THEN 'DATABASE_UNAVAILABLE'
  ELSE left(split_part(failure, ':', 1), 64) END
WHERE id IN (
  SELECT id FROM ingest_batch WHERE failure_code IS NULL AND NOT failure = ''
  ORDER BY id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
RETURNING id
"""

# One statement, so one snapshot of the batch and its rows: a landing changes both in one commit.
ERRORS_EXPIRED = """
SELECT rejected_count > 0 AND NOT EXISTS (SELECT FROM lake_rejectedrecord r WHERE r.batch_id = b.id)
FROM ingest_batch b WHERE id = %s
"""
OUTCOMES_EXPIRED = """
SELECT CASE WHEN status IN ('LANDED', 'PROCESSING', 'COMPLETE')
    THEN NOT EXISTS (SELECT FROM lake_batchoutcomes o WHERE o.batch_id = b.id)
  WHEN status = 'FAILED' THEN rejected_count > 0 AND NOT EXISTS (SELECT FROM lake_rejectedrecord r WHERE r.batch_id = b.id)
    AND NOT EXISTS (SELECT FROM lake_batchoutcomes o WHERE o.batch_id = b.id)
  ELSE false END
FROM ingest_batch b WHERE id = %s
"""

PROCESSOR_RUNS = """
SELECT batch_id, count(*) FROM ingest_processorrun WHERE batch_id > %s AND batch_id <= %s
GROUP BY batch_id ORDER BY batch_id LIMIT %s
"""

# By the index on workspace and time.
LAST_CREATED = """
SELECT max(last.id) FROM ingest_workspace w CROSS JOIN LATERAL (
  SELECT id FROM ingest_batch b WHERE b.workspace_id = w.id AND b.created_at < %s ORDER BY created_at DESC, id DESC LIMIT 1
) AS last
"""

# Rows of versions before segments become rows of segments, in bounded steps, while such versions may still write more. If a
# newer version has landed a batch meanwhile, its row stays.
ADOPT_OBJECTS = """
WITH old AS (
  DELETE FROM lake_archivedobject WHERE batch_id IN (
    SELECT batch_id FROM lake_archivedobject ORDER BY batch_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
  ) RETURNING *
), segment AS (
  INSERT INTO lake_segment (workspace_id, source, type, day, key, layout, state, size, line_count, dead_count, created_at,
    sweeps, claim_token)
  SELECT b.workspace_id, b.source, b.type, (b.created_at AT TIME ZONE 'UTC')::date,
    regexp_replace(o.uri, '^s3://[^/]*/', ''), 0, 'L', o.size, o.record_count, 0, b.created_at, 0, 0
  FROM old o JOIN ingest_batch b ON b.id = o.batch_id ORDER BY b.id
  RETURNING id, key
)
INSERT INTO lake_segmentbatch (batch_id, segment_id, line_count, start, length)
SELECT o.batch_id, s.id, o.record_count, 0, o.size FROM old o
JOIN segment s ON s.key = regexp_replace(o.uri, '^s3://[^/]*/', '')
ON CONFLICT (batch_id) DO NOTHING
RETURNING batch_id
"""

# The last id that was drawn, stored or not.
LAST_DRAWN = "SELECT last_value FROM ingest_batch_id_seq"
