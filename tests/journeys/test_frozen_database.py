"""PostgreSQL is frozen, not dead: requests get 503 in time, and what was told 202 is there afterwards."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import requests

from tests.journeys.client import HttpClient
from tests.journeys.front import Front, new_front
from tests.journeys.stack import Stack
from tests.records import record

__all__ = ["new_front"]

SECONDS = 2
# A request may wait for an answer once, and then for two new connections of `connect_timeout` each.
AT_MOST = SECONDS + 1 + 2 * 3


@contextmanager
def frozen_postgresql(stack: Stack) -> Iterator[None]:
    """Stops PostgreSQL with all its sessions, which have process groups of their own."""
    pid = stack.servers.pid("postgres")
    assert pid is not None
    first = psutil.Process(pid)
    stopped = [first, *first.children(recursive=True)]
    for process in stopped:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in stopped:
            process.send_signal(signal.SIGCONT)


def test_posts_are_refused_in_time_and_a_repeated_key_gives_one_batch(
    client: HttpClient, stack: Stack, new_front: Callable[..., Front]
) -> None:
    front = new_front(EVERMUSE_DATABASE_ANSWER_SECONDS=str(SECONDS), EVERMUSE_WEB_THREADS="1")
    mine = front.client(client)
    # The first requests open the connection and cache the key.
    told = [mine.send(record(vendor_ids={"id": f"before-{n}"})) for n in range(3)]
    body = record(vendor_ids={"id": "frozen"})

    def send() -> requests.Response:
        return mine.post(body, Idempotency_Key="frozen")

    limit = client.limit(AT_MOST)
    with frozen_postgresql(stack):
        for _ in range(3):
            started = time.monotonic()
            refused = send()
            assert time.monotonic() - started < limit
            assert (refused.status_code, refused.json()["error"]) == (503, "UNAVAILABLE")
            assert refused.json()["retryAfter"] == int(refused.headers["Retry-After"]) > 0
        listed = mine.get("/api/v1/ingest/batches")
        assert listed.status_code == 503
    answers: list[requests.Response] = []
    while not answers or answers[-1].status_code in {409, 503}:
        answers.append(send())
        time.sleep(0.2)
    told.append(answers[-1].json()["batchId"])
    assert send().json()["batchId"] == told[-1]
    for batch_id in told:
        assert client.settled(batch_id)["status"] == "COMPLETE"
    assert sorted(client.batch_ids()) == sorted(told)
    assert len(client.records()) == len(told)
