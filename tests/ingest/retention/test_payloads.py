"""Payloads: which ones are removed after their time, which ones are kept, and what works without them."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingest import retention
from ingest.models import Batch, Workspace
from ingest.pipeline import claims, detail, transitions
from ingest.pipeline import landing as pipeline
from ingest.problems import alerts
from ingest.problems.models import Alert
from lake.models import Payload, Record, Segment, SegmentBatch
from tests.http_client import INGEST, NDJSON, ApiClient, lines
from tests.ingest.admin.conftest import login
from tests.ingest.landing import send_and_land
from tests.records import record

__all__ = ["login"]

BATCHES = f"{INGEST}/batches"


def expire(days: float = 8) -> int:
    """Runs retention as if some days from now; returns the number of removed payloads."""
    now = timezone.now() + timedelta(days=days)
    return retention.remove_expired(now=now, kinds=(detail.PAYLOADS,), seconds=60)["payloads"]


def number(batch_id: str) -> int:
    return int(batch_id[6:])


def landed(api: ApiClient, **more: Any) -> str:
    batch_id = send_and_land(api, [record(**more)])
    assert api.batch(batch_id)["status"] == "COMPLETE"
    return batch_id


def given_up(api: ApiClient) -> str:
    batch_id = str(api.post([record()]).json()["batchId"])
    Batch.objects.filter(id=number(batch_id)).update(
        status="FAILED", failure="given up: 3 workers died", failure_code="GIVEN_UP", completed_at=timezone.now()
    )
    return batch_id


def test_records_read_back_the_same_without_their_payload(api: ApiClient) -> None:
    batch_id = landed(api, data={"a": 1.0, "b": "é", "c": [1, {"d": None}]})
    [row] = api.rows(batch_id, "records")
    before = api.get(f"/api/v1/records/{row['recordId']}").content
    exported = lines(api.get("/api/v1/records", accept=NDJSON))
    assert expire(6) == 0
    assert expire(8) == 1
    assert not Payload.objects.exists()
    assert api.get(f"/api/v1/records/{row['recordId']}").content == before
    assert lines(api.get("/api/v1/records", accept=NDJSON)) == exported
    assert api.batch(batch_id)["acceptedCount"] == 1


def test_updated_record_and_its_versions_read_back_without_payloads(api: ApiClient) -> None:
    one = record()
    for text in ("a", "b"):
        send_and_land(api, [one | {"data": {"v": text}}])
    assert expire() == 2
    [again] = api.get("/api/v1/records").json()["records"]
    assert (again["version"], again["record"]["data"]) == (2, {"v": "b"})
    send_and_land(api, [one | {"data": {"v": "b"}}])
    assert api.get("/api/v1/records").json()["records"][0]["version"] == 2, "an identical record is still recognized"


@pytest.mark.parametrize("change", [{"layout": 0}, {"state": "I"}, {"state": "R"}, None], ids=str)
def test_payload_is_kept_until_a_live_segment_holds_its_records(api: ApiClient, change: dict[str, Any] | None) -> None:
    landed(api)
    if change is None:
        SegmentBatch.objects.all().delete()
    else:
        Segment.objects.update(**change)
    assert expire(1000) == 0
    assert Payload.objects.count() == 1


def test_payload_is_removed_although_compaction_has_left_out_all_lines_of_its_batch(api: ApiClient) -> None:
    landed(api), landed(api)
    SegmentBatch.objects.filter(batch_id=Batch.objects.latest("id").pk).update(line_count=0, segment_id=0)
    assert expire() == 2
    assert not Payload.objects.exists()


def test_payloads_of_waiting_or_given_up_batches_are_kept_for_ever(api: ApiClient) -> None:
    waiting = str(api.post([record()]).json()["batchId"])
    lost = given_up(api)
    assert expire(1000) == 0
    assert api.post(b"", path=f"{BATCHES}/{lost}/retry").json()["status"] == "LANDING"
    pipeline.land_waiting()
    assert [api.batch(one)["status"] for one in (waiting, lost)] == ["COMPLETE", "COMPLETE"]
    assert expire(1000) == 2


def test_payload_is_kept_while_files_of_its_batch_have_to_be_fetched(api: ApiClient) -> None:
    attachment = {"type": "audio", "vendor_url": "http://127.0.0.1:9/never"}
    send_and_land(api, [record(attachments=[attachment])])
    assert expire(1000) == 0


def test_legal_hold_keeps_payloads(api: ApiClient, workspace: Workspace) -> None:
    landed(api)
    Workspace.objects.filter(pk=workspace.pk).update(legal_hold=True)
    assert expire(1000) == 0


def test_payload_without_accepted_records_is_removed_too(api: ApiClient) -> None:
    api.post([record(event_at="x")])
    assert expire() == 1


def test_retry_without_the_payload_gets_a_202_and_changes_nothing(api: ApiClient) -> None:
    batch_id = str(api.post([record(event_at="x")]).json()["details"]["batchId"])
    expire()
    before = api.batch(batch_id)
    answer = api.post(b"", path=f"{BATCHES}/{batch_id}/retry")
    assert (answer.status_code, answer.json()) == (202, before)
    assert claims.claim() == []


def test_admin_says_why_nothing_changed_without_the_payload(api: ApiClient, login: Any) -> None:
    failed = str(api.post([record(event_at="x")]).json()["details"]["batchId"])
    complete = landed(api)
    expire()
    client: Client = login("operator")

    def act(batch_id: str, name: str) -> str:
        url = reverse("admin:ingest_batch_act", args=[number(batch_id)])
        return client.post(url, {"act": name}, follow=True).content.decode()

    assert "The payload of this batch has expired, so it cannot be landed again" in act(failed, "retry")
    assert "Nothing was changed: the payload of the batch has expired" in act(complete, "reprocess")
    page = client.get(reverse("admin:ingest_batch_change", args=[number(complete)])).content.decode()
    assert "Removed by retention: payload." in page
    assert "Body as sent" not in page
    assert client.get(reverse("admin:ingest_batch_payload", args=[number(complete)])).status_code == 404
    assert Record.objects.count() == 1


def test_given_up_batch_with_its_payload_can_be_retried(api: ApiClient) -> None:
    assert transitions.reopen(number(given_up(api)))
    assert not transitions.reopen(number(landed(api)))


def test_overview_and_an_alert_report_payloads_kept_beyond_their_time(
    api: ApiClient, login: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVERMUSE_ALERT_WEBHOOK_URL = "http://127.0.0.1:9/hook"
    monkeypatch.setattr(alerts, "MUST_LAST", timedelta())
    client = login("viewer")
    lost = given_up(api)
    alerts.watch_old_payloads()
    assert not Alert.objects.exists()
    assert "outlived their retention" not in client.get("/admin/").content.decode()
    Batch.objects.update(created_at=timezone.now() - timedelta(days=9))
    alerts.watch_old_payloads()
    alerts.watch_old_payloads()
    assert [one.body["backlog"] for one in Alert.objects.all()] == ["old payloads"]
    assert "0 batches that have not landed, and 1 that failed for good" in client.get("/admin/").content.decode()
    transitions.reopen(number(lost))
    pipeline.land_waiting()
    alerts.watch_old_payloads()
    assert [one.event for one in Alert.objects.order_by("id")] == ["BACKLOG", "RECOVERED"]
