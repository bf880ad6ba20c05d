"""Claims of several workers at the same time: they share no lock over all workspaces, and all limits hold."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.utils.crypto import get_random_string
from pytest_django.fixtures import Settings

from attachments.models import Attachment, DownloadAttempt
from attachments.queue import claims, lanes
from attachments.queue.claims import DownloadClaim
from attachments.queue.completions import Completion, complete_all
from ingest.clients import workspaces
from ingest.models import Workspace
from tests.attachments.journey import send
from tests.attachments.test_claims import at
from tests.http_client import ApiClient
from tests.journeys.stack import until

pytestmark = pytest.mark.django_db(transaction=True)

# The most downloads that ever ran at the same time, by what they have in common.
MOST_AT_ONCE = """
SELECT max((
  SELECT count(*) FROM attachments_downloadattempt o JOIN attachments_attachment other ON other.id = o.attachment_id
  WHERE {same} AND o.started_at <= d.started_at AND o.finished_at > d.started_at
)) FROM attachments_downloadattempt d JOIN attachments_attachment a ON a.id = d.attachment_id
"""


@contextmanager
def claiming(taker: str) -> Iterator[DownloadClaim]:
    """Another worker claims a file, and commits the claim when the block ends."""
    lanes.refresh()
    has_claimed, may_commit = threading.Event(), threading.Event()
    taken: list[DownloadClaim | None] = []

    def work() -> None:
        try:
            with transaction.atomic():
                taken.extend(claims.take_for([taker]))
                has_claimed.set()
                may_commit.wait(60)
        finally:
            has_claimed.set()
            connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        has_claimed.wait(60)
        [claim] = taken
        assert claim is not None
        yield claim
    finally:
        may_commit.set()
        thread.join()


def is_waiting(monitor: psycopg.Connection[Any]) -> bool:
    """Whether any session waits for a lock."""
    found = monitor.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone()
    return bool(found and found[0])


def claim_apart(pool: ThreadPoolExecutor, takers: int) -> Callable[[], list[DownloadClaim | None]]:
    """Starts a claim on another connection; the result waits for it."""

    def work() -> list[DownloadClaim | None]:
        try:
            return claims.take_for(["other"] * takers)
        finally:
            connection.close()

    future = pool.submit(work)
    return lambda: future.result(timeout=60)


def test_claim_that_is_not_committed_delays_no_claim_of_another_workspace(
    workspace: Workspace, other_workspace: Workspace, new_client: Callable[..., ApiClient]
) -> None:
    send(new_client(), *at(1111, each=2))
    send(new_client(of=other_workspace), *at(1111, each=2))
    with ThreadPoolExecutor(1) as pool, claiming("first") as first:
        [claim] = claim_apart(pool, takers=1)()
    assert claim is not None
    assert {first.workspace_id, claim.workspace_id} == {workspace.pk, other_workspace.pk}


def test_claim_waits_for_the_rest_of_a_workspace_that_another_claim_holds(
    workspace: Workspace, new_client: Callable[..., ApiClient]
) -> None:
    """If it ended without a file, nothing would fetch the rest until the next wake-up."""
    send(new_client(), *at(1111, each=3))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(**connection.get_connection_params()) as monitor:
        with claiming("first") as first:
            result = claim_apart(pool, takers=3)
            until(lambda: is_waiting(monitor), "the second claim waits")
        taken = [claim.id for claim in result() if claim]
    assert sorted([first.id, *taken]) == sorted(Attachment.objects.values_list("pk", flat=True))


def test_claim_of_several_files_takes_what_is_free_and_then_waits_for_the_rest(
    workspace: Workspace, other_workspace: Workspace, new_client: Callable[..., ApiClient]
) -> None:
    send(new_client(), *at(1111, each=2))
    send(new_client(of=other_workspace), *at(2222, each=2))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(**connection.get_connection_params()) as monitor:
        with claiming("first") as first:
            result = claim_apart(pool, takers=5)
            until(lambda: is_waiting(monitor), "the second claim waits")
            free = Attachment.objects.filter(state="IN_PROGRESS").exclude(pk=first.id)
            assert set(free.values_list("workspace_id", flat=True)) == {workspace.pk, other_workspace.pk} - {
                first.workspace_id
            }
        taken = [claim.id for claim in result() if claim]
    assert sorted([first.id, *taken]) == sorted(Attachment.objects.values_list("pk", flat=True))


def test_workers_that_claim_and_complete_at_once_exceed_no_limit_and_fetch_each_file_once(
    workspace: Workspace, new_client: Callable[..., ApiClient], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVERMUSE_ATTACHMENT_HOST_CONCURRENCY, settings.EVERMUSE_ATTACHMENT_CONCURRENCY = 3, 8
    for number in range(4):
        made = workspaces.ensure(name=f"w-{get_random_string(8)}", products=[("prod-abc", ["proj-123"])])
        client = new_client(of=made)
        for _ in range(3 if number else 12):
            send(client, *at(1111, 2222, each=5))
    mine = threading.local()
    # Each thread is a worker of its own.
    monkeypatch.setattr(claims, "worker", lambda: mine.name)

    def work(number: int) -> None:
        mine.name, chance = f"worker-{number}:", random.Random(number)
        held: list[DownloadClaim] = []
        try:
            while True:
                taken = [one for one in claims.take_for([mine.name] * chance.randint(1, 4)) if one]
                held += taken
                chance.shuffle(held)
                ready = chance.randint(1, 4)
                finish(held[:ready])
                held = held[ready:]
                if not taken and not held and not Attachment.objects.filter(state="PENDING").exists():
                    return
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(work, range(5)))
    files = Attachment.objects.count()
    assert set(Attachment.objects.values_list("state", "claim_token")) == {("COMPLETE", 1)}
    assert DownloadAttempt.objects.count() == files == 210
    with connection.cursor() as cursor:
        cursor.execute(MOST_AT_ONCE.format(same="(other.workspace_id, other.host) = (a.workspace_id, a.host)"))
        assert cursor.fetchone()[0] == 3
        # A workspace takes at most three quarters of a worker's eight slots.
        cursor.execute(
            MOST_AT_ONCE.format(same="(other.workspace_id, other.claimed_by) = (a.workspace_id, a.claimed_by)")
        )
        assert cursor.fetchone()[0] <= 6


def finish(claimed: list[DownloadClaim]) -> None:
    """Completes files with a content of their own."""
    if claimed:
        complete_all(
            [
                Completion(
                    id=claim.id,
                    token=claim.token,
                    uri=f"s3://bucket/{claim.id}",
                    size=1,
                    mime_type="",
                    sha256=f"{claim.id:064x}",
                    sha1="",
                    md5="",
                    received=1,
                    http_status=200,
                )
                for claim in claimed
            ]
        )
