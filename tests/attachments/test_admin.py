"""The admin's page of a file: it is found by host and batch, previewed and retried; a viewer sees no URL."""

import uuid

import pytest
import requests
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from attachments.fetch import file_urls
from attachments.models import Attachment, AttachmentTally, VendorHost
from deploy.local.embedded import Servers
from evermuse import public_ids
from ingest.models import Batch, Workspace
from lake import object_store
from tests.staff import logged_in

URL = "https://files.example/secret-path/a.png"
HOST = "files.example:443"
PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 64


@pytest.fixture
def operator(db: None) -> Client:
    return logged_in("view_attachment", "view_vendorhost", "see_payloads", "operate")


@pytest.fixture
def viewer(db: None) -> Client:
    return logged_in("view_attachment", "view_vendorhost")


@pytest.fixture
def file(workspace: Workspace) -> Attachment:
    """A FAILED file, the only one of its batch."""
    batch = Batch.objects.create(
        workspace=workspace, source="api", type="call", status="COMPLETE", created_at=timezone.now(), record_count=1,
        accepted_count=1, rejected_count=0, error_count=0,
    )  # fmt: skip
    AttachmentTally.objects.create(batch=batch, total=1, failed=1)
    VendorHost.objects.create(host=HOST)
    return Attachment.objects.create(
        workspace=workspace, batch=batch, record_id=uuid.uuid4(), record_index=0, position=0, type="image",
        filename="a.png", vendor_url=URL, host=HOST, origin=b"o" * 16, state="FAILED", error_code="HTTP_404",
        error_message="the server answered HTTP 404", created_at=timezone.now(),
    )  # fmt: skip


def page(client: Client, file: Attachment) -> str:
    return client.get(reverse("admin:attachments_attachment_change", args=[file.pk])).content.decode()


def act(client: Client, file: Attachment, **fields: str) -> tuple[int, str]:
    answer = client.post(reverse("admin:attachments_attachment_act", args=[file.pk]), fields, follow=True)
    return answer.status_code, answer.content.decode()


def test_files_are_found_by_the_ids_that_the_api_and_the_log_show(viewer: Client, file: Attachment) -> None:
    path = reverse("admin:attachments_attachment_changelist")
    for wanted in (file.public_id, f" {file.batch.public_id} ", str(file.pk)):
        assert file.public_id in viewer.get(path, {"q": wanted}).content.decode(), wanted
    other = public_ids.of_attachment(file.pk + 1)
    assert file.public_id not in viewer.get(path, {"q": other}).content.decode()


def test_page_of_a_file_links_to_its_record_if_that_is_stored(operator: Client, file: Attachment) -> None:
    assert f"{public_ids.of_record(file.record_id)} (not stored)" in page(operator, file)


def test_operator_retries_a_failed_file_and_its_counters_are_reset(operator: Client, file: Attachment) -> None:
    assert "The download starts again" in act(operator, file, act="retry")[1]
    file.refresh_from_db()
    tally = AttachmentTally.objects.get()
    assert (file.state, file.attempts, tally.failed, tally.has_begun) == ("PENDING", 0, 0, True)
    assert "The file is not FAILED" in act(operator, file, act="retry")[1]
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Retried"]


def test_operator_sets_a_fresh_url_and_an_invalid_one_names_the_rule(operator: Client, file: Attachment) -> None:
    assert "must be an absolute URI" in act(operator, file, act="fresh-url", vendor_url="no url")[1]
    file.refresh_from_db()
    assert (file.state, file.vendor_url) == ("FAILED", URL)
    act(operator, file, act="fresh-url", vendor_url="https://other.example/b.png")
    file.refresh_from_db()
    assert (file.state, file.vendor_url, file.host) == ("PENDING", "https://other.example/b.png", "other.example:443")
    assert AttachmentTally.objects.get().failed == 0


def test_operator_pauses_and_resumes_a_host_and_both_are_logged(operator: Client, file: Attachment) -> None:
    assert "The host is paused" in act(operator, file, act="pause")[1]
    assert VendorHost.objects.get().paused_at is not None
    assert "The host is resumed" in act(operator, file, act="resume")[1]
    assert VendorHost.objects.get().paused_at is None
    assert sorted(entry.change_message for entry in LogEntry.objects.all()) == ["Paused", "Resumed"]


def test_viewer_sees_no_url_of_a_file_and_cannot_retry_it(viewer: Client, file: Attachment) -> None:
    shown = page(viewer, file)
    assert "HTTP_404" in shown
    assert "secret-path" not in shown
    assert "Start again with this URL" not in shown
    assert act(viewer, file, act="retry")[0] == 403
    file.refresh_from_db()
    assert file.state == "FAILED"


def test_list_of_files_filters_by_host_and_error(operator: Client, file: Attachment) -> None:
    url = reverse("admin:attachments_attachment_changelist")
    assert file.public_id in operator.get(url, {"host__exact": HOST, "error_code": "HTTP_404"}).content.decode()
    assert file.public_id not in operator.get(url, {"host__exact": "another:443"}).content.decode()


def test_preview_of_a_stored_image_is_served_inline(
    operator: Client, viewer: Client, file: Attachment, servers: Servers
) -> None:
    object_store.ensure_bucket()
    uri = object_store.put(f"previews/{file.pk}", PNG, "image/png")
    Attachment.objects.update(state="COMPLETE", mime_type="image/png", size=len(PNG), storage_uri=uri)
    assert '<img class="file-preview"' in page(operator, file)
    assert '<img class="file-preview"' not in page(viewer, file)
    answer = requests.get(file_urls.preview_url(uri, mime_type="image/png"), timeout=10)
    assert (answer.content, answer.headers["Content-Type"]) == (PNG, "image/png")
    assert answer.headers["Content-Disposition"] == "inline"


@pytest.mark.parametrize(
    ("mime_type", "kind"),
    [("image/png", "image"), ("audio/mpeg", "audio"), ("video/mp4", "video"), ("application/pdf", "pdf"),
     ("image/svg+xml", ""), ("text/html", ""), ("application/octet-stream", ""), ("", "")],
)  # fmt: skip
def test_only_media_types_that_run_no_script_have_a_preview(mime_type: str, kind: str) -> None:
    assert file_urls.preview_kind(mime_type) == kind
