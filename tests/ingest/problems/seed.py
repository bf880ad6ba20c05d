"""Inserts many thousand failures by SQL, as the pipeline would have left them."""

from typing import Any

from django.db import connection

_BATCHES = """
INSERT INTO ingest_batch (workspace_id, source, type, status, created_at, record_count, accepted_count, rejected_count,
  error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes, lone_crashes, failure, landed_at)
SELECT %(workspace)s, 'source-' || n %% 10, 'message', 'COMPLETE', now() - n * interval '10 seconds', 50, 1, 49, 49, '[]',
  1, '', false, 1, 0, 0, '', now() - n * interval '10 seconds'
FROM generate_series(1, %(batches)s) AS n RETURNING id
"""
_REJECTED = """
INSERT INTO lake_rejectedrecord (batch_id, index, errors, payload, is_json, awaits_collection)
SELECT b.id, i, format('[{"code": "VALIDATION_ERROR", "pointer": "/field%%s", "message": "field: is no field"}]', i %% %(fields)s),
  '{}', true, true
FROM ingest_batch b, generate_series(1, %(each)s) AS i WHERE b.id = ANY(%(ids)s)
"""
_FILES = """
INSERT INTO attachments_attachment (workspace_id, batch_id, record_id, record_index, position, type, filename, vendor_url,
  upload_intent_id, declared_mime_type, declared_sha1, declared_md5, host, origin, state, attempts, crashes, claim_token,
  claimed_by, error_code, error_message, mime_type, sha256, sha1, md5, storage_uri, created_at, completed_at)
SELECT %(workspace)s, b.id, gen_random_uuid(), i, 0, 'audio', '', 'https://x/', '', '', '', '', 'host' || i %% 60 || '.example',
  '', CASE WHEN i %% 5 = 0 THEN 'COMPLETE' ELSE 'FAILED' END, 6, 0, 6, '', 'HTTP_' || 400 + i %% 5, 'HTTP', '', '', '', '', '', now(),
  now() - (b.id %% 1000) * interval '1 minute'
FROM ingest_batch b, generate_series(1, %(each)s) AS i WHERE b.id = ANY(%(ids)s)
"""
_TALLIES = """
INSERT INTO attachments_attachmenttally (batch_id, total, complete, failed, has_begun)
SELECT batch_id, count(*), count(*) FILTER (WHERE state = 'COMPLETE'), count(*) FILTER (WHERE state = 'FAILED'), true
FROM attachments_attachment WHERE batch_id = ANY(%(ids)s) GROUP BY batch_id
"""


def fill(workspace_id: int, *, batches: int, each: int, fields: int = 49) -> list[int]:
    """Makes batches with ``each`` rejected records and attachments (four in five FAILED); returns their ids."""
    with connection.cursor() as cursor:
        cursor.execute(_BATCHES, {"workspace": workspace_id, "batches": batches})
        ids: list[int] = [row[0] for row in cursor.fetchall()]
        values: dict[str, Any] = {"ids": ids, "each": each, "fields": fields, "workspace": workspace_id}
        for statement in (_REJECTED, _FILES, _TALLIES):
            cursor.execute(statement, values)
        for table in ("ingest_batch", "lake_rejectedrecord", "attachments_attachment", "attachments_attachmenttally"):
            cursor.execute(f"ANALYZE {table}")
    return ids
