"""Upload intents."""

# An upload belongs to one attachment; the same record sent again may name it again. An intent ends with its API key.
CLAIM_INTENT = """
UPDATE attachments_uploadintent SET
  attachment_id = CASE WHEN origin IS NULL THEN %(attachment)s ELSE attachment_id END, origin = %(origin)s
WHERE token = %(intent)s AND workspace_id = %(workspace)s AND (origin = %(origin)s OR
  origin IS NULL AND NOT is_cleared AND expires_at > statement_timestamp() AND (key_ends_at IS NULL OR key_ends_at > statement_timestamp()))
RETURNING id
"""

LOCK_UPLOADS = "SELECT pg_advisory_xact_lock(%(lock)s, (%(workspace)s %% 2147483647)::int)"

# The bytes that a workspace's uploads hold or may come to hold, and the seconds until the next one ends. A claimed file
# counts until it has left the upload area.
UPLOADS_HELD = """
SELECT coalesce(sum(coalesce(size, measured_size, %(undeclared)s)), 0)::bigint,
  ceil(extract(epoch FROM min(expires_at) - statement_timestamp()))::int
FROM attachments_uploadintent
WHERE workspace_id = %(workspace)s AND NOT is_cleared AND (origin IS NOT NULL OR expires_at > statement_timestamp())
"""
