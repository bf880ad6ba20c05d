"""Answers that do not come from Evermuse, or not from a sound one. None of them ends in success, a loop or a traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from evermuse.client import ApiError, Client, EvermuseError, Retries
from evermuse.client.send.running import Options, Reader, Run
from evermuse.client.send.sources import find
from tests.evermuse.client.test_surroundings import LINE

Answer = Callable[[httpx.Request], httpx.Response]


def error(status: int, code: str, **more: object) -> httpx.Response:
    return httpx.Response(status, json={"error": code, "message": "no", **more})


def accepted(records: int) -> httpx.Response:
    counts = {"acceptedCount": records, "rejectedCount": 0, "totalErrorCount": 0, "errors": []}
    return httpx.Response(202, json={"batchId": "batch_1", **counts})


def client_of(answer: Answer, *, patience: float = 0.5) -> Client:
    retries = Retries(patience=patience, first=0.01, longest=0.1)
    return Client("http://server.example", "em_sk_a", http=httpx.MockTransport(answer), retries=retries)


def send(directory: Path, answer: Answer, records: int = 3) -> Run:
    """A run over a file of records. ``answer``: to the POST."""

    def answer_all(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return answer(request)
        return httpx.Response(200, json={"batches": [], "nextCursor": None})

    path = directory / "records.ndjson"
    if not path.exists():  # a file that was written again would be a new run
        path.write_bytes(LINE * records)
    run = Run(client_of(answer_all), Reader(find([path])), Options(state=directory / "state"), print)
    try:
        run.go(lambda: None)
    finally:
        run.delivery.stop()
        run.outcomes.close()
        run.journal.close()
    return run


def test_batch_of_which_the_server_counts_fewer_records_is_no_success(tmp_path: Path) -> None:
    keys = []

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return accepted(2 if len(keys) == 1 else 3)

    with pytest.raises(ApiError, match="the server counts 2 records in a batch of 3"):
        send(tmp_path, answer)
    assert send(tmp_path, answer).journal.totals.accepted == 3
    assert keys[0] == keys[1]


def test_server_that_knows_every_new_key_ends_the_run_at_once(tmp_path: Path) -> None:
    answers = []

    def answer(request: httpx.Request) -> httpx.Response:
        answers.append(json.loads(request.headers.get("Content-Length", "0")))
        return error(422, "IDEMPOTENCY_KEY_REUSED")

    with pytest.raises(ApiError, match="IDEMPOTENCY_KEY_REUSED"):
        send(tmp_path, answer)
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("response", "message"),
    [
        (httpx.Response(302, headers={"Location": "https://login.example/"}), "it redirects to https://login.example/"),
        (httpx.Response(404, html="<html>no</html>"), "check the server's address"),
        (error(429, "RATE_LIMITED", retryAfter=86_400), "RATE_LIMITED"),
        (error(503, "UNAVAILABLE", retryAfter=-5), "UNAVAILABLE"),
    ],
)
def test_useless_answers_are_errors_that_say_what_to_do(response: httpx.Response, message: str) -> None:
    with client_of(lambda _: response) as client, pytest.raises(EvermuseError, match=message):
        client.key()
