"""The list of batches, and the status of a batch."""

import string
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from ingest.api.queries import Cursor
from ingest.models import Batch
from ingest.refusals import Refusal
from tests.http_client import INGEST, ApiClient
from tests.records import record

BATCHES = f"{INGEST}/batches"
FIELDS = {
    "batchId",
    "status",
    "createdAt",
    "acceptedCount",
    "rejectedCount",
    "totalErrorCount",
    "errors",
    "source",
    "type",
}


def test_batch_status_has_exactly_the_fields_of_the_contract(new_client: Callable[..., ApiClient]) -> None:
    api = new_client(source="crm")
    before = timezone.now().timestamp() * 1000
    sent = api.post([record(type="Email"), record(event_at="x")]).json()
    status = api.batch(sent["batchId"])
    assert set(status) == FIELDS
    assert (status["status"], status["source"], status["type"]) == ("LANDING", "crm", "email")
    assert {name: status[name] for name in sent} == sent
    assert isinstance(status["createdAt"], int)
    assert before - 1 <= status["createdAt"] <= timezone.now().timestamp() * 1000


@pytest.mark.parametrize(
    "batch_id", ["x", "batch_0", "batch_" + "9" * 19, "batch_-000000000000000001", "%00", "batch_１"]
)
def test_malformed_batch_id_gets_a_404(api: ApiClient, batch_id: str) -> None:
    assert api.get(f"{BATCHES}/{batch_id}").status_code == 404


def test_pages_list_batches_newest_first_without_gaps_or_repeats_while_others_arrive(api: ApiClient) -> None:
    ids = [api.post(record()).json()["batchId"] for _ in range(7)]
    seen: list[str] = []
    query = "limit=3"
    while True:
        page = api.get(BATCHES, query).json()
        seen += [batch["batchId"] for batch in page["batches"]]
        api.post(record())
        if page["nextCursor"] is None:
            break
        assert len(page["nextCursor"]) <= 256
        query = f"limit=3&cursor={page['nextCursor']}"
    assert seen == ids[::-1]


def test_page_that_ends_exactly_with_the_list_has_no_next_cursor(api: ApiClient) -> None:
    for _ in range(2):
        api.post(record())
    page = api.get(BATCHES, "limit=2").json()
    assert (len(page["batches"]), page["nextCursor"]) == (2, None)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=101", "limit=x", "limit=", "limit=1.0", "limit=-1", "limit=%D9%A1", "limit=1&limit=2",
        "cursor=", "cursor=x", "cursor=AAAA", "cursor=" + "A" * 300, "status=NOPE", "since=yesterday", "until=2026-13-01",
        "type=", "source=%00", "source=%FF", "unknown=1",
    ],
)  # fmt: skip
def test_invalid_query_of_the_batch_list_gets_a_400(api: ApiClient, query: str) -> None:
    answer = api.get(BATCHES, query)
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_BODY")


@pytest.mark.parametrize("batch_id", [1, 12, 123, 1234, 12345])
def test_altered_cursor_is_rejected(batch_id: int) -> None:
    cursor = Cursor("list", 1)
    text = cursor.encode([batch_id])
    assert cursor.decode(text) == [batch_id]
    alphabet = string.ascii_letters + string.digits + "-_"
    others = [text[:-1] + character for character in alphabet if character != text[-1]]
    for forged in [*others, *(text + "=" * n for n in range(1, 5)), text + "A", text[:-1], " " + text, text + "\n"]:
        with pytest.raises(Refusal):
            cursor.decode(forged)


def test_filters_narrow_the_list_of_batches(new_client: Callable[..., ApiClient]) -> None:
    crm, phone = new_client(source="crm"), new_client(source="phone")
    email = crm.post(record(type="email")).json()["batchId"]
    call = phone.post(record(type="call")).json()["batchId"]
    failed = phone.post({}).json()["details"]["batchId"]
    Batch.objects.filter(source="crm").update(created_at=timezone.now() - timedelta(days=400))

    def found(query: str) -> list[str]:
        return [batch["batchId"] for batch in crm.get(BATCHES, query).json()["batches"]]

    year_ago = (timezone.now() - timedelta(days=365)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert found("source=crm") == [email]
    assert found("type=call") == [call]
    assert found("type=Call") == [call]
    assert found("status=FAILED") == [failed]
    assert found(f"since={year_ago}") == [failed, call]
    assert found(f"until={year_ago}") == [email]
    assert found(f"since={year_ago}&type=email") == []


def test_since_is_inclusive_and_until_is_exclusive(api: ApiClient) -> None:
    batch_id = api.post(record()).json()["batchId"]
    at = timezone.now().replace(microsecond=0)
    Batch.objects.update(created_at=at)
    text = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert [b["batchId"] for b in api.get(BATCHES, f"since={text}").json()["batches"]] == [batch_id]
    assert api.get(BATCHES, f"until={text}").json()["batches"] == []


@pytest.mark.parametrize(
    ("fraction", "is_since"),
    [("1", True), ("123456000", True), ("1234560001", False), ("123455999", True), ("123456789", False)],
)
def test_fractions_of_any_length_are_compared_exactly(api: ApiClient, fraction: str, is_since: bool) -> None:
    batch_id = api.post(record()).json()["batchId"]
    Batch.objects.update(created_at=timezone.now().replace(microsecond=123456))
    second = Batch.objects.get().created_at.strftime("%Y-%m-%dT%H:%M:%S")
    found = [
        [b["batchId"] for b in api.get(BATCHES, f"{name}={second}.{fraction}Z").json()["batches"]]
        for name in ("since", "until")
    ]
    assert found == ([[batch_id], []] if is_since else [[], [batch_id]])
    last = "9999-12-31T23:59:59.999999999Z"
    assert api.get(BATCHES, f"until={last}").status_code == 200


def test_pages_filtered_by_time_are_ordered_by_time_of_creation(api: ApiClient) -> None:
    ids = [api.post(record()).json()["batchId"] for _ in range(5)]
    at = timezone.now().replace(microsecond=0) - timedelta(days=2)
    Batch.objects.update(created_at=at)
    # The clock was set back, so the last batch has the oldest time.
    Batch.objects.filter(id=int(ids[4].removeprefix("batch_"))).update(created_at=at - timedelta(days=1))
    seen: list[str] = []
    query = f"limit=2&since={(at - timedelta(days=9)).strftime('%Y-%m-%dT%H:%M:%SZ')}"
    following: str | None = ""
    while following is not None:
        page = api.get(BATCHES, query + following).json()
        seen += [b["batchId"] for b in page["batches"]]
        following = f"&cursor={page['nextCursor']}" if page["nextCursor"] else None
    assert seen == [ids[3], ids[2], ids[1], ids[0], ids[4]]
