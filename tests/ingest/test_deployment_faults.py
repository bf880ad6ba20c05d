"""Faults of the deployment: they pause landing and fail no batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from ingest.models import Batch
from ingest.pipeline import claims
from ingest.pipeline import landing as pipeline
from ingest.pipeline.pause import Pause
from ingest.problems import alerts
from ingest.problems.models import Alert, BacklogWatch
from tests.http_client import ApiClient
from tests.records import record


@pytest.fixture(autouse=True)
def pause(monkeypatch: pytest.MonkeyPatch) -> Pause:
    """A pause of this test alone."""
    made = Pause()
    monkeypatch.setattr(pipeline, "_pause", made)
    return made


@contextmanager
def column_missing() -> Iterator[None]:
    """A column that landing writes is not there, as when the code is newer than the schema."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE lake_batchoutcomes RENAME COLUMN batch_id TO not_yet")
        yield
        cursor.execute("ALTER TABLE lake_batchoutcomes RENAME COLUMN not_yet TO batch_id")


def test_missing_column_pauses_landing_and_fails_no_batch(api: ApiClient, pause: Pause) -> None:
    batch_id = api.post(record()).json()["batchId"]
    with column_missing():
        for _ in range(claims.MAX_LONE_CRASHES + 1):
            Batch.objects.update(not_before=None)
            pause.end()
            assert pipeline.land_waiting() == 0
            assert pause.is_on
    row = Batch.objects.get()
    assert (row.status, row.crashes, row.lone_crashes) == ("LANDING", 0, 0)
    assert row.failure_code == "DEPLOYMENT_FAULT"
    assert "batch_id" in row.failure
    Batch.objects.update(not_before=None)
    pause.end()
    assert pipeline.land_waiting() == 1
    assert api.batch(batch_id)["status"] == "COMPLETE"


def test_paused_worker_claims_nothing_until_the_pause_ends(api: ApiClient, pause: Pause) -> None:
    api.post(record())
    pause.lengthen()
    assert pipeline.land_waiting() == 0
    assert Batch.objects.get().attempts == 0
    pause.end()
    assert pipeline.land_waiting() == 1


def test_pause_grows_with_each_fault_and_a_landed_batch_ends_it(api: ApiClient, pause: Pause) -> None:
    assert [pause.lengthen() for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    api.post(record())
    assert pipeline.land(claims.claim()) == 1
    assert not pause.is_on
    assert pause.lengthen() == 1


def test_batch_with_a_deployment_fault_is_given_up_only_while_others_land(
    api: ApiClient, pause: Pause, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = int(api.post(record()).json()["batchId"][6:])
    with column_missing():
        for _ in range(claims.MAX_LONE_CRASHES + 1):
            claimed = claims.claim()
            assert [claim.batch_id for claim in claimed] == [poison]
            other = Batch.objects.exclude(id=poison)
            if not other:
                api.post(record())
            other.update(status="COMPLETE", landed_at=timezone.now() + timedelta(seconds=1))
            assert pipeline.land(claimed) == 0
            Batch.objects.filter(id=poison).update(not_before=None)
    pause.end()
    pipeline.land_waiting()
    row = Batch.objects.get(id=poison)
    assert (row.status, row.failure_code) == ("FAILED", "GIVEN_UP")


def test_deployment_fault_alerts_once_and_once_more_when_it_is_over(
    api: ApiClient, pause: Pause, settings: Settings
) -> None:
    settings.EVERMUSE_ALERT_WEBHOOK_URL = "https://alerts.example/hook"
    api.post(record())
    with column_missing():
        pipeline.land_waiting()
    for _ in range(2):
        alerts.watch_deployment()
        BacklogWatch.objects.filter(name=alerts.DEPLOYMENT).update(over_since=timezone.now() - timedelta(minutes=1))
    alerts.watch_deployment()
    assert [alert.body["backlog"] for alert in Alert.objects.filter(event=Alert.Event.BACKLOG)] == ["deployment"]
    Batch.objects.update(not_before=None)
    pause.end()
    pipeline.land_waiting()
    alerts.watch_deployment()
    assert Alert.objects.filter(event=Alert.Event.RECOVERED).count() == 1
