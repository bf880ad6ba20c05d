"""Raw SQL of the attachments app: claims and settlements, each one statement and so one commit.

Lock order everywhere: attachments, then stored files, then the batches' tallies; several of a kind in the order of
their key.
"""

from evermuse.advisory_locks import AdvisoryLock

# The entries of landed batches as rows, with the hosts that they name and the counters of their batches. One whose record
# holds the same URL or upload with the same checksums already, stored, is COMPLETE at once. Hosts in the order of their key,
# so that two landings cannot deadlock.
REGISTER = """
WITH given AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%s::json) AS g (
    batch_id bigint, workspace_id bigint, record_id uuid, record_index int, position smallint, type text, filename text,
    vendor_url text, upload_intent_id text, declared_mime_type text, declared_size bigint, declared_sha1 text,
    declared_md5 text, host text, origin text)
), stored AS MATERIALIZED (
  SELECT DISTINCT ON (workspace_id, origin) workspace_id, origin, size, mime_type, sha256, sha1, md5, storage_uri
  FROM attachments_attachment
  WHERE state = 'COMPLETE' AND workspace_id = ANY (ARRAY(SELECT DISTINCT workspace_id FROM given)) AND origin = ANY (ARRAY(
    SELECT decode(origin, 'hex') FROM given WHERE vendor_url = '' OR upload_intent_id = ''))
), host AS (
  INSERT INTO attachments_vendorhost (host, failures, last_error)
  SELECT DISTINCT host, 0, '' FROM given WHERE host <> '' ORDER BY host
  ON CONFLICT (host) DO NOTHING
), made AS (
  INSERT INTO attachments_attachment (
    batch_id, workspace_id, record_id, record_index, position, type, filename, vendor_url, upload_intent_id,
    declared_mime_type, declared_size, declared_sha1, declared_md5, host, origin, created_at,
    state, next_attempt_at, completed_at, size, mime_type, sha256, sha1, md5, storage_uri,
    attempts, crashes, claim_token, claimed_by, error_code, error_message)
  SELECT g.batch_id, g.workspace_id, g.record_id, g.record_index, g.position, g.type, g.filename, g.vendor_url,
    g.upload_intent_id, g.declared_mime_type, g.declared_size, g.declared_sha1, g.declared_md5, g.host,
    decode(g.origin, 'hex'), statement_timestamp(),
    CASE WHEN s.origin IS NULL THEN 'PENDING' ELSE 'COMPLETE' END,
    CASE WHEN s.origin IS NULL THEN statement_timestamp() END, CASE WHEN s.origin IS NOT NULL THEN statement_timestamp() END,
    s.size, coalesce(s.mime_type, ''), coalesce(s.sha256, ''), coalesce(s.sha1, ''), coalesce(s.md5, ''),
    coalesce(s.storage_uri, ''), 0, 0, 0, '', '', ''
  FROM given g LEFT JOIN stored s ON s.workspace_id = g.workspace_id AND s.origin = decode(g.origin, 'hex')
  ORDER BY g.batch_id, g.record_index, g.position
  RETURNING batch_id, state
)
INSERT INTO attachments_attachmenttally (batch_id, total, complete, failed, has_begun)
SELECT batch_id, count(*), count(*) FILTER (WHERE state = 'COMPLETE'), 0, false FROM made GROUP BY batch_id ORDER BY batch_id
"""

# One claim at a time over all workers, so that the count of a host's downloads is exact. Sent before the claim in the same
# transaction, so that the claim's snapshot is taken after the lock.
CLAIM_LOCK = f"SELECT pg_advisory_xact_lock({AdvisoryLock.DOWNLOAD_CLAIMS:d})"

# The host with the fewest downloads on their way comes first, and of a host the file that waits longest: a slow vendor
# never stands in another's way. Hosts are found by jumps over the partial index, not by reading all that waits.
_HOSTS = """
WITH RECURSIVE hosts AS (
  (SELECT host FROM attachments_attachment WHERE state = 'PENDING' ORDER BY host LIMIT 1)
  UNION ALL
  SELECT (SELECT a.host FROM attachments_attachment a WHERE a.state = 'PENDING' AND a.host > h.host ORDER BY a.host LIMIT 1)
  FROM hosts h WHERE h.host IS NOT NULL
)"""

# A host that an operator paused, that asked for a pause, or whose breaker is open between two probes, gives nothing.
_MAY_BEGIN = """h.host IS NOT NULL AND v.paused_at IS NULL
    AND (v.held_until IS NULL OR v.held_until <= statement_timestamp())"""

# Several at once are the same ones, in the same order, as one after the other: each further file of a host counts as one
# more on its way, and where that would pass the host's limit there is none. Locked in the order of their key.
# (`state || ''`: by their ids, please. Where the planner knows nothing of a table that just grew, it would rather read the
# whole index of what waits.)
CLAIM = f"""{_HOSTS}, busy AS (
  SELECT host, count(*) AS n FROM attachments_attachment WHERE state = 'IN_PROGRESS' GROUP BY host
), room AS (
  SELECT h.host, coalesce(busy.n, 0) AS n,
    CASE WHEN v.opened_at IS NULL THEN %(host_limit)s ELSE 1 END - coalesce(busy.n, 0) AS free
  FROM hosts h LEFT JOIN busy USING (host) LEFT JOIN attachments_vendorhost v USING (host)
  WHERE {_MAY_BEGIN}
), chosen AS (
  SELECT next.id, row_number() OVER (ORDER BY room.n + next.place, next.next_attempt_at) AS turn
  FROM room CROSS JOIN LATERAL (
    SELECT first.id, first.next_attempt_at, row_number() OVER (ORDER BY first.next_attempt_at, first.id) AS place
    FROM (
      SELECT a.id, a.next_attempt_at FROM attachments_attachment a
      WHERE a.state = 'PENDING' AND a.host = room.host AND a.next_attempt_at <= statement_timestamp()
      ORDER BY a.next_attempt_at, a.id LIMIT %(count)s
    ) AS first
  ) AS next
  WHERE next.place <= room.free
  ORDER BY turn LIMIT %(count)s
), free AS (
  SELECT a.id, chosen.turn FROM chosen JOIN attachments_attachment a USING (id)
  WHERE a.state || '' = 'PENDING' ORDER BY a.id FOR UPDATE OF a
), claimed AS (
  UPDATE attachments_attachment AS a SET
    state = 'IN_PROGRESS', claim_token = a.claim_token + 1, claimed_by = (%(takers)s::text[])[free.turn],
    claimed_until = statement_timestamp() + make_interval(secs => %(lease)s), attempts = a.attempts + 1,
    window_began_at = coalesce(a.window_began_at, statement_timestamp()), next_attempt_at = NULL, kept_until = NULL
  FROM free WHERE a.id = free.id
  RETURNING a.*, free.turn
), attempt AS (
  INSERT INTO attachments_downloadattempt (attachment_id, token, started_at, bytes, code, message, leftovers)
  SELECT id, claim_token, statement_timestamp(), 0, 'IN_PROGRESS', '', true FROM claimed
), begun AS (
  SELECT batch_id FROM attachments_attachmenttally
  WHERE batch_id IN (SELECT batch_id FROM claimed) AND NOT has_begun ORDER BY batch_id FOR UPDATE
), tally AS (
  UPDATE attachments_attachmenttally AS t SET has_begun = true FROM begun WHERE t.batch_id = begun.batch_id
)
SELECT c.id, c.claim_token, c.batch_id, c.workspace_id, w.name, c.type, c.filename, c.vendor_url, c.upload_intent_id,
  c.declared_mime_type, c.declared_size, c.declared_sha1, c.declared_md5, c.attempts,
  extract(epoch FROM statement_timestamp() - c.window_began_at)::float, c.host, c.kept_token, c.origin
FROM claimed c JOIN ingest_workspace w ON w.id = c.workspace_id ORDER BY c.turn
"""

RENEW = """
WITH held AS (
  SELECT a.id FROM attachments_attachment a JOIN unnest(%s::bigint[], %s::bigint[]) AS g (id, token) USING (id)
  WHERE a.claim_token = g.token AND a.state || '' = 'IN_PROGRESS' ORDER BY a.id FOR UPDATE OF a
)
UPDATE attachments_attachment AS a SET claimed_until = statement_timestamp() + make_interval(secs => %s)
FROM held WHERE a.id = held.id
RETURNING a.id
"""

# Several tallies are locked in the order of their key before they are changed, so that two groups cannot deadlock.
_ORDERED = """ordered AS (
  SELECT batch_id FROM attachments_attachmenttally
  WHERE batch_id IN (SELECT batch_id FROM counted) ORDER BY batch_id FOR UPDATE
)"""

# One or several files. The fence is `held`: no row of a file, and nothing of it is written. Of equal contents in one
# workspace the first one's object counts. (`state || ''`: see CLAIM.)
COMPLETE = f"""
WITH given AS (
  SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::bigint[], %s::int[], %s::text[])
    AS g (id, token, uri, size, mime_type, sha256, sha1, md5, bytes, http_status, host)
), held AS (
  SELECT g.*, a.batch_id, a.workspace_id FROM attachments_attachment a JOIN given g USING (id)
  WHERE a.claim_token = g.token AND a.state || '' = 'IN_PROGRESS' ORDER BY a.id FOR UPDATE OF a
), distinct_files AS (
  SELECT DISTINCT ON (workspace_id, sha256) workspace_id, sha256, uri, size FROM held ORDER BY workspace_id, sha256, id
), file AS (
  INSERT INTO attachments_storedfile AS f (workspace_id, sha256, storage_uri, size, created_at)
  SELECT workspace_id, decode(sha256, 'hex'), uri, size, statement_timestamp() FROM distinct_files
  ORDER BY workspace_id, sha256
  ON CONFLICT (workspace_id, sha256) DO UPDATE SET size = f.size
  RETURNING workspace_id, encode(sha256, 'hex') AS sha256, storage_uri
), stored AS (
  SELECT held.*, file.storage_uri FROM held JOIN file USING (workspace_id, sha256)
), done AS (
  UPDATE attachments_attachment AS a SET
    state = 'COMPLETE', claimed_until = NULL, completed_at = statement_timestamp(), error_code = '', error_message = '',
    size = stored.size, mime_type = stored.mime_type, sha256 = stored.sha256, sha1 = stored.sha1, md5 = stored.md5,
    storage_uri = stored.storage_uri, kept_token = NULL, kept_until = NULL
  FROM stored WHERE a.id = stored.id
), failing AS (
  SELECT host FROM attachments_vendorhost WHERE host IN (SELECT host FROM held) AND failures > 0 ORDER BY host FOR UPDATE
), host AS (
  UPDATE attachments_vendorhost AS v SET failures = 0, opened_at = NULL, held_until = NULL, last_error = ''
  FROM failing WHERE v.host = failing.host
), attempt AS (
  UPDATE attachments_downloadattempt AS d SET
    finished_at = statement_timestamp(), http_status = stored.http_status, bytes = stored.bytes, code = 'OK', message = '',
    leftovers = stored.storage_uri <> stored.uri
  FROM stored WHERE d.attachment_id = stored.id AND d.token = stored.token
), counted AS (
  SELECT batch_id, count(*) AS n FROM stored GROUP BY batch_id
), {_ORDERED}, tally AS (
  UPDATE attachments_attachmenttally AS t SET complete = t.complete + counted.n
  FROM counted JOIN ordered USING (batch_id) WHERE t.batch_id = counted.batch_id
  RETURNING t.batch_id, t.complete + t.failed >= t.total AS is_settled
)
SELECT stored.id, stored.storage_uri, coalesce(tally.is_settled, true) FROM stored LEFT JOIN tally USING (batch_id)
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
    window_began_at = CASE WHEN a.attempts - %(uncounted)s::int > 0 THEN a.window_began_at END,
    kept_token = %(kept_token)s,
    kept_until = CASE WHEN %(kept_token)s::bigint IS NOT NULL THEN statement_timestamp() + make_interval(secs => %(lease)s) END
  FROM held WHERE a.id = held.id
), answered AS (
  UPDATE attachments_vendorhost SET failures = 0, opened_at = NULL, held_until = NULL, last_error = ''
  WHERE host = %(host)s AND failures > 0 AND %(host_answered)s
), failed AS (
  INSERT INTO attachments_vendorhost AS v (host, failures, last_error, held_until)
  SELECT %(host)s, 1, %(message)s, statement_timestamp() + make_interval(secs => %(host_hold)s)
  FROM held WHERE %(host_failed)s
  ON CONFLICT (host) DO UPDATE SET
    failures = v.failures + 1, last_error = EXCLUDED.last_error,
    opened_at = CASE WHEN v.failures + 1 >= %(breaker)s THEN coalesce(v.opened_at, statement_timestamp()) END,
    held_until = greatest(v.held_until, EXCLUDED.held_until,
      CASE WHEN v.failures + 1 >= %(breaker)s THEN statement_timestamp() + make_interval(secs => %(breaker_hold)s) END)
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
TAKE_BACK = f"""
WITH lost AS (
  SELECT id, claim_token, batch_id, crashes + 1 >= %(max_crashes)s AS is_hopeless FROM attachments_attachment
  WHERE state = 'IN_PROGRESS' AND (claimed_until < statement_timestamp()
    OR claimed_until > statement_timestamp() + make_interval(secs => %(lease)s * 2))
  ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
), back AS (
  UPDATE attachments_attachment AS a SET
    state = CASE WHEN lost.is_hopeless THEN 'FAILED' ELSE 'PENDING' END, crashes = a.crashes + 1, claimed_until = NULL,
    claim_token = a.claim_token + 1, next_attempt_at = CASE WHEN NOT lost.is_hopeless THEN statement_timestamp() END,
    attempts = a.attempts - 1, window_began_at = CASE WHEN a.attempts > 1 THEN a.window_began_at END,
    error_code = 'WORKER_LOST', error_message = %(message)s, kept_token = NULL, kept_until = NULL,
    completed_at = CASE WHEN lost.is_hopeless THEN statement_timestamp() END
  FROM lost WHERE a.id = lost.id
), attempts AS (
  UPDATE attachments_downloadattempt AS d SET finished_at = statement_timestamp(), code = 'WORKER_LOST', message = %(message)s
  FROM lost WHERE d.attachment_id = lost.id AND d.token = lost.claim_token AND d.finished_at IS NULL
), counted AS (
  SELECT batch_id, count(*) AS n FROM lost WHERE is_hopeless GROUP BY batch_id
), {_ORDERED}, tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed + counted.n
  FROM counted JOIN ordered USING (batch_id) WHERE t.batch_id = counted.batch_id
)
SELECT id, batch_id, is_hopeless FROM lost
"""

# Further ahead than any wait that is ever set: the clock was set back since.
PULL_FORWARD = """
WITH ahead AS (
  SELECT id FROM attachments_attachment
  WHERE state = 'PENDING' AND next_attempt_at > statement_timestamp() + make_interval(secs => %s * 2)
  ORDER BY id FOR UPDATE
)
UPDATE attachments_attachment AS a SET next_attempt_at = statement_timestamp() FROM ahead WHERE a.id = ahead.id
"""
PULL_HOSTS_FORWARD = """
UPDATE attachments_vendorhost SET held_until = NULL
WHERE held_until > statement_timestamp() + make_interval(secs => %s * 2)
"""

# Behind a CTE `failed` (id, batch_id, locked in the order of their key): FAILED → PENDING, attempts anew, with the tallies.
_AGAIN = """, again AS (
  UPDATE attachments_attachment AS a SET
    state = 'PENDING', attempts = 0, crashes = 0, window_began_at = NULL, next_attempt_at = statement_timestamp(), completed_at = NULL,
    error_code = '', error_message = '', kept_token = NULL, kept_until = NULL
  FROM failed WHERE a.id = failed.id
), counted AS (
  SELECT batch_id, count(*) AS n FROM failed GROUP BY batch_id
), locked AS MATERIALIZED (
  SELECT t.batch_id, counted.n FROM attachments_attachmenttally t JOIN counted USING (batch_id)
  ORDER BY t.batch_id FOR UPDATE OF t
), tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed - locked.n, has_begun = true
  FROM locked WHERE t.batch_id = locked.batch_id
)
SELECT id FROM failed
"""

RETRY = f"""
WITH failed AS (
  SELECT id, batch_id FROM attachments_attachment WHERE batch_id = %(batch)s AND state = 'FAILED' ORDER BY id FOR UPDATE
){_AGAIN}"""

# A fresh URL: whatever the file was doing, it begins anew; a worker that is at it loses its claim. Not for a stored file.
REPLACE_URL = """
WITH old AS (
  SELECT id, batch_id, claim_token, state FROM attachments_attachment
  WHERE id = %(id)s AND state <> 'COMPLETE' FOR UPDATE
), again AS (
  UPDATE attachments_attachment AS a SET
    state = 'PENDING', vendor_url = %(url)s, upload_intent_id = '', host = %(host)s, origin = %(origin)s, attempts = 0,
    crashes = 0, window_began_at = NULL, next_attempt_at = statement_timestamp(), completed_at = NULL, error_code = '',
    error_message = '', claim_token = a.claim_token + 1, claimed_until = NULL, kept_token = NULL, kept_until = NULL
  FROM old WHERE a.id = old.id
), attempt AS (
  UPDATE attachments_downloadattempt AS d SET
    finished_at = statement_timestamp(), code = 'REPLACED', message = 'a fresh URL was given'
  FROM old WHERE d.attachment_id = old.id AND d.token = old.claim_token AND d.finished_at IS NULL
), tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed - (old.state = 'FAILED')::int, has_begun = true
  FROM old WHERE t.batch_id = old.batch_id
)
SELECT count(*) FROM old
"""

# Behind an open breaker a file would wait for as long as its host is away: past the window of its attempts it fails.
FAIL_BEHIND_BREAKER = f"""
WITH hopeless AS (
  SELECT a.id, a.batch_id, v.last_error FROM attachments_vendorhost v
  JOIN attachments_attachment a ON a.host = v.host AND a.state = 'PENDING'
  WHERE v.opened_at IS NOT NULL AND v.paused_at IS NULL
    AND a.next_attempt_at < statement_timestamp() - make_interval(secs => %(window)s)
  ORDER BY a.id LIMIT 1000 FOR UPDATE OF a SKIP LOCKED
), done AS (
  UPDATE attachments_attachment AS a SET
    state = 'FAILED', next_attempt_at = NULL, completed_at = statement_timestamp(), kept_token = NULL, kept_until = NULL,
    claim_token = a.claim_token + 1,
    error_code = 'HOST_UNAVAILABLE', error_message = left('the host fails every download; the last time: ' || h.last_error, 500)
  FROM hopeless h WHERE a.id = h.id
), counted AS (
  SELECT batch_id, count(*) AS n FROM hopeless GROUP BY batch_id
), {_ORDERED}, tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed + counted.n
  FROM counted JOIN ordered USING (batch_id) WHERE t.batch_id = counted.batch_id
)
SELECT DISTINCT batch_id FROM hopeless
"""

KEEP = """
WITH kept AS (
  SELECT a.id FROM attachments_attachment a JOIN unnest(%s::bigint[], %s::bigint[]) AS g (id, token) USING (id)
  WHERE a.kept_token = g.token AND a.state || '' = 'PENDING' ORDER BY a.id FOR UPDATE OF a
)
UPDATE attachments_attachment AS a SET kept_until = statement_timestamp() + make_interval(secs => %s)
FROM kept WHERE a.id = kept.id
RETURNING a.id
"""

DROP_KEPT = """
UPDATE attachments_attachment SET kept_token = NULL
WHERE id = %(id)s AND claim_token = %(token)s AND state = 'IN_PROGRESS'
"""

# A client's upload belongs to one attachment; the same record sent again may name it again.
CLAIM_INTENT = """
UPDATE attachments_uploadintent SET
  attachment_id = CASE WHEN origin IS NULL THEN %(attachment)s ELSE attachment_id END, origin = %(origin)s
WHERE token = %(intent)s AND workspace_id = %(workspace)s AND (origin = %(origin)s OR
  origin IS NULL AND expires_at > statement_timestamp())
RETURNING id, attachment_id, size, sha1, md5, mime_type, filename
"""

DUE = f"""{_HOSTS}
SELECT count(*) FROM (
  SELECT 1 FROM hosts h LEFT JOIN attachments_vendorhost v USING (host)
  CROSS JOIN LATERAL (
    SELECT 1 FROM attachments_attachment a
    WHERE a.state = 'PENDING' AND a.host = h.host AND a.next_attempt_at <= statement_timestamp() LIMIT %(at_most)s
  ) AS one
  WHERE {_MAY_BEGIN} LIMIT %(at_most)s
) AS due
"""

# Files that could have begun long ago, and claims that ran out long ago without anybody's notice, by workspace and host.
# A host that is paused counts too: somebody should know what waits behind it.
STANDING = f"""{_HOSTS}, standing AS (
  SELECT a.workspace_id, a.host, a.id, a.batch_id, a.next_attempt_at AS since
  FROM hosts h JOIN attachments_attachment a ON a.state = 'PENDING' AND a.host = h.host
    AND a.next_attempt_at < statement_timestamp() - make_interval(secs => %(stuck)s)
  UNION ALL
  SELECT workspace_id, host, id, batch_id, claimed_until FROM attachments_attachment
  WHERE state = 'IN_PROGRESS' AND claimed_until < statement_timestamp() - make_interval(secs => %(stuck)s)
)
SELECT s.workspace_id, s.host, count(*), min(s.since), max(s.id), max(s.batch_id),
  CASE WHEN v.paused_at IS NOT NULL THEN 'the host is paused'
    WHEN v.opened_at IS NOT NULL THEN left('the host fails every download; the last time: ' || v.last_error, 500)
    WHEN v.held_until > statement_timestamp() THEN 'the host asked for a pause'
    ELSE 'due, and no worker has begun' END
FROM standing s LEFT JOIN attachments_vendorhost v USING (host)
GROUP BY s.workspace_id, s.host, v.host
"""

OLDEST_DUE = f"""{_HOSTS}
SELECT extract(epoch FROM statement_timestamp() - min(first.next_attempt_at))::float
FROM hosts h LEFT JOIN attachments_vendorhost v USING (host)
CROSS JOIN LATERAL (
  SELECT a.next_attempt_at FROM attachments_attachment a WHERE a.state = 'PENDING' AND a.host = h.host
  ORDER BY a.next_attempt_at LIMIT 1
) AS first
WHERE {_MAY_BEGIN} AND first.next_attempt_at <= statement_timestamp()
"""

COUNT_FAILED_ALIKE = """
SELECT count(*), coalesce(max(id), 0) FROM attachments_attachment
WHERE state = 'FAILED' AND host = %(host)s AND error_code = %(code)s AND workspace_id = %(workspace)s
"""

# FAILED → PENDING for the next files that failed alike, over all batches; the tallies in the same statement, in the
# order of their key.
RETRY_FAILED_ALIKE = f"""
WITH failed AS (
  SELECT id, batch_id FROM attachments_attachment
  WHERE state = 'FAILED' AND host = %(host)s AND error_code = %(code)s AND workspace_id = %(workspace)s
    AND id > %(after)s AND id <= %(until)s
  ORDER BY id LIMIT %(limit)s FOR UPDATE
){_AGAIN}"""

# Some files, by id.
RETRY_FILES = f"""
WITH failed AS (
  SELECT id, batch_id FROM attachments_attachment WHERE state = 'FAILED' AND id = ANY(%(ids)s) ORDER BY id FOR UPDATE
){_AGAIN}"""

# Those that failed alike and wait for their next attempt: now.
PULL_ALIKE_FORWARD = """
WITH alike AS (
  SELECT id FROM attachments_attachment
  WHERE state = 'PENDING' AND host = %(host)s AND error_code = %(code)s AND workspace_id = %(workspace)s
    AND next_attempt_at > statement_timestamp()
  ORDER BY id FOR UPDATE
)
UPDATE attachments_attachment AS a SET next_attempt_at = statement_timestamp() FROM alike WHERE a.id = alike.id
"""

# An open breaker and a pause that the host asked for end; an operator's pause is the operator's.
RELEASE_HOST = """
UPDATE attachments_vendorhost SET held_until = NULL, opened_at = NULL, failures = 0
WHERE host = %(host)s AND paused_at IS NULL AND (held_until IS NOT NULL OR opened_at IS NOT NULL)
"""

COUNT_DUE_OF = """
SELECT count(*) FROM attachments_attachment
WHERE state = 'PENDING' AND host = %(host)s AND workspace_id = %(workspace)s AND next_attempt_at <= statement_timestamp()
"""
