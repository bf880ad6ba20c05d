"""The audit log's page, and users who appear in the audit log."""

from collections.abc import Callable

from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from ingest.clients import api_keys
from ingest.models import ApiKey, Workspace

LIST = reverse("admin:admin_logentry_changelist")


def test_audit_log_is_searched_and_filtered_by_user_and_object(
    login: Callable[[str], Client], workspace: Workspace
) -> None:
    key = api_keys.create(workspace=workspace, label="crm").api_key
    administrator = login("administrator")
    administrator.post(reverse("admin:ingest_apikey_revoke"), {"key": [key.pk]})
    entry = LogEntry.objects.get()
    text = administrator.get(LIST).content.decode()
    assert "Key revoked" in text
    assert entry.user.get_username() in text
    assert reverse("admin:ingest_apikey_change", args=[key.pk]) in text
    for found, query in (
        (True, {"q": "crm"}),
        (False, {"q": "nothing-like-it"}),
        (True, {"user__id__exact": str(entry.user_id)}),
        (True, {"content_type__id__exact": str(entry.content_type_id)}),
        (False, {"action_flag__exact": "1"}),
        (True, {"action_time__gte": "2020-01-01 00:00:00+00:00"}),
    ):
        answer = administrator.get(LIST, query)
        assert (answer.status_code, "Key revoked" in answer.content.decode()) == (200, found), query


def test_audit_log_cannot_be_changed(login: Callable[[str], Client], workspace: Workspace) -> None:
    boss = login("superuser")
    boss.post(reverse("admin:ingest_workspace_add"), {"name": "new one"})
    entry = LogEntry.objects.get()
    page, delete = (reverse(f"admin:admin_logentry_{name}", args=[entry.pk]) for name in ("change", "delete"))
    assert boss.get(page).status_code == 200
    assert boss.get(reverse("admin:admin_logentry_add")).status_code == 403
    assert boss.post(page, {"change_message": "nothing happened"}).status_code == 403
    assert boss.post(delete, {"post": "yes"}).status_code == 403
    boss.post(LIST, {"action": "delete_selected", "_selected_action": [entry.pk], "post": "yes"})
    assert LogEntry.objects.get().object_repr == "new one"


def test_user_in_the_audit_log_cannot_be_deleted(login: Callable[[str], Client], workspace: Workspace) -> None:
    api_keys.create(workspace=workspace, label="crm")
    login("administrator").post(reverse("admin:ingest_apikey_revoke"), {"key": [ApiKey.objects.get().pk]})
    user = LogEntry.objects.get().user
    boss = login("superuser")
    answer = boss.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"}, follow=True)
    assert "is named in the audit log and cannot be deleted" in answer.content.decode()
    boss.post(
        reverse("admin:auth_user_changelist"),
        {"action": "delete_selected", "_selected_action": [user.pk], "post": "yes"},
    )
    assert User.objects.filter(pk=user.pk).exists()
    spare = User.objects.create_user("spare")
    boss.post(reverse("admin:auth_user_delete", args=[spare.pk]), {"post": "yes"})
    assert not User.objects.filter(pk=spare.pk).exists()


def test_administrator_makes_a_user_with_a_role(login: Callable[[str], Client]) -> None:
    administrator = login("administrator")
    role = User.objects.get().groups.get()
    form = {
        "username": "new", "usable_password": "true", "password1": "Three-words-9", "password2": "Three-words-9",
        "is_staff": "on", "groups": [role.pk],
    }  # fmt: skip
    assert administrator.post(reverse("admin:auth_user_add"), form).status_code == 302
    made = User.objects.get(username="new")
    assert (made.is_staff, made.is_superuser, [g.name for g in made.groups.all()]) == (True, False, ["administrator"])
