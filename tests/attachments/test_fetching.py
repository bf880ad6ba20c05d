"""From a record's attachment to a stored object and a ledger entry, with a real HTTP server and a real store."""

import gzip
import hashlib
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import urllib3
from django.utils import timezone
from pytest_django.fixtures import Settings

from attachments import fetching
from attachments.download_failures import DownloadFailure
from attachments.fetch.upload import PART_BYTES, Upload
from attachments.models import Attachment, AttachmentTally, DownloadAttempt, StoredFile
from attachments.queue import claims, sweeper
from attachments.queue.claims import DownloadClaim
from evermuse import retry_policy
from evermuse.errors import LeaseLost, StoreUnavailable
from evermuse.retry_policy import RetryPolicy
from ingest.models import Workspace
from lake import object_store
from tests.attachments.journey import file, make_due, objects, run, send, stored
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

pytestmark = pytest.mark.usefixtures("empty_store")

BODY = b"audio" * 1000
LEDGER_FIELDS = {
    "attachmentId", "recordId", "recordIndex", "position", "type", "filename", "vendorUrl", "state", "size", "mimeType",
    "sha256", "sha1", "md5", "storageUri", "downloadUrl", "nextAttemptAt", "error", "attempts",
}  # fmt: skip


def test_fetched_file_is_verified_stored_and_listed_in_the_ledger(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/call", lambda x: x.answer(BODY, Content_Type="audio/mpeg; charset=x"))
    sha1, md5 = hashlib.sha1(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()
    batch_id = send(api, file(url, size=len(BODY), sha1=sha1.upper(), md5=md5))
    before = api.batch(batch_id)
    assert (before["status"], before["attachmentDownloadStatus"], before["attachmentDownloadTotal"]) == (
        "PROCESSING",
        "PENDING",
        1,
    )
    after = run(api, batch_id)
    assert {k: v for k, v in after.items() if k.startswith("attach")} | {"status": after["status"]} == {
        "attachmentDownloadTotal": 1,
        "attachmentDownloadComplete": 1,
        "attachmentDownloadFailed": 0,
        "attachmentDownloadStatus": "COMPLETE",
        "status": "COMPLETE",
    }
    (entry,) = api.rows(batch_id, "attachments")
    assert set(entry) == LEDGER_FIELDS
    assert stored(entry["storageUri"]) == BODY
    assert (entry["size"], entry["sha256"]) == (len(BODY), hashlib.sha256(BODY).hexdigest())
    assert (entry["sha1"], entry["md5"], entry["mimeType"]) == (sha1, md5, "audio/mpeg")
    assert (entry["state"], entry["error"], entry["nextAttemptAt"], entry["vendorUrl"]) == ("COMPLETE", None, None, url)
    (attempt,) = entry["attempts"]
    assert (attempt["code"], attempt["httpStatus"], attempt["bytes"]) == ("OK", 200, len(BODY))
    downloaded = urllib3.request("GET", entry["downloadUrl"])
    assert (downloaded.data, downloaded.headers["content-type"]) == (BODY, "audio/mpeg")
    assert 'filename="call.mp3"' in downloaded.headers["content-disposition"]


def test_batch_of_failed_and_fetched_files_completes_with_exact_counts(api: ApiClient, vendor: Vendor) -> None:
    good = vendor.on("/a", lambda x: x.answer(BODY))
    batch_id = send(api, file(good), file(vendor.url("/missing")))
    after = run(api, batch_id)
    assert (after["status"], after["attachmentDownloadStatus"]) == ("COMPLETE", "PARTIAL_FAILURE")
    assert (after["attachmentDownloadComplete"], after["attachmentDownloadFailed"]) == (1, 1)
    entry = api.rows(batch_id, "attachments")[1]
    assert (entry["state"], entry["error"]["code"]) == ("FAILED", "HTTP_404")
    assert "404" in entry["error"]["message"]


def test_attachment_without_url_or_intent_is_not_counted(api: ApiClient) -> None:
    batch_id = send(api, {"type": "file", "filename": "x"})
    assert "attachmentDownloadTotal" not in api.batch(batch_id)
    assert api.batch(batch_id)["status"] == "COMPLETE"
    assert api.rows(batch_id, "attachments") == []


def test_attachment_with_url_and_intent_fails_while_its_record_is_accepted(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.url("/a"), upload_intent_id="x"))
    after = run(api, batch_id)
    assert (after["acceptedCount"], after["status"], after["attachmentDownloadFailed"]) == (1, "COMPLETE", 1)
    assert api.rows(batch_id, "attachments")[0]["error"]["code"] == "INTENT_AND_URL"
    assert vendor.requests == []


@pytest.mark.parametrize(
    ("declared", "code"),
    [({"size": len(BODY) + 1}, "SIZE_MISMATCH"), ({"sha1": "0" * 40}, "SHA1_MISMATCH"), ({"md5": "0" * 32}, "MD5_MISMATCH"), ({"size": 2**70}, "SIZE_MISMATCH")],
)  # fmt: skip
def test_file_that_differs_from_its_declaration_leaves_no_object(
    api: ApiClient, vendor: Vendor, declared: dict[str, object], code: str
) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(BODY)), **declared))
    assert run(api, batch_id)["attachmentDownloadStatus"] == "FAILED"
    assert api.rows(batch_id, "attachments")[0]["error"]["code"] == code
    assert objects() == set()


@pytest.mark.parametrize(
    ("declared", "answer", "code"),
    [
        ({"type": "audio"}, {"Content_Type": "text/html"}, "UNEXPECTED_CONTENT"),
        ({"type": "audio"}, {}, "UNEXPECTED_CONTENT"),
        ({"type": "file", "mime_type": "application/pdf"}, {}, "UNEXPECTED_CONTENT"),
        ({"type": "file", "filename": "contract.pdf"}, {"Content_Type": "text/html"}, "UNEXPECTED_CONTENT"),
        ({"type": "file", "filename": "page"}, {"Content_Type": "text/html"}, None),
        ({"type": "text", "mime_type": "text/html"}, {"Content_Type": "text/html"}, None),
    ],
)
def test_html_page_in_place_of_declared_media_fails_as_unexpected_content(
    api: ApiClient, vendor: Vendor, declared: dict[str, Any], answer: dict[str, str], code: str | None
) -> None:
    page = b"  <!DOCTYPE html><html><body>Please log in</body></html>"
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(page, **answer)), **declared))
    run(api, batch_id)
    entry = api.rows(batch_id, "attachments")[0]
    assert (entry["error"] or {}).get("code") == code


@pytest.mark.parametrize("announced", [True, False])
def test_size_limit_applies_whatever_the_headers_say(
    api: ApiClient, vendor: Vendor, settings: Settings, announced: bool
) -> None:
    settings.EVERMUSE_ATTACHMENT_MAX_BYTES = 1000
    length = {} if announced else {"Content_Length": ""}
    over = file(vendor.on("/over", lambda x: x.answer(bytes(1001), **length)))
    exact = file(vendor.on("/exact", lambda x: x.answer(bytes(1000), **length)))
    packed = file(
        vendor.on("/gz", lambda x: x.answer(gzip.compress(bytes(9_000_000)), Content_Encoding="gzip", **length))
    )
    batch_id = send(api, over, exact, packed)
    run(api, batch_id)
    codes = [(entry["error"] or {}).get("code") for entry in api.rows(batch_id, "attachments")]
    assert codes == ["TOO_LARGE", None, "TOO_LARGE"]


def test_file_is_fetched_again_after_a_transient_fault_and_both_attempts_are_listed(
    api: ApiClient, vendor: Vendor
) -> None:
    url = vendor.on("/a", lambda x: x.answer(status="503 Later", Retry_After="30"))
    batch_id = send(api, file(url))
    waiting = run(api, batch_id)
    assert (waiting["status"], waiting["attachmentDownloadStatus"]) == ("PROCESSING", "IN_PROGRESS")
    (entry,) = api.rows(batch_id, "attachments")
    assert entry["state"] == "PENDING"
    assert entry["nextAttemptAt"] - entry["attempts"][0]["startedAt"] >= 30_000
    vendor.on("/a", lambda x: x.answer(BODY))
    make_due()
    assert run(api, batch_id)["status"] == "COMPLETE"
    (entry,) = api.rows(batch_id, "attachments")
    assert [(a["code"], a["httpStatus"]) for a in entry["attempts"]] == [("HTTP_503", 503), ("OK", 200)]


def test_file_fails_after_the_maximum_number_of_attempts(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.reset())))
    attempts = retry_policy.downloads().max_attempts
    assert attempts is not None
    for _ in range(attempts + 2):
        make_due()
        run(api, batch_id)
    (entry,) = api.rows(batch_id, "attachments")
    assert (entry["state"], len(entry["attempts"])) == ("FAILED", attempts)
    assert api.batch(batch_id)["status"] == "COMPLETE"


def claim_of(attempts: int, *, window: float = 0.0) -> DownloadClaim:
    """Returns a claim with this number of attempts."""
    return DownloadClaim(
        id=1,
        token=1,
        batch_id=1,
        workspace_id=1,
        type="file",
        filename="",
        vendor_url="http://x/",
        upload_intent_id="",
        declared_mime_type="",
        declared_size=None,
        declared_sha1="",
        declared_md5="",
        attempts=attempts,
        window_seconds=window,
        host="x:80",
        kept_token=None,
        origin=b"",
    )


def test_retry_waits_grow_and_end_with_the_last_attempt() -> None:
    fault = DownloadFailure("HTTP_503", "", is_transient=True)
    policy = retry_policy.downloads()
    assert policy.max_attempts is not None
    for attempt in range(1, policy.max_attempts):
        wait = fetching.next_wait(claim_of(attempt), fault)
        assert wait is not None
        expected = min(policy.first * policy.factor ** (attempt - 1), policy.longest)
        assert 1 - policy.jitter <= wait / expected <= 1 + policy.jitter
    assert fetching.next_wait(claim_of(policy.max_attempts), fault) is None
    assert fetching.next_wait(claim_of(1), DownloadFailure("HTTP_404", "", is_transient=False)) is None


def test_retry_waits_honour_retry_after_and_end_with_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """With figures of its own, because a backoff longer than the asked wait would hide it."""
    policy = RetryPolicy(first=2.0, longest=10.0, jitter=0.5, longest_asked=100.0, max_attempts=6, window=200.0)
    monkeypatch.setattr(retry_policy, "downloads", lambda: policy)
    fault = DownloadFailure("HTTP_503", "", is_transient=True)
    asked = DownloadFailure("HTTP_429", "", is_transient=True, retry_after=60)
    absurd = DownloadFailure("HTTP_429", "", is_transient=True, retry_after=86_400)
    assert fetching.next_wait(claim_of(1), asked) == 60
    assert fetching.next_wait(claim_of(1), absurd) == 100
    assert fetching.next_wait(claim_of(3, window=160.0), absurd) == 40
    assert fetching.next_wait(claim_of(2, window=199.5), fault) is None


def test_same_content_is_stored_once_in_a_workspace(api: ApiClient, vendor: Vendor) -> None:
    urls = [vendor.on(f"/{n}", lambda x: x.answer(BODY)) for n in range(3)]
    batch_id = send(api, *(file(url) for url in urls))
    run(api, batch_id)
    assert len({entry["storageUri"] for entry in api.rows(batch_id, "attachments")}) == 1
    assert (len(objects()), StoredFile.objects.count()) == (1, 1)


def test_two_workspaces_do_not_share_stored_content(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace, vendor: Vendor
) -> None:
    url = vendor.on("/a", lambda x: x.answer(BODY))
    batch_id = send(api, file(url))
    foreign = new_client(of=other_workspace)
    other = send(foreign, file(url))
    run(api, batch_id)
    run(foreign, other)
    assert len(objects()) == 2


def test_resent_record_with_the_same_file_makes_no_request(api: ApiClient, vendor: Vendor) -> None:
    one = record(attachments=[file(vendor.on("/a", lambda x: x.answer(BODY)))])
    run(api, send_and_land(api, one))
    again = send_and_land(api, one)
    status = api.batch(again)
    assert (status["status"], status["attachmentDownloadStatus"], status["attachmentDownloadTotal"]) == (
        "COMPLETE",
        "COMPLETE",
        1,
    )
    (entry,) = api.rows(again, "attachments")
    assert (entry["state"], entry["attempts"], stored(entry["storageUri"])) == ("COMPLETE", [], BODY)
    assert len(vendor.requests) == 1
    one["_attachments"][0]["sha1"] = hashlib.sha1(BODY).hexdigest()
    run(api, send_and_land(api, one))
    assert len(vendor.requests) == 2


def test_attachments_of_superseded_records_are_counted_too(api: ApiClient, vendor: Vendor) -> None:
    ids = {"vendor_ids": {"id": "same"}}
    urls = [vendor.on(f"/{n}", lambda x: x.answer(BODY)) for n in range(2)]
    batch_id = send_and_land(api, [record(**ids, attachments=[file(url)]) for url in urls])
    assert run(api, batch_id)["attachmentDownloadTotal"] == 2


def test_batch_stays_complete_while_its_failed_file_is_retried(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.url("/a")))
    assert run(api, batch_id)["attachmentDownloadStatus"] == "FAILED"
    vendor.on("/a", lambda x: x.answer(BODY))
    answer = api.post(b"", path=f"/api/v1/ingest/batches/{batch_id}/retry")
    body = answer.json()
    assert (answer.status_code, body["status"], body["attachmentDownloadStatus"], body["attachmentDownloadFailed"]) == (
        202,
        "COMPLETE",
        "IN_PROGRESS",
        0,
    )
    after = run(api, batch_id)
    assert (after["status"], after["attachmentDownloadStatus"]) == ("COMPLETE", "COMPLETE")
    assert len(api.rows(batch_id, "attachments")[0]["attempts"]) == 2


def test_worker_without_a_valid_claim_cannot_settle_its_file(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(BODY))))
    stale = claims.take()
    assert stale is not None
    Attachment.objects.update(claimed_until=timezone.now() - timedelta(days=1))
    sweeper.sweep()
    assert run(api, batch_id)["attachmentDownloadComplete"] == 1
    with pytest.raises(LeaseLost):
        claims.fail(stale, DownloadFailure("X", "late", is_transient=False), received=0, wait=None)
    with pytest.raises(LeaseLost):
        claims.complete(stale, claims.Stored("s3://x/y", 1, "", "00" * 32, "", ""), received=1, http_status=200)
    assert (AttachmentTally.objects.get().complete, AttachmentTally.objects.get().failed) == (1, 0)
    codes = [a["code"] for a in api.rows(batch_id, "attachments")[0]["attempts"]]
    assert codes == ["WORKER_LOST", "OK"]


def test_sweeper_removes_what_a_killed_attempt_left_in_the_store(api: ApiClient, vendor: Vendor) -> None:
    send(api, file(vendor.url("/a")))
    claim = claims.take()
    assert claim is not None
    key = f"attachments/workspace={claim.workspace}/att_{claim.id:019d}/{claim.token}"
    upload = Upload(key, "audio/mpeg")
    upload.write(bytes(PART_BYTES + 1))
    upload._wait(0)
    finished = f"attachments/workspace={claim.workspace}/att_{claim.id:019d}/0"
    DownloadAttempt.objects.create(
        attachment_id=claim.id, token=0, started_at=timezone.now(), finished_at=timezone.now(), leftovers=True
    )
    object_store.put(finished, b"x", "audio/mpeg")
    Attachment.objects.update(claimed_until=timezone.now() - timedelta(days=1))
    sweeper.sweep()
    assert objects() == set()
    assert object_store.client()._list_multipart_uploads("evermuse-lake", prefix="attachments/").uploads == []
    assert not DownloadAttempt.objects.filter(leftovers=True).exists()


def test_attempt_is_not_counted_while_the_store_is_unavailable(
    api: ApiClient, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(self: Upload) -> str:
        raise StoreUnavailable("connection refused")

    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(BODY))))
    with monkeypatch.context() as patch:
        patch.setattr(Upload, "complete", away)
        for _ in range(8):
            make_due()
            run(api, batch_id)
    assert Attachment.objects.get().state == "PENDING"
    make_due()
    assert run(api, batch_id)["attachmentDownloadComplete"] == 1


def test_claims_alternate_between_vendors_within_the_limit_of_each(
    api: ApiClient, settings: Settings, vendor: Vendor
) -> None:
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 3
    slow = [file(f"http://127.0.0.1:1111/{n}") for n in range(8)]
    send(api, *slow, file("http://127.0.0.1:2222/a"), file("http://127.0.0.1:2222/b"))
    taken = [claim.vendor_url[17:21] if (claim := claims.take()) else None for _ in range(7)]
    assert taken == ["1111", "2222", "1111", "2222", "1111", None, None]


def test_large_file_is_uploaded_in_parts_and_stored_whole(api: ApiClient, vendor: Vendor) -> None:
    body = hashlib.sha256(b"seed").digest() * (PART_BYTES // 16)
    batch_id = send(api, file(vendor.on("/big", lambda x: x.answer(body + b"end"))))
    run(api, batch_id)
    (entry,) = api.rows(batch_id, "attachments")
    assert hashlib.sha256(stored(entry["storageUri"])).hexdigest() == entry["sha256"]
    assert entry["size"] == len(body) + 3


def test_query_string_of_a_url_is_never_logged(
    api: ApiClient, vendor: Vendor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in ("/ok", "/fail"):
        vendor.on(f"{path}?token=s3cr3t", (lambda x: x.answer(BODY)) if path == "/ok" else (lambda x: x.reset()))
    run(api, send(api, file(vendor.url("/ok?token=s3cr3t")), file(vendor.url("/fail?token=s3cr3t"))))
    logged = "\n".join(f"{entry.name} {entry.msg} {entry.args}" for entry in caplog.records)
    assert "attachment.complete" in logged
    assert "s3cr3t" not in logged
