"""Idempotency-Key: one key, one batch, for 24 hours."""

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


def test_the_same_request_again_gets_the_same_answer_and_no_second_batch(api: ApiClient) -> None:
    sent = json.dumps([record(), record(event_at="x")]).encode()
    first, again = (api.post(sent, idempotency_key="a") for _ in range(2))
    assert (again.status_code, again.content) == (first.status_code, first.content) == (202, first.content)
    assert (first.get("Idempotent-Replayed"), again.get("Idempotent-Replayed")) == (None, "true")
    assert Batch.objects.count() == 1


def test_it_is_the_decompressed_body_that_counts(api: ApiClient) -> None:
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
def test_the_same_key_for_another_request_is_refused(api: ApiClient, change: dict[str, Any]) -> None:
    sent = json.dumps(record()).encode()
    api.post(sent, idempotency_key="a")
    answer = api.post(change.pop("body", sent), idempotency_key="a", **change)
    assert (answer.status_code, answer.json()["error"]) == (422, "IDEMPOTENCY_KEY_REUSED")


def test_refused_requests_are_not_remembered(api: ApiClient) -> None:
    assert api.post({"records": [{}]}, idempotency_key="a").status_code == 400
    assert api.post(record(), idempotency_key="a").status_code == 202


def test_keys_belong_to_their_workspace(
    api: ApiClient, new_client: Callable[..., ApiClient], other_workspace: Workspace
) -> None:
    one = record()
    first, foreign = api.post(one, idempotency_key="a"), new_client(of=other_workspace).post(one, idempotency_key="a")
    assert foreign.status_code == 202
    assert first.json()["batchId"] != foreign.json()["batchId"]


def test_another_key_of_the_workspace_shares_them(api: ApiClient, new_client: Callable[..., ApiClient]) -> None:
    one = record()
    assert api.post(one, idempotency_key="a").json() == new_client().post(one, idempotency_key="a").json()


@pytest.mark.parametrize("key", ["", "x" * 257])
def test_an_empty_or_too_long_key_is_refused(api: ApiClient, key: str) -> None:
    assert api.post(record(), idempotency_key=key).json()["error"] == "INVALID_IDEMPOTENCY_KEY"


def test_256_characters_are_taken(api: ApiClient) -> None:
    assert api.post(record(), idempotency_key="x" * 256).status_code == 202


def forget_expired() -> int:
    return retention.run(idempotency.ANSWERS, now=timezone.now(), seconds=10).rows


def test_an_answer_is_repeated_for_as_long_as_the_setting_says(api: ApiClient, settings: Any) -> None:
    settings.EVERMUSE_IDEMPOTENCY_RETENTION_DAYS = 3
    sent = record()
    api.post(sent, idempotency_key="a")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=71))
    assert forget_expired() == 0
    assert api.post(sent, idempotency_key="a").get("Idempotent-Replayed") == "true"


def test_after_24_hours_the_key_is_free_again(api: ApiClient) -> None:
    api.post(record(), idempotency_key="a")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=24, seconds=1))
    assert api.post(record(), idempotency_key="a").get("Idempotent-Replayed") is None
    assert (IdempotencyKey.objects.count(), Batch.objects.count()) == (1, 2)


def test_retention_forgets_expired_keys(api: ApiClient) -> None:
    api.post(record(), idempotency_key="old")
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(hours=25))
    api.post(record(), idempotency_key="new")
    assert forget_expired() == 1
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_retention_leaves_a_key_that_is_renewed_at_that_moment(api: ApiClient, workspace: Workspace) -> None:
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
            assert found.wait(30)
            until(lambda: waits_for_a_row(), "the deletion waits for the row")
        assert sweeping.result() == 0
    assert IdempotencyKey.objects.count() == 1


def waits_for_a_row() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid'")
        return bool(cursor.fetchone()[0])
