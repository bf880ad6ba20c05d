"""A workspace sees nothing of another one, at any endpoint, by any filter or cursor."""

from collections.abc import Callable
from typing import Any

import pytest

from attachments.models import Attachment
from ingest.models import Workspace
from tests.http_client import INGEST, NDJSON, ApiClient, lines
from tests.ingest.landing import outcomes, send_and_land
from tests.records import record


@pytest.fixture
def theirs(new_client: Callable[..., ApiClient], other_workspace: Workspace) -> ApiClient:
    return new_client(of=other_workspace)


@pytest.fixture
def foreign(theirs: ApiClient) -> dict[str, str]:
    """Returns the ids of another workspace's batch, record and attachment."""
    bad = record(tags=[1])
    good = record(
        thread_id="t", tags=["tag"], participants=[{"id": "ada", "role": "internal"}], vendor_ids={"crm": "1"},
        attachments=[{"type": "file", "vendor_url": "http://127.0.0.1:1/x"}],
    )  # fmt: skip
    batch_id = send_and_land(theirs, [good, bad])
    (row, _) = theirs.rows(batch_id, "records")
    return {"batch": batch_id, "record": row["recordId"], "attachment": Attachment.objects.get().public_id}


PATHS = [
    ("get", INGEST + "/batches/{batch}"),
    ("get", INGEST + "/batches/{batch}/errors"),
    ("get", INGEST + "/batches/{batch}/records"),
    ("get", INGEST + "/batches/{batch}/attachments"),
    ("post", INGEST + "/batches/{batch}/retry"),
    ("patch", INGEST + "/batches/{batch}/attachments/{attachment}"),
    ("get", "/api/v1/records/{record}"),
]


@pytest.mark.parametrize(("verb", "path"), PATHS)
def test_object_of_another_workspace_gets_the_same_404_as_a_missing_one(
    api: ApiClient, foreign: dict[str, str], verb: str, path: str
) -> None:
    answer = getattr(api.client, verb)(
        path.format(**foreign),
        headers={"x-api-key": api.key},
        **(
            {"data": {"vendor_url": "http://x.example/"}, "content_type": "application/json"} if verb == "patch" else {}
        ),
    )
    assert (answer.status_code, answer.json()["error"]) == (404, "NOT_FOUND")
    missing = getattr(api.client, verb)(
        path.format(batch="batch_0", record="rec_0", attachment="att_0"),
        headers={"x-api-key": api.key},
        **(
            {"data": {"vendor_url": "http://x.example/"}, "content_type": "application/json"} if verb == "patch" else {}
        ),
    )
    assert missing.json() == answer.json(), "the answer does not reveal that the object exists"


FILTERS = [
    "type=message", "product_id=prod-abc", "project_id=proj-123", "thread_id=t", "tag=tag", "participant=ada",
    "vendor_id=crm:1", "event_since=2020-01-01T00:00:00Z", "changed_since=2020-01-01T00:00:00Z", "",
]  # fmt: skip


@pytest.mark.parametrize("query", FILTERS)
def test_no_filter_finds_a_record_of_another_workspace(
    api: ApiClient, theirs: ApiClient, foreign: dict[str, str], query: str
) -> None:
    assert [row["recordId"] for row in theirs.get("/api/v1/records", query).json()["records"]] == [foreign["record"]]
    assert api.get("/api/v1/records", query).json() == {"records": [], "nextCursor": None}
    assert lines(api.get("/api/v1/records", query, accept=NDJSON)) == []


@pytest.mark.parametrize("query", ["", "status=PROCESSING", "type=message", "source=api", "since=2020-01-01T00:00:00Z"])
def test_no_filter_finds_a_batch_of_another_workspace(
    api: ApiClient, theirs: ApiClient, foreign: dict[str, str], query: str
) -> None:
    assert [row["batchId"] for row in theirs.get(f"{INGEST}/batches", query).json()["batches"]] == [foreign["batch"]]
    assert api.get(f"{INGEST}/batches", query).json()["batches"] == []


def test_cursor_of_another_workspace_is_rejected(api: ApiClient, theirs: ApiClient) -> None:
    for _ in range(2):
        theirs.post(record())
    cursor = theirs.get(f"{INGEST}/batches", "limit=1").json()["nextCursor"]
    assert theirs.get(f"{INGEST}/batches", f"limit=1&cursor={cursor}").status_code == 200
    answer = api.get(f"{INGEST}/batches", f"limit=1&cursor={cursor}")
    assert (answer.status_code, answer.json()["error"]) == (400, "INVALID_BODY")


def test_same_record_in_two_workspaces_is_stored_twice(api: ApiClient, theirs: ApiClient) -> None:
    same: Any = record()
    for client in (api, theirs):
        assert outcomes(client, send_and_land(client, same)) == ["created"]
    ids = [client.get("/api/v1/records").json()["records"][0]["recordId"] for client in (api, theirs)]
    assert len(set(ids)) == 2


def test_same_idempotency_key_in_two_workspaces_makes_two_batches(api: ApiClient, theirs: ApiClient) -> None:
    first, second = (client.post(record(), idempotency_key="k") for client in (api, theirs))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["batchId"] != second.json()["batchId"]
