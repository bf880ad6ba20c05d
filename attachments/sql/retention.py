"""Removes expired ledgers: all attempts of a batch's files together. The batch's counters record the removal."""

LEDGERS = """
SELECT t.batch_id, (
  SELECT count(*) FROM attachments_attachment a JOIN attachments_downloadattempt d ON d.attachment_id = a.id
  WHERE a.batch_id = t.batch_id)
FROM attachments_attachmenttally t WHERE NOT t.ledger_expired AND t.batch_id > %s AND t.batch_id <= %s
ORDER BY t.batch_id LIMIT %s
"""

EXPIRABLE = """
SELECT t.batch_id FROM attachments_attachmenttally t
WHERE t.batch_id = ANY(%(batches)s) AND NOT t.ledger_expired AND t.complete + t.failed >= t.total AND NOT EXISTS (
  SELECT FROM attachments_attachment a JOIN attachments_downloadattempt d ON d.attachment_id = a.id
  WHERE a.batch_id = t.batch_id AND (d.finished_at IS NULL OR d.finished_at >= %(before)s OR d.leftovers))
ORDER BY t.batch_id FOR NO KEY UPDATE OF t SKIP LOCKED
"""

REMOVE_ATTEMPTS = """
WITH removed AS (
  DELETE FROM attachments_downloadattempt d USING attachments_attachment a
  WHERE a.id = d.attachment_id AND a.batch_id = ANY(%(batches)s) RETURNING d.id
), expired AS (
  UPDATE attachments_attachmenttally SET ledger_expired = true WHERE batch_id = ANY(%(batches)s)
)
SELECT count(*) FROM removed
"""
