"""PostgreSQL's plans on tables of some size: rollups, states and ages use indexes and never scan a large table."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection, transaction
from django.test import Client
from pytest_django import DjangoDbBlocker

from ingest.activity import measures, rollup, selectors
from ingest.activity.measures import MINUTE, Stretch, floor
from ingest.activity.models import Rollup, RollupState
from ingest.clients import workspaces
from ingest.models import Workspace
from tests.ingest.activity.rows import ago, batch, roll_up

LARGE = ("ingest_batch", "lake_rejectedrecord", "attachments_attachment", "attachments_downloadattempt")

# A day and a half of batches, each with a file and a rejected record; one in 10,000 waits and one has failed.
FILL = """
INSERT INTO ingest_batch (workspace_id, source, type, status, created_at, record_count, accepted_count, rejected_count,
  error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes, lone_crashes, failure, landed_at, completed_at)
SELECT %(workspace)s, 'crm', 'call', CASE n %% 10000 WHEN 1 THEN 'LANDING' WHEN 2 THEN 'FAILED' WHEN 3 THEN 'PROCESSING' ELSE 'COMPLETE' END,
  t, 10, 9, 1, 1, '[]', 1, '', false, 1, 0, 0, '', t, t
FROM (SELECT n, now() - (%(n)s - n) * interval '2 seconds' AS t FROM generate_series(1, %(n)s) AS n) AS n;
INSERT INTO lake_rejectedrecord (batch_id, index, errors, payload, is_json)
SELECT id, 0, '[{"code": "VALIDATION_ERROR", "pointer": "/_type", "message": "no"}]', 'x', true FROM ingest_batch;
INSERT INTO attachments_attachment (workspace_id, batch_id, record_id, record_index, position, type, filename, vendor_url,
  upload_intent_id, declared_mime_type, declared_sha1, declared_md5, host, origin, state, attempts, crashes, claim_token, claimed_by,
  error_code, error_message, mime_type, sha256, sha1, md5, storage_uri, created_at, completed_at, size)
SELECT workspace_id, id, gen_random_uuid(), 0, 0, 'file', '', '', '', '', '', '', 'cdn' || id %% 5, '', 'COMPLETE', 1, 0, 1, '', '', '',
  '', '', '', '', '', created_at, created_at, 10 FROM ingest_batch;
INSERT INTO attachments_downloadattempt (attachment_id, token, started_at, finished_at, bytes, code, message, leftovers)
SELECT id, 1, created_at, created_at, 10, CASE id %% 50 WHEN 0 THEN 'TIMEOUT' ELSE 'OK' END, '', false FROM attachments_attachment;
ANALYZE ingest_batch, lake_rejectedrecord, attachments_attachment, attachments_downloadattempt;
"""


pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def full(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Workspace]:
    """A workspace with a day and a half of rows.

    Inserting them takes most of the time, so the tests share them. Each test runs in a savepoint of this transaction.
    """
    with django_db_blocker.unblock(), transaction.atomic():
        workspace = workspaces.ensure(name="full", products=[])
        _fill(workspace)
        yield workspace
        transaction.set_rollback(True)


def _fill(workspace: Workspace) -> None:
    with connection.cursor() as cursor:
        cursor.execute(FILL, {"workspace": workspace.pk, "n": 60_000})
        for index in ("batch_created", "batch_landed", "batch_completed", "attachment_completed", "attempt_finished"):
            cursor.execute("SELECT brin_summarize_new_values(%s)", [f"{index}_brin"])
        # Autovacuum gathers these statistics sooner or later; without them the planner would guess.
        for table in ("ingest_batch", "attachments_attachment", "attachments_downloadattempt"):
            cursor.execute(f"ANALYZE {table}")
    # Otherwise these rows would be checked at the end of each test.
    connection.check_constraints()


@contextmanager
def plans() -> Iterator[list[str]]:
    """Collects the plan of every SELECT within the block."""
    found: list[str] = []

    def explain(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        if sql.lstrip().upper().startswith(("SELECT", "WITH", "INSERT INTO ACTIVITY_STALE")):
            with connection.connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN {sql}", params)
                found.append("\n".join(row[0] for row in cursor.fetchall()))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(explain):
        yield found


def assert_no_large_scan(found: list[str]) -> None:
    assert found
    for plan in found:
        for table in LARGE:
            assert not re.search(rf"Seq Scan on {table}\b", plan), plan


def test_counting_a_minute_uses_indexes(full: Workspace) -> None:
    with plans() as found:
        counted = measures.count(Stretch(Rollup.Resolution.MINUTE, floor(ago(minutes=90), MINUTE)))
    assert counted[full.pk, "batches", ""] == counted[full.pk, "rejected_reason", "VALIDATION_ERROR /_type"] == 30
    assert_no_large_scan(found)


def test_search_for_changed_minutes_uses_indexes(full: Workspace) -> None:
    rollup._begin()
    with plans() as found:
        rollup._begin()
    assert_no_large_scan(found)
    # Which plan is cheapest depends on how much was counted before.
    (noticing,) = [plan for plan in found if "activity_staleminute" in plan]
    assert "batch_by_time" in noticing or ("batch_landed_brin" in noticing and "batch_completed_brin" in noticing), (
        noticing
    )


@pytest.mark.parametrize("is_one_workspace", [True, False])
def test_states_and_ages_are_read_from_partial_indexes(full: Workspace, is_one_workspace: bool) -> None:
    workspace_id = full.pk if is_one_workspace else None
    with plans() as found:
        standing = selectors.standing({}, workspace_id)
    assert (standing.batches["LANDING"], standing.batches["FAILED"], standing.batches["PROCESSING"]) == (6, 6, 6)
    assert_no_large_scan(found)
    text = "\n".join(found)
    for index in ("batch_waiting", "batch_unsettled", "batch_failed", "attachment_in_lane", "attachment_failed"):
        assert index in text


def test_overview_and_metrics_scan_no_large_table(full: Workspace, admin_client: Client) -> None:
    # Counting a day and a half of minutes would take long, so most of it is marked as counted.
    rollup._begin()
    RollupState.objects.update(closed_through=floor(ago(minutes=5), MINUTE))
    batch(full, ago(minutes=0))
    roll_up()
    with plans() as found:
        for path in (
            "/admin/",
            "/admin/overview.json",
            "/admin/?period=7d",
            f"/admin/?workspace={full.pk}",
            "/metrics",
        ):
            assert admin_client.get(path).status_code == 200
    assert_no_large_scan(found)
