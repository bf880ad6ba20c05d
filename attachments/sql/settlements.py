"""How a claim ends: COMPLETE, FAILED or PENDING."""

from attachments.sql.lanes import ANSWERS, FAILS, notices_for
from attachments.sql.tallies import ORDERED

# Settles one or more files. The fence is `held`: a file that is not in it is not changed. If a workspace has equal
# contents, the first object is kept. The object of another file (NOT is_new) counts only if retention has not removed it.
# (`state || ''`: see CLAIM.)
COMPLETE = f"""
WITH given AS (
  SELECT * FROM unnest(%(id)s::bigint[], %(token)s::bigint[], %(uri)s::text[], %(size)s::bigint[], %(mime_type)s::text[],
      %(sha256)s::text[], %(sha1)s::text[], %(md5)s::text[], %(received)s::bigint[], %(http_status)s::int[], %(is_new)s::bool[])
    AS g (id, token, uri, size, mime_type, sha256, sha1, md5, bytes, http_status, is_new)
), held AS (
  SELECT g.*, a.batch_id, a.workspace_id, a.host FROM attachments_attachment a JOIN given g USING (id)
  WHERE a.claim_token = g.token AND a.state || '' = 'IN_PROGRESS' ORDER BY a.id FOR UPDATE OF a
), distinct_files AS (
  SELECT DISTINCT ON (workspace_id, sha256) workspace_id, sha256, uri, size FROM held WHERE is_new
  ORDER BY workspace_id, sha256, id
), new_file AS (
  INSERT INTO attachments_storedfile AS f (workspace_id, sha256, storage_uri, size, created_at)
  SELECT workspace_id, decode(sha256, 'hex'), uri, size, statement_timestamp() FROM distinct_files
  ORDER BY workspace_id, sha256
  ON CONFLICT (workspace_id, sha256) DO UPDATE SET size = f.size
  RETURNING workspace_id, encode(sha256, 'hex') AS sha256, storage_uri
), known_file AS (
  SELECT workspace_id, encode(sha256, 'hex') AS sha256, storage_uri FROM attachments_storedfile
  WHERE (workspace_id, sha256) IN (SELECT workspace_id, decode(sha256, 'hex') FROM held WHERE NOT is_new)
    AND (workspace_id, sha256) NOT IN (SELECT workspace_id, decode(sha256, 'hex') FROM distinct_files)
  ORDER BY workspace_id, sha256 FOR SHARE
), file AS (
  SELECT * FROM new_file UNION ALL SELECT * FROM known_file
), stored AS (
  SELECT held.*, file.storage_uri FROM held JOIN file USING (workspace_id, sha256)
), done AS (
  UPDATE attachments_attachment AS a SET
    state = 'COMPLETE', claimed_until = NULL, completed_at = statement_timestamp(), error_code = '', error_message = '',
    size = stored.size, mime_type = stored.mime_type, sha256 = stored.sha256, sha1 = stored.sha1, md5 = stored.md5,
    storage_uri = stored.storage_uri, kept_token = NULL, kept_until = NULL
  FROM stored WHERE a.id = stored.id
), failing AS (
  SELECT id, workspace_id, host FROM attachments_lane
  WHERE (workspace_id, host) IN (SELECT workspace_id, host FROM held) AND (failures > 0 OR reputation <> {ANSWERS})
  ORDER BY workspace_id, host FOR UPDATE
), lane AS (
  UPDATE attachments_lane AS l SET
    failures = 0, reputation = {ANSWERS}, opened_at = NULL, held_until = NULL, last_error = ''
  FROM failing WHERE l.id = failing.id
), {notices_for("failing")}, attempt AS (
  UPDATE attachments_downloadattempt AS d SET
    finished_at = statement_timestamp(), http_status = stored.http_status, bytes = stored.bytes, code = 'OK', message = '',
    leftovers = stored.storage_uri <> stored.uri
  FROM stored WHERE d.attachment_id = stored.id AND d.token = stored.token
), counted AS (
  SELECT batch_id, count(*) AS n FROM stored GROUP BY batch_id
), {ORDERED}, tally AS (
  UPDATE attachments_attachmenttally AS t SET complete = t.complete + counted.n
  FROM counted JOIN ordered USING (batch_id) WHERE t.batch_id = counted.batch_id
  RETURNING t.batch_id, t.complete + t.failed >= t.total AS is_settled
)
SELECT stored.id, stored.storage_uri AS uri, coalesce(tally.is_settled, true) AS is_last FROM stored LEFT JOIN tally USING (batch_id)
"""

# A transient failure waits for the next attempt, a final one settles the file. A lane whose breaker opens waits as it
# does after each probe.
FAIL = f"""
WITH held AS (
  SELECT id, batch_id, workspace_id, host FROM attachments_attachment
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
  UPDATE attachments_lane AS l SET
    failures = 0, reputation = {ANSWERS}, opened_at = NULL, held_until = NULL, last_error = ''
  FROM held WHERE l.workspace_id = held.workspace_id AND l.host = held.host AND (l.failures > 0 OR l.reputation <> {ANSWERS})
    AND %(host_answered)s
), slow AS (
  UPDATE attachments_lane AS l SET reputation = {FAILS}
  FROM held WHERE l.workspace_id = held.workspace_id AND l.host = held.host AND %(host_slow)s
), failed AS (
  UPDATE attachments_lane AS l SET
    failures = l.failures + 1, reputation = {FAILS}, last_error = %(message)s,
    opened_at = CASE WHEN l.failures + 1 >= %(breaker)s THEN coalesce(l.opened_at, statement_timestamp()) END,
    held_until = greatest(l.held_until, statement_timestamp() + make_interval(secs => %(host_hold)s))
  FROM held WHERE l.workspace_id = held.workspace_id AND l.host = held.host AND %(host_failed)s
  RETURNING l.workspace_id, l.host, l.failures = %(breaker)s AS has_just_opened
), notices AS (
  INSERT INTO attachments_lanenotice (workspace_id, host, is_served)
  SELECT held.workspace_id, held.host, coalesce(failed.has_just_opened, false) FROM held LEFT JOIN failed USING (workspace_id, host)
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
SELECT coalesce((SELECT is_settled FROM tally), false) AS is_settled FROM held
"""

# Blames one file: the process that fetched only this file died, or its download raised an unexpected error. The file is
# found by its fence, or by the name of the process that claimed it.
CRASHED = """
WITH held AS (
  SELECT id, claim_token, batch_id, crashes + 1 >= %(takes)s AND lone_crashes + 1 >= %(lone)s AS is_hopeless
  FROM attachments_attachment
  WHERE state = 'IN_PROGRESS' AND (id = %(id)s AND claim_token = %(token)s OR claimed_by = %(claimed_by)s)
  ORDER BY id FOR UPDATE
), done AS (
  UPDATE attachments_attachment AS a SET
    state = CASE WHEN held.is_hopeless THEN 'FAILED' ELSE 'PENDING' END, crashes = a.crashes + 1,
    lone_crashes = a.lone_crashes + 1, claimed_until = NULL, claim_token = a.claim_token + 1,
    next_attempt_at = CASE WHEN NOT held.is_hopeless THEN statement_timestamp() + make_interval(secs => %(wait)s) END,
    attempts = a.attempts - 1, window_began_at = CASE WHEN a.attempts > 1 THEN a.window_began_at END,
    error_code = 'WORKER_CRASHED', error_message = %(message)s, kept_token = NULL, kept_until = NULL,
    completed_at = CASE WHEN held.is_hopeless THEN statement_timestamp() END
  FROM held WHERE a.id = held.id
), attempts AS (
  UPDATE attachments_downloadattempt AS d SET
    finished_at = statement_timestamp(), code = 'WORKER_CRASHED', message = %(message)s
  FROM held WHERE d.attachment_id = held.id AND d.token = held.claim_token
), tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed + 1
  FROM held WHERE t.batch_id = held.batch_id AND held.is_hopeless
  RETURNING t.batch_id, t.complete + t.failed >= t.total AS is_settled
)
SELECT held.id, held.batch_id, held.is_hopeless, coalesce(tally.is_settled, false) AS is_settled FROM held LEFT JOIN tally USING (batch_id)
"""
