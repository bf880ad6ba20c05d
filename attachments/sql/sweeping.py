"""Repairs: claims whose worker died, and waits that a clock change made too long."""

from attachments.sql.lanes import notices_for
from attachments.sql.tallies import ORDERED

# Claims whose worker died are taken back, or given up after too many crashes. A lease further in the future than we
# ever set means that the clock was turned back; it says nothing about the worker.
TAKE_BACK = f"""
WITH lost AS (
  SELECT id, claim_token, batch_id, workspace_id, host, (claimed_until < statement_timestamp())::int AS crashed,
    crashes + 1 >= %(max_crashes)s AND claimed_until < statement_timestamp() AS is_hopeless
  FROM attachments_attachment
  WHERE state = 'IN_PROGRESS' AND (claimed_until < statement_timestamp()
    OR claimed_until > statement_timestamp() + make_interval(secs => %(lease)s * 2))
  ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
), back AS (
  UPDATE attachments_attachment AS a SET
    state = CASE WHEN lost.is_hopeless THEN 'FAILED' ELSE 'PENDING' END, crashes = a.crashes + lost.crashed, claimed_until = NULL,
    claim_token = a.claim_token + 1, next_attempt_at = CASE WHEN NOT lost.is_hopeless THEN statement_timestamp() END,
    attempts = a.attempts - 1, window_began_at = CASE WHEN a.attempts > 1 THEN a.window_began_at END,
    error_code = 'WORKER_LOST', error_message = %(message)s, kept_token = NULL, kept_until = NULL,
    completed_at = CASE WHEN lost.is_hopeless THEN statement_timestamp() END
  FROM lost WHERE a.id = lost.id
), {notices_for("lost")}, attempts AS (
  UPDATE attachments_downloadattempt AS d SET finished_at = statement_timestamp(), code = 'WORKER_LOST', message = %(message)s
  FROM lost WHERE d.attachment_id = lost.id AND d.token = lost.claim_token AND d.finished_at IS NULL
), counted AS (
  SELECT batch_id, count(*) AS n FROM lost WHERE is_hopeless GROUP BY batch_id
), {ORDERED}, tally AS (
  UPDATE attachments_attachmenttally AS t SET failed = t.failed + counted.n
  FROM counted JOIN ordered USING (batch_id) WHERE t.batch_id = counted.batch_id
)
SELECT id, batch_id, is_hopeless FROM lost
"""

# Waits further in the future than we ever set mean that the clock was turned back.
PULL_FORWARD = f"""
WITH ahead AS (
  SELECT id, workspace_id, host FROM attachments_attachment
  WHERE state = 'PENDING' AND next_attempt_at > statement_timestamp() + make_interval(secs => %s * 2)
  ORDER BY id FOR UPDATE
), {notices_for("ahead")}
UPDATE attachments_attachment AS a SET next_attempt_at = statement_timestamp() FROM ahead WHERE a.id = ahead.id
"""
PULL_LANES_FORWARD = f"""
WITH ahead AS (
  SELECT id, workspace_id, host FROM attachments_lane
  WHERE held_until > statement_timestamp() + make_interval(secs => %(hold)s * 2)
    OR turn_at > statement_timestamp() + make_interval(secs => %(wait)s * 2)
  ORDER BY workspace_id, host FOR UPDATE
), {notices_for("ahead")}
UPDATE attachments_lane AS l SET held_until = NULL FROM ahead WHERE l.id = ahead.id
"""
