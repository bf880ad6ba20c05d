"""Workspaces take turns: one's backlog, locked row or open claim never delays another's batches."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from ingest import sql
from ingest.clients import workspaces
from ingest.models import Batch, Workspace
from ingest.pipeline import claims
from ingest.pipeline import landing as pipeline
from lake.models import Record
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land, versions
from tests.ingest.sessions import another_session, locked
from tests.ingest.test_changed_since import landing_that_waits
from tests.records import record


@pytest.fixture
def foreign(new_client: Callable[..., ApiClient], other_workspace: Workspace) -> ApiClient:
    return new_client(of=other_workspace)


@pytest.fixture(autouse=True)
def first_turn(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serves the workspace that was made first at first."""
    turn = claims._Turn()
    turn.last = 0
    monkeypatch.setattr(claims, "_turn", turn)
    yield


def owners(claimed: list[claims.Claim]) -> set[int]:
    return set(Batch.objects.filter(id__in=[c.batch_id for c in claimed]).values_list("workspace_id", flat=True))


def test_claim_takes_batches_of_one_workspace_only(api: ApiClient, foreign: ApiClient) -> None:
    for _ in range(3):
        api.post(record()), foreign.post(record())
    found = [claims.claim() for _ in range(3)]
    assert [len(claimed) for claimed in found] == [3, 3, 0]
    assert all(len(owners(claimed)) == 1 for claimed in found[:2])
    assert all(claim.workspace_id in owners(claimed) for claimed in found for claim in claimed)


def test_lone_batch_waits_for_at_most_one_claim_of_another_workspaces_backlog(
    api: ApiClient, foreign: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "CLAIM_BATCHES", 2)
    for _ in range(20):
        api.post(record())
    lone = int(foreign.post(record()).json()["batchId"][6:])
    assert len(claims.claim()) == 2
    assert [c.batch_id for c in claims.claim()] == [lone]


def test_workspaces_are_served_in_turn_from_any_starting_point(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    monkeypatch.setattr(claims, "CLAIM_BATCHES", 1)
    numbers = [workspaces.ensure(name=f"turn-{n}", products=[("p", ["q"])]).pk for n in range(4)]
    for number in numbers:
        fill(number, 3)
    served = []
    for start in (numbers[1], numbers[-1], numbers[-1] + 1000):
        claims._turn.last = start
        served.append([claim.workspace_id for _ in range(4) for claim in claims.claim()])
    assert served[0] == [*numbers[2:], *numbers[:2]]
    assert served[1] == served[2] == numbers


def test_each_process_starts_with_a_random_workspace(monkeypatch: pytest.MonkeyPatch, db: None) -> None:
    """Otherwise a process that dies of the first workspace's batches would start with them every time."""
    for n in range(10):
        workspaces.ensure(name=f"turn-{n}", products=[("p", ["q"])])
    assert len({claims._Turn().last for _ in range(100)}) > 1


def test_suspect_batches_of_one_workspace_delay_no_other_workspace(api: ApiClient, foreign: ApiClient) -> None:
    api.post(record()), api.post(record())
    Batch.objects.update(crashes=1)
    foreign.post(record()), foreign.post(record())
    assert [len(claims.claim()) for _ in range(3)] == [1, 2, 1]


def test_batch_that_is_given_up_does_not_end_the_round(api: ApiClient, foreign: ApiClient) -> None:
    poison = int(api.post(record()).json()["batchId"][6:])
    Batch.objects.update(lone_crashes=claims.MAX_LONE_CRASHES)
    sound = int(foreign.post(record()).json()["batchId"][6:])
    assert [c.batch_id for c in claims.claim()] == [sound]
    assert Batch.objects.get(id=poison).status == "FAILED"


@pytest.mark.django_db(transaction=True)
def test_batches_locked_by_another_worker_are_skipped(api: ApiClient, foreign: ApiClient) -> None:
    first = int(api.post(record()).json()["batchId"][6:])
    second = int(foreign.post(record()).json()["batchId"][6:])
    with another_session() as other:
        other.execute("SELECT FROM ingest_batch WHERE id = %s FOR UPDATE", [first])
        assert [c.batch_id for c in claims.claim()] == [second]
        assert claims.claim() == []
    assert [c.batch_id for c in claims.claim()] == [first]


@pytest.mark.django_db(transaction=True)
def test_landing_blocked_in_one_workspace_delays_no_other_workspace(api: ApiClient, foreign: ApiClient) -> None:
    send_and_land(api, versions("1"))
    row = Record.objects.get()
    api.post(versions("2"))
    theirs = foreign.post(record()).json()["batchId"]
    claims._turn.last = 0
    with locked(row.pk):
        finish = landing_that_waits(claims.claim())
        assert pipeline.land_waiting() == 1
        assert foreign.batch(theirs)["status"] == "COMPLETE"
        assert len(foreign.get("/api/v1/records").json()["records"]) == 1
    finish()


def fill(workspace_id: int, count: int) -> None:
    """Inserts waiting batches without payloads."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO ingest_batch (workspace_id, source, type, status, created_at, record_count, accepted_count, "
            "rejected_count, error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes, "
            "lone_crashes, failure) SELECT %s, 'api', 'call', 'LANDING', now(), 1, 1, 0, 0, '[]', 0, '', false, 0, 0, 0, '' "
            "FROM generate_series(1, %s)",
            [workspace_id, count],
        )


def rows_read(plan: dict[str, Any]) -> Counter[str]:
    """Counts the rows that each kind of node of a plan returned."""
    found = Counter({plan["Node Type"]: int(plan["Actual Rows"] * plan["Actual Loops"])})
    found["removed"] = int(plan.get("Rows Removed by Filter", 0) * plan["Actual Loops"])
    for part in plan.get("Plans", ()):
        found += rows_read(part)
    return found


@pytest.mark.parametrize(("many_workspaces", "many_batches"), [(500, 1), (1, 5000), (100, 100)])
def test_claim_reads_a_bounded_number_of_rows_however_many_batches_wait(
    workspace: Workspace, many_workspaces: int, many_batches: int
) -> None:
    for n in range(many_workspaces):
        fill(workspace.pk + n, many_batches)
    parameters = {**claims._plausible(), "limit": 64, "after": workspace.pk - 1}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("ANALYZE ingest_batch")
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql.WAITING}", parameters)
        (answer,) = cursor.fetchone()
    [explained] = answer if isinstance(answer, list) else json.loads(answer)
    read = rows_read(explained["Plan"])
    scans = ("Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Seq Scan", "removed")
    # Each batch of the claim with its payload, and the search for the workspace.
    assert sum(read[node] for node in scans) <= 2 * 64 + 2, read
