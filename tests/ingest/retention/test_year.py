"""A simulated year under a steady load: the size of PostgreSQL depends on what is kept.

YEAR_BATCHES batches arrive every fourth day (10 by default). With ``-s`` the test prints a table.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from attachments import removal as files
from ingest import retention
from ingest.models import Batch, Workspace
from lake import payload_partitions

pytestmark = pytest.mark.django_db(transaction=True)

BATCHES = int(os.environ.get("YEAR_BATCHES") or 10)
DAYS, EVERY, STEP = 360, 4, 40
MEASURED = (40, 120, 240, 360)
# A batch and the location of its records are kept: its status and counts, and its place in the archive.
STAYS = ("ingest_batch", "lake_segmentbatch", "lake_segment", "attachments_attachmenttally")
GOES = (
    "lake_payloadpart", "lake_payloadkept", "lake_record", "lake_recordversion", "lake_removedrecord", "lake_rejectedrecord",
    "lake_batchoutcomes", "attachments_attachment", "attachments_downloadattempt", "attachments_storedfile",
    "attachments_removedobject", "attachments_uploadintent", "ingest_idempotencykey", "problems_problembatch", "problems_alert",
    "django_admin_log",
)  # fmt: skip

_A_DAY = """
WITH segment AS (
  INSERT INTO lake_segment (workspace_id, source, type, day, key, layout, state, size, line_count, created_at)
  VALUES (%(workspace)s, 'api', 'call', %(at)s::date, 'year/' || %(day)s, 1, 'L', 1000, %(batches)s, %(at)s) RETURNING id
), batch AS (
  INSERT INTO ingest_batch (workspace_id, source, type, status, created_at, landed_at, completed_at, record_count, accepted_count,
    rejected_count, error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes, lone_crashes, failure)
  SELECT %(workspace)s, 'api', 'call', 'COMPLETE', %(at)s, %(at)s, %(at)s, 2, 1, 1, 1, '[]', 1, '', false, 1, 0, 0, ''
  FROM generate_series(1, %(batches)s) RETURNING id
), numbered AS (
  SELECT id, row_number() OVER (ORDER BY id) AS n, gen_random_uuid() AS record_id FROM batch
), payload AS (
  INSERT INTO lake_payloadpart (batch_id, media_type, query, size, content)
  SELECT id, 'application/json', '', 1500, convert_to(repeat(md5(id::text), 45), 'UTF8') FROM numbered
), place AS (
  INSERT INTO lake_segmentbatch (batch_id, segment_id, line_count, start, length)
  SELECT n.id, s.id, 1, 0, 1000 FROM numbered n, segment s
), record AS (
  INSERT INTO lake_record (id, workspace_id, batch_id, version, event_at, first_accepted_at, updated_at, terms, digest,
    body_offset, body_size)
  SELECT record_id, %(workspace)s, id, 2, %(at)s, %(at)s, %(at)s, ARRAY[n], substring(sha256(record_id::text::bytea), 1, 16), 0, 1500
  FROM numbered
), version AS (
  INSERT INTO lake_recordversion (record_id, version, batch_id, body_offset, body_size, replaced_by_id, replaced_at)
  SELECT record_id, 1, id, 0, 1500, id, %(at)s FROM numbered
), outcome AS (
  INSERT INTO lake_batchoutcomes (batch_id, letters, record_ids)
  SELECT id, 'ur', uuid_send(record_id) || decode(repeat('00', 16), 'hex') FROM numbered
), rejected AS (
  INSERT INTO lake_rejectedrecord (batch_id, index, errors, payload, is_json, awaits_collection)
  SELECT id, 1, '[]', convert_to(repeat('x', 500), 'UTF8'), true, false FROM numbered
), file AS (
  INSERT INTO attachments_attachment (workspace_id, batch_id, record_id, event_at, record_index, position, type, filename,
    vendor_url, upload_intent_id, declared_mime_type, declared_sha1, declared_md5, host, origin, state, attempts, crashes,
    claim_token, claimed_by, error_code, error_message, mime_type, sha256, sha1, md5, storage_uri, created_at, completed_at)
  SELECT %(workspace)s, id, record_id, %(at)s, 0, 0, 'audio', '', 'https://x.example/', '', '', '', '', 'x.example:443', '',
    'COMPLETE', 1, 0, 1, '', '', '', '', encode(sha256(id::text::bytea), 'hex'), '', '', 's3://evermuse-lake/year/' || id,
    %(at)s, %(at)s FROM numbered RETURNING id, batch_id
), stored AS (
  INSERT INTO attachments_storedfile (workspace_id, sha256, storage_uri, size, created_at)
  SELECT %(workspace)s, sha256(id::text::bytea), 's3://evermuse-lake/year/' || id, 1, %(at)s FROM numbered
), attempt AS (
  INSERT INTO attachments_downloadattempt (attachment_id, token, started_at, finished_at, bytes, code, message, leftovers)
  SELECT id, 1, %(at)s, %(at)s, 1, 'OK', '', false FROM file
), tally AS (
  INSERT INTO attachments_attachmenttally (batch_id, total, complete, failed, has_begun) SELECT id, 1, 1, 0, true FROM numbered
), intent AS (
  INSERT INTO attachments_uploadintent (workspace_id, token, filename, mime_type, sha1, md5, created_at, expires_at, is_cleared)
  SELECT %(workspace)s, 'upl_' || id, '', '', '', '', %(at)s, %(at)s, true FROM numbered
), answer AS (
  INSERT INTO ingest_idempotencykey (workspace_id, key, fingerprint, batch_id, answer, created_at)
  SELECT %(workspace)s, sha256(id::text::bytea), '', id, '{}', %(at)s FROM numbered
), named AS (
  INSERT INTO problems_problembatch (problem_id, batch_id, count, last_seen_at) SELECT %(problem)s, id, 1, %(at)s FROM numbered
), alert AS (
  INSERT INTO problems_alert (channel, event, body, created_at, attempts, sent_at, last_error)
  VALUES ('EMAIL', 'TEST', '{}', %(at)s, 1, %(at)s, '')
)
INSERT INTO django_admin_log (action_time, user_id, object_repr, action_flag, change_message) VALUES (%(at)s, %(user)s, 'x', 2, 'x')
"""


@pytest.fixture
def small_partitions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Makes partitions for one day's batches instead of two million."""
    width = payload_partitions.WIDTH
    monkeypatch.setattr(payload_partitions, "WIDTH", BATCHES)
    monkeypatch.setattr(payload_partitions, "AHEAD", 10 * BATCHES)
    _replace_partitions(BATCHES)
    yield
    _replace_partitions(width)


def _replace_partitions(width: int) -> None:
    with connection.cursor() as cursor:
        for one in payload_partitions.partitions():
            cursor.execute(f"DROP TABLE {one.name}")
        cursor.execute("SELECT nextval('ingest_batch_id_seq')")
        end = cursor.fetchone()[0] // width * width + 2 * width
        cursor.execute("CREATE TABLE lake_payload_p0 (LIKE lake_payloadpart INCLUDING ALL)")
        cursor.execute(
            f"ALTER TABLE lake_payloadpart ATTACH PARTITION lake_payload_p0 FOR VALUES FROM (MINVALUE) TO ({end})"
        )


@contextmanager
def _without_time_limit() -> Iterator[None]:
    """For statements of the test that take longer the more batches there are. The product's statements keep their limit."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        [limit] = cursor.fetchone()
        cursor.execute("SET statement_timeout = 0")
        yield
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [limit])


def _size(table: str) -> tuple[int, int]:
    """Returns the number of rows, and the bytes with indexes; for a partitioned table, of all of its partitions."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree(%s)", [table])
        size = int(cursor.fetchone()[0])
        if not size:
            cursor.execute("SELECT pg_total_relation_size(%s)", [table])
            size = int(cursor.fetchone()[0])
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0]), size


def test_size_of_postgresql_stays_the_same_after_the_retention_period(
    workspace: Workspace, django_user_model: type, small_partitions: None
) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(record_retention_days=100)
    user = django_user_model.objects.create_user("year")  # type: ignore[attr-defined]
    began = datetime.now(UTC) - timedelta(days=DAYS)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO problems_problem (kind, code, field, workspace_id, party, state, count, first_seen_at, last_seen_at, "
            "opened_at, is_alert_due, sample_message) VALUES ('RECORDS', 'YEAR', '', %s, '', 'OPEN', 1, now(), now(), now(), "
            "false, '') RETURNING id",
            [workspace.pk],
        )
        given = {"workspace": workspace.pk, "batches": BATCHES, "user": user.pk, "problem": cursor.fetchone()[0]}
        found: dict[int, dict[str, tuple[int, int]]] = {}
        for day in range(EVERY, DAYS + 1, EVERY):
            at = began + timedelta(days=day)
            # In production, retention makes partitions ahead each minute.
            payload_partitions.make_ahead(Batch.objects.order_by("-id").values_list("id", flat=True).first() or 0)
            with _without_time_limit():
                cursor.execute(_A_DAY, {**given, "at": at, "day": day})
            if day % STEP == 0:
                real = timezone.now()
                retention.remove_expired(now=at, seconds=600)
                cursor.execute("UPDATE lake_removedrecord SET removed_at = %s WHERE removed_at >= %s", [at, real])
                # In production, the sweeper runs every few seconds.
                while files.delete_objects():
                    pass
                with _without_time_limit():
                    cursor.execute(f"VACUUM {', '.join(GOES)}")  # autovacuum does this in real time
            if day in MEASURED:
                found[day] = {table: _size(table) for table in (*GOES, *STAYS)}
                found[day]["(partitions)"] = len(payload_partitions.partitions()), 0
    _print(found)
    assert [found[day]["ingest_batch"][0] for day in MEASURED] == [day // EVERY * BATCHES for day in MEASURED]
    for table in GOES:
        early, late = found[240][table], found[360][table]
        assert late[0] <= early[0] * 1.1 + BATCHES, (
            f"{table} grows: {early[0]} rows after 240 days, {late[0]} after 360"
        )
        assert late[1] <= early[1] * 1.25 + 65_536, (
            f"{table} grows: {early[1]} bytes after 240 days, {late[1]} after 360"
        )
    # Seven days of payloads, and the partitions that were made ahead.
    assert found[360]["lake_payloadpart"][0] <= 3 * BATCHES
    assert found[360]["(partitions)"][0] <= 3 + 14


def _print(found: dict[int, dict[str, tuple[int, int]]]) -> None:
    sys.stdout.write(f"\n{BATCHES} batches every {EVERY} days; rows (kB) after so many days\n")
    sys.stdout.write(f"{'table':32}" + "".join(f"{day:>18}" for day in MEASURED) + "\n")
    for table in found[MEASURED[0]]:
        cells = [f"{found[day][table][0]:,} ({found[day][table][1] // 1000:,})" for day in MEASURED]
        sys.stdout.write(f"{table:32}" + "".join(f"{cell:>18}" for cell in cells) + "\n")
