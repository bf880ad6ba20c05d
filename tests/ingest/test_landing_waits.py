"""Waits during landing have the length that the retry policy sets, for every worker and the sweeper."""

from datetime import timedelta

import pytest
from django.utils import timezone

from evermuse import retry_policy
from evermuse.errors import StoreUnavailable
from evermuse.retry_policy import RetryPolicy
from ingest.models import Batch
from ingest.pipeline import claims
from ingest.pipeline import landing as pipeline
from tests.http_client import ApiClient
from tests.ingest.landing import STORE_IS_AWAY
from tests.records import record

AN_HOUR = 3600.0


def test_every_worker_keeps_to_a_long_wait_for_the_object_store(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("it is away")

    monkeypatch.setattr(retry_policy, "LANDING_STORE", RetryPolicy(first=AN_HOUR, longest=AN_HOUR))
    monkeypatch.setattr(retry_policy, "LANDING", (retry_policy.LANDING_STORE,))
    monkeypatch.setattr("lake.object_store.put", away)
    api.post(record())
    pipeline.land_waiting()
    assert Batch.objects.get().not_before > timezone.now() + timedelta(minutes=59)  # type: ignore[operator]
    assert claims.waiting(8) == []
    assert claims.claim() == []


def test_wait_before_landing_again_grows_with_each_claim(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_policy, "LANDING_STORE", RetryPolicy(first=100, longest=1000))
    api.post(record())
    waits = []
    for _ in range(3):
        Batch.objects.update(not_before=None)
        claims.release(claims.claim(), policy=retry_policy.LANDING_STORE, failure=STORE_IS_AWAY)
        waits.append(round((Batch.objects.get().not_before - timezone.now()).total_seconds(), -2))  # type: ignore[operator]
    assert waits == [100, 200, 400]
