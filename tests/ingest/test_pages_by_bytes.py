"""Pages and streams are bounded by bytes: a page may hold fewer rows than its limit, and its cursor continues there."""

import json
from collections.abc import Iterator

import pytest

from attachments import ledger
from attachments.models import Attachment
from ingest.api import batches as batch_views
from ingest.api import records as record_views
from ingest.models import Batch
from lake import selectors
from tests.http_client import INGEST, NDJSON, ApiClient, lines
from tests.ingest.landing import send_and_land
from tests.records import record

COUNT, SIZE, BYTES = 5, 4000, 10_000


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(batch_views, "SMALL_PAGE_BYTES", BYTES)
    for module in (batch_views, record_views):
        for name in ("PAGE_BYTES", "STEP_BYTES"):
            monkeypatch.setattr(module, name, BYTES)
    yield


def walk(api: ApiClient, path: str, name: str) -> list[list[dict[str, object]]]:
    pages: list[list[dict[str, object]]] = []
    query = "limit=100"
    while True:
        page = api.get(path, query).json()
        pages.append(page[name])
        if page["nextCursor"] is None:
            return pages
        query = f"limit=100&cursor={page['nextCursor']}"


def test_page_of_records_is_limited_in_bytes_and_no_record_is_lost(api: ApiClient, small_pages: None) -> None:
    for number in range(COUNT):
        send_and_land(api, record(data={"n": number, "t": "x" * SIZE}))
    send_and_land(api, record(data={"n": COUNT, "t": "x" * 3 * BYTES}))
    pages = walk(api, "/api/v1/records", "records")
    # They landed in one transaction, in the order of their ids: the large one may be anywhere, on a page of its own.
    assert max(len(page) for page in pages) == 2
    found = [one["record"]["data"]["n"] for page in pages for one in page]  # type: ignore[index]
    assert sorted(found) == [*range(COUNT + 1)]
    assert [len(page) for page in pages if len(json.dumps(page)) > BYTES] == [1]
    streamed = lines(api.get("/api/v1/records", accept=NDJSON))
    assert [json.loads(line)["record"]["data"]["n"] for line in streamed] == found


def test_page_of_rejected_records_is_limited_in_bytes(api: ApiClient, small_pages: None) -> None:
    bad = [record(nature="none", data={"n": number, "t": "x" * SIZE}) for number in range(COUNT)]
    batch_id = send_and_land(api, [record(), *bad])
    path = f"{INGEST}/batches/{batch_id}/errors"
    pages = walk(api, path, "errors")
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [row["index"] for page in pages for row in page] == [*range(1, COUNT + 1)]
    assert [json.loads(line)["index"] for line in lines(api.get(path, accept=NDJSON))] == [*range(1, COUNT + 1)]


def test_line_that_does_not_parse_counts_by_its_size_as_a_json_string(api: ApiClient, small_pages: None) -> None:
    body = b"\n".join([json.dumps(record()).encode(), *[b"\x01" * 1200] * 3])
    batch_id = send_and_land(api, body, content_type=NDJSON)
    path = f"{INGEST}/batches/{batch_id}/errors"
    assert [len(page) for page in walk(api, path, "errors")] == [1, 1, 1]
    assert json.loads(lines(api.get(path, accept=NDJSON))[0])["payload"] == "\x01" * 1200


def test_page_of_a_ledger_is_limited_in_bytes(api: ApiClient) -> None:
    urls = [{"type": "file", "vendor_url": f"http://vendor.invalid/{number}"} for number in range(4)]
    batch_id = send_and_land(api, record(attachments=urls))
    batch = Batch.objects.get(id=int(batch_id.rpartition("_")[2]))
    assert Attachment.objects.filter(batch=batch).count() == 4
    whole, following = ledger.encoded_page(batch.id, after=None, limit=100, max_bytes=1_000_000)
    assert (len(whole), following) == (4, None)
    found: list[bytes] = []
    place = None
    while True:
        rows, place = ledger.encoded_page(batch.id, after=place, limit=100, max_bytes=len(whole[0]) * 2 + 50)
        assert len(rows) <= 2
        found += rows
        if place is None:
            break
    assert found == whole


@pytest.mark.parametrize(
    ("sizes", "count"), [([], 0), ([99], 1), ([5, 5], 2), ([5, 6], 1), ([99, 1], 1), ([1, 99, 1], 1)]
)
def test_page_has_at_least_one_row(sizes: list[int], count: int) -> None:
    assert selectors.fitting(sizes, 10) == count


def test_page_of_batches_is_limited_in_bytes_and_no_batch_is_lost(api: ApiClient, small_pages: None) -> None:
    bad = {f"{'k' * 120}{n}": 1 for n in range(20)}
    sent = [api.post({**record(), **(bad if n % 2 else {})}).json() for n in range(8)]
    ids = [one["batchId"] if "batchId" in one else one["details"]["batchId"] for one in sent]
    pages = walk(api, f"{INGEST}/batches", "batches")
    assert [row["batchId"] for page in pages for row in page] == ids[::-1]
    assert len(pages) > 2
    assert max(len(json.dumps(page)) for page in pages) < 1.2 * BYTES
    assert [len(row["errors"]) for page in pages for row in page] == [20, 0] * 4  # type: ignore[arg-type]
    assert all(row == api.get(f"{INGEST}/batches/{row['batchId']}").json() for page in pages for row in page)
