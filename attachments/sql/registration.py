"""Inserts the files that landed records name."""

from attachments.sql.lanes import notices_for

# Inserts the entries of landed batches as rows, with their hosts and the counters of their batches. If the same record
# has already stored the same URL or upload with the same checksums, the entry is COMPLETE at once, unless retention has
# removed the file: the lock on its row keeps retention from doing so meanwhile. Hosts are inserted in the order of their
# keys, so that two landings cannot deadlock.
REGISTER = f"""
WITH given AS MATERIALIZED (
  SELECT * FROM json_to_recordset(%s::json) AS g (
    batch_id bigint, workspace_id bigint, record_id uuid, event_at timestamptz, record_index int, position smallint, type text, filename text,
    vendor_url text, upload_intent_id text, declared_mime_type text, declared_size bigint, declared_sha1 text,
    declared_md5 text, host text, origin text)
), known AS MATERIALIZED (
  SELECT DISTINCT ON (workspace_id, origin) workspace_id, origin, size, mime_type, sha256, sha1, md5, storage_uri
  FROM attachments_attachment
  WHERE state = 'COMPLETE' AND workspace_id = ANY (ARRAY(SELECT DISTINCT workspace_id FROM given)) AND origin = ANY (ARRAY(
    SELECT decode(origin, 'hex') FROM given WHERE vendor_url = '' OR upload_intent_id = ''))
), file AS MATERIALIZED (
  SELECT storage_uri FROM attachments_storedfile WHERE storage_uri IN (SELECT storage_uri FROM known)
  ORDER BY workspace_id, sha256 FOR SHARE
), stored AS MATERIALIZED (
  SELECT known.* FROM known JOIN file USING (storage_uri)
), host AS (
  INSERT INTO attachments_vendorhost (host) SELECT DISTINCT host FROM given WHERE host <> '' ORDER BY host
  ON CONFLICT (host) DO NOTHING
), {notices_for("given")}, made AS (
  INSERT INTO attachments_attachment (
    batch_id, workspace_id, record_id, event_at, record_index, position, type, filename, vendor_url, upload_intent_id,
    declared_mime_type, declared_size, declared_sha1, declared_md5, host, origin, created_at,
    state, next_attempt_at, completed_at, size, mime_type, sha256, sha1, md5, storage_uri,
    attempts, crashes, claim_token, claimed_by, error_code, error_message)
  SELECT g.batch_id, g.workspace_id, g.record_id, g.event_at, g.record_index, g.position, g.type, g.filename, g.vendor_url,
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
