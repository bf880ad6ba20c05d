"""Removal of files: rows in the order of `attachments.sql`'s locks, and the content with its last holder."""

# Files that are not settled, or whose attempts may have left objects in the store. They and their records stay for now.
_IS_AT_WORK = """(a.state NOT IN ('COMPLETE', 'FAILED') OR EXISTS (
  SELECT FROM attachments_downloadattempt d WHERE d.attachment_id = a.id AND (d.leftovers OR d.finished_at IS NULL)))"""

RECORDS_AT_WORK = f"""
SELECT DISTINCT record_id FROM attachments_attachment a WHERE record_id = ANY(%(records)s::uuid[]) AND {_IS_AT_WORK}
"""

LOCK_OF_RECORDS = """
SELECT id FROM attachments_attachment WHERE record_id = ANY(%(records)s::uuid[]) ORDER BY id FOR UPDATE
"""

EXPIRED = f"""
SELECT event_at, id FROM attachments_attachment a
WHERE workspace_id = %(workspace)s AND event_at < %(before)s AND (event_at, id) > (%(after_at)s::timestamptz, %(after)s)
  AND NOT {_IS_AT_WORK}
ORDER BY event_at, id LIMIT %(limit)s
"""
LOCK_EXPIRED = f"""
SELECT id FROM attachments_attachment a
WHERE id = ANY(%(ids)s) AND workspace_id = %(workspace)s AND event_at < %(before)s AND NOT {_IS_AT_WORK}
ORDER BY id FOR UPDATE SKIP LOCKED
"""

# Registration and completion lock these rows too. The first transaction decides.
LOCK_CONTENTS = """
SELECT f.id FROM attachments_storedfile f
WHERE (f.workspace_id, f.sha256) IN (
  SELECT workspace_id, decode(sha256, 'hex') FROM attachments_attachment WHERE id = ANY(%(ids)s) AND state = 'COMPLETE')
ORDER BY f.workspace_id, f.sha256 FOR UPDATE
"""

DELETE = """
WITH attempts AS (
  DELETE FROM attachments_downloadattempt WHERE attachment_id = ANY(%(ids)s)
), intents AS (
  UPDATE attachments_uploadintent SET attachment_id = NULL WHERE attachment_id = ANY(%(ids)s)
), files AS (
  DELETE FROM attachments_attachment WHERE id = ANY(%(ids)s) RETURNING id
)
SELECT count(*) FROM files
"""

# A separate statement after the lock, so that it sees the holders that other transactions committed before.
DELETE_CONTENTS = """
WITH gone AS (
  DELETE FROM attachments_storedfile f WHERE f.id = ANY(%(files)s) AND NOT EXISTS (
    SELECT FROM attachments_attachment a
    WHERE a.state = 'COMPLETE' AND a.sha256 = encode(f.sha256, 'hex') AND a.workspace_id = f.workspace_id)
  RETURNING storage_uri
)
INSERT INTO attachments_removedobject (storage_uri, since) SELECT storage_uri, statement_timestamp() FROM gone
ON CONFLICT (storage_uri) DO NOTHING
"""
