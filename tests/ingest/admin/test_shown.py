"""How rows are shown: amounts with their units, names that can be searched, and no buttons and links that lead nowhere."""

import re
from collections.abc import Callable

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from evermuse import roles
from ingest.models import Batch, Product, Workspace
from lake.models import RejectedRecord, Segment
from tests.http_client import ApiClient
from tests.ingest.landing import send_and_land
from tests.records import record

Login = Callable[[str], Client]


def text(client: Client, name: str, *args: object, **query: str) -> str:
    """A page of the admin by the name of its URL."""
    answer = client.get(reverse(f"admin:{name}", args=args), query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_only_a_list_that_is_filtered_offers_to_show_all(api: ApiClient, login: Login) -> None:
    api.post([record()])
    boss = login("superuser")
    for name in ("ingest_batch", "lake_record", "lake_segment", "attachments_vendorhost", "admin_logentry"):
        assert "Show all" not in text(boss, f"{name}_changelist")
    assert "Show all" in text(boss, "ingest_batch_changelist", q="batch_0000000000000000000")


def test_hint_of_a_search_names_only_what_this_role_can_search(api: ApiClient, login: Login) -> None:
    send_and_land(api, [record()])
    hints = [
        re.findall(r'placeholder="(Record id[^"]*)"', text(login(role), "lake_record_changelist"))[0]
        for role in ("viewer", "operator")
    ]
    assert hints[0] == "Record id"
    assert hints[1].endswith("thread, participant, tag, project")


def test_sizes_have_units_and_instants_say_that_they_are_in_utc(api: ApiClient, login: Login) -> None:
    send_and_land(api, [record()])
    Segment.objects.update(size=1_620)
    shown = text(login("viewer"), "lake_segment_changelist")
    assert "1.6 kB" in shown
    assert "Created (UTC)" in shown


def test_rejected_record_is_named_by_the_public_id_of_its_batch(api: ApiClient, login: Login) -> None:
    api.post([record(event_at="x")])
    row = RejectedRecord.objects.get()
    shown = text(login("viewer"), "lake_rejectedrecord_change", row.pk)
    assert f"{Batch.objects.get().public_id}, record 0" in shown


def test_page_without_a_field_to_change_has_no_button_to_save_it(api: ApiClient, login: Login) -> None:
    boss = login("superuser")
    shown = text(boss, "ingest_product_change", Product.objects.get().pk)
    assert 'name="_save"' not in shown
    assert reverse("admin:ingest_product_delete", args=[Product.objects.get().pk]) in shown
    assert 'name="_save"' in text(boss, "ingest_workspace_change", Workspace.objects.get().pk)


def test_key_without_a_limit_of_its_own_shows_the_limit_that_holds(
    api: ApiClient, login: Login, settings: object
) -> None:
    workspace = Workspace.objects.get()
    workspace.api_keys.update(rate_limit=None)
    settings.EVERMUSE_RATE_LIMIT = 17  # type: ignore[attr-defined]
    key = workspace.api_keys.get()
    assert "17 a second (the deployment&#x27;s)" in text(login("viewer"), "ingest_apikey_change", key.pk)


def test_audit_log_links_to_no_page_that_an_operator_may_not_open(api: ApiClient, login: Login) -> None:
    operator = login("operator")
    text(operator, "lake_record_changelist")
    entry = LogEntry.objects.latest("pk")
    shown = text(operator, "admin_logentry_change", entry.pk)
    assert entry.user.get_username() in shown
    assert reverse("admin:auth_user_change", args=[entry.user_id]) not in shown


def test_roles_of_the_product_cannot_be_deleted_and_other_groups_are_listed_by_name(db: None, login: Login) -> None:
    roles.ensure()
    boss = login("superuser")
    role, other = Group.objects.get(name="viewer"), Group.objects.create(name="night shift")
    other.permissions.set(role.permissions.all())
    assert boss.post(reverse("admin:auth_group_delete", args=[role.pk]), {"post": "yes"}).status_code == 403
    asked = text(boss, "auth_group_delete", other.pk)
    assert "night shift" in asked
    assert "Group_permissions object" not in asked
    boss.post(reverse("admin:auth_group_delete", args=[other.pk]), {"post": "yes"})
    assert not Group.objects.filter(pk=other.pk).exists()


def test_history_of_a_row_from_the_api_does_not_guess_where_it_was_made(api: ApiClient, login: Login) -> None:
    api.post([record()])
    shown = text(login("viewer"), "ingest_batch_history", Batch.objects.get().pk)
    assert "Nobody has changed this row or acted on it in the admin." in shown
    assert "this admin site" not in shown
