"""API keys in the admin: shown once when they are made, listed with their state, and revoked after a confirmation."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ingest.clients import api_keys, workspaces
from ingest.models import ApiKey, Workspace
from tests.http_client import INGEST, ApiClient
from tests.records import record

LIST, ADD, REVOKE = (reverse(f"admin:ingest_apikey_{name}") for name in ("changelist", "add", "revoke"))


@pytest.fixture
def administrator(login: Callable[[str], Client]) -> Client:
    """A browser of a user who may make keys."""
    return login("administrator")


def form(workspace: Workspace, **changes: object) -> dict[str, object]:
    return {
        "workspace": workspace.pk, "label": "crm", "source": "crm", "permissions": ["api:read", "api:write"],
        "rate_limit": "", "expires_at_0": "", "expires_at_1": "",
    } | changes  # fmt: skip


def test_new_key_is_shown_in_one_answer_and_nowhere_else(administrator: Client, workspace: Workspace) -> None:
    answer = administrator.post(ADD, form(workspace))
    assert (answer.status_code, "no-store" in answer["Cache-Control"]) == (200, True)
    [secret] = set(re.findall(r"em_sk_[\w-]{43}", answer.content.decode()))
    key = ApiKey.objects.get()
    assert key.digest == api_keys.digest(secret)
    for path in (LIST, ADD, reverse("admin:ingest_apikey_change", args=[key.pk])):
        assert secret not in administrator.get(path).content.decode()
    assert secret not in str(dict(administrator.session))
    [entry] = LogEntry.objects.all()
    assert (entry.change_message, entry.object_id) == ("Key made (permissions: api:read api:write)", str(key.pk))
    assert secret not in entry.object_repr
    assert ApiClient(Client(), secret).post(record()).status_code == 202


def test_reload_of_the_page_with_a_new_key_makes_no_second_key(administrator: Client, workspace: Workspace) -> None:
    administrator.post(ADD, form(workspace))
    again = administrator.post(ADD, form(workspace))
    assert "has the label" in again.context["adminform"].form.errors["label"][0]
    assert ApiKey.objects.count() == 1


def test_error_in_the_form_for_a_key_is_shown_at_its_field(administrator: Client, workspace: Workspace) -> None:
    for number in range(10):
        api_keys.create(workspace=workspace, label=f"k{number}")
    for changes, field, text in (
        ({}, "workspace", "has 10 live keys"),
        ({"permissions": []}, "permissions", "required"),
        ({"label": "a/b"}, "label", "slashes"),
        ({"expires_at_0": "2020-01-01", "expires_at_1": "00:00:00"}, "expires_at", "has passed"),
    ):
        answer = administrator.post(ADD, form(workspace, **changes))
        assert answer.status_code == 200
        assert text in str(answer.context["adminform"].form.errors[field]), changes
    assert ApiKey.objects.count() == 10


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_for_the_same_key_make_one_key(login: Callable[[str], Client]) -> None:
    workspace = workspaces.ensure(name="raced", products=[])
    browsers = [login("administrator"), login("administrator")]

    def send(browser: Client) -> str:
        try:
            return browser.post(ADD, form(workspace)).content.decode()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(send, browsers))
    assert sorted("em_sk_" in text and "shown only once" in text for text in answers) == [False, True]
    assert sum("has the label" in text for text in answers) == 1
    assert ApiKey.objects.count() == 1


def test_list_of_keys_filters_by_live_expired_and_revoked(administrator: Client, workspace: Workspace) -> None:
    api_keys.create(workspace=workspace, label="one-that-lives", rate_limit=25)
    api_keys.create(workspace=workspace, label="one-past-its-day", expires_at=timezone.now() - timedelta(hours=1))
    api_keys.revoke(api_keys.create(workspace=workspace, label="one-taken-back").api_key)
    for state, label in (("live", "one-that-lives"), ("expired", "one-past-its-day"), ("revoked", "one-taken-back")):
        shown = administrator.get(LIST, {"state": state}).content.decode()
        assert [name for name in ("one-that-lives", "one-past-its-day", "one-taken-back") if name in shown] == [label]
    assert "25 a second" in administrator.get(LIST).content.decode()


def test_key_is_revoked_from_the_list_after_a_confirmation(
    administrator: Client, workspace: Workspace, api: ApiClient
) -> None:
    key = ApiKey.objects.get()
    asked = administrator.post(LIST, {"action": "revoke_selected", "_selected_action": [key.pk]}, follow=True)
    assert key.label in asked.content.decode()
    assert ApiKey.objects.get().revoked_at is None
    assert administrator.post(REVOKE, {"key": [key.pk]}).status_code == 302
    assert ApiKey.objects.get().revoked_at is not None
    assert api.get(f"{INGEST}/batches").status_code == 401
    administrator.post(REVOKE, {"key": [key.pk]})
    assert [entry.change_message for entry in LogEntry.objects.all()] == ["Key revoked"]


def test_page_of_a_live_key_links_to_its_revocation(
    administrator: Client, login: Callable[[str], Client], api: ApiClient
) -> None:
    key = ApiKey.objects.get()
    page = reverse("admin:ingest_apikey_change", args=[key.pk])
    button = reverse("admin:ingest_apikey_revoke_this", args=[key.pk])
    assert button in administrator.get(page).content.decode()
    assert administrator.get(button).headers["Location"] == f"{REVOKE}?key={key.pk}"
    operator = login("operator")
    assert button not in operator.get(page).content.decode()
    assert operator.get(button).status_code == 403
    assert operator.post(REVOKE, {"key": [key.pk]}).status_code == 403
    api_keys.revoke(key)
    assert button not in administrator.get(page).content.decode()


def test_malformed_key_ids_for_a_revocation_are_ignored(administrator: Client) -> None:
    assert administrator.get(REVOKE, {"key": ["x", "9" * 30]}).status_code == 302
