"""Upload intents."""

# A client's upload belongs to one attachment; the same record sent again may name it again.
CLAIM_INTENT = """
UPDATE attachments_uploadintent SET
  attachment_id = CASE WHEN origin IS NULL THEN %(attachment)s ELSE attachment_id END, origin = %(origin)s
WHERE token = %(intent)s AND workspace_id = %(workspace)s AND (origin = %(origin)s OR
  origin IS NULL AND expires_at > statement_timestamp())
RETURNING id, attachment_id, size, sha1, md5, mime_type, filename
"""
