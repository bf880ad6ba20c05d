"""Files that clients upload themselves and name in a record."""

import secrets
from collections.abc import Iterator

import pytest
import requests

from tests.journeys.client import INGEST, HttpClient
from tests.journeys.proxy import CLOSED, PASS, SILENT
from tests.journeys.stack import Stack, until
from tests.records import record

CLAIMED = "SELECT FROM ingest_batch WHERE id = %s AND claim_token IS NOT NULL"


@pytest.fixture(params=[CLOSED, SILENT])
def away(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """The mode of the store's proxy in which the store is away; after the test it is back."""
    yield request.param
    stack.store_proxy.switch(PASS)


def test_uploaded_file_of_a_record_that_comes_while_the_store_is_away_is_stored_when_it_is_back(
    stack: Stack, client: HttpClient, away: str
) -> None:
    body = secrets.token_bytes(300_000)
    made = client.post({"size": len(body)}, path="/api/v1/uploads").json()
    assert requests.put(made["uploadUrl"], data=body, timeout=60).status_code == 200
    stack.store_proxy.switch(away)
    batch_id = client.send(record(attachments=[{"type": "file", "upload_intent_id": made["uploadIntentId"]}]))
    until(lambda: stack.rows(CLAIMED, int(batch_id.removeprefix("batch_"))), "a worker has the batch")
    stack.store_proxy.switch(PASS)
    assert client.settled(batch_id)["status"] == "COMPLETE"
    (row,) = client.pages(f"{INGEST}/batches/{batch_id}/attachments", "attachments")
    assert (row["state"], row["size"]) == ("COMPLETE", len(body))
    assert requests.get(row["downloadUrl"], timeout=60).content == body
