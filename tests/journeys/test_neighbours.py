"""Slow, failing or poisonous files and records of one workspace do not harm those of another."""

import threading
from collections.abc import Iterator

import pytest

from tests.attachments.vendor import Exchange, Vendor
from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack, until
from tests.journeys.test_attachment_downloads import ledger, with_files
from tests.records import record

WORKERS = ("worker-landing", "worker-attachments")


@pytest.fixture(scope="module", autouse=True)
def poisoned_workers(running_stack: Stack) -> Iterator[None]:
    """Workers that hang and crash when a URL or a record says so, and that notice a hang after three seconds."""
    stack = running_stack
    before = dict(stack.environment)
    stack.environment |= {
        "DJANGO_SETTINGS_MODULE": "tests.journeys.poisoned_settings",
        "EVERMUSE_HANG_SECONDS": "3",
        "EVERMUSE_LEASE_SECONDS": "6",  # the hung process must be noticed before its lease expires
        "EVERMUSE_ATTACHMENT_ALONE_BYTES": str(512 << 20),
    }
    stack.stop(*WORKERS)
    stack.start(*WORKERS)
    yield
    stack.environment.clear()
    stack.environment.update(before)
    stack.stop(*WORKERS)
    stack.start(*WORKERS)


def good(vendor: Vendor, path: str) -> str:
    return vendor.on(path, lambda exchange: exchange.answer(b"content"))


@pytest.mark.parametrize(
    ("how", "reason"),
    [("hang", "hung"), ("crash", "SIGSEGV"), ("memory", "memory")],
)
def test_file_that_crashes_workers_fails_with_a_reason_while_others_complete(
    client: HttpClient, stack: Stack, vendor: Vendor, how: str, reason: str
) -> None:
    neighbour = stack.new_client()
    poison = client.send(with_files(good(vendor, f"/poison-{how}"), good(vendor, "/innocent")))
    beside = neighbour.send(with_files(good(vendor, "/neighbour")))
    assert neighbour.settled(beside)["attachmentDownloadStatus"] == "COMPLETE"
    batch = client.settled(poison)
    assert (batch["status"], batch["attachmentDownloadStatus"]) == ("COMPLETE", "PARTIAL_FAILURE")
    rows = {row["vendorUrl"].rpartition("/")[2]: row for row in ledger(client, poison)}
    assert rows["innocent"]["state"] == "COMPLETE"
    failed = rows[f"poison-{how}"]
    assert failed["error"]["code"] == "WORKER_CRASHED"
    assert reason in failed["error"]["message"]
    assert len(failed["attempts"]) == 3


def test_record_that_hangs_landing_fails_its_batch_while_others_land(client: HttpClient, stack: Stack) -> None:
    neighbour = stack.new_client()
    poison = client.send(record(data={"text": "poison-landing"}))
    assert neighbour.settled(neighbour.send(record()))["status"] == "COMPLETE"
    assert client.settled(poison)["status"] == "FAILED"


def test_trickling_downloads_delay_no_other_workspace(client: HttpClient, stack: Stack, vendor: Vendor) -> None:
    # From several hosts, so that no host's limit keeps slots free.
    slow, dripping = [Vendor() for _ in range(4)], threading.Event()

    def drip(exchange: Exchange) -> None:
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while not dripping.wait(0.5):
            exchange.send(b"x" * 700)

    try:
        for number, dripper in enumerate([client, stack.new_client()]):
            dripper.send([with_files(slow[n % 4].on(f"/{number}/{n}", drip)) for n in range(32)])
        until(lambda: sum(one.busy for one in slow) >= 14, "both workspaces' files drip")
        neighbour = stack.new_client()
        batch = neighbour.send(with_files(good(vendor, "/f")))
        assert neighbour.settled(batch)["attachmentDownloadStatus"] == "COMPLETE"
    finally:
        dripping.set()
        for one in slow:
            one.close()


@pytest.mark.parametrize("is_known", [True, False])
def test_many_silent_hosts_do_not_delay_a_host_that_answers(
    client: HttpClient, stack: Stack, vendor: Vendor, is_known: bool
) -> None:
    if is_known:
        before = client.send(with_files(good(vendor, "/before")))
        assert client.settled(before)["attachmentDownloadStatus"] == "COMPLETE"
    silent = [Vendor() for _ in range(100)]
    try:
        urls = [one.on("/s", Exchange.stall) for one in silent]
        client.send([with_files(*urls[n : n + 10]) for n in range(0, 100, 10)])
        until(lambda: sum(one.busy for one in silent) >= 12, "the workspace has used all its slots")
        batch = client.send(with_files(good(vendor, "/beside")))
        assert client.settled(batch)["attachmentDownloadStatus"] == "COMPLETE"
        assert not all(one.requests for one in silent), "the file waited until every silent host had been tried"
    finally:
        for one in silent:
            one.close()
