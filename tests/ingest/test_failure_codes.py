"""A batch's failure has a code: it is written with each failure and does not depend on the text."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import OperationalError
from django.test import Client

from evermuse import roles
from evermuse.errors import StoreUnavailable
from ingest import failure_codes
from ingest.models import Batch
from ingest.pipeline import claims, sweeper, transitions
from ingest.pipeline import landing as pipeline
from tests.http_client import ApiClient
from tests.ingest.landing import AT_ONCE, STORE_IS_AWAY, send_and_land
from tests.records import record


def raising(error: Exception) -> Callable[..., Any]:
    def run(*_: object, **__: object) -> None:
        raise error

    return run


def code_and_text() -> tuple[str | None, str]:
    batch = Batch.objects.get()
    return batch.failure_code, batch.failure


def test_batch_without_a_failure_has_no_failure_code(api: ApiClient) -> None:
    send_and_land(api, record())
    assert code_and_text() == (None, "")


def test_rejected_batch_has_the_same_failure_code_at_acceptance_and_at_landing(api: ApiClient) -> None:
    assert api.post(record(product_id="unheard-of")).status_code == 400
    expected = ("ALL_REJECTED", "every record was rejected")
    assert code_and_text() == expected
    assert transitions.reopen(Batch.objects.get().pk)
    assert code_and_text() == (None, "")
    pipeline.land_waiting()
    assert code_and_text() == expected


@pytest.mark.parametrize(
    ("where", "error", "code", "text"),
    [
        ("lake.object_store.put", StoreUnavailable("refused"), "STORE_UNAVAILABLE", "object store: refused"),
        ("lake.index.upsert", OperationalError("gone\0"), "DATABASE_UNAVAILABLE", "database: gone"),
        ("lake.index.upsert", KeyError("x" * 900), "KeyError", ("KeyError: '" + "x" * 900)[:500]),
    ],
)
def test_fault_during_landing_sets_a_failure_code_until_the_batch_lands(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception, code: str, text: str
) -> None:
    api.post(record())
    with monkeypatch.context() as patch:
        patch.setattr(where, raising(error))
        pipeline.land_waiting()
    assert code_and_text() == (code, text)
    Batch.objects.update(not_before=None)
    pipeline.land_waiting()
    assert code_and_text() == (None, "")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("every record was rejected", "ALL_REJECTED"),
        ("given up: 3 workers died or hung while landing it alone", "GIVEN_UP"),
        ("object store: refused", "STORE_UNAVAILABLE"),
        ("database: gone", "DATABASE_UNAVAILABLE"),
        ("KeyError: 'x'", "KeyError"),
    ],
)
def test_sweeper_adds_failure_codes_to_batches_of_older_versions(api: ApiClient, text: str, code: str) -> None:
    api.post(record())
    Batch.objects.update(failure=text, status="FAILED")
    sweeper.sweep()
    assert code_and_text() == (code, text)


def test_viewer_sees_a_failure_without_its_message(api: ApiClient) -> None:
    roles.ensure()
    user = User.objects.create_user("viewer", is_staff=True)
    user.groups.add(Group.objects.get(name="viewer"))
    viewer = Client()
    viewer.force_login(user)
    api.post(record())
    claims.release(claims.claim(), policy=AT_ONCE, failure=failure_codes.unexpected(KeyError("what a client wrote")))
    page = viewer.get(f"/admin/ingest/batch/{Batch.objects.get().pk}/change/").content.decode()
    assert "KeyError" in page
    assert "what a client wrote" not in page


@pytest.mark.parametrize("code", ["ALL_REJECTED", "GIVEN_UP", "WORKER_DIED", "STORE_UNAVAILABLE", "KeyError"])
def test_text_of_a_failure_code_leads_back_to_the_code(code: str) -> None:
    assert failure_codes.code_of(failure_codes.in_words(code)) == code


def test_failure_code_fits_its_column() -> None:
    assert len(failure_codes.unexpected(type("E" * 200, (Exception,), {})("x")).code) == 64
    assert STORE_IS_AWAY.code == "STORE_UNAVAILABLE"
