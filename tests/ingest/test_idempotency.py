"""Idempotency-Key: within 24 hours, one key makes one batch."""

import contextlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Event
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from evermuse import retention
from ingest.admission import idempotency
from ingest.models import Batch, IdempotencyKey, Workspace
from tests.http_client import NDJSON, ApiClient, gzipped
from tests.journeys.stack import until
from tests.records import record


def test_repeated_request_gets_the_same_answer_and_makes_no_second_batch(api: ApiClient) -> None:
    sent = json.dumps([record(), record(event_at="x")]).encode()
    first, again = (api.post(sent, idempotency_key="a") for _ in range(2))
    assert (again.status_code, again.content) == (first.status_code, first.content) == (202, first.content)
    assert (first.get("Idempotent-Replayed"), again.get("Idempotent-Replayed")) == (None, "true")
    assert Batch.objects.count() == 1


def test_idempotency_compares_the_decompressed_body(api: ApiClient) -> None:
    sent = json.dumps(record()).encode()
    first = api.post(sent, idempotency_key="a")
    again = api.post(gzipped(sent), idempotency_key="a", content_encoding="gzip")
    assert again.json() == first.json()


@pytest.mark.parametrize(
    "change",
    [
        {"body": b'{"another": 1}'},
        {"content_type": NDJSON},
        {"query": "format=text"},
    ],
)
def test_idempotency_key_of_a_different_request_gets_a_422(api: ApiClient, change: dict[str, Any]) -> None:
    sent = json.dumps(record()).encode()
    api.post(sent, idempotency_key="a")
    answer = api.post(change.pop("body", sent), idempotency_key="a", **change)
    assert (answer.status_code, answer.json()["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_rejected_request_does_not_use_up_its_idempotency_key(api: ApiClient) -> None:
    assert api.post({"records": [{}]}, idempotency_key="a").status_code == 400
    assert api.post(record(), idempotency_key="a").status_code == 202


def test_idempotency_key_is_shared_by_all_api_keys_of_a_workspace(
    api: ApiClient, new_client: Callable[..., ApiClient]
) -> None:
    one = record()
    assert api.post(one, idempotency_key="a").json() == new_client().post(one, idempotency_key="a").json()


@pytest.mark.parametrize("key", ["", "x" * 257])
def test_empty_or_too_long_idempotency_key_is_rejected(api: ApiClient, key: str) -> None:
    assert api.post(record(), idempotency_key=key).json()["error"] == "INVALID_IDEMPOTENCY_KEY"


def test_idempotency_key_may_have_256_characters(api: ApiClient) -> None:
    assert api.post(record(), idempotency_key="x" * 256).status_code == 202


def forget_expired() -> int:
    return retention.run(idempotency.ANSWERS, now=timezone.now(), seconds=10).rows


def test_answer_is_replayed_for_as_long_as_the_setting_says(api: ApiClient, settings: Any) -> None:
    settings.EVERMUSE_IDEMPOTENCY_RETENTION_DAYS = 3
    sent = record()
    api.post(sent, idempotency_key="a")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=71))
    assert forget_expired() == 0
    assert api.post(sent, idempotency_key="a").get("Idempotent-Replayed") == "true"


def test_idempotency_key_is_free_again_after_24_hours(api: ApiClient) -> None:
    api.post(record(), idempotency_key="a")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    assert api.post(record(), idempotency_key="a").get("Idempotent-Replayed") is None
    assert (IdempotencyKey.objects.count(), Batch.objects.count()) == (1, 2)


def test_retention_removes_expired_idempotency_keys(api: ApiClient) -> None:
    api.post(record(), idempotency_key="old")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    api.post(record(), idempotency_key="new")
    assert forget_expired() == 1
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_retention_keeps_an_idempotency_key_that_is_renewed_meanwhile(api: ApiClient, workspace: Workspace) -> None:
    api.post(record(), idempotency_key="a")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    found = Event()

    def sweep() -> int:
        with contextlib.closing(connection):

            def note(execute: Callable[..., Any], statement: str, *rest: Any) -> Any:
                if statement.startswith("DELETE"):
                    found.set()
                return execute(statement, *rest)

            with connection.execute_wrapper(note):
                return forget_expired()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            assert idempotency.begin(workspace.id, "a", b"f") is None
            idempotency.remember(workspace.id, "a", b"f", Batch.objects.get().id, "{}")
            sweeping = pool.submit(sweep)
            assert found.wait(120)
            until(waits_for_a_row, "the deletion waits for the row")
        assert sweeping.result() == 0
    assert IdempotencyKey.objects.count() == 1


def waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'")
        return bool(cursor.fetchone()[0])
