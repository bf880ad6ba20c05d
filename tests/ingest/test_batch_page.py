"""The admin's page of a batch: its timeline, who may see what, and what an operator can do."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attachments.models import Attachment, AttachmentTally
from attachments.processor import AttachmentDownloads
from ingest.models import Batch, ProcessorRun, Project, Workspace
from ingest.pipeline import landing as pipeline
from lake import processors
from lake.models import RejectedRecord
from lake.processors import Processor, WakeUp
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record
from tests.staff import logged_in

SECRET_WORDS = "what the customer said"


@pytest.fixture
def operator(db: None) -> Client:
    return logged_in("view_batch", "see_payloads", "operate")


@pytest.fixture
def viewer(db: None) -> Client:
    return logged_in("view_batch")


def page(client: Client, batch_id: str, **query: int) -> str:
    answer = client.get(reverse("admin:ingest_batch_change", args=[int(batch_id[6:])]), query)
    assert answer.status_code == 200
    return answer.content.decode()


def act(client: Client, batch_id: str, what: str = "retry") -> tuple[int, str]:
    answer = client.post(reverse("admin:ingest_batch_act", args=[int(batch_id[6:])]), {"act": what}, follow=True)
    return answer.status_code, answer.content.decode()


def test_page_of_a_batch_shows_timeline_outcomes_and_errors_by_field(api: ApiClient, operator: Client) -> None:
    good = record(vendor_ids={"id": "1"})
    bad = record(tags=[1, 2], data={"text": SECRET_WORDS})
    batch_id = send_and_land(api, [good, record(vendor_ids={"id": "1"}), bad, record(project_ids=["nobody"])])
    shown = page(operator, batch_id)
    for word in ("Accepted", "Landed", "Processing", "Complete", "COMPLETE", "created", "superseded", "s3://"):
        assert word in shown
    assert "<code>/_tags/*</code>" in shown
    assert "<td>2</td><td><code>VALIDATION_ERROR</code>" in shown
    assert "the project &#x27;nobody&#x27; is not known" in shown
    assert SECRET_WORDS in shown


def test_page_of_a_waiting_batch_shows_its_records_as_pending(api: ApiClient, operator: Client) -> None:
    batch_id = api.post([record(), {"bad": 1}]).json()["batchId"]
    shown = page(operator, batch_id)
    assert "data-follow" in shown
    assert '<dt class="batch-indent">pending</dt><dd>1</dd>' in shown
    assert '<dt class="batch-indent">rejected</dt><dd>1</dd>' in shown


def test_page_of_a_complete_batch_follows_a_file_that_is_downloaded_again(api: ApiClient, operator: Client) -> None:
    batch_id = send_and_land(api, record())
    batch = Batch.objects.get()
    Attachment.objects.create(
        workspace=batch.workspace, batch=batch, record_id=uuid4(), record_index=0, position=0, type="audio",
        origin=b"o" * 16, state="FAILED", error_code="HTTP_404", created_at=timezone.now(), host="files.example:443",
        filename="\u202egnp.exe",
    )  # fmt: skip
    AttachmentTally.objects.create(batch=batch, total=1, failed=1)
    assert batch.status == "COMPLETE"
    assert "data-follow" not in page(operator, batch_id)
    # A name that changes the direction of text must not turn the words after it round.
    assert "<bdi>\u202egnp.exe</bdi>" in page(operator, batch_id)
    assert "data-follow" in act(operator, batch_id)[1]


def test_viewer_sees_no_payload_of_a_batch_and_cannot_retry_it(api: ApiClient, viewer: Client) -> None:
    batch_id = api.post([record(project_ids=["nobody"], data={"text": SECRET_WORDS})]).json()["details"]["batchId"]
    shown = page(viewer, batch_id)
    assert "UNKNOWN_PROJECT" in shown
    assert SECRET_WORDS not in shown
    assert "Retry failed parts" not in shown
    number = int(batch_id[6:])
    assert viewer.get(reverse("admin:ingest_batch_payload", args=[number])).status_code == 403
    assert viewer.get(reverse("admin:ingest_batch_rejected", args=[number])).status_code == 403
    assert act(viewer, batch_id)[0] == 403
    assert Batch.objects.get().status == "FAILED"


def test_operator_retries_a_failed_batch_and_it_completes(
    api: ApiClient, operator: Client, workspace: Workspace
) -> None:
    batch_id = api.post([record(project_ids=["new"])]).json()["details"]["batchId"]
    Project.objects.create(workspace=workspace, product=workspace.products.get(), project_id="new")
    status, shown = act(operator, batch_id)
    assert (status, "Retried" in shown) == (200, True)
    pipeline.land_waiting()
    assert Batch.objects.get().status == "COMPLETE"
    assert LogEntry.objects.get().change_message == "Retried"
    assert "Nothing in this batch has failed" in act(operator, batch_id)[1]
    assert LogEntry.objects.count() == 1


def test_downloads_of_a_batch_are_the_sent_bytes_and_the_rejected_lines(api: ApiClient, operator: Client) -> None:
    raw = b'[{"bad":  1.0}, {"worse": "\\ud800"}]'
    number = int(api.post(raw).json()["details"]["batchId"][6:])
    payload = operator.get(reverse("admin:ingest_batch_payload", args=[number]))
    assert (payload.content, payload["Content-Type"]) == (raw, "application/json")
    lines = b"".join(operator.get(reverse("admin:ingest_batch_rejected", args=[number])).streaming_content)  # type: ignore[attr-defined]
    assert lines.count(b"\n") == 2
    assert b'"payload":{"bad":  1.0}' in lines


def test_page_of_a_thousand_rejected_records_takes_few_queries(
    api: ApiClient, operator: Client, django_assert_max_num_queries: Any
) -> None:
    batch_id = api.post([{"bad": n} for n in range(1000)]).json()["details"]["batchId"]
    with django_assert_max_num_queries(20):
        shown = page(operator, batch_id)
    assert shown.count('aria-label="Rejected record ') == 20
    assert "?rejected=20" in shown
    assert 'aria-label="Rejected record 20"' in page(operator, batch_id, rejected=20)
    assert RejectedRecord.objects.count() == 1000


class Broken(Processor):
    """A processor that raises an error with a record's text in it."""

    name = "word-counts"

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None:
        raise ValueError(SECRET_WORDS)

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        return set()


def test_page_of_a_batch_shows_the_progress_of_each_processor(
    api: ApiClient, operator: Client, viewer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processors, "installed", lambda: (AttachmentDownloads(), Broken()))
    batch_id = send_and_land(api, record())
    shown = page(operator, batch_id)
    assert re.search(r"<code>attachments</code></td><td>settled 2", shown)
    assert re.search(r"<code>word-counts</code></td><td>failed once; called again at 2", shown)
    assert f"ValueError: {SECRET_WORDS}" in shown
    assert "Retry failed parts" in shown
    unseen = page(viewer, batch_id)
    assert "<td>ValueError</td>" in unseen
    assert SECRET_WORDS not in unseen

    assert "Retried" in act(operator, batch_id)[1]
    assert not ProcessorRun.objects.filter(next_attempt_at__isnull=False).exists()


def test_page_of_a_batch_shows_a_processor_that_settled_during_landing(api: ApiClient, operator: Client) -> None:
    batch_id = send_and_land(api, record())
    assert not ProcessorRun.objects.exists()
    assert re.search(r"<code>attachments</code></td><td>settled 2", page(operator, batch_id))
