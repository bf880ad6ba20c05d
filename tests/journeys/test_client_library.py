"""The client library against the real stack, blocking and with asyncio."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from evermuse.client import ApiError, AsyncClient, Client, Retries, Unreachable
from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack, free_port
from tests.records import record

ODD_DATA = '{"n": 1.0, "big": 1e400, "lone": "\\ud800", "deep": ' + "[" * 1500 + "]" * 1500 + "}"


@pytest.fixture
def library(client: HttpClient) -> Iterator[Client]:
    with Client(client.url, client.key) as library:
        yield library


def with_data(data: str, **changes: Any) -> bytes:
    return json.dumps(record(**changes, data={})).replace('"data": {}', f'"data": {data}').encode()


def test_batch_is_sent_followed_and_read_back(library: Client) -> None:
    answer = library.send([record(), record(), record(type="nonsense")])
    assert (answer.accepted_count, answer.rejected_count, answer.errors[0].index) == (2, 1, 2)
    batch = library.wait(answer.batch_id, seconds=60)
    assert batch.status == "COMPLETE" and batch.accepted_count == 2
    assert [b.batch_id for b in library.batches(type="message")] == [answer.batch_id]
    assert [o.outcome for o in library.outcomes(answer.batch_id)] == ["created", "created", "rejected"]
    (rejection,) = library.errors(answer.batch_id)
    assert rejection.errors[0].pointer == "/_type" and json.loads(bytes(rejection.payload))["_type"] == "nonsense"


def test_list_is_read_over_pages_and_as_a_stream(library: Client) -> None:
    answer = library.send([record() for _ in range(7)])
    library.wait(answer.batch_id, seconds=60)
    paged = [row.record_id for row in library.records(limit=3, type="message")]
    streamed = [row.record_id for row in library.records(type="message").stream()]
    assert len(set(paged)) == 7 and sorted(paged) == sorted(streamed)
    assert [len(page.rows) for page in library.records(limit=3).pages()] == [3, 3, 1]


@pytest.mark.parametrize("read", ["pages", "stream", "one"])
def test_data_that_fast_decoders_refuse_is_read_byte_for_byte(library: Client, read: str) -> None:
    answer = library.send(with_data(ODD_DATA))
    library.wait(answer.batch_id, seconds=60)
    rows = library.records()
    (row,) = rows.stream() if read == "stream" else rows
    found = library.record(row.record_id) if read == "one" else row
    assert bytes(found.record).endswith(f'"data":{ODD_DATA}}}'.encode())


def test_repeated_idempotency_key_gives_the_same_batch(library: Client) -> None:
    body = json.dumps(record()).encode()
    first, second = (library.send(body, idempotency_key="once") for _ in range(2))
    assert first.batch_id == second.batch_id and second.is_replay and not first.is_replay


def test_error_has_code_message_details_and_status(library: Client) -> None:
    with pytest.raises(ApiError) as caught:
        library.send([record(event_at="yesterday")])
    error = caught.value
    assert (error.code, error.status) == ("VALIDATION_ERROR", 400)
    assert error.details["errors"][0]["message"].startswith("_event_at") and error.message


def test_rate_of_the_key_is_kept_through_refusals(stack: Stack) -> None:
    limited = stack.new_client(rate_limit=5)
    with Client(limited.url, limited.key) as library:
        assert {library.key().rate_limit for _ in range(12)} == {5}


def test_server_that_is_away_raises_unreachable_after_the_patience() -> None:
    with Client(f"http://127.0.0.1:{free_port()}", "em_sk_x", retries=Retries(patience=0)) as library:
        with pytest.raises(Unreachable) as caught:
            library.key()
        assert caught.value.code == "UNREACHABLE"


def test_library_answers_which_records_are_known_removed_and_valid(library: Client) -> None:
    assert library.known(["0" * 64]) == ["unknown"]
    assert list(library.removed()) == []
    checked = library.validate([record(), record(project_ids=["other"])])
    assert (checked.accepted_count, checked.errors[0].pointer) == (1, "/_project_ids/0")


def test_asynchronous_client_sends_waits_and_reads_like_the_blocking_one(client: HttpClient) -> None:
    async def journey() -> None:
        async with AsyncClient(client.url, client.key) as library:
            answers = await asyncio.gather(*(library.send([record()]) for _ in range(4)))
            for answer in answers:
                assert (await library.wait(answer.batch_id, seconds=60)).status == "COMPLETE"
            paged = [row.record_id async for row in library.records(limit=3)]
            streamed = [row.record_id async for row in library.records().stream()]
            assert len(set(paged)) == 4 and sorted(paged) == sorted(streamed)
            assert (await library.record(paged[0])).version == 1
            with pytest.raises(ApiError):
                await library.batch("batch_0")

    asyncio.run(journey())


def test_both_clients_have_the_same_public_methods() -> None:
    def names(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert names(Client) == names(AsyncClient)
