"""Cold reads return the same bytes from segments as from payloads, with few ranged reads and bounded memory."""

import json
import random
from typing import Any

import pytest

from evermuse.errors import StoreUnavailable
from ingest.pipeline import landing as pipeline
from lake import object_store
from lake.models import Payload, Record, Segment, SegmentBatch
from lake.segments import cache, cold
from lake.segments.cache import BlockCache
from lake.segments.layout import Listing, Owner
from lake.segments.reader import Block
from tests.http_client import NDJSON, ApiClient, lines
from tests.ingest.landing import send_and_land
from tests.ingest.test_landing import DATA
from tests.records import record

RECORDS = "/api/v1/records"


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "blocks", BlockCache(1024 * 1024))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Start and length of every ranged read."""
    made: list[tuple[int, int]] = []

    def get_range(key: str, start: int, length: int) -> bytes | None:
        made.append((start, length))
        return real(key, start, length)

    real = object_store.get_range
    monkeypatch.setattr(object_store, "get_range", get_range)
    return made


def drop_payloads() -> None:
    Payload.objects.all().delete()


def all_ways(api: ApiClient) -> tuple[Any, ...]:
    """Returns the answers of every endpoint that reads records."""
    page = api.get(RECORDS, "limit=100").content
    ids = [one.public_id for one in Record.objects.order_by("updated_at")]
    return page, lines(api.get(RECORDS, accept=NDJSON)), [api.get(f"{RECORDS}/{one}").content for one in ids]


SPELLINGS = [*DATA, b'{\r\n  "a": [1,\n\n 2],\r\r "b": "\\n"\n}']


def test_cold_read_returns_the_same_bytes_as_a_hot_one(api: ApiClient) -> None:
    for data in SPELLINGS:
        raw = json.dumps(record(type="EMAIL", project_ids=None, project_id="proj-123")).encode()
        send_and_land(api, raw.replace(b'{"text": "hello"}', data))
    hot = all_ways(api)
    drop_payloads()
    assert all_ways(api) == hot
    assert all(b'"data":' + data + b"}}" in hot[0] for data in SPELLINGS)


def test_one_ranged_read_returns_one_record_of_a_large_batch(api: ApiClient, reads: list[tuple[int, int]]) -> None:
    rng = random.Random(1)
    texts = ["".join(rng.choices("abcdefghij ", k=4000)) for _ in range(100)]
    send_and_land(api, [record(vendor_ids={"id": str(n)}, data={"text": text}) for n, text in enumerate(texts)])
    drop_payloads()
    for n in (0, 16, 17, 50, 99):
        reads.clear()
        (found,) = api.get(RECORDS, f"vendor_id=id:{n}").json()["records"]
        assert found["record"]["data"] == {"text": texts[n]}
        assert len(reads) <= 1
        assert all(length < Segment.objects.get().size / 4 for _, length in reads)


def test_adjacent_blocks_are_read_together_and_cached(api: ApiClient, reads: list[tuple[int, int]]) -> None:
    send_and_land(api, [record(data={"text": "x" * 5000}) for _ in range(90)])
    drop_payloads()
    assert len(lines(api.get(RECORDS, accept=NDJSON))) == 90
    (place,) = SegmentBatch.objects.all()
    assert place.ends and len(place.ends) > 5
    assert len(reads) == 1
    api.get(RECORDS, "limit=100")
    assert len(reads) == 1


def test_records_of_many_segments_are_listed_in_order(api: ApiClient, reads: list[tuple[int, int]]) -> None:
    for n in range(12):
        send_and_land(api, record(data={"n": n}))
    drop_payloads()
    rows = api.get(RECORDS, "limit=100").json()["records"]
    assert [row["record"]["data"]["n"] for row in rows] == list(range(12))
    assert len(reads) == 12


def test_hot_and_cold_records_are_listed_together(api: ApiClient, reads: list[tuple[int, int]]) -> None:
    send_and_land(api, record(data={"n": 0}))
    drop_payloads()
    send_and_land(api, record(data={"n": 1}))
    rows = api.get(RECORDS).json()["records"]
    assert [row["record"]["data"]["n"] for row in rows] == [0, 1]
    assert len(reads) == 1


def test_unavailable_store_rejects_cold_reads_only(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    send_and_land(api, record(vendor_ids={"id": "cold"}))
    drop_payloads()
    send_and_land(api, record(vendor_ids={"id": "hot"}))

    def away(key: str, start: int, length: int) -> bytes:
        raise StoreUnavailable("it timed out")

    monkeypatch.setattr(object_store, "get_range", away)
    assert api.get(RECORDS, "vendor_id=id:hot").status_code == 200
    answer = api.get(RECORDS, "vendor_id=id:cold")
    assert (answer.status_code, answer.json()["error"]) == (503, "UNAVAILABLE")
    assert answer.json()["retryAfter"] == int(answer["Retry-After"]) > 0
    assert "'dependency': 'objectStore'" in caplog.text


def test_stream_is_aborted_when_the_store_becomes_unavailable(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(5):
        send_and_land(api, record(data={"n": n, "text": "x" * 300_000}))
    drop_payloads()
    answer = api.get(RECORDS, accept=NDJSON)
    parts = iter(answer.streaming_content)
    assert next(parts)

    def away(key: str, start: int, length: int) -> bytes:
        raise StoreUnavailable("it timed out")

    monkeypatch.setattr(object_store, "get_range", away)
    with pytest.raises(StoreUnavailable):
        list(parts)


def test_record_whose_segment_moved_during_a_read_is_found(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    send_and_land(api, record(data={"n": 1}))
    drop_payloads()
    segment = Segment.objects.get()

    def moves(key: str, start: int, length: int) -> bytes | None:
        monkeypatch.setattr(object_store, "get_range", real)
        content = object_store.get(segment.key, max_bytes=segment.size)
        assert content
        object_store.put("moved", content, "application/zstd")
        object_store.remove([segment.key])
        Segment.objects.update(key="moved")
        return real(key, start, length)

    real = object_store.get_range
    monkeypatch.setattr(object_store, "get_range", moves)
    assert api.get(RECORDS).json()["records"][0]["record"]["data"] == {"n": 1}


def test_record_without_payload_and_segment_is_an_error_rather_than_missing(api: ApiClient) -> None:
    send_and_land(api, record())
    drop_payloads()
    SegmentBatch.objects.all().delete()
    assert api.get(RECORDS).status_code == 500


def test_record_removed_during_a_read_is_left_out(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    send_and_land(api, record(vendor_ids={"id": "gone"}))
    send_and_land(api, record(vendor_ids={"id": "stays"}))
    drop_payloads()

    def remove(places: Any) -> Any:
        first = Record.objects.order_by("updated_at").first()
        assert first
        first.delete()
        wanted = set(places)
        return real(wanted - {first.place})

    real = cold.read
    monkeypatch.setattr(cold, "read", remove)
    rows = api.get(RECORDS).json()["records"]
    assert [row["record"]["_vendor_ids"] for row in rows] == [{"id": "stays"}]


def a_block(size: int) -> Block:
    listing = Listing(workspace=Owner(1, "w"), type="email", batches=[], index=[], offset=[], size=[], record_id=[])
    return Block(listing, [b"x" * size], {})


def test_block_cache_stays_within_its_bytes_and_evicts_the_least_recently_used() -> None:
    kept = BlockCache(10_000)
    for number in range(20):
        kept.put((1, number), a_block(1000))
        kept.get((1, 0))
        assert kept.size <= 10_000
    assert kept.get((1, 0)) is not None
    assert kept.get((1, 19)) is not None
    assert kept.get((1, 1)) is None
    kept.put((2, 0), a_block(9_000))
    assert kept.get((2, 0)) is None


def test_landing_reads_no_segment(api: ApiClient, reads: list[tuple[int, int]]) -> None:
    api.post([record() for _ in range(3)])
    pipeline.land_waiting()
    assert reads == []
