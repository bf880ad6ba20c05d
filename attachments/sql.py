"""Raw SQL of the attachments app: claims and settlements, each one statement and so one commit.

Lock order everywhere: attachments, then stored files, then the batch's tally.
"""

# One claim at a time over all workers, so that the count of a host's downloads is exact.
CLAIM_LOCK = "SELECT pg_advisory_xact_lock(7305213901)"

# The host with the fewest downloads on their way comes first, and of a host the file that waits longest: a slow vendor
# never stands in another's way. Hosts are found by jumps over the partial index, not by reading all that waits.
CLAIM = """
WITH RECURSIVE hosts AS (
  (SELECT host FROM attachments_attachment WHERE state = 'PENDING' ORDER BY host LIMIT 1)
  UNION ALL
  SELECT (SELECT a.host FROM attachments_attachment a WHERE a.state = 'PENDING' AND a.host > h.host ORDER BY a.host LIMIT 1)
  FROM hosts h WHERE h.host IS NOT NULL
), busy AS (
  SELECT host, count(*) AS n FROM attachments_attachment WHERE state = 'IN_PROGRESS' GROUP BY host
), chosen AS (
  SELECT first.id
  FROM hosts h LEFT JOIN busy USING (host)
  CROSS JOIN LATERAL (
    SELECT a.id, a.next_attempt_at FROM attachments_attachment a
    WHERE a.state = 'PENDING' AND a.host = h.host AND a.next_attempt_at <= statement_timestamp()
    ORDER BY a.next_attempt_at, a.id LIMIT 1
  ) AS first
  WHERE h.host IS NOT NULL AND coalesce(busy.n, 0) < %(host_limit)s
  ORDER BY coalesce(busy.n, 0), first.next_attempt_at LIMIT 1
), claimed AS (
  UPDATE attachments_attachment AS a SET
    state = 'IN_PROGRESS', claim_token = a.claim_token + 1, claimed_by = %(who)s,
    claimed_until = statement_timestamp() + make_interval(secs => %(lease)s), attempts = a.attempts + 1,
    window_began_at = coalesce(a.window_began_at, statement_timestamp()), next_attempt_at = NULL
  FROM chosen WHERE a.id = chosen.id AND a.state = 'PENDING'
  RETURNING a.*
), attempt AS (
  INSERT INTO attachments_downloadattempt (attachment_id, token, started_at, bytes, code, message, leftovers)
  SELECT id, claim_token, statement_timestamp(), 0, 'IN_PROGRESS', '', true FROM claimed
), tally AS (
  UPDATE attachments_attachmenttally AS t SET has_begun = true FROM claimed
  WHERE t.batch_id = claimed.batch_id AND NOT t.has_begun
)
SELECT c.id, c.claim_token, c.batch_id, c.workspace_id, w.name, c.type, c.filename, c.vendor_url, c.upload_intent_id,
  c.declared_mime_type, c.declared_size, c.declared_sha1, c.declared_md5, c.attempts,
  extract(epoch FROM statement_timestamp() - c.window_began_at)::float
FROM claimed c JOIN ingest_workspace w ON w.id = c.workspace_id
"""

RENEW = """
UPDATE attachments_attachment SET claimed_until = statement_timestamp() + make_interval(secs => %s)
WHERE state = 'IN_PROGRESS' AND (id, claim_token) IN (SELECT * FROM unnest(%s::bigint[], %s::bigint[]))
RETURNING id
"""

# The fence is `held`: no row of it, and nothing is written.
COMPLETE = """
WITH held AS (
  SELECT id, batch_id, workspace_id FROM attachments_attachment
  WHERE id = %(id)s AND claim_token = %(token)s AND state = 'IN_PROGRESS' FOR UPDATE
), file AS (
  INSERT INTO attachments_storedfile AS f (workspace_id, sha256, storage_uri, size, created_at)
  SELECT workspace_id, decode(%(sha256)s, 'hex'), %(uri)s, %(size)s, statement_timestamp() FROM held
  ON CONFLICT (workspace_id, sha256) DO UPDATE SET size = f.size
  RETURNING storage_uri
), done AS (
  UPDATE attachments_attachment AS a SET
    state = 'COMPLETE', claimed_until = NULL, completed_at = statement_timestamp(), error_code = '', error_message = '',
    size = %(size)s, mime_type = %(mime_type)s, sha256 = %(sha256)s, sha1 = %(sha1)s, md5 = %(md5)s,
    storage_uri = file.storage_uri
  FROM held, file WHERE a.id = held.id
), attempt AS (
  UPDATE attachments_downloadattempt AS d SET
    finished_at = statement_timestamp(), http_status = 200, bytes = %(bytes)s, code = 'OK', message = '',
    leftovers = file.storage_uri <> %(uri)s
  FROM held, file WHERE d.attachment_id = held.id AND d.token = %(token)s
), tally AS (
  UPDATE attachments_attachmenttally AS t SET complete = t.complete + 1 FROM held WHERE t.batch_id = held.batch_id
  RETURNING t.complete + t.failed >= t.total AS is_settled
)
SELECT file.storage_uri, coalesce((SELECT is_settled FROM tally), true) FROM file
"""

# A transient fault waits; a final one settles the file.
FAIL = """
WITH held AS (
  SELECT id, batch_id FROM attachments_attachment
  WHERE id = %(id)s AND claim_token = %(token)s AND state = 'IN_PROGRESS' FOR UPDATE
), done AS (
  UPDATE attachments_attachment AS a SET
    state = %(state)s, claimed_until = NULL, error_code = %(code)s, error_message = %(message)s,
    next_attempt_at = CASE WHEN %(state)s = 'PENDING' THEN statement_timestamp() + make_interval(secs => %(wait)s) END,
    completed_at = CASE WHEN %(state)s = 'FAILED' THEN statement_timestamp() END,
    attempts = a.attempts - %(uncounted)s::int,
    window_began_at = CASE WHEN a.attempts - %(uncounted)s::int > 0 THEN a.window_began_at END
  FROM held WHERE a.id = held.id
), attempt AS (
  UPDATE attachments_downloadattempt AS d SET
    finished_at = statement_timestamp(), http_status = %(http_status)s, bytes = %(bytes)s, code = %(code)s, message = %(message)s,
    leftovers = %(leftovers)s
  FROM held WHERE d.attachment_id = held.id AND d.token = %(token)s
), tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed + 1
  FROM held WHERE t.batch_id = held.batch_id AND %(state)s = 'FAILED'
  RETURNING t.complete + t.failed >= t.total AS is_settled
)
SELECT held.batch_id, coalesce((SELECT is_settled FROM tally), false) FROM held
"""

# Claims whose worker died: to be taken again, or given up after too many crashes.
TAKE_BACK = """
WITH lost AS (
  SELECT id, claim_token, batch_id, crashes + 1 >= %(max_crashes)s AS is_hopeless FROM attachments_attachment
  WHERE state = 'IN_PROGRESS' AND claimed_until < statement_timestamp() ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
), back AS (
  UPDATE attachments_attachment AS a SET
    state = CASE WHEN lost.is_hopeless THEN 'FAILED' ELSE 'PENDING' END, crashes = a.crashes + 1, claimed_until = NULL,
    claim_token = a.claim_token + 1, next_attempt_at = CASE WHEN NOT lost.is_hopeless THEN statement_timestamp() END,
    attempts = a.attempts - 1, window_began_at = CASE WHEN a.attempts > 1 THEN a.window_began_at END,
    error_code = 'WORKER_LOST', error_message = %(message)s,
    completed_at = CASE WHEN lost.is_hopeless THEN statement_timestamp() END
  FROM lost WHERE a.id = lost.id
), attempts AS (
  UPDATE attachments_downloadattempt AS d SET finished_at = statement_timestamp(), code = 'WORKER_LOST', message = %(message)s
  FROM lost WHERE d.attachment_id = lost.id AND d.token = lost.claim_token AND d.finished_at IS NULL
), counted AS (
  SELECT batch_id, count(*) AS n FROM lost WHERE is_hopeless GROUP BY batch_id
), tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed + counted.n
  FROM counted WHERE t.batch_id = counted.batch_id
)
SELECT id, batch_id, is_hopeless FROM lost
"""

RETRY = """
WITH failed AS (
  SELECT id FROM attachments_attachment WHERE batch_id = %(batch)s AND state = 'FAILED' ORDER BY id FOR UPDATE
), again AS (
  UPDATE attachments_attachment AS a SET
    state = 'PENDING', attempts = 0, crashes = 0, window_began_at = NULL, next_attempt_at = statement_timestamp(), completed_at = NULL,
    error_code = '', error_message = ''
  FROM failed WHERE a.id = failed.id
  RETURNING a.id
), tally AS (
  UPDATE attachments_attachmenttally SET failed = failed - (SELECT count(*) FROM again), has_begun = true
  WHERE batch_id = %(batch)s AND EXISTS (SELECT 1 FROM again)
)
SELECT count(*) FROM again
"""

DUE = "SELECT count(*) FROM (SELECT 1 FROM attachments_attachment WHERE state = 'PENDING' AND next_attempt_at <= statement_timestamp() LIMIT %s) AS due"
