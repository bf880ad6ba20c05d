"""Expired detail of batches: what is removed, what is kept, and what the API answers."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attachments.models import Attachment, AttachmentTally, DownloadAttempt
from evermuse.retention import run
from ingest import retention
from ingest.models import Batch, Workspace
from ingest.pipeline import detail
from ingest.pipeline import landing as pipeline
from lake.models import BatchOutcomes, RejectedRecord
from tests.http_client import INGEST, NDJSON, ApiClient, lines
from tests.ingest.activity.rows import attempt, file
from tests.ingest.landing import send_and_land
from tests.records import record

BATCHES = f"{INGEST}/batches"
IN_91_DAYS = timedelta(days=91)


def expire(after: timedelta = IN_91_DAYS) -> dict[str, int]:
    """Runs retention as if at a later time."""
    return retention.remove_expired(now=timezone.now() + after, seconds=60)


def answers(api: ApiClient, batch_id: str) -> dict[str, int]:
    """Returns the status of the answer for each list of a batch's detail."""
    return {name: api.get(f"{BATCHES}/{batch_id}/{name}").status_code for name in ("errors", "records", "attachments")}


def number(batch_id: str) -> int:
    return int(batch_id[6:])


def settle(batch_id: str) -> None:
    Batch.objects.filter(id=number(batch_id)).update(status="COMPLETE", completed_at=timezone.now())


def test_expired_detail_gets_a_410_while_the_batch_is_kept(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record(), record(event_at="x")])
    settle(batch_id)
    before = api.batch(batch_id)
    expire()
    for name in ("errors", "records"):
        answer = api.get(f"{BATCHES}/{batch_id}/{name}")
        assert (answer.status_code, answer.json()["error"]) == (410, "EXPIRED")
        assert set(answer.json()) == {"error", "message"}
        assert api.get(f"{BATCHES}/{batch_id}/{name}", accept=NDJSON).status_code == 410
    assert api.batch(batch_id) == before
    assert (before["acceptedCount"], before["rejectedCount"]) == (1, 1)


def test_detail_is_kept_until_it_expires(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record(), record(event_at="x")])
    settle(batch_id)
    expire(timedelta(days=89))
    assert set(answers(api, batch_id).values()) == {200}
    assert len(api.rows(batch_id, "errors")) == 1


def test_each_kind_of_detail_expires_by_its_own_setting(api: ApiClient, settings: Any) -> None:
    settings.EVERMUSE_OUTCOME_RETENTION_DAYS = 7
    batch_id = send_and_land(api, [record(), record(event_at="x")])
    settle(batch_id)
    expire(timedelta(days=8))
    assert answers(api, batch_id) == {"errors": 200, "records": 410, "attachments": 200}


def test_detail_of_a_rejected_batch_expires_too(api: ApiClient) -> None:
    answer = api.post([record(event_at="x")])
    batch_id = answer.json()["details"]["batchId"]
    assert answers(api, batch_id) == {"errors": 200, "records": 200, "attachments": 200}
    expire()
    assert answers(api, batch_id) == {"errors": 410, "records": 410, "attachments": 200}
    assert api.batch(batch_id)["rejectedCount"] == 1


def test_detail_of_waiting_or_given_up_batches_never_expires(api: ApiClient) -> None:
    waiting = api.post([record(), record(event_at="x")]).json()["batchId"]
    given_up = api.post([record(), record(event_at="x")]).json()["batchId"]
    Batch.objects.filter(id=number(given_up)).update(
        status="FAILED", failure="given up: 3 workers died", completed_at=timezone.now()
    )
    expire(timedelta(days=1000))
    for batch_id in (waiting, given_up):
        assert len(api.rows(batch_id, "errors")) == 1
        assert [row["outcome"] for row in api.rows(batch_id, "records")] == ["pending", "rejected"]


def test_batch_without_rejected_records_always_has_an_empty_list(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record()])
    settle(batch_id)
    expire()
    assert api.rows(batch_id, "errors") == []


def test_retry_restores_expired_errors_of_a_batch(api: ApiClient, settings: Any) -> None:
    settings.EVERMUSE_PAYLOAD_RETENTION_DAYS = 1000
    batch_id = api.post([record(event_at="x")]).json()["details"]["batchId"]
    expire()
    assert api.post(b"", path=f"{BATCHES}/{batch_id}/retry").json()["status"] == "LANDING"
    pipeline.land_waiting()
    assert len(api.rows(batch_id, "errors")) == 1
    assert [row["outcome"] for row in api.rows(batch_id, "records")] == ["rejected"]


def test_stream_whose_rows_expire_meanwhile_is_aborted(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record(), *[record(event_at="x") for _ in range(600)]])
    settle(batch_id)
    answer = api.get(f"{BATCHES}/{batch_id}/errors", accept=NDJSON)
    chunks = iter(answer.streaming_content)
    assert next(chunks)
    expire()
    with pytest.raises(Exception, match="has expired"):
        list(chunks)


def test_stream_of_errors_before_their_removal_is_complete(api: ApiClient) -> None:
    batch_id = send_and_land(api, [record(), *[record(event_at="x") for _ in range(600)]])
    assert len(lines(api.get(f"{BATCHES}/{batch_id}/errors", accept=NDJSON))) == 600


@pytest.fixture
def ledger(api: ApiClient, workspace: Workspace) -> str:
    """A settled batch with one stored and one failed file, with one attempt each."""
    batch_id = send_and_land(api, [record()])
    settle(batch_id)
    batch = Batch.objects.get()
    now = timezone.now()
    attempt(file(batch, "a.example:443", completed_at=now, storage_uri="s3://bucket/file"), now, "OK")
    attempt(file(batch, "a.example:443", position=1, state="FAILED", completed_at=now), now, "HTTP_404")
    AttachmentTally.objects.create(batch=batch, total=2, complete=1, failed=1, has_begun=True)
    return batch_id


def test_ledger_expires_with_its_attempts(api: ApiClient, ledger: str) -> None:
    assert len(api.rows(ledger, "attachments")) == 2
    assert expire()["download-attempts"] == 2
    assert answers(api, ledger)["attachments"] == 410
    assert api.get(f"{BATCHES}/{ledger}/attachments", accept=NDJSON).status_code == 410
    assert api.batch(ledger)["attachmentDownloadComplete"] == 1
    assert not DownloadAttempt.objects.exists()
    assert Attachment.objects.count() == 2


def test_expired_ledger_is_available_again_after_a_retry(api: ApiClient, ledger: str) -> None:
    expire()
    assert api.post(b"", path=f"{BATCHES}/{ledger}/retry").status_code == 202
    rows = api.rows(ledger, "attachments")
    assert [row["state"] for row in rows] == ["COMPLETE", "PENDING"]
    assert expire()["download-attempts"] == 0, "a file has still to be fetched"


@pytest.mark.parametrize(
    "change",
    [{"finished_at": None}, {"leftovers": True}, {"finished_at": timezone.now() + timedelta(days=10)}],
    ids=["runs", "leftovers", "recent"],
)
def test_ledger_is_kept_while_one_of_its_attempts_is_needed(
    api: ApiClient, ledger: str, change: dict[str, Any]
) -> None:
    DownloadAttempt.objects.filter(code="OK").update(**change)
    assert expire()["download-attempts"] == 0
    assert answers(api, ledger)["attachments"] == 200


def test_removal_proceeds_in_steps_and_resumes_where_it_stopped(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: Any
) -> None:
    monkeypatch.setattr("evermuse.retention.STEP_ROWS", 2)
    monkeypatch.setattr("evermuse.retention.READ_AT_ONCE", 2)
    monkeypatch.setattr("ingest.pipeline.detail.READ_AT_ONCE", 2)
    ids = [api.post([record(event_at="x")]).json()["details"]["batchId"] for _ in range(5)]
    [kind] = [kind for kind in detail.KINDS if kind.name == "rejected-records"]
    later = timezone.now() + IN_91_DAYS
    found = run(kind, now=later, seconds=0)
    assert (found.rows, found.is_whole) == (2, False)
    assert RejectedRecord.objects.count() == 3
    assert run(kind, now=later, seconds=60).rows == 3
    assert {answers(api, one)["errors"] for one in ids} == {410}


def test_page_of_a_batch_lists_what_has_expired(api: ApiClient, client: Client) -> None:
    batch_id = send_and_land(api, [record(), record(event_at="x")])
    settle(batch_id)
    expire()
    client.force_login(get_user_model().objects.create_superuser("boss", "", "secret"))
    page = client.get(reverse("admin:ingest_batch_change", args=[number(batch_id)])).content.decode()
    assert "Removed by retention: outcomes of its records." in page
    assert "Removed by retention: rejected records." in page
    assert client.get(reverse("admin:ingest_batch_rejected", args=[number(batch_id)])).status_code == 404
    assert not BatchOutcomes.objects.exists()


def test_reprocessing_without_outcomes_changes_nothing_and_says_why(
    api: ApiClient, client: Client, settings: Any
) -> None:
    settings.EVERMUSE_PAYLOAD_RETENTION_DAYS = 1000
    batch_id = send_and_land(api, [record()])
    settle(batch_id)
    expire()
    client.force_login(get_user_model().objects.create_superuser("boss", "", "secret"))
    act = reverse("admin:ingest_batch_act", args=[number(batch_id)])
    page = client.post(act, {"act": "reprocess"}, follow=True).content.decode()
    assert "the outcomes of the batch&#x27;s records have expired" in page


def test_retention_stops_while_another_process_runs_it(api: ApiClient, locked_elsewhere: Callable[[], Any]) -> None:
    api.post([record(event_at="x")])
    with locked_elsewhere():
        assert expire()["rejected-records"] == 0
    assert expire()["rejected-records"] == 1
