"""Errors in the admin are pages that say what happened and what to do, also without session and database."""

from collections.abc import Callable
from unittest import mock

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from evermuse.errors import StoreUnavailable
from ingest.models import Batch
from tests import anchors
from tests.http_client import ApiClient
from tests.records import record

Login = Callable[[str], Client]


def text(answer: object) -> str:
    assert answer["Content-Type"].startswith("text/html")  # type: ignore[index]
    return answer.content.decode()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("path", "role", "status", "title"),
    [
        ("/admin/ingest/nothing/", "superuser", 404, "There is no such page"),
        ("/admin/ingest/batch/7/body/x", "superuser", 404, "There is no such page"),
        ("/admin/ingest/workspace/add/", "viewer", 403, "Your role does not permit this"),
        ("/admin/ingest/batch/?nothing__exact=1", "superuser", 400, "This request cannot be read"),
    ],
)
def test_error_in_the_admin_is_a_page_with_the_way_back(
    login: Login, path: str, role: str, status: int, title: str
) -> None:
    answer = login(role).get(path, headers={"X-Request-ID": "trace-me-0001"})
    assert answer.status_code == status
    assert f"<h1>{title}</h1>" in text(answer)
    assert 'href="/admin/"' in text(answer)
    assert "trace-me-0001" in text(answer)


def test_form_without_a_token_gets_a_page_that_says_nothing_was_saved(db: None) -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {"username": "a", "password": "b"})
    assert answer.status_code == 403
    assert "Nothing was saved" in text(answer)


@pytest.mark.parametrize(
    ("error", "status", "title"),
    [
        (OperationalError("the connection is lost"), 503, "PostgreSQL does not answer"),
        (StoreUnavailable("no answer"), 503, "The object store does not answer"),
        (RuntimeError("x"), 500, "An internal error occurred"),
    ],
)
def test_exception_in_the_admin_gives_a_page_that_needs_no_database(
    login: Login, error: Exception, status: int, title: str, django_assert_num_queries: Callable[[int], object]
) -> None:
    client = login("superuser")
    client.raise_request_exception = False
    # The session is the first thing that a page reads.
    with (
        mock.patch("django.contrib.sessions.backends.db.SessionStore.load", side_effect=error),
        django_assert_num_queries(0),  # type: ignore[attr-defined]
    ):
        answer = client.get("/admin/")
    assert answer.status_code == status
    assert f"<h1>{title}</h1>" in text(answer)
    if status == 503:
        assert answer["Retry-After"]
        assert anchors.exists(text(answer).partition('href="/docs/')[2].partition('"')[0])


def test_script_of_the_admin_gets_json_for_an_error(login: Login) -> None:
    client = login("superuser")
    client.raise_request_exception = False
    with mock.patch("ingest.activity.selectors.figures", side_effect=OperationalError("lost")):
        answer = client.get(reverse("overview"))
    assert (answer.status_code, answer.json()["error"]) == (500, "INTERNAL_ERROR")


def test_empty_list_asks_to_create_only_what_the_login_may_create(login: Login) -> None:
    boss = login("superuser")
    batches = text(boss.get(reverse("admin:ingest_batch_changelist")))
    assert "No batches" in batches
    assert "There are none yet" in batches
    assert "Add batch" not in batches
    assert "Nothing matches" in text(boss.get(reverse("admin:ingest_batch_changelist"), {"q": "7"}))
    assert "EVERMUSE_ALERT_WEBHOOK_URL" in text(boss.get(reverse("admin:problems_alert_changelist")))
    assert "Add workspace" in text(boss.get(reverse("admin:ingest_workspace_changelist")))


def test_title_of_a_page_names_the_row_as_it_is_spelled(api: ApiClient, login: Login) -> None:
    api.post([record()])
    batch = Batch.objects.get()
    page = text(login("superuser").get(reverse("admin:ingest_batch_change", args=[batch.pk])))
    title = page.partition("<h1")[2].partition("</h1>")[0]
    assert f"<bdi>{batch.public_id}</bdi>" in title
    assert "<bdi>Batches</bdi>" in title
