"""Claims on waiting batches: leases, fencing tokens, crashes, and faults of the store."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.utils import timezone

from evermuse import heartbeat
from evermuse.errors import StoreUnavailable
from ingest import sql
from ingest.models import Batch
from ingest.pipeline import claims, leases, sweeper, transitions
from ingest.pipeline import landing as pipeline
from lake.models import BatchOutcomes, Payload, Record
from tests.http_client import ApiClient
from tests.ingest.landing import AT_ONCE, STORE_IS_AWAY, outcomes, send_and_land, versions
from tests.journeys.stack import until
from tests.records import record


def expire() -> None:
    """Lets every lease expire."""
    Batch.objects.filter(claimed_until__isnull=False).update(claimed_until=timezone.now() - timedelta(seconds=1))


def test_small_batches_are_claimed_together_and_only_once(api: ApiClient) -> None:
    for _ in range(5):
        api.post(record())
    assert len(claims.claim()) == 5
    assert claims.claim() == []


def test_claim_takes_at_most_two_large_batches(api: ApiClient) -> None:
    for _ in range(3):
        api.post([record() for _ in range(700)])
    assert [len(claims.claim()) for _ in range(3)] == [2, 1, 0]


def test_claim_takes_at_most_eight_megabytes(api: ApiClient) -> None:
    for _ in range(3):
        api.post(record(data={"text": "x" * 3_000_000}))
    assert [len(claims.claim()) for _ in range(3)] == [2, 1, 0]


def test_batch_without_its_payload_delays_no_other_batch(api: ApiClient) -> None:
    broken, sound = (api.post(record()).json()["batchId"] for _ in range(2))
    Payload.objects.filter(batch_id=int(broken[6:])).delete()
    assert len(claims.claim()) == 2
    expire()
    for _ in range(2):
        pipeline.land_waiting()
        Batch.objects.update(not_before=None)
    assert (api.batch(broken)["status"], api.batch(sound)["status"]) == ("LANDING", "COMPLETE")


@pytest.mark.django_db(transaction=True)
def test_slow_landing_keeps_its_claims(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "EVERMUSE_LEASE_SECONDS", 3)
    batch_id = api.post(record()).json()["batchId"]

    def slow(landings: list[Any]) -> list[Any]:
        began = Batch.objects.get().claimed_until
        assert began is not None
        until(lambda: timezone.now() > began, "the original lease has expired")
        assert claims.claim() == []
        return archive(landings)

    archive = pipeline._archive
    monkeypatch.setattr(pipeline, "_archive", slow)
    assert pipeline.land_waiting() == 1
    assert (api.batch(batch_id)["status"], Batch.objects.get().crashes) == ("COMPLETE", 0)


@pytest.mark.django_db(transaction=True)
def test_hung_landing_ends_its_process_and_loses_its_claims(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []
    monkeypatch.setattr(settings, "EVERMUSE_LEASE_SECONDS", 1)
    monkeypatch.setattr(leases, "LONGEST_LANDING_SECONDS", 0.0)
    monkeypatch.setattr(heartbeat, "end_process", lambda: ended.append(True))
    api.post(record())
    claimed = claims.claim()
    with leases.keeping(claimed):
        until(lambda: ended and claims.waiting(1), "another worker may claim the batch")
    assert [c.token for c in claims.claim()] == [claimed[0].token + 1]


def test_released_or_reclaimed_batch_is_not_renewed(api: ApiClient) -> None:
    api.post(record())
    stale = claims.claim()
    claims.release(stale, policy=AT_ONCE, failure=STORE_IS_AWAY)
    claims.renew(stale)
    assert Batch.objects.get().claimed_until is None
    fresh = claims.claim()
    expire()
    claims.renew(stale)
    assert claims.claim() != []
    assert [c.token for c in fresh] == [stale[0].token + 1]


def test_oldest_batch_is_claimed_first(api: ApiClient) -> None:
    ids = [int(api.post(record()).json()["batchId"][6:]) for _ in range(3)]
    assert [c.batch_id for c in claims.claim()] == ids


def test_worker_that_resumes_after_its_lease_writes_nothing(api: ApiClient) -> None:
    batch_id = api.post(versions("1")).json()["batchId"]
    stale = claims.claim()
    landings = pipeline._archive(pipeline._parse(stale))
    expire()
    fresh = claims.claim()
    assert [c.batch_id for c in fresh] == [c.batch_id for c in stale]
    assert pipeline._commit(landings) == []
    assert (Record.objects.count(), BatchOutcomes.objects.count()) == (0, 0)
    assert pipeline.land(fresh) == 1
    assert pipeline._commit(landings) == []
    assert outcomes(api, batch_id) == ["created"]


def test_late_release_does_not_end_the_claim_of_another_worker(api: ApiClient) -> None:
    api.post(record())
    stale = claims.claim()
    expire()
    claims.claim()
    claims.release(stale, policy=AT_ONCE, failure=STORE_IS_AWAY)
    assert claims.claim() == []


def test_batch_is_claimed_alone_after_its_first_crash(api: ApiClient) -> None:
    first = [int(api.post(record()).json()["batchId"][6:]) for _ in range(3)]
    claims.claim()
    expire()
    alone = [claims.claim() for _ in range(3)]
    assert [[c.batch_id for c in claims] for claims in alone] == [[number] for number in first]


def test_batch_is_given_up_after_three_lone_crashes_while_others_land(api: ApiClient) -> None:
    poison = int(api.post(record()).json()["batchId"][6:])
    claims.claim()  # possibly with others: this crash does not count as a lone one
    for _ in range(3):
        expire()
        assert [c.batch_id for c in claims.claim()] == [poison]
    expire()
    other = api.post(record()).json()["batchId"]
    pipeline.land_waiting()
    row = Batch.objects.get(id=poison)
    assert (row.status, row.lone_crashes) == ("FAILED", claims.MAX_LONE_CRASHES)
    assert "given up" in row.failure
    assert row.failure_code == "GIVEN_UP"
    assert api.batch(other)["status"] == "COMPLETE"
    assert transitions.reopen(poison)
    pipeline.land_waiting()
    assert Batch.objects.get(id=poison).status == "COMPLETE"


def test_clock_that_was_set_back_counts_no_crash(api: ApiClient) -> None:
    poison = int(api.post(record()).json()["batchId"][6:])
    for _ in range(5):
        assert [c.batch_id for c in claims.claim()] == [poison]
        Batch.objects.update(claimed_until=timezone.now() + timedelta(hours=1))
    row = Batch.objects.get(id=poison)
    assert (row.status, row.crashes, row.lone_crashes) == ("LANDING", 0, 0)


def test_batch_with_two_lone_crashes_still_lands(api: ApiClient) -> None:
    poison = int(api.post(record()).json()["batchId"][6:])
    Batch.objects.update(crashes=9, lone_crashes=2)
    pipeline.land_waiting()
    assert Batch.objects.get(id=poison).status == "COMPLETE"


def test_exception_while_landing_counts_as_a_crash(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    api.post(record())
    with monkeypatch.context() as patch:
        patch.setattr("ingest.pipeline.landing.index.upsert", lambda rows: 1 / 0)
        assert pipeline.land(claims.claim()) == 0
    row = Batch.objects.get()
    assert (row.status, row.crashes, row.claimed_until) == ("LANDING", 1, None)
    assert "ZeroDivisionError" in row.failure
    Batch.objects.update(not_before=None)
    assert pipeline.land_waiting() == 1


def test_batch_waits_without_counting_a_crash_while_the_store_is_unavailable(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object) -> str:
        raise StoreUnavailable("connection refused")

    batch_id = api.post(record()).json()["batchId"]
    with monkeypatch.context() as patch:
        patch.setattr("lake.object_store.put", away)
        assert pipeline.land_waiting() == 0
    row = Batch.objects.get()
    assert (row.status, row.crashes, Record.objects.count()) == ("LANDING", 0, 0)
    assert row.not_before is not None
    assert row.not_before > timezone.now()
    assert claims.claim() == []
    Batch.objects.update(not_before=None)
    pipeline.land_waiting()
    assert api.batch(batch_id)["status"] == "COMPLETE"


def test_database_fault_releases_the_claim_without_counting_a_crash(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*args: object) -> None:
        raise OperationalError("terminating connection")

    api.post(record())
    with monkeypatch.context() as patch:
        patch.setattr("ingest.pipeline.landing.index.upsert", away)
        assert pipeline.land(claims.claim()) == 0
    row = Batch.objects.get()
    assert (row.status, row.crashes, row.claimed_until) == ("LANDING", 0, None)


def test_sweeper_wakes_workers_for_waiting_batches_and_completes_abandoned_ones(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[list[int]] = []
    left = send_and_land(api, record())
    Batch.objects.update(status="LANDED", landed_at=timezone.now() - timedelta(minutes=1), completed_at=None)
    waiting = int(api.post(record()).json()["batchId"][6:])
    monkeypatch.setattr(
        "ingest.pipeline.sweeper.wake", SimpleNamespace(LAND="land", top_up=lambda task, ids: woken.append(ids))
    )
    sweeper.sweep()
    sweeper.sweep()
    assert woken == [[waiting], [waiting]]
    assert api.batch(left)["status"] == "COMPLETE"


def test_completed_batch_never_returns_to_an_earlier_status(api: ApiClient) -> None:
    batch_id = send_and_land(api, record())
    number = int(batch_id[6:])
    transitions.mark_processing([number])
    transitions.mark_complete([number])
    assert not transitions.reopen(number)
    assert claims.claim() == []
    assert api.batch(batch_id)["status"] == "COMPLETE"


def test_database_connections_use_no_pool_and_no_server_side_cursors() -> None:
    """Celery would close a whole pool after each task."""
    database: dict[str, Any] = settings.DATABASES["default"]
    assert "pool" not in database["OPTIONS"]
    assert database["DISABLE_SERVER_SIDE_CURSORS"] is True


def test_transition_returns_only_the_batches_that_changed(api: ApiClient) -> None:
    landing, landed, processing = (int(api.post(record()).json()["batchId"][6:]) for _ in range(3))
    Batch.objects.filter(id=landed).update(status="LANDED")
    Batch.objects.filter(id=processing).update(status="PROCESSING")
    assert transitions.mark_processing([processing, landed, landing]) == [landed, processing]
    assert transitions.mark_complete([processing, landing]) == [processing]
    assert transitions.mark_complete([processing, landing]) == []


def test_claim_raises_if_it_updates_fewer_rows_than_it_locked(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    api.post(record())
    monkeypatch.setattr(sql, "CLAIM", sql.CLAIM.replace("WHERE id = batch.old_id", "WHERE id = batch.old_id AND false"))
    with pytest.raises(RuntimeError, match="1 rows expected, 0 changed"):
        claims.claim()
