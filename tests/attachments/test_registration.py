"""Registration makes rows and counters from the attachments of landed batches."""

from typing import Any

import pytest

from attachments.models import Attachment, AttachmentTally, VendorHost
from attachments.queue.registration import MAX_BIGINT
from ingest.pipeline import landing as pipeline
from tests.attachments import journey
from tests.attachments.journey import file
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

pytestmark = pytest.mark.usefixtures("empty_store")


def rows(batch_id: str) -> list[Attachment]:
    return list(Attachment.objects.filter(batch_id=int(batch_id[6:])).order_by("record_index", "position"))


def tally(batch_id: str) -> tuple[int, int, int]:
    found = AttachmentTally.objects.get(batch_id=int(batch_id[6:]))
    return found.total, found.complete, found.failed


def test_each_field_of_an_attachment_is_stored_in_its_column(api: ApiClient) -> None:
    entry: dict[str, Any] = {
        "type": "audio", "filename": "a\0b \u2028 é.mp3", "vendor_url": "https://files.example:8443/x?y=%20z",
        "mime_type": "audio/mpeg", "size": 2**64, "sha1": "ABC", "md5": "def",
    }  # fmt: skip
    batch_id = send_and_land(api, record(attachments=[{"type": "text", "filename": "metadata alone"}, entry]))
    (row,) = rows(batch_id)
    assert (row.record_index, row.position, row.type, row.filename) == (0, 1, "audio", "a\ufffdb \u2028 é.mp3")
    assert (row.vendor_url, row.host, row.upload_intent_id) == (entry["vendor_url"], "files.example:8443", "")
    assert (row.declared_mime_type, row.declared_sha1, row.declared_md5) == ("audio/mpeg", "ABC", "def")
    assert row.declared_size == MAX_BIGINT
    assert (row.state, row.attempts, row.claim_token, row.error_code) == ("PENDING", 0, 0, "")
    assert row.next_attempt_at == row.created_at and row.completed_at is None and row.size is None
    assert tally(batch_id) == (1, 0, 0)
    assert VendorHost.objects.get(host="files.example:8443").paused_at is None


def test_attachment_without_a_file_leaves_no_row_and_no_counter(api: ApiClient) -> None:
    batch_id = send_and_land(api, record(attachments=[{"type": "text", "filename": "x"}]))
    assert not rows(batch_id) and not AttachmentTally.objects.exists() and not VendorHost.objects.exists()


def test_batches_that_land_together_have_separate_counters(api: ApiClient) -> None:
    one = [record(attachments=[file("http://a.example/1"), file("http://b.example/1")]), record(attachments=[])]
    two = [record(attachments=[file("http://a.example/2")]), record(attachments=[file("http://a.example/3")])]
    ids = [api.post(batch).json()["batchId"] for batch in (one, two)]
    pipeline.land_waiting()
    assert [tally(batch_id) for batch_id in ids] == [(2, 0, 0), (2, 0, 0)]
    assert [[(row.record_index, row.position) for row in rows(i)] for i in ids] == [[(0, 0), (0, 1)], [(0, 0), (1, 0)]]
    assert set(VendorHost.objects.values_list("host", flat=True)) == {"a.example:80", "b.example:80"}


def test_file_that_the_record_already_has_is_complete_without_a_download(api: ApiClient, vendor: Vendor) -> None:
    """A different record, checksum or URL causes a download, and so does a file that failed before."""
    url = vendor.on("/a", lambda x: x.answer(b"content", Content_Type="audio/mpeg"))
    missing = vendor.on("/b", lambda x: x.answer(status="404 Not Found"))
    same = record(attachments=[file(url), file(missing)])
    first = send_and_land(api, same)
    journey.run(api, first)
    (stored, failed) = rows(first)
    assert (stored.state, failed.state) == ("COMPLETE", "FAILED")
    others = [record(attachments=[file(url)]), {**same, "_attachments": [file(url, size=7)]}]
    again = send_and_land(api, [same, *others])
    states = [(row.record_index, row.position, row.state) for row in rows(again)]
    assert states == [(0, 0, "COMPLETE"), (0, 1, "PENDING"), (1, 0, "PENDING"), (2, 0, "PENDING")]
    copy = rows(again)[0]
    assert copy.storage_uri == stored.storage_uri != "" and copy.attempts == 0
    assert (copy.size, copy.mime_type, copy.sha256) == (stored.size, stored.mime_type, stored.sha256)
    assert (copy.sha1, copy.md5) == (stored.sha1, stored.md5)
    assert copy.completed_at == copy.created_at and copy.next_attempt_at is None
    assert tally(again) == (4, 1, 0)
