"""Kills, hangs and losses between a 202 and COMPLETE: every batch lands once, in the order of acceptance."""

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from evermuse import public_ids
from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack, at_once, until
from tests.records import record


def version(number: int, name: str = "same") -> dict[str, Any]:
    return record(vendor_ids={"id": name}, data={"v": number})


def complete(client: HttpClient, batch_ids: list[str]) -> None:
    for batch_id in batch_ids:
        batch = client.settled(batch_id)
        assert (batch["status"], batch["rejectedCount"]) == ("COMPLETE", 0)


def test_last_of_fifty_versions_of_a_record_is_the_stored_one(client: HttpClient) -> None:
    batch_ids = [client.send(version(number)) for number in range(50)]
    assert batch_ids == sorted(batch_ids)
    complete(client, batch_ids)
    [stored] = client.records()
    assert stored["record"]["data"] == {"v": 49}
    assert stored["batchId"] == batch_ids[-1]
    outcomes = [client.outcomes(batch_id)[0] for batch_id in batch_ids]
    assert set(outcomes) <= {"created", "updated", "superseded"}
    assert stored["version"] == sum(outcome in {"created", "updated"} for outcome in outcomes)


def test_overlapping_batches_land_in_parallel_without_a_deadlock(client: HttpClient, stack: Stack) -> None:
    names = [f"r{number}" for number in range(300)]
    bodies = [[version(number, name) for name in (names if number % 2 else names[::-1])] for number in range(24)]
    with ThreadPoolExecutor(6) as pool:
        batch_ids = list(pool.map(client.send, bodies))
    complete(client, batch_ids)
    last = max(range(24), key=lambda number: batch_ids[number])
    assert {row["record"]["data"]["v"] for row in client.records()} == {last}
    assert stack.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


def test_landing_worker_reuses_its_database_connection(client: HttpClient, stack: Stack) -> None:
    """Each batch causes its own wake-up here, and Celery alone would open a new connection for each."""
    sessions = "SELECT sessions::int FROM pg_stat_database WHERE datname = current_database()"
    [(before,)] = stack.rows(sessions)
    for number in range(40):
        complete(client, [client.send(version(number, f"kept-{number}"))])
    [(after,)] = stack.rows(sessions)
    assert after - before < 40


def status_of(stack: Stack, batch_id: str) -> str:
    """Reads the status past the API, which would wait for tables that a test has locked."""
    number = public_ids.batch_number(batch_id)
    return str(stack.rows("SELECT status FROM ingest_batch WHERE id = %s", number)[0][0])


POINTS = {
    "before the claim": "ingest_batch",
    "after the archive, before the index": "lake_record",
    "after the index, before the state": "lake_batchoutcomes",
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("whom", ["child", "parent and children"])
def test_batch_of_a_killed_landing_worker_is_landed_by_another(
    client: HttpClient, stack: Stack, point: str, whom: str
) -> None:
    with stack.frozen("worker-landing", "beat"):
        batch_ids = [client.send([version(n, f"{n}-{i}") for i in range(40)]) for n in range(5)]
        lock = stack.table_locked(POINTS[point])
        lock.__enter__()
    try:
        until(lambda: stack.waits_for_lock(POINTS[point]), f"a worker waits {point}")
        if whom == "child":
            stack.kill_children("worker-landing")
        else:
            stack.kill("worker-landing")
    finally:
        lock.__exit__(None, None, None)
    complete(client, batch_ids)
    assert len(client.records()) == 200
    assert all(set(client.outcomes(batch_id)) == {"created"} for batch_id in batch_ids)


def test_sweeper_completes_a_batch_whose_worker_was_killed_after_landing(client: HttpClient, stack: Stack) -> None:
    with stack.frozen("worker-landing", "beat"):
        batch_id = client.send(record())
        # Only the processor reads this table, after the landing's transaction.
        lock = stack.table_locked("attachments_attachmenttally", "ACCESS EXCLUSIVE")
        lock.__enter__()
    try:
        until(lambda: status_of(stack, batch_id) == "PROCESSING", "the batch has landed")
        until(lambda: stack.waits_for_lock("attachments_attachmenttally"), "its worker waits before the processors")
        stack.kill("worker-landing")
        assert status_of(stack, batch_id) == "PROCESSING"
    finally:
        lock.__exit__(None, None, None)
    complete(client, [batch_id])


def test_worker_that_resumes_after_its_lease_writes_nothing(client: HttpClient, stack: Stack) -> None:
    with stack.frozen("worker-landing", "beat"):
        number = public_ids.batch_number(batch_id := client.send(version(1)))
        lock = stack.table_locked("lake_record")
        lock.__enter__()
    claimed = "SELECT FROM ingest_batch WHERE id = %s AND claimed_until > clock_timestamp()"
    lease_ended = "SELECT status, claimed_until < clock_timestamp() FROM ingest_batch WHERE id = %s"
    try:
        # What waits for the lock may be a sweeper's task alone.
        until(
            lambda: stack.rows(claimed, number) and stack.waits_for_lock("lake_record"),
            "its worker waits before the index",
        )
        with stack.frozen("worker-landing"):
            until(lambda: stack.rows(lease_ended, number) == [("LANDING", True)], "the lease ends")
    finally:
        lock.__exit__(None, None, None)
    complete(client, [batch_id])
    [stored] = client.records()
    assert stored["version"] == 1


def test_batches_complete_after_the_broker_was_killed(client: HttpClient, stack: Stack) -> None:
    limit = client.limit(2)
    before = [client.send(record()) for _ in range(10)]
    stack.servers.signal(stack.broker.name, signal.SIGKILL)
    during = [client.send(record(), timeout=limit) for _ in range(10)]
    complete(client, before + during)


def test_batches_complete_after_the_broker_was_flushed(client: HttpClient, stack: Stack) -> None:
    with stack.frozen("worker-landing", "beat"):
        batch_ids = [client.send(record()) for _ in range(10)]
        until(lambda: stack.broker.waiting("landing"), "the wake-ups wait in the broker")
        stack.broker.flush()
    complete(client, batch_ids)


def test_hanging_broker_delays_posts_by_less_than_two_seconds(client: HttpClient, stack: Stack) -> None:
    limit = client.limit(2)
    with stack.frozen(stack.broker.name):
        batch_ids = [client.send(record(), timeout=limit) for _ in range(12)]
        ready = client.get("/readyz").json()
        rates = "away" if stack.broker.name == "valkey" else "ok"
        assert (ready["status"], ready["checks"]["broker"], ready["checks"]["redis"]) == ("degraded", "away", rates)
    complete(client, batch_ids)


def test_hanging_object_store_delays_posts_by_less_than_two_seconds(client: HttpClient, stack: Stack) -> None:
    limit = client.limit(2)
    with stack.frozen("seaweedfs"):
        batch_ids = [client.send(record(), timeout=limit) for _ in range(12)]
        assert client.get("/readyz").json()["checks"]["objectStore"] == "away"
        assert {client.batch(batch_id)["status"] for batch_id in batch_ids} == {"LANDING"}
    complete(client, batch_ids)


def test_post_without_postgresql_gets_a_503_in_the_documented_shape(client: HttpClient, stack: Stack) -> None:
    with stack.frozen("worker-landing", "worker-attachments", "beat"):
        stack.servers.stop("postgres")
        try:
            answer = client.post(record())
            assert (answer.status_code, answer.json()["error"]) == (503, "UNAVAILABLE")
            assert answer.headers["Retry-After"] == str(answer.json()["retryAfter"])
            assert client.get("/readyz").status_code == 503
            assert client.get("/healthz").status_code == 200
        finally:
            stack.servers.start("postgres")
            stack.servers.wait_ready("postgres")
    until(stack.is_up, "web reaches the database again")
    complete(client, [client.send(record())])


def test_batch_survives_postgresql_being_killed_during_landing(client: HttpClient, stack: Stack) -> None:
    batch_ids = [client.send([record() for _ in range(100)]) for _ in range(10)]
    stack.servers.signal("postgres", signal.SIGKILL)
    stack.servers.wait_ready("postgres")
    until(stack.is_up, "web reaches the database again")
    complete(client, batch_ids)
    assert len(client.records()) == 1000


def test_broker_messages_carry_ids_and_no_eta(client: HttpClient, stack: Stack) -> None:
    with stack.frozen("worker-landing", "beat"):
        for _ in range(10):  # the stopped worker still has an open pop, which takes the first message
            client.send(record())
        until(lambda: stack.broker.waiting("landing"), "the wake-up waits in the broker")
        messages = stack.broker.waiting("landing")
    for headers, body in messages:
        assert headers["eta"] is None
        assert all(isinstance(number, int) for number in json.loads(body)[0][0])


def test_landing_worker_ends_on_sigterm_under_load_and_loses_no_batch(client: HttpClient, stack: Stack) -> None:
    accepted: list[str] = []

    def send(number: int) -> None:
        accepted.append(client.send([record() for _ in range(20)]))

    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(send, number) for number in range(60)]
        stack.stop("worker-landing", "beat")
        for one in sent:
            one.result()
    stack.start("worker-landing", "beat")
    complete(client, accepted)
    assert len(client.records()) == 1200


def test_web_process_ended_under_load_keeps_every_accepted_batch(client: HttpClient, stack: Stack) -> None:
    def send() -> str:
        try:
            answer = client.post(record())
        except OSError:
            return ""  # no answer: the batch may or may not be stored
        return str(answer.json()["batchId"]) if answer.status_code == 202 else ""

    for _ in range(3):
        stack.kill_children("web")
        accepted = [batch_id for batch_id in at_once([send] * 12) if batch_id]
        until(stack.is_up, "web answers again")
        complete(client, accepted)
    stack.kill("web")
    until(stack.is_up, "web answers again")
    complete(client, [client.send(record())])
