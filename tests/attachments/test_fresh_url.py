"""PATCH sets a fresh URL for a file whose URL has expired."""

from typing import Any

import pytest

from attachments import fetching
from attachments.download_failures import DownloadFailure
from attachments.queue import claims
from evermuse.errors import LeaseLost
from ingest.models import Workspace
from tests.attachments.journey import file, run, send
from tests.attachments.vendor import Vendor
from tests.http_client import INGEST, ApiClient

pytestmark = pytest.mark.usefixtures("empty_store")


def patch(api: ApiClient, batch_id: str, attachment_id: str, body: Any) -> Any:
    return api.client.patch(
        f"{INGEST}/batches/{batch_id}/attachments/{attachment_id}",
        data=body,
        content_type="application/json",
        headers={"x-api-key": api.key},
    )


def only_id(api: ApiClient, batch_id: str) -> str:
    (entry,) = api.rows(batch_id, "attachments")
    return str(entry["attachmentId"])


def test_failed_file_is_fetched_from_its_fresh_url(api: ApiClient, vendor: Vendor) -> None:
    good = vendor.on("/fresh", lambda x: x.answer(b"content"))
    batch_id = send(api, file(vendor.url("/expired")))
    failed = run(api, batch_id)
    assert (failed["status"], failed["attachmentDownloadStatus"]) == ("COMPLETE", "FAILED")
    answer = patch(api, batch_id, only_id(api, batch_id), {"vendor_url": good})
    assert (answer.status_code, answer.json()["state"], answer.json()["vendorUrl"]) == (200, "PENDING", good)
    between = api.batch(batch_id)
    assert (between["status"], between["attachmentDownloadFailed"], between["attachmentDownloadStatus"]) == (
        "COMPLETE", 0, "IN_PROGRESS",
    )  # fmt: skip
    after = run(api, batch_id)
    assert (after["status"], after["attachmentDownloadComplete"], after["attachmentDownloadStatus"]) == (
        "COMPLETE", 1, "COMPLETE",
    )  # fmt: skip
    (entry,) = api.rows(batch_id, "attachments")
    assert [attempt["code"] for attempt in entry["attempts"]] == ["HTTP_404", "OK"]


def test_fresh_url_replaces_a_running_download(api: ApiClient, vendor: Vendor) -> None:
    good = vendor.on("/fresh", lambda x: x.answer(b"content"))
    batch_id = send(api, file(vendor.url("/slow")))
    stale = claims.take()
    assert stale is not None
    patch(api, batch_id, only_id(api, batch_id), {"vendor_url": good})
    with pytest.raises(LeaseLost):
        claims.fail(stale, DownloadFailure("X", "late", is_transient=False), received=0, wait=None)
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    assert [a["code"] for a in api.rows(batch_id, "attachments")[0]["attempts"]] == ["REPLACED", "OK"]


def test_fresh_url_makes_a_waiting_file_complete(api: ApiClient, vendor: Vendor) -> None:
    batch_id = send(api, file(vendor.on("/busy", lambda x: x.answer(status="503 Busy"))))
    run(api, batch_id)
    assert claims.count_due(1) == 0
    patch(api, batch_id, only_id(api, batch_id), {"vendor_url": vendor.on("/b", lambda x: x.answer(b"b"))})
    assert claims.count_due(1) == 1
    assert run(api, batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_fresh_url_leaves_a_stored_file_unchanged(api: ApiClient, vendor: Vendor) -> None:
    url = vendor.on("/a", lambda x: x.answer(b"content"))
    batch_id = send(api, file(url))
    run(api, batch_id)
    answer = patch(api, batch_id, only_id(api, batch_id), {"vendor_url": vendor.url("/other")})
    assert (answer.status_code, answer.json()["state"], answer.json()["vendorUrl"]) == (200, "COMPLETE", url)
    assert fetching.fetch_waiting() == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "vendor_url: is required"),
        ({"vendor_url": "no uri"}, "vendor_url: must be an absolute URI"),
        ({"vendor_url": 1}, "vendor_url: must be a string, not a number"),
        ({"vendor_url": "http://x/", "more": 1}, "more: is no field here"),
        ({"vendor_url": "http://x/" + "a" * 2048}, "vendor_url: must have at most 2,048 characters, not 2,057"),
    ],
)
def test_invalid_fresh_url_is_rejected_with_field_and_rule(
    api: ApiClient, vendor: Vendor, body: dict[str, Any], message: str
) -> None:
    batch_id = send(api, file(vendor.url("/a")))
    answer = patch(api, batch_id, only_id(api, batch_id), body)
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_BODY")
    assert answer.json()["message"] == f"{message}."


def test_fresh_url_for_a_file_of_another_workspace_or_batch_gets_a_404(
    api: ApiClient, new_client: Any, other_workspace: Workspace, vendor: Vendor
) -> None:
    batch_id, other_batch = send(api, file(vendor.url("/a"))), send(api, file(vendor.url("/b")))
    mine, fresh = only_id(api, batch_id), {"vendor_url": vendor.url("/c")}
    assert patch(new_client(of=other_workspace), batch_id, mine, fresh).status_code == 404
    assert patch(api, other_batch, mine, fresh).status_code == 404
    assert patch(api, batch_id, "att_1", fresh).status_code == 404
    assert patch(new_client(permissions=["api:read"]), batch_id, mine, fresh).status_code == 403
