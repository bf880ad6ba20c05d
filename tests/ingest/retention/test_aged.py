"""Records and files are removed by the age of their event, if their workspace says so; readers can list removals."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.contrib.admin.models import LogEntry
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attachments import removal as files
from attachments.models import Attachment, DownloadAttempt, RemovedObject, StoredFile, UploadIntent
from attachments.queue import sweeper
from evermuse import retention as steps
from ingest import retention
from ingest.clients import holds
from ingest.models import RetentionRun, Workspace
from ingest.pipeline import aged, claims, reprocessing
from ingest.pipeline import landing as pipeline
from lake.models import OpenLanding, Record, RecordVersion, RemovedRecord, Segment
from tests.attachments.journey import file, run, stored
from tests.attachments.test_uploads import intent
from tests.attachments.vendor import Vendor, running
from tests.http_client import NDJSON, ApiClient, lines
from tests.ingest.admin.conftest import login
from tests.ingest.landing import send_and_land
from tests.ingest.sessions import another_session
from tests.journeys.stack import until
from tests.records import record

__all__ = ["login"]

REMOVED = "/api/v1/records/removed"
OLD, NEW = "2020-01-31T12:00:00Z", f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%dT12:00:00Z}"


def keep(workspace: Workspace, **days: Any) -> None:
    Workspace.objects.filter(pk=workspace.pk).update(**days)


def remove(*, kinds: Any = aged.KINDS) -> dict[str, int]:
    return retention.remove_expired(kinds=kinds, seconds=60)


def ids(api: ApiClient) -> list[str]:
    return [row["recordId"] for row in api.get("/api/v1/records", "limit=100").json()["records"]]


def removed(api: ApiClient, query: str = "limit=100") -> list[dict[str, Any]]:
    answer = api.get(REMOVED, query)
    assert answer.status_code == 200, answer.content
    found: list[dict[str, Any]] = answer.json()["removed"]
    return found


def test_records_are_kept_for_ever_by_default(api: ApiClient) -> None:
    send_and_land(api, [record(event_at=OLD)])
    remove()
    assert len(ids(api)) == 1
    assert removed(api) == []


def test_record_of_an_old_event_is_removed_and_listed_as_removed(api: ApiClient, workspace: Workspace) -> None:
    batch_id = send_and_land(api, [record(event_at=OLD), record(event_at=NEW)])
    old = api.rows(batch_id, "records")[0]["recordId"]
    keep(workspace, record_retention_days=365)
    before = timezone.now().timestamp() * 1000
    assert remove()["records"] == 1
    assert ids(api) == [api.rows(batch_id, "records")[1]["recordId"]]
    assert api.get(f"/api/v1/records/{old}").status_code == 404
    [told] = removed(api)
    assert (set(told), told["recordId"], told["reason"]) == ({"recordId", "removedAt", "reason"}, old, "retention")
    assert before - 60_000 < told["removedAt"] <= timezone.now().timestamp() * 1000 + 1
    assert api.batch(batch_id)["acceptedCount"] == 2


def test_earlier_versions_are_removed_with_their_record(api: ApiClient, workspace: Workspace) -> None:
    one = record(event_at=OLD)
    for text in ("a", "b", "c"):
        send_and_land(api, [one | {"data": {"v": text}}])
    keep(workspace, record_retention_days=1)
    remove()
    assert not Record.objects.exists()
    assert not RecordVersion.objects.exists()


def test_removed_record_that_is_sent_again_is_created_after_its_removal(api: ApiClient, workspace: Workspace) -> None:
    one = record(event_at=OLD)
    send_and_land(api, [one])
    keep(workspace, record_retention_days=1)
    remove()
    keep(workspace, record_retention_days=None)
    send_and_land(api, [one])
    [again] = api.get("/api/v1/records").json()["records"]
    assert again["version"] == 1
    assert again["updatedAt"] > removed(api)[0]["removedAt"]


def test_segment_counts_the_lines_of_removed_records_as_dead(api: ApiClient, workspace: Workspace) -> None:
    one = record(event_at=OLD)
    send_and_land(api, [one, record(event_at=NEW)])
    send_and_land(api, [one | {"data": {"v": 2}}])
    keep(workspace, record_retention_days=30)
    remove()
    assert list(Segment.objects.order_by("id").values_list("line_count", "dead_count")) == [(2, 1), (1, 1)]


def test_records_of_other_workspaces_are_not_removed(
    api: ApiClient, workspace: Workspace, new_client: Callable[..., ApiClient], other_workspace: Workspace
) -> None:
    other = new_client(of=other_workspace)
    for client in (api, other):
        send_and_land(client, [record(event_at=OLD)])
    keep(workspace, record_retention_days=1)
    remove()
    assert (len(ids(api)), len(ids(other))) == (0, 1)
    assert removed(other) == []


def test_a_run_removes_all_expired_records_or_says_that_more_are_left(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aged, "RECORDS_AT_ONCE", 2)
    monkeypatch.setattr(steps, "STEP_ITEMS", 3)
    send_and_land(api, [record(vendor_ids={"id": str(n)}, event_at=OLD) for n in range(10)])
    keep(workspace, record_retention_days=365)
    assert retention.remove_expired(kinds=aged.KINDS, seconds=0)["records"] == 3
    assert RetentionRun.objects.get(kind="records").is_whole is False
    assert remove()["records"] == 7
    found = RetentionRun.objects.get(kind="records")
    assert (found.is_whole, found.removed, found.last_removed) == (True, 10, 7)


def test_workspaces_take_turns_when_their_records_are_removed(
    api: ApiClient, new_client: Callable[..., ApiClient], workspace: Workspace, other_workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(aged, "RECORDS_AT_ONCE", 2)
    for client in (api, new_client(of=other_workspace)):
        send_and_land(client, [record(vendor_ids={"id": str(n)}, event_at=OLD) for n in range(6)])
    for one in (workspace, other_workspace):
        keep(one, record_retention_days=365)
    kind = aged.KINDS[0]
    assert kind.due_in_run is not None
    found = [due.key for due in kind.due_in_run(timezone.now())]
    assert len(set(found)) == len(found) == 12
    assert {workspace_id for workspace_id, _ in found[:4]} == {workspace.pk, other_workspace.pk}


def test_dry_run_lists_exactly_the_records_and_files_to_be_removed(api: ApiClient, workspace: Workspace) -> None:
    batch_id = send_and_land(api, [record(event_at=OLD), record(event_at=NEW)])
    keep(workspace, record_retention_days=30)
    out = StringIO()
    call_command("removeexpired", "--dry-run", "records", "attachments", stdout=out)
    told = {one["kind"]: one["expired"] for one in json.loads(out.getvalue())["kinds"]}
    assert told == {"records": [api.rows(batch_id, "records")[0]["recordId"]], "attachments": []}
    assert len(ids(api)) == 2


# -- Legal hold --


def test_legal_hold_keeps_everything_until_it_ends(api: ApiClient, workspace: Workspace) -> None:
    one = record(event_at=OLD)
    for text in ("a", "b"):
        batch_id = send_and_land(api, [one | {"data": {"v": text}}, record(event_at="x")])
    intent(api)
    UploadIntent.objects.update(expires_at=timezone.now() - timedelta(days=1))
    keep(workspace, record_retention_days=1, attachment_retention_days=1, legal_hold=True)
    retention.remove_expired(now=timezone.now() + timedelta(days=1000), seconds=60)
    sweeper.sweep()
    assert len(ids(api)) == 1
    assert RecordVersion.objects.count() == UploadIntent.objects.count() == 1
    assert len(api.rows(batch_id, "records")) == 2
    assert len(api.rows(batch_id, "errors")) == 1
    keep(workspace, legal_hold=False)
    remove()
    assert ids(api) == []


def test_only_an_administrator_changes_retention_and_the_change_is_logged(
    login: Callable[[str], Client], workspace: Workspace
) -> None:
    page = reverse("admin:ingest_workspace_change", args=[workspace.pk])
    form = {"record_retention_days": "365", "attachment_retention_days": "", "legal_hold": "on"}
    for role in ("viewer", "operator"):
        assert login(role).post(page, form).status_code == 403
    assert login("administrator").post(page, form).status_code == 302
    workspace.refresh_from_db()
    assert (workspace.record_retention_days, workspace.attachment_retention_days) == (365, None)
    assert workspace.legal_hold
    noted = LogEntry.objects.filter(change_message__startswith="Retention changed").get()
    assert noted.change_message == "Retention changed (record_retention_days: 365, legal_hold: True)"


@pytest.mark.parametrize("days", ["0", "-1", "36501", "x"])
def test_invalid_number_of_retention_days_is_rejected(
    login: Callable[[str], Client], workspace: Workspace, days: str
) -> None:
    page = reverse("admin:ingest_workspace_change", args=[workspace.pk])
    answer = login("administrator").post(page, {"record_retention_days": days})
    assert answer.context["adminform"].form.errors["record_retention_days"]


@pytest.mark.django_db(transaction=True)
def test_legal_hold_is_set_only_after_a_running_removal_has_ended(
    workspace: Workspace, locked_elsewhere: Callable[[], Any]
) -> None:
    is_set = threading.Event()

    def hold() -> None:
        with closing(connection), transaction.atomic():
            holds.wait_for_removal()
            is_set.set()

    with ThreadPoolExecutor(1) as pool:
        with locked_elsewhere():
            setting = pool.submit(hold)
            until(_waits_for_a_lock, "the hold waits for the removal")
            assert not is_set.is_set()
        setting.result(30)
    assert is_set.is_set()


def _waits_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(cursor.fetchone()[0])


# -- The list --


def test_list_of_removals_continues_from_the_latest_one_in_pages_and_as_a_stream(
    api: ApiClient, workspace: Workspace
) -> None:
    keep(workspace, record_retention_days=1)
    order: list[str] = []
    for _ in range(3):
        batch_id = send_and_land(api, [record(event_at=OLD) for _ in range(3)])
        remove()
        order += sorted(row["recordId"] for row in api.rows(batch_id, "records"))
    seen: list[str] = []
    query = "limit=2"
    while True:
        page = api.get(REMOVED, query).json()
        seen += [row["recordId"] for row in page["removed"]]
        if page["nextCursor"] is None:
            break
        query = f"limit=2&cursor={page['nextCursor']}"
    assert seen == order
    streamed = [json.loads(line) for line in lines(api.get(REMOVED, accept=NDJSON))]
    assert [row["recordId"] for row in streamed] == order
    last = max(row["removedAt"] for row in streamed)
    since = datetime.fromtimestamp(last // 1000, UTC)
    again = removed(api, f"since={since:%Y-%m-%dT%H:%M:%S}.{last % 1000:03d}Z")
    assert [row["recordId"] for row in again] == order[-3:], (
        "since is inclusive, and no removal of that instant is missing"
    )


def test_removals_before_90_days_ago_get_a_410_and_invalid_queries_a_400(api: ApiClient) -> None:
    long_ago = f"{timezone.now() - timedelta(days=91):%Y-%m-%d}"
    for accept in ("application/json", NDJSON):
        answer = api.get(REMOVED, f"since={long_ago}", accept=accept)
        assert (answer.status_code, answer.json()["error"]) == (410, "EXPIRED")
    lately = f"{timezone.now() - timedelta(days=88):%Y-%m-%d}"
    assert api.get(REMOVED, f"since={lately}").json() == {"removed": [], "nextCursor": None}
    for query in ("since=yesterday", "since=", "limit=0", "cursor=x", "type=call", "since=2030-01-01&since=2030-01-02"):
        assert api.get(REMOVED, query).status_code == 400, query


def test_list_of_removals_forgets_them_after_90_days(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, [record(event_at=OLD)])
    keep(workspace, record_retention_days=1)
    remove()
    retention.remove_expired(now=timezone.now() + timedelta(days=89), seconds=60)
    assert len(removed(api)) == 1
    retention.remove_expired(now=timezone.now() + timedelta(days=91), seconds=60)
    assert not RemovedRecord.objects.exists()


def test_records_are_not_removed_while_a_landing_of_their_workspace_is_open(
    api: ApiClient, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a record that it brings back, the landing would commit an earlier time than the removal's."""
    monkeypatch.setattr("lake.removal.LONGEST_WAIT_FOR_LANDINGS", 0.05)
    one = record(event_at=OLD)
    send_and_land(api, [one])
    keep(workspace, record_retention_days=1)
    api.post([one | {"data": {"v": 2}}])
    claimed = claims.claim()
    assert remove()["records"] == 0
    pipeline.land(claimed)
    assert remove()["records"] == 1
    assert not OpenLanding.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_record_locked_by_a_landing_is_removed_in_the_next_run(api: ApiClient, workspace: Workspace) -> None:
    send_and_land(api, [record(event_at=OLD), record(event_at=OLD)])
    keep(workspace, record_retention_days=1)
    first = Record.objects.order_by("id")[0].pk
    with another_session() as other:
        other.execute("SELECT FROM lake_record WHERE id = %s FOR UPDATE", [first])
        assert remove()["records"] == 1
    assert [row.pk for row in Record.objects.all()] == [first]
    assert remove()["records"] == 1


def test_reprocessing_does_not_restore_a_removed_record(api: ApiClient, workspace: Workspace) -> None:
    batch_id = send_and_land(api, [record(event_at=OLD), record(event_at=NEW)])
    keep(workspace, record_retention_days=365)
    remove()
    Record.objects.all().delete()
    assert reprocessing.reprocess(int(batch_id[6:])).restored == 1
    assert len(ids(api)) == 1


# -- Files --


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    with running() as server:
        server.on("/same", lambda exchange: exchange.answer(b"the same content"))
        yield server


def send_file(api: ApiClient, vendor: Vendor, *, event_at: str = OLD, **more: Any) -> str:
    """Sends a record with one file that is fetched; returns the batch's id."""
    batch_id = send_and_land(api, [record(event_at=event_at, attachments=[file(vendor.url("/same"))], **more)])
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    return batch_id


def exists(uri: str) -> bool:
    try:
        stored(uri)
    except Exception:
        return False
    return True


def test_files_of_a_record_are_removed_with_it_rows_first(api: ApiClient, workspace: Workspace, vendor: Vendor) -> None:
    batch_id = send_file(api, vendor)
    uri = Attachment.objects.get().storage_uri
    keep(workspace, record_retention_days=1)
    assert remove()["records"] == 1
    assert not Attachment.objects.exists() and not StoredFile.objects.exists() and not DownloadAttempt.objects.exists()
    assert exists(uri), "the object is deleted after its row"
    assert files.delete_objects() == 1
    assert not exists(uri)
    assert not RemovedObject.objects.exists()
    assert api.rows(batch_id, "attachments") == []
    assert api.batch(batch_id)["attachmentDownloadComplete"] == 1


def test_stored_content_is_deleted_with_its_last_file(api: ApiClient, workspace: Workspace, vendor: Vendor) -> None:
    send_file(api, vendor)
    send_file(api, vendor, event_at=NEW)
    uri = StoredFile.objects.get().storage_uri
    keep(workspace, record_retention_days=365)
    remove()
    assert files.delete_objects() == 0
    assert (Attachment.objects.count(), exists(uri)) == (1, True)
    Record.objects.update(event_at=timezone.now() - timedelta(days=500))
    remove()
    assert files.delete_objects() == 1
    assert not exists(uri)


def test_files_can_be_removed_earlier_than_their_record(api: ApiClient, workspace: Workspace, vendor: Vendor) -> None:
    batch_id = send_file(api, vendor)
    send_file(api, vendor, event_at=NEW)
    keep(workspace, attachment_retention_days=30)
    assert remove()["attachments"] == 1
    assert len(ids(api)) == 2
    assert removed(api) == []
    assert api.rows(batch_id, "attachments") == []


def test_record_is_kept_until_its_files_have_been_fetched(api: ApiClient, workspace: Workspace, vendor: Vendor) -> None:
    batch_id = send_and_land(api, [record(event_at=OLD, attachments=[file(vendor.url("/same"))])])
    keep(workspace, record_retention_days=1, attachment_retention_days=1)
    assert remove() == {"records": 0, "attachments": 0}
    assert run(api, batch_id)["status"] == "COMPLETE"
    assert remove()["records"] == 1


def test_removed_file_is_fetched_again_when_its_record_is_sent_again(
    api: ApiClient, workspace: Workspace, vendor: Vendor
) -> None:
    one = record(event_at=OLD, attachments=[file(vendor.url("/same"))])
    first = send_and_land(api, [one])
    run(api, first)
    second = send_and_land(api, [one])
    assert [row["state"] for row in api.rows(second, "attachments")] == ["COMPLETE"], "no request was made"
    keep(workspace, attachment_retention_days=1)
    remove()
    files.delete_objects()
    keep(workspace, attachment_retention_days=None)
    third = send_and_land(api, [one])
    assert run(api, third)["attachmentDownloadStatus"] == "COMPLETE"
    assert exists(api.rows(third, "attachments")[0]["storageUri"])


@pytest.mark.django_db(transaction=True)
def test_registration_waits_for_a_removal_and_does_not_use_removed_content(
    api: ApiClient, workspace: Workspace, vendor: Vendor
) -> None:
    one = record(event_at=OLD, attachments=[file(vendor.url("/same"))])
    run(api, send_and_land(api, [one]))
    batch_id = api.post([one]).json()["batchId"]
    attachment = Attachment.objects.get()

    def land() -> None:
        with closing(connection):
            pipeline.land_waiting()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            files.remove_of_records([attachment.record_id])
            landing = pool.submit(land)
            until(_waits_for_a_lock, "registration waits for the content's row")
        landing.result(30)
    [row] = api.rows(batch_id, "attachments")
    assert (row["state"], row["storageUri"]) == ("PENDING", None)


def test_object_that_is_in_use_again_is_not_deleted(workspace: Workspace) -> None:
    uri = "s3://evermuse-lake/kept"
    RemovedObject.objects.create(storage_uri=uri, since=timezone.now() - timedelta(seconds=1))
    StoredFile.objects.create(workspace=workspace, sha256=b"x" * 32, storage_uri=uri, size=1, created_at=timezone.now())
    assert files.delete_objects() == 1
    assert not RemovedObject.objects.exists()


def test_path_of_removed_records_is_not_read_as_a_record_id(api: ApiClient) -> None:
    assert api.get(f"/api/v1/records/rec_{UUID(int=1).hex}").status_code == 404
    assert api.get("/api/v1/records/removed/").status_code == 200
