"""A request to a PostgreSQL that is frozen gets a 503 in time, and the connection is not used again."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from evermuse import answer_deadline, prepared
from evermuse.raw_connection import opened
from ingest.clients import credentials
from ingest.models import Batch
from tests.http_client import INGEST, ApiClient
from tests.records import record

pytestmark = pytest.mark.django_db(transaction=True)
SECONDS = 0.5


@contextmanager
def frozen_session() -> Iterator[None]:
    """Stops PostgreSQL's process of this thread's connection, while waits for answers are limited."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            answer_deadline.end_waits(SECONDS)

    looking = threading.Thread(target=look)
    os.kill(pid, signal.SIGSTOP)
    looking.start()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
        ended.set()
        looking.join()


def _with_a_cached_key(api: ApiClient) -> Any:
    return api.post(record())


def _with_a_cached_key_and_an_idempotency_key(api: ApiClient) -> Any:
    return api.post(record(vendor_ids={"id": "same"}), **{"Idempotency-Key": "k"})


def _with_a_rejected_record(api: ApiClient) -> Any:
    return api.post([record(), {}])


@pytest.mark.parametrize(
    "send", [_with_a_cached_key, _with_a_cached_key_and_an_idempotency_key, _with_a_rejected_record]
)
def test_post_gets_a_503_and_a_new_connection_serves_the_next_one(api: ApiClient, send: Callable[..., Any]) -> None:
    for _ in range(2):  # the first request stores when the key was used, which changes the key
        assert api.post(record()).status_code == 202
    assert credentials._cache
    before = opened()
    with frozen_session():
        refused = send(api)
        assert (refused.status_code, refused.json()["error"], refused["Retry-After"]) == (503, "UNAVAILABLE", "5")
        assert "Idempotency-Key" in refused.json()["message"]
        assert before is not None and before.closed
        # The session is frozen still, and another one answers.
        answer = send(api)
        assert answer.status_code == 202
    assert opened() is not before


def test_repeated_idempotency_key_gives_one_batch_when_the_frozen_session_runs_again(api: ApiClient) -> None:
    for _ in range(2):
        api.post(record())
    before = Batch.objects.count()
    with frozen_session():
        assert _with_a_cached_key_and_an_idempotency_key(api).status_code == 503
        repeated = _with_a_cached_key_and_an_idempotency_key(api)
    assert repeated.status_code == 202
    _until_no_other_session_runs()
    again = _with_a_cached_key_and_an_idempotency_key(api)
    assert (again.json(), again["Idempotent-Replayed"]) == (repeated.json(), "true")
    assert Batch.objects.count() == before + 1


def test_key_is_looked_up_on_a_new_connection(api: ApiClient) -> None:
    with frozen_session():
        assert api.get(f"{INGEST}/batches").status_code == 200


def _until_no_other_session_runs() -> None:
    active = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    while prepared.rows(active, {}) != [(0,)]:
        pass
