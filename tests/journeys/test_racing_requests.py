"""Simultaneous requests to several processes: one idempotency key makes one batch, and the rate limit is exact."""

from tests.journeys.client import INGEST, HttpClient
from tests.journeys.stack import Stack, at_once
from tests.records import record


def test_twenty_parallel_posts_with_one_idempotency_key_make_one_batch(client: HttpClient) -> None:
    body = [record() for _ in range(200)]
    answers = at_once([lambda: client.post(body, Idempotency_Key="one") for _ in range(20)])
    assert {answer.status_code for answer in answers} <= {202, 409}
    accepted = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.content for answer in accepted}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in accepted) == 1
    for refused in (answer for answer in answers if answer.status_code == 409):
        assert refused.json()["error"] == "IDEMPOTENCY_IN_PROGRESS"
        assert refused.headers["Retry-After"] == str(refused.json()["retryAfter"])
    assert len(client.batch_ids()) == 1


def test_idempotent_replay_is_byte_for_byte_the_first_answer(client: HttpClient) -> None:
    body = record()
    first, second = (client.post(body, Idempotency_Key="k" * 256) for _ in range(2))
    assert second.content == first.content
    assert second.headers["Idempotent-Replayed"] == "true"


def test_rate_limit_is_shared_by_all_processes_and_endpoints(stack: Stack) -> None:
    client = stack.new_client(rate_limit=10)
    calls = [
        lambda: client.get(f"{INGEST}/batches"),
        lambda: client.post(record()),
        lambda: client.get("/api/v1/records"),
    ]
    answers = at_once([calls[number % 3] for number in range(90)])
    refused = [answer for answer in answers if answer.status_code == 429]
    with stack.rates() as rates:
        # The times of admitted requests, as the limiter stores them: at most ten in any second.
        key = next(key for key in rates.scan_iter("evermuse:rate:*") if not key.endswith(b":n"))
        instants = [score for _, score in rates.zrange(key, 0, -1, withscores=True)]
    assert len(instants) <= 10
    assert refused
    for answer in refused:
        assert answer.json()["error"] == "RATE_LIMITED"
        assert isinstance(answer.json()["retryAfter"], int)
        assert answer.json()["retryAfter"] >= 1
        assert answer.headers["Retry-After"] == str(answer.json()["retryAfter"])
