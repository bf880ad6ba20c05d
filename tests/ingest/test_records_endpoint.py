"""Reading records back: filters, pages and streams."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from ingest.models import Workspace
from lake.models import Record
from tests.http_client import NDJSON, ApiClient, lines
from tests.ingest.landing import send_and_land
from tests.records import record

RECORDS = "/api/v1/records"
EVERY_FILTER: dict[str, tuple[dict[str, Any], str]] = {
    "type": ({"type": "email"}, "type=EMAIL"),
    "product_id": ({"product_id": "prod-xyz", "project_ids": ["proj-xyz"]}, "product_id=prod-xyz"),
    "project_id": ({"project_ids": ["proj-123", "proj-456"]}, "project_id=proj-456"),
    "thread_id": ({"thread_id": "T 1"}, "thread_id=T+1"),
    "tag": ({"tags": ["a", "urgent"]}, "tag=urgent"),
    "participant id": ({"participants": [{"id": "u1", "role": "internal"}]}, "participant=u1"),
    "participant e-mail": (
        {"participants": [{"id": "u1", "role": "internal", "email": "a@b.example"}]},
        "participant=a%40b.example",
    ),
    "vendor_id": ({"vendor_ids": {"zendesk": "4:2"}}, "vendor_id=zendesk:4:2"),
    "event_since": ({"event_at": "2026-06-01T00:00:00Z"}, "event_since=2026-06-01T00:00:00Z"),
    "event_until": ({"event_at": "2025-06-01T00:00:00Z"}, "event_until=2026-01-01"),
    "NUL": ({"thread_id": "a\u0000b"}, "thread_id=a%00b"),
}


@pytest.fixture
def products(workspace: Workspace) -> None:
    product = workspace.products.create(product_id="prod-xyz")
    workspace.projects.create(product=product, project_id="proj-xyz")


@pytest.mark.parametrize("name", EVERY_FILTER)
def test_each_filter_of_records_finds_its_record_and_no_other(api: ApiClient, products: None, name: str) -> None:
    changes, query = EVERY_FILTER[name]
    send_and_land(api, record())
    batch_id = send_and_land(api, record(**changes))
    page = api.get(RECORDS, query).json()
    assert [r["batchId"] for r in page["records"]] == [batch_id]
    streamed = lines(api.get(RECORDS, query, accept=NDJSON))
    assert [json.loads(line)["batchId"] for line in streamed] == [batch_id]


def test_filters_of_records_are_combined_with_and(api: ApiClient) -> None:
    both = send_and_land(api, record(tags=["x"], thread_id="t"))
    send_and_land(api, record(tags=["x"]))
    assert [r["batchId"] for r in api.get(RECORDS, "tag=x&thread_id=t").json()["records"]] == [both]


def test_changed_since_lists_records_written_since_then(api: ApiClient) -> None:
    send_and_land(api, record())
    (found,) = api.get(RECORDS).json()["records"]
    assert api.get(RECORDS, "changed_since=2026-01-01").json()["records"] == [found]
    assert api.get(RECORDS, "changed_since=2999-01-01T00:00:00Z").json()["records"] == []


@pytest.mark.parametrize(
    "query",
    ["type=nope", "type=", "vendor_id=nocolon", "event_since=x", "changed_since=2026-01-01T00:00:00%2B02:00", "limit=101",
     "unknown=1", "tag=a&tag=b", "cursor=zzz", "event_since=", "tag=%FF", "limit=1&thread_id=%ED%A0%80",
     "vendor_id=a:%C0%80", "%FF=a"],
)  # fmt: skip
def test_unknown_or_malformed_filter_of_records_gets_a_400(api: ApiClient, query: str) -> None:
    answer = api.get(RECORDS, query)
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_BODY")


def test_replacement_character_in_a_filter_is_text_like_any_other(api: ApiClient) -> None:
    found = send_and_land(api, record(tags=["a\ufffd"]))
    assert [r["batchId"] for r in api.get(RECORDS, "tag=a%EF%BF%BD").json()["records"]] == [found]
    answer = api.get(RECORDS, "tag=a%FF")
    assert (answer.status_code, "tag" in answer.json()["message"]) == (400, True)


def test_pages_of_records_list_every_record_once(api: ApiClient) -> None:
    send_and_land(api, [record() for _ in range(45)])
    seen: list[str] = []
    query = "limit=20"
    sizes = []
    while query:
        page = api.get(RECORDS, query).json()
        sizes.append(len(page["records"]))
        seen += [r["recordId"] for r in page["records"]]
        query = f"limit=20&cursor={page['nextCursor']}" if page["nextCursor"] else ""
    assert (sizes, len(set(seen))) == ([20, 20, 5], 45)


def test_cursor_is_valid_for_the_same_filters_only(api: ApiClient) -> None:
    send_and_land(api, [record(tags=["x"]) for _ in range(3)])
    cursor = api.get(RECORDS, "limit=1&tag=x").json()["nextCursor"]
    assert api.get(RECORDS, f"limit=1&tag=x&cursor={cursor}").status_code == 200
    assert api.get(RECORDS, f"limit=1&cursor={cursor}").status_code == 400


def test_stream_of_records_returns_all_matches(api: ApiClient) -> None:
    for _ in range(2):
        send_and_land(api, [record() for _ in range(400)])
    assert len({json.loads(line)["recordId"] for line in lines(api.get(RECORDS, accept=NDJSON))}) == 800


def test_record_has_exactly_the_fields_of_the_contract(api: ApiClient) -> None:
    send_and_land(api, record())
    (found,) = api.get(RECORDS).json()["records"]
    assert set(found) == {"recordId", "batchId", "firstAcceptedAt", "updatedAt", "version", "storageUri", "record"}
    assert api.get(f"{RECORDS}/{found['recordId']}").json() == found
    assert found["storageUri"].startswith("s3://evermuse-lake/workspace=")


def test_future_and_past_events_are_listed_in_the_order_of_change(api: ApiClient) -> None:
    past, to_come = "2026-06-01T00:00:00Z", "2999-01-01T00:00:00Z"
    instants = [past, to_come, past, to_come, past, "2020-01-01T00:00:00Z"]
    batches = [send_and_land(api, record(event_at=instant)) for instant in instants]
    for minute, batch_id in enumerate(batches):
        # All statements of a test run in one transaction and would have the same time.
        changed_at = datetime(2026, 7, 1, 12, minute, tzinfo=UTC)
        Record.objects.filter(batch_id=int(batch_id.removeprefix("batch_"))).update(updated_at=changed_at)
    seen: list[str] = []
    query = "limit=2&event_since=2026-01-01T00:00:00Z"
    following: str | None = ""
    while following is not None:
        page = api.get(RECORDS, query + following).json()
        seen += [r["batchId"] for r in page["records"]]
        following = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
    assert seen == batches[:5]


def test_record_that_moves_to_another_product_is_found_under_the_new_one_only(api: ApiClient, products: None) -> None:
    send_and_land(api, record(vendor_ids={"id": "same"}))
    moved = send_and_land(api, record(vendor_ids={"id": "same"}, product_id="prod-xyz", project_ids=["proj-xyz"]))
    assert [r["batchId"] for r in api.get(RECORDS, "product_id=prod-xyz").json()["records"]] == [moved]
    assert api.get(RECORDS, "product_id=prod-abc").json()["records"] == []


@pytest.mark.parametrize("record_id", ["x", "rec_", "rec_" + "0" * 32, "rec_" + "G" * 32])
def test_unknown_record_id_gets_a_404(api: ApiClient, record_id: str) -> None:
    assert api.get(f"{RECORDS}/{record_id}").status_code == 404
