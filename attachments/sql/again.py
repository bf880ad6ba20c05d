"""Statements that start files again, with attempts counted from zero: retries and fresh URLs."""

from attachments.sql.lanes import notices_for

# Follows a CTE `failed` (id, batch_id, workspace_id, host), locked in the order of ids. FAILED → PENDING, with tallies.
_AGAIN = f""", {notices_for("failed")}, again AS (
  UPDATE attachments_attachment AS a SET
    state = 'PENDING', attempts = 0, crashes = 0, lone_crashes = 0, window_began_at = NULL, next_attempt_at = statement_timestamp(), completed_at = NULL,
    error_code = '', error_message = '', kept_token = NULL, kept_until = NULL
  FROM failed WHERE a.id = failed.id
), counted AS (
  SELECT batch_id, count(*) AS n FROM failed GROUP BY batch_id
), locked AS MATERIALIZED (
  SELECT t.batch_id, counted.n FROM attachments_attachmenttally t JOIN counted USING (batch_id)
  ORDER BY t.batch_id FOR UPDATE OF t
), tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed - locked.n, has_begun = true, ledger_expired = false
  FROM locked WHERE t.batch_id = locked.batch_id
)
SELECT id FROM failed
"""

RETRY = f"""
WITH failed AS (
  SELECT id, batch_id, workspace_id, host FROM attachments_attachment WHERE batch_id = %(batch)s AND state = 'FAILED' ORDER BY id FOR UPDATE
){_AGAIN}"""

RETRY_FILES = f"""
WITH failed AS (
  SELECT id, batch_id, workspace_id, host FROM attachments_attachment WHERE state = 'FAILED' AND id = ANY(%(ids)s) ORDER BY id FOR UPDATE
){_AGAIN}"""

# The next files that failed alike, over all batches.
RETRY_FAILED_ALIKE = f"""
WITH failed AS (
  SELECT id, batch_id, workspace_id, host FROM attachments_attachment
  WHERE state = 'FAILED' AND host = %(host)s AND error_code = %(code)s AND workspace_id = %(workspace)s
    AND id > %(after)s AND id <= %(until)s
  ORDER BY id LIMIT %(limit)s FOR UPDATE
){_AGAIN}"""

# Files that failed alike and wait for their next attempt: start them now.
PULL_ALIKE_FORWARD = f"""
WITH alike AS (
  SELECT id, workspace_id, host FROM attachments_attachment
  WHERE state = 'PENDING' AND host = %(host)s AND error_code = %(code)s AND workspace_id = %(workspace)s
    AND next_attempt_at > statement_timestamp()
  ORDER BY id FOR UPDATE
), {notices_for("alike")}
UPDATE attachments_attachment AS a SET next_attempt_at = statement_timestamp() FROM alike WHERE a.id = alike.id
"""

# A fresh URL. The file starts again from any state but COMPLETE, and a worker that downloads it loses its claim.
REPLACE_URL = f"""
WITH old AS (
  SELECT id, batch_id, workspace_id, claim_token, state FROM attachments_attachment
  WHERE id = %(id)s AND state <> 'COMPLETE' FOR UPDATE
), new AS (
  SELECT workspace_id, %(host)s::text AS host FROM old
), again AS (
  UPDATE attachments_attachment AS a SET
    state = 'PENDING', vendor_url = %(url)s, upload_intent_id = '', host = %(host)s, origin = %(origin)s, attempts = 0,
    crashes = 0, lone_crashes = 0, window_began_at = NULL, next_attempt_at = statement_timestamp(), completed_at = NULL, error_code = '',
    error_message = '', claim_token = a.claim_token + 1, claimed_until = NULL, kept_token = NULL, kept_until = NULL
  FROM old WHERE a.id = old.id
), {notices_for("new")}, attempt AS (
  UPDATE attachments_downloadattempt AS d SET
    finished_at = statement_timestamp(), code = 'REPLACED', message = 'a fresh URL was given'
  FROM old WHERE d.attachment_id = old.id AND d.token = old.claim_token AND d.finished_at IS NULL
), tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed - (old.state = 'FAILED')::int, has_begun = true,
    ledger_expired = false
  FROM old WHERE t.batch_id = old.batch_id
)
SELECT count(*) FROM old
"""
