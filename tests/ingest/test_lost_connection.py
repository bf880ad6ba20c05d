"""A POST whose connection to PostgreSQL breaks while it is stored does not claim that nothing was stored."""

import os
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection

from evermuse.raw_connection import opened
from ingest.models import Batch
from tests.http_client import ApiClient
from tests.ingest.sessions import another_session
from tests.journeys.stack import until
from tests.records import record

pytestmark = pytest.mark.django_db(transaction=True)
WAITS = "SELECT count(*) FROM pg_locks WHERE relation = 'ingest_batch'::regclass AND NOT granted"


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}], ids=["plain", "with-a-key"])
def test_post_gets_a_500_if_its_connection_breaks_before_the_answer_of_postgresql(
    new_client: Callable[..., ApiClient], headers: dict[str, str]
) -> None:
    api = new_client()
    raw: list[Any] = []

    def prepare() -> None:
        for _ in range(2):  # the first request stores when the key was used, which changes the key
            assert api.post(record()).status_code == 202
        raw.append(opened())

    with another_session() as watcher, ThreadPoolExecutor(1) as thread:
        watcher.autocommit = True
        thread.submit(prepare).result()
        with another_session() as holder:
            holder.execute("LOCK TABLE ingest_batch IN EXCLUSIVE MODE")
            answer = thread.submit(api.post, record(vendor_ids={"id": "same"}), **headers)
            until(lambda: watcher.execute(WAITS).fetchone() == (1,), "the insert waits")
            with socket.socket(fileno=os.dup(raw[0].fileno())) as copy:
                copy.shutdown(socket.SHUT_RDWR)
            assert (answer.result().status_code, answer.result().json()["error"]) == (500, "INTERNAL_ERROR")
        until(lambda: watcher.execute(WAITS).fetchone() == (0,), "the session has ended or stored it")
        repeated = thread.submit(api.post, record(vendor_ids={"id": "same"}), **headers).result()
        assert repeated.status_code == 202
        # PostgreSQL may have noticed the lost client before it had the lock.
        assert Batch.objects.count() in ({3} if headers else {3, 4})
        thread.submit(lambda: connection.close()).result()  # each thread has its own
