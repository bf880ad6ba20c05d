"""What people find on pages of the admin: links that work, times to the second, and whom to ask."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from html import unescape

from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group, User
from django.test import Client
from django.urls import reverse

from attachments.models import VendorHost
from ingest.clients import api_keys
from ingest.models import Batch, Workspace
from tests.http_client import ApiClient
from tests.ingest.admin.planted import plant
from tests.records import record

Login = Callable[[str], Client]


def filter_links(client: Client, path: str) -> Iterator[str]:
    """Yields the links of a list's page that stay on the list and set something in the URL."""
    for link in re.findall(r'href="(\?[^"]+)"', client.get(path).content.decode()):
        yield unescape(link)


def test_every_link_of_a_list_to_itself_leads_to_a_page(api: ApiClient, login: Login) -> None:
    plant(api)
    boss = login("superuser")
    Group.objects.create(name="without-members")
    LogEntry.objects.create(
        user=User.objects.get(is_superuser=True), content_type=None, object_repr="x", action_flag=CHANGE
    )
    boss.raise_request_exception = False
    for model in admin.site._registry:
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for link in set(filter_links(boss, path)):
            assert boss.get(f"{path}{link}").status_code == 200, (path, link)


def test_login_without_a_role_is_told_whom_to_ask_and_can_log_out(db: None, login: Login) -> None:
    client = login("")
    page = client.get("/admin/")
    assert page.status_code == 403
    assert "Ask an administrator for the role" in page.content.decode()
    assert 'action="/admin/logout/"' in page.content.decode()
    # Without the theme's colours the button is white on white.
    assert "--color-primary-600" in page.content.decode()
    assert client.post("/admin/logout/").status_code == 200
    assert client.get("/admin/").status_code == 302


def test_figures_of_the_overview_are_refused_in_json_to_a_login_without_a_role(db: None, login: Login) -> None:
    refused = login("").get(reverse("overview"))
    assert (refused.status_code, refused.json()["error"]) == (403, "FORBIDDEN")


def test_audit_log_shows_instants_to_the_second(db: None, login: Login) -> None:
    boss = login("superuser")
    row = LogEntry.objects.create(user=User.objects.get(), object_repr="x", action_flag=CHANGE)
    LogEntry.objects.filter(pk=row.pk).update(action_time=datetime(2026, 5, 4, 13, 2, 1, tzinfo=UTC))
    assert "2026-05-04 13:02:01" in boss.get(reverse("admin:admin_logentry_changelist")).content.decode()


def test_list_of_rejected_records_shows_the_first_error_as_a_sentence(api: ApiClient, login: Login) -> None:
    api.post([record() | {"_tags": ["t" * 65], "_event_at": "x"}])
    page = login("superuser").get(reverse("admin:lake_rejectedrecord_changelist")).content.decode()
    assert "_event_at: must be a real instant" in page
    assert " and 1 more" in page
    assert "&quot;pointer&quot;" not in page


def test_page_of_a_workspace_lists_live_keys_before_revoked_ones(api: ApiClient, login: Login) -> None:
    workspace = Workspace.objects.get()
    gone = api_keys.create(workspace=workspace, label="a-revoked", source="api", permissions=["api:read"])
    api_keys.create(workspace=workspace, label="b-live", source="api", permissions=["api:read"])
    gone.api_key.revoked_at = datetime.now(UTC)
    gone.api_key.save(update_fields=["revoked_at"])
    page = login("superuser").get(reverse("admin:ingest_workspace_change", args=[workspace.pk])).content.decode()
    assert page.index("b-live") < page.index("a-revoked")


def test_page_of_a_vendor_host_has_nothing_to_save(db: None, login: Login) -> None:
    VendorHost.objects.create(host="v.example:443")
    page = login("superuser").get(reverse("admin:attachments_vendorhost_change", args=["v.example:443"]))
    assert page.status_code == 200
    assert 'name="_save"' not in page.content.decode()


def test_timeline_of_a_batch_whose_records_were_all_rejected_does_not_promise_a_202(
    api: ApiClient, login: Login
) -> None:
    api.post([record(project_ids=["proj-none"])])
    page = login("superuser").get(reverse("admin:ingest_batch_change", args=[Batch.objects.get().pk]))
    assert "202" not in re.sub(r"20\d\d-\d\d-\d\d", "", page.content.decode().partition("Timeline")[2][:3000])
