"""From a record's URL to a stored object by the real workers, despite kills and hangs."""

import hashlib
import threading
from typing import Any

from tests.attachments.vendor import Exchange, Vendor
from tests.journeys.client import INGEST, HttpClient
from tests.journeys.stack import BUCKET, LEASE_SECONDS, Stack, until
from tests.records import record

PART = 8 * 1024 * 1024


def with_files(*urls: str) -> dict[str, Any]:
    return record(attachments=[{"type": "file", "vendor_url": url} for url in urls])


def ledger(client: HttpClient, batch_id: str) -> list[dict[str, Any]]:
    return client.pages(f"{INGEST}/batches/{batch_id}/attachments", "attachments")


def stored(stack: Stack, uri: str) -> bytes:
    answer = stack.store.get_object(BUCKET, uri.removeprefix(f"s3://{BUCKET}/"))
    try:
        return answer.read()
    finally:
        answer.close()
        answer.release_conn()


def nothing_left_over(stack: Stack) -> bool:
    """Whether no upload is open, and every object under attachments/ belongs to a row."""
    uploads = stack.store._list_multipart_uploads(BUCKET, prefix="attachments/").uploads
    objects = {
        f"s3://{BUCKET}/{found.object_name}"
        for found in stack.store.list_objects(BUCKET, "attachments/", recursive=True)
    }
    claimed = {row[0] for row in stack.rows("SELECT storage_uri FROM attachments_storedfile")}
    return not uploads and objects == claimed


def test_attachments_are_fetched_counted_and_listed(client: HttpClient, stack: Stack, vendor: Vendor) -> None:
    bodies = {f"/{number}": f"file {number}".encode() * 500 for number in range(30)}
    urls = [
        vendor.on(path, lambda exchange, body=body: exchange.answer(body))  # type: ignore[misc]
        for path, body in bodies.items()
    ]
    records = [with_files(*urls[start : start + 5]) for start in range(0, 30, 5)]
    batch_id = client.send([*records, with_files(vendor.url("/gone"))])
    batch = client.settled(batch_id)
    assert (batch["status"], batch["attachmentDownloadStatus"]) == ("COMPLETE", "PARTIAL_FAILURE")
    assert [batch[f"attachmentDownload{name}"] for name in ("Total", "Complete", "Failed")] == [31, 30, 1]
    for row in ledger(client, batch_id):
        if row["state"] == "COMPLETE":
            body = bodies["/" + row["vendorUrl"].rpartition("/")[2]]
            assert row["sha256"] == hashlib.sha256(body).hexdigest()
            assert stored(stack, row["storageUri"]) == body
        else:
            assert row["error"]["code"] == "HTTP_404"


def test_download_of_a_killed_worker_is_fetched_again(client: HttpClient, stack: Stack, vendor: Vendor) -> None:
    body = bytes(range(256)) * (3 * PART // 256)
    held, tries = threading.Event(), []

    def behave(exchange: Exchange) -> None:
        tries.append(1)
        if len(tries) > 1:
            return exchange.answer(body)
        exchange.send(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body[: PART + PART // 2])
        held.set()
        exchange.stall()

    batch_id = client.send(with_files(vendor.on("/large", behave)))
    assert held.wait(60)
    uploads = lambda: stack.store._list_multipart_uploads(BUCKET, prefix="attachments/").uploads  # noqa: E731
    until(uploads, "a part is in the store")
    stack.kill("worker-attachments")
    batch = client.settled(batch_id)
    assert (batch["status"], batch["attachmentDownloadStatus"]) == ("COMPLETE", "COMPLETE")
    [row] = ledger(client, batch_id)
    assert stored(stack, row["storageUri"]) == body
    assert [attempt["code"] for attempt in row["attempts"]] == ["WORKER_LOST", "OK"]
    until(lambda: nothing_left_over(stack), "the killed attempt's upload is aborted")


def test_download_that_outlasts_its_lease_is_not_taken_over(client: HttpClient, stack: Stack, vendor: Vendor) -> None:
    def behave(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n")
        exchange.drip_parts(b"x" * 4000, times=10, every=LEASE_SECONDS / 4)

    batch_id = client.send(with_files(vendor.on("/long", behave)))
    assert client.settled(batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    [row] = ledger(client, batch_id)
    assert [attempt["code"] for attempt in row["attempts"]] == ["OK"]


def test_sigterm_releases_a_long_download_at_once(client: HttpClient, stack: Stack, vendor: Vendor) -> None:
    body, held, tries = b"x" * 100_000, threading.Event(), []

    def behave(exchange: Exchange) -> None:
        tries.append(1)
        if len(tries) > 1:
            return exchange.answer(body)
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body[:1000])
        held.set()
        exchange.stall()

    batch_id = client.send(with_files(vendor.on("/long", behave)))
    assert held.wait(60)
    stack.stop("worker-attachments")
    [row] = ledger(client, batch_id)
    assert (row["state"], row["attempts"][0]["code"]) == ("PENDING", "INTERRUPTED")
    stack.start("worker-attachments")
    assert client.settled(batch_id)["attachmentDownloadStatus"] == "COMPLETE"


def test_downloads_wait_for_an_object_store_that_hangs(client: HttpClient, stack: Stack, vendor: Vendor) -> None:
    sent, go_on = threading.Event(), threading.Event()

    def behave(exchange: Exchange) -> None:
        sent.set()
        go_on.wait(60)
        exchange.answer(b"content")

    batch_id = client.send(with_files(vendor.on("/f", behave)))
    assert sent.wait(60)
    with stack.frozen("seaweedfs"):
        go_on.set()
        until(lambda: len(vendor.requests) == 1 and vendor.busy == 0, "the vendor has sent the file")
        assert client.batch(batch_id)["attachmentDownloadStatus"] == "IN_PROGRESS"
    assert client.settled(batch_id)["attachmentDownloadStatus"] == "COMPLETE"
    until(lambda: nothing_left_over(stack), "no upload and no object is left over")


def files_in_progress(stack: Stack) -> int:
    [(count,)] = stack.rows("SELECT count(*) FROM attachments_attachment WHERE state = 'IN_PROGRESS'")
    return int(count)


def test_slow_vendor_delays_neither_other_vendors_nor_landing(client: HttpClient, stack: Stack, vendor: Vendor) -> None:
    slow, go_on = Vendor(), threading.Event()

    def behave(exchange: Exchange) -> None:
        go_on.wait(60)
        exchange.answer(status="410 Gone")

    try:
        slow_batch = client.send([with_files(slow.on(f"/{number}", behave)) for number in range(40)])
        until(lambda: slow.busy >= 4, "the slow vendor is busy")
        fast_urls = [vendor.on(f"/{number}", lambda exchange: exchange.answer(b"fast")) for number in range(40)]
        fast_batch = client.send([with_files(url) for url in fast_urls])
        assert client.settled(fast_batch)["attachmentDownloadStatus"] == "COMPLETE"
        assert client.settled(client.send(record()))["status"] == "COMPLETE"
        batch = client.batch(slow_batch)
        assert batch["status"] == "PROCESSING"
        assert (batch["attachmentDownloadComplete"], batch["attachmentDownloadFailed"]) == (0, 0)
        # The vendor itself may see more: a worker whose lease expired leaves requests behind.
        assert 0 < files_in_progress(stack) <= 8
        go_on.set()
        batch = client.settled(slow_batch)
        assert (batch["status"], batch["attachmentDownloadFailed"]) == ("COMPLETE", 40)
    finally:
        go_on.set()
        slow.close()
