"""Upload intents."""

# A client's upload belongs to one attachment; the same record sent again may name it again.
# An intent ends with its key: one that is revoked or expired claims nothing more.
CLAIM_INTENT = """
UPDATE attachments_uploadintent AS i SET
  attachment_id = CASE WHEN origin IS NULL THEN %(attachment)s ELSE attachment_id END, origin = %(origin)s
WHERE token = %(intent)s AND workspace_id = %(workspace)s AND (origin = %(origin)s OR
  origin IS NULL AND expires_at > statement_timestamp() AND NOT EXISTS (
    SELECT FROM ingest_apikey k WHERE k.id = i.api_key_id
      AND (k.revoked_at IS NOT NULL OR k.expires_at <= statement_timestamp())))
RETURNING id, attachment_id, size, sha1, md5, mime_type, filename
"""

LOCK_UPLOADS = "SELECT pg_advisory_xact_lock(%(lock)s, (%(workspace)s %% 2147483647)::int)"

# Bytes that a workspace's uploads hold or may come to hold, and seconds until the next of them ends. A file that an
# attachment claimed counts until it has left the upload area.
UPLOADS_HELD = """
SELECT coalesce(sum(coalesce(size, measured_size, %(undeclared)s)), 0)::bigint,
  ceil(extract(epoch FROM min(expires_at) - statement_timestamp()))::int
FROM attachments_uploadintent
WHERE workspace_id = %(workspace)s AND NOT is_cleared AND (origin IS NOT NULL OR expires_at > statement_timestamp())
"""
