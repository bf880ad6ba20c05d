"""What each role sees and may do, on every page of every registered model."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from attachments.models import VendorHost
from attachments.queue import hosts
from evermuse import roles
from ingest.models import ApiKey, Batch, Workspace
from ingest.problems import collector
from lake.models import Payload
from tests.attachments.journey import file
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

SAID = "said in confidence"
VENDOR_PATH = "signed-path-of-the-vendor"
STAFF = {"user", "group", "logentry"}


@pytest.fixture
def rows(api: ApiClient) -> ApiClient:
    """A landed batch with an attachment and a rejected record, a problem, and a paused host."""
    url = f"http://vendor.example/{VENDOR_PATH}?token=1"
    good = record(data={"text": SAID}, participants=[{"id": SAID, "role": "external"}], attachments=[file(url)])
    send_and_land(api, [good, record(event_at="x", data={"text": SAID})])
    collector.collect()
    hosts.pause("vendor.example")
    return api


def pages() -> list[tuple[str, str]]:
    """Returns the name of each registered model with its list, and with the page of its latest row."""
    found = []
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        found.append((str(model._meta.model_name), reverse(f"{name}_changelist")))
        latest = model._default_manager.order_by("-pk").first()
        if latest is not None:
            found.append((str(model._meta.model_name), reverse(f"{name}_change", args=[quote(latest.pk)])))
    return found


def test_bootstrap_makes_the_roles_and_restores_their_permissions(db: None) -> None:
    roles.ensure()
    viewer = Group.objects.get(name="viewer")
    viewer.permissions.clear()
    roles.ensure()
    names = {group.name: {p.codename for p in group.permissions.all()} for group in Group.objects.all()}
    assert set(names) == {"viewer", "operator", "administrator"}
    assert {"view_batch", "view_record", "view_attachment", "view_problem"} <= names["viewer"]
    assert all(codename.startswith("view_") for codename in names["viewer"])
    assert names["operator"] - names["viewer"] == {"see_payloads", "operate", "view_logentry"}
    assert {"add_apikey", "change_apikey", "add_workspace", "add_user", "view_group"} <= names["administrator"]
    assert "change_group" not in names["administrator"]


def test_viewer_opens_every_page_and_sees_no_customer_data(rows: ApiClient, login: Callable[[str], Client]) -> None:
    viewer = login("viewer")
    seen = 0
    for name, path in pages():
        answer = viewer.get(path)
        assert answer.status_code == (403 if name in STAFF else 200), path
        text = answer.content.decode()
        assert SAID not in text, path
        assert VENDOR_PATH not in text, path
        assert rows.key not in text, path
        seen += answer.status_code == 200
    assert seen >= 20


def test_operator_opens_every_page_and_sees_customer_data(rows: ApiClient, login: Callable[[str], Client]) -> None:
    operator = login("operator")
    told: dict[str, str] = {}
    for name, path in pages():
        answer = operator.get(path)
        assert answer.status_code == (403 if name in {"user", "group"} else 200), path
        told[name] = told.get(name, "") + answer.content.decode()
    assert SAID in told["record"]
    assert SAID in told["rejectedrecord"]
    assert VENDOR_PATH in told["attachment"]
    assert rows.key not in "".join(told.values())


def test_staff_without_a_role_gets_a_403_on_every_page(rows: ApiClient, login: Callable[[str], Client]) -> None:
    nobody = login("")
    assert {nobody.get(path).status_code for _, path in pages()} == {403}


def act(client: Client, name: str, action: str, pk: Any) -> None:
    client.post(reverse(f"admin:{name}_changelist"), {"action": action, "_selected_action": [pk]})


def test_viewer_cannot_run_actions_and_an_operator_can(rows: ApiClient, login: Callable[[str], Client]) -> None:
    failed = Batch.objects.create(
        workspace=Workspace.objects.get(), status="FAILED", created_at="2026-01-01T00:00:00Z", record_count=1,
        accepted_count=0, rejected_count=1, error_count=1,
    )  # fmt: skip
    Payload.objects.create(batch=failed, media_type="application/json", size=2, content=b"{}")
    for role, status, paused, entries in (
        ("viewer", "FAILED", True, []),
        ("operator", "LANDING", False, ["Resumed", "Retried"]),
    ):
        client = login(role)
        act(client, "attachments_vendorhost", "resume", "vendor.example")
        act(client, "ingest_batch", "retry", failed.pk)
        failed.refresh_from_db()
        is_paused = VendorHost.objects.get(host="vendor.example").paused_at is not None
        assert (failed.status, is_paused) == (status, paused)
        assert sorted(e.change_message for e in LogEntry.objects.all()) == entries


def test_only_an_administrator_makes_workspaces_keys_and_users(rows: ApiClient, login: Callable[[str], Client]) -> None:
    key = ApiKey.objects.get()
    for role, status in (("viewer", 403), ("operator", 403), ("administrator", 200)):
        client = login(role)
        for name in ("ingest_workspace", "ingest_product", "ingest_project", "ingest_apikey", "auth_user"):
            assert client.get(reverse(f"admin:{name}_add")).status_code == status, (role, name)
        assert client.get(reverse("admin:ingest_apikey_revoke"), {"key": key.pk}).status_code == status


def test_administrator_can_neither_make_nor_change_a_superuser(db: None, login: Callable[[str], Client]) -> None:
    client = login("administrator")
    boss = User.objects.create_superuser("boss", "", "secret")
    other = User.objects.create_user("other")
    page = reverse("admin:auth_user_change", args=[other.pk])
    assert b'name="is_superuser"' not in client.get(page).content
    form = {"username": "other", "is_active": "on", "is_superuser": "on", "user_permissions": ["1"]}
    assert client.post(page, form).status_code == 302
    other.refresh_from_db()
    assert (other.is_superuser, other.user_permissions.count()) == (False, 0)
    assert client.post(reverse("admin:auth_user_change", args=[boss.pk]), {"username": "mine"}).status_code == 403
    passwords = {"password1": "Another-1-word", "password2": "Another-1-word"}
    assert client.post(reverse("admin:auth_user_password_change", args=[boss.pk]), passwords).status_code == 403
    assert client.get(reverse("admin:auth_group_add")).status_code == 403
