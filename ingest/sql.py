"""Raw SQL of the ingest app: what the ORM cannot say in one round trip, or with the lock that it needs."""

# The live key of a digest, and with it what its workspace knows, where that is little: most requests then need no other
# query before they store.
_KEY = """
SELECT k.id, k.workspace_id, w.name, k.source, k.permissions::text AS permissions, k.rate_limit,
  ARRAY(SELECT product_id::text FROM ingest_product p WHERE p.workspace_id = k.workspace_id ORDER BY 1 LIMIT %s) AS products,
  ARRAY(SELECT project_id::text FROM ingest_project p WHERE p.workspace_id = k.workspace_id ORDER BY 1 LIMIT %s) AS projects,
  k.last_used_at IS NULL OR k.last_used_at < statement_timestamp() - make_interval(secs => %s) AS is_stale, k.digest
FROM ingest_apikey k JOIN ingest_workspace w ON w.id = k.workspace_id
WHERE k.digest = %s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > statement_timestamp())
"""

# In one round trip and without the cost of building the query anew each time; last, all of it as one text.
LIVE_KEY = f"SELECT key.*, key::text FROM ({_KEY}) AS key"

# Batch, its sequence number and its payload in one statement: what a 202 stands for is one commit. The id is drawn here,
# inside the accepting transaction.
ACCEPT = """
WITH batch AS (
  INSERT INTO ingest_batch (workspace_id, api_key_id, source, type, status, created_at, record_count, accepted_count,
    rejected_count, error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes, lone_crashes,
    failure)
  SELECT %s, %s, %s, %s, %s, clock_timestamp(), %s, %s, %s, %s, %s, 0, '', false, 0, 0, 0, %s
  RETURNING id
), payload AS (
  INSERT INTO lake_payload (batch_id, media_type, query, size, frames, content) SELECT id, %s, %s, %s, %s, %s FROM batch
)
SELECT id FROM batch
"""

# The same for a key of which only is remembered what it was (its text): nothing is inserted, and no row is given, when it
# is that no more. What the key is found and compared by comes after as many parameters.
ACCEPT_KEY_AT = 11
ACCEPT_IF_KEY_IS_SAME = ACCEPT.replace(
    "\n  RETURNING id", f" FROM ({_KEY}) AS key WHERE key::text = %s\n  RETURNING id", 1
)

# A batch that a worker may take. Times further ahead than any that is ever set come from a clock that was set back since:
# they are ignored, and say nothing about the worker.
_IS_WAITING = """status = 'LANDING'
  AND (claimed_until IS NULL OR claimed_until < statement_timestamp()
    OR claimed_until > statement_timestamp() + make_interval(secs => %(lease)s * 2))
  AND (not_before IS NULL OR not_before <= statement_timestamp()
    OR not_before > statement_timestamp() + make_interval(secs => %(longest_delay)s * 2))"""

# Workspaces take turns by their number: the next one after the last one served, or else the first. Two looks into an index,
# however many batches and workspaces wait.
NEXT_WORKSPACE = f"""
(SELECT workspace_id FROM ingest_batch WHERE {_IS_WAITING} AND workspace_id > %(after)s ORDER BY workspace_id, id LIMIT 1)
UNION ALL
(SELECT workspace_id FROM ingest_batch WHERE {_IS_WAITING} ORDER BY workspace_id, id LIMIT 1)
LIMIT 1
"""

# The next workspace's waiting batches, oldest first, that nobody else is looking at; a claim that ran out counts as its
# worker's crash. A claim holds one workspace's alone: what its landing waits for delays no other's.
WAITING = f"""
SELECT id, record_count, coalesce((SELECT size FROM lake_payload WHERE batch_id = batch.id), 0) AS size,
  coalesce(claimed_until < statement_timestamp(), false) AS crashed, claimed_alone, crashes, lone_crashes, workspace_id
FROM ingest_batch AS batch
WHERE workspace_id = ({NEXT_WORKSPACE}) AND {_IS_WAITING}
ORDER BY id LIMIT %(limit)s
FOR UPDATE SKIP LOCKED
"""

# As many as could use a worker each.
WAITING_ANYWHERE = f"SELECT id FROM ingest_batch WHERE {_IS_WAITING} ORDER BY workspace_id, id LIMIT %(limit)s"

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

# Without waiting: what is locked lands at this moment. What was given back has no lease any more.
RENEW = """
WITH held AS (
  SELECT id FROM ingest_batch
  WHERE status = 'LANDING' AND claimed_until IS NOT NULL
    AND (id, claim_token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))
  FOR UPDATE SKIP LOCKED
)
UPDATE ingest_batch AS b SET claimed_until = statement_timestamp() + make_interval(secs => %s) FROM held WHERE b.id = held.id
"""

# What landing needs of claimed batches.
INCOMING = """
SELECT b.id, b.workspace_id, w.name, b.source, b.created_at, p.media_type, p.size, p.frames, p.content
FROM ingest_batch b JOIN lake_payload p ON p.batch_id = b.id JOIN ingest_workspace w ON w.id = b.workspace_id
WHERE b.id = ANY(%s::bigint[])
"""

GIVE_UP = """
UPDATE ingest_batch SET status = 'FAILED', claimed_until = NULL, claim_token = claim_token + 1, completed_at = statement_timestamp(),
  lone_crashes = lone_crashes + 1, crashes = crashes + 1, failure = %s
WHERE id = ANY(%s) AND status = 'LANDING'
"""

# Give claims back before their end. After a crash a batch will be claimed alone; after a crash alone it has a wait of its own.
RELEASE = """
UPDATE ingest_batch AS b SET claimed_until = NULL,
  not_before = statement_timestamp()
    + make_interval(secs => CASE WHEN %(crashed)s AND b.claimed_alone THEN n.lone_wait ELSE n.wait END),
  failure = %(reason)s, crashes = b.crashes + %(crashed)s::int,
  lone_crashes = b.lone_crashes + (%(crashed)s AND b.claimed_alone)::int
FROM unnest(%(ids)s::bigint[], %(tokens)s::bigint[], %(waits)s::float8[], %(lone_waits)s::float8[])
  AS n (id, token, wait, lone_wait)
WHERE b.status = 'LANDING' AND b.id = n.id AND b.claim_token = n.token
RETURNING b.id
"""

# The fence: only those whose claim still stands, locked until the transaction ends, in the order of their key.
HOLD = """
SELECT id FROM ingest_batch
WHERE status = 'LANDING' AND (id, claim_token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))
ORDER BY id FOR UPDATE
"""

LANDED = """
UPDATE ingest_batch AS b SET
  status = n.status, type = n.type, accepted_count = n.accepted, rejected_count = n.rejected, error_count = n.errors,
  first_errors = n.first_errors, claimed_until = NULL, failure = n.failure,
  landed_at = CASE WHEN n.status = 'LANDED' THEN statement_timestamp() END,
  completed_at = CASE WHEN n.status = 'FAILED' THEN statement_timestamp() END
FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::text[], %s::int[], %s::int[], %s::int[], %s::text[], %s::text[])
  AS n (id, token, status, type, accepted, rejected, errors, first_errors, failure)
WHERE b.id = n.id AND b.claim_token = n.token AND b.status = 'LANDING'
RETURNING b.id
"""

PROCESSING = """
UPDATE ingest_batch SET status = 'PROCESSING', processing_at = statement_timestamp()
WHERE id = ANY(%s::bigint[]) AND status = 'LANDED' RETURNING id
"""

COMPLETE = """
UPDATE ingest_batch SET status = 'COMPLETE', completed_at = statement_timestamp()
WHERE id = ANY(%s::bigint[]) AND status = 'PROCESSING' RETURNING id
"""

KNOWN = """
SELECT 'product', product_id FROM ingest_product WHERE workspace_id = %s AND product_id = ANY(%s)
UNION ALL
SELECT 'project', project_id FROM ingest_project WHERE workspace_id = %s AND project_id = ANY(%s)
"""
