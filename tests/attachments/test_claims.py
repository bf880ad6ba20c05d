"""One statement claims files for several threads: the same files, in the same order, as single claims."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from attachments import fetching, sql
from attachments.models import Attachment, AttachmentTally, DownloadAttempt, Lane, VendorHost
from attachments.queue import claims, lanes
from attachments.queue.completions import Completion, complete_all
from ingest.models import Workspace
from tests.attachments.journey import file, run, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient
from tests.journeys.stack import until

FIVE = [f"worker-{number}" for number in range(5)]


def at(*ports: int, each: int) -> list[dict[str, object]]:
    return [file(f"http://127.0.0.1:{port}/{number}") for port in ports for number in range(each)]


def hosts_of(taken: list[claims.DownloadClaim | None]) -> list[str | None]:
    return [claim.host.rpartition(":")[2] if claim else None for claim in taken]


def test_group_claim_alternates_between_hosts_up_to_the_limit_of_each(api: ApiClient, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 3
    send(api, *at(1111, each=8), *at(2222, each=2))
    taken = claims.take_for([*FIVE, "x", "y"])
    assert hosts_of(taken) == ["1111", "2222", "1111", "2222", "1111", None, None]
    assert hosts_of(claims.take_for(FIVE)) == [None] * 5


def test_group_claim_takes_the_same_files_in_the_same_order_as_single_claims(
    api: ApiClient, settings: Settings
) -> None:
    """Claiming for several threads in one statement saves round trips; the plain way is one claim for each."""
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 2
    send(api, *at(1111, each=4), *at(2222, each=1), *at(3333, each=4))
    with transaction.atomic():
        together = claims.take_for([*FIVE, "x"])
        transaction.set_rollback(True)
    one_by_one = [claims.take_for([taker])[0] for taker in [*FIVE, "x"]]
    assert [claim and claim.vendor_url for claim in together] == [claim and claim.vendor_url for claim in one_by_one]
    assert [claim is None for claim in together] == [False] * 5 + [True]


def test_files_completed_together_are_stored_like_files_completed_one_by_one(api: ApiClient) -> None:
    """Completing several files in one statement saves commits; the plain way is one statement for each."""
    send(api, *at(1111, each=2), *at(2222, each=2))
    done = [
        Completion(
            id=claim.id,
            token=claim.token,
            uri=f"s3://bucket/{number}",
            size=number,
            mime_type="text/plain",
            # The second file has the first one's content. The last claim's token is out of date.
            sha256=("00" if number < 2 else f"{number:02}") * 32,
            sha1="",
            md5="",
            received=10 + number,
            http_status=None if number == 2 else 200,
        )
        for number, claim in enumerate(claims.take_for(FIVE[:4]))
        if claim
    ]
    done[3] = replace(done[3], token=99)

    def stored() -> list[tuple[object, ...]]:
        files = Attachment.objects.order_by("pk").values_list("state", "size", "sha256", "storage_uri", "mime_type")
        attempts = DownloadAttempt.objects.order_by("attachment").values_list(
            "code", "bytes", "http_status", "leftovers"
        )
        tally = AttachmentTally.objects.values_list("total", "complete", "failed")
        return [*files, *attempts, *tally]

    with transaction.atomic():
        together = [settled and settled.uri for settled in complete_all(done)]
        rows = stored()
        transaction.set_rollback(True)
    one_by_one = [settled and settled.uri for settled in (complete_all([one])[0] for one in done)]
    assert together == one_by_one == ["s3://bucket/0", "s3://bucket/0", "s3://bucket/2", None]
    assert rows == stored()


def test_group_claim_counts_downloads_that_are_already_running(api: ApiClient, settings: Settings) -> None:
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 2
    send(api, *at(1111, each=5))
    first = claims.take()
    send(api, *at(2222, each=5))
    assert first is not None
    assert hosts_of(claims.take_for(FIVE)) == ["2222", "1111", "2222", None, None]


def test_each_file_of_a_group_claim_has_its_own_token_and_attempt(api: ApiClient) -> None:
    batch_id = send(api, *at(1111, each=3))
    taken = claims.take_for(FIVE)
    found = [claim for claim in taken if claim]
    assert [claim.vendor_url[-1] for claim in found] == ["0", "1", "2"]
    rows = {row.pk: row for row in Attachment.objects.all()}
    assert [(rows[c.id].state, rows[c.id].claim_token, rows[c.id].claimed_by) for c in found] == [
        ("IN_PROGRESS", c.token, who) for c, who in zip(found, FIVE, strict=False)
    ]
    assert set(DownloadAttempt.objects.values_list("attachment_id", "token")) == {(c.id, c.token) for c in found}
    assert AttachmentTally.objects.get(batch_id=int(batch_id[6:])).has_begun


def test_group_claim_takes_one_file_behind_an_open_breaker_and_none_of_a_paused_host(api: ApiClient) -> None:
    send(api, *at(1111, 2222, 3333, each=2))
    lanes.refresh()
    Lane.objects.filter(host="127.0.0.1:1111").update(opened_at=timezone.now() - timedelta(minutes=1))
    VendorHost.objects.filter(host="127.0.0.1:2222").update(paused_at=timezone.now())
    assert sorted(hosts_of(claims.take_for(FIVE)), key=str) == ["1111", "3333", "3333", None, None]


@pytest.mark.django_db(transaction=True)
def test_concurrent_workers_stay_within_the_limit_of_a_host(
    workspace: Workspace, new_client: Callable[..., ApiClient], settings: Settings
) -> None:
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY = 4
    send(new_client(), *at(1111, 2222, each=5))
    begin = threading.Barrier(6)

    def worker(number: int) -> list[claims.DownloadClaim]:
        begin.wait(120)
        try:
            # To PostgreSQL, each thread is a process of its own: it shares its statement with no other thread.
            return [claim for claim in claims.take_for([f"worker-{number}"] * 3) if claim]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        taken = [claim for found in pool.map(worker, range(6)) for claim in found]
    assert len({claim.id for claim in taken}) == len(taken) == 8
    assert sorted(hosts_of([*taken])) == ["1111"] * 4 + ["2222"] * 4  # type: ignore[type-var]


@pytest.mark.django_db(transaction=True)
def test_threads_that_claim_at_once_each_get_a_different_file(
    workspace: Workspace, new_client: Callable[..., ApiClient], settings: Settings
) -> None:
    send(new_client(), *at(1111, 2222, each=3))
    begin = threading.Barrier(8)

    def taker(_: int) -> int | None:
        begin.wait(120)
        try:
            claim = claims.take()
            return claim.id if claim else None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(taker, range(8)))
    assert taken.count(None) == 2
    assert {one for one in taken if one} == set(Attachment.objects.values_list("pk", flat=True))


@pytest.mark.usefixtures("empty_store")
def test_stopping_worker_releases_a_new_claim_without_counting_an_attempt(
    api: ApiClient, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch_id = send(api, file(vendor.on("/a", lambda x: x.answer(b"a"))))
    taken = claims.take_for(FIVE)[0]
    assert taken is not None
    stopping = threading.Event()
    stopping.set()
    with monkeypatch.context() as patch:
        patch.setattr(fetching, "stopping", stopping)
        fetching.fetch_one(taken)
    row = Attachment.objects.get()
    assert (row.state, row.attempts, AttachmentTally.objects.get().failed) == ("PENDING", 0, 0)
    assert run(api, batch_id)["attachmentDownloadComplete"] == 1
    assert [attempt["code"] for attempt in api.rows(batch_id, "attachments")[0]["attempts"]] == ["INTERRUPTED", "OK"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("what", ["claim", "renew"])
def test_statement_locks_several_files_in_the_order_of_their_primary_keys(
    workspace: Workspace, new_client: Callable[..., ApiClient], what: str
) -> None:
    """A statement that waits for the first file holds no lock on the others, so two such statements cannot deadlock."""
    send(new_client(), *at(1111, each=2))
    first, second = Attachment.objects.order_by("pk")
    # By its due time and its place in the table, the second file would come first.
    Attachment.objects.filter(pk=second.pk).update(next_attempt_at=timezone.now() - timedelta(hours=1))
    Attachment.objects.filter(pk=first.pk).update(filename="moved behind it")
    lanes.refresh()

    def claim() -> list[int]:
        return [taken.id for taken in claims.take_for(FIVE[:2]) if taken]

    def renew() -> list[int]:
        with connection.cursor() as cursor:
            cursor.execute(sql.RENEW, {"ids": [second.pk, first.pk], "tokens": [1, 1], "lease": 60})
            return [row[0] for row in cursor.fetchall()]

    def worker() -> list[int]:
        try:
            return claim() if what == "claim" else renew()
        finally:
            connection.close()

    if what == "renew":
        claim()
        Attachment.objects.filter(pk=first.pk).update(filename="moved again")
    lock = "SELECT FROM attachments_attachment WHERE id = %s FOR UPDATE NOWAIT"
    with ThreadPoolExecutor(1) as pool, psycopg.connect(**connection.get_connection_params()) as other:
        other.execute(lock, [first.pk])
        waiting = pool.submit(worker)
        until(lambda: is_locked_out(other), "the statement waits for the first file's lock")
        other.execute(lock, [second.pk])
        other.rollback()
        assert sorted(waiting.result()) == [first.pk, second.pk]


def is_locked_out(other: psycopg.Connection[tuple[Any, ...]]) -> bool:
    """Whether any session waits for a lock of this connection."""
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY(pg_blocking_pids(pid)))"
    found = other.execute(waiting).fetchone()
    return bool(found and found[0])
