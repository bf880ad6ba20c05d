"""What a login may do in the admin: viewers see, operators act and see payloads, administrators manage clients and logins.

Roles are Django groups, made by ``manage.py bootstrap``; code asks for permissions, never for a group's name.
"""

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest

SEE_PAYLOADS, OPERATE = "ingest.see_payloads", "ingest.operate"

# Everything of the product may be seen by every role; what customers said is no model of its own, but a permission.
SEEN_APPS = ("ingest", "lake", "attachments", "problems", "activity")
_OPERATOR = (SEE_PAYLOADS, OPERATE, "admin.view_logentry")
_ADMINISTRATOR = (
    "ingest.add_workspace", "ingest.change_workspace", "ingest.delete_workspace",
    "ingest.add_product", "ingest.change_product", "ingest.delete_product",
    "ingest.add_project", "ingest.change_project", "ingest.delete_project",
    "ingest.add_apikey", "ingest.change_apikey",
    "auth.view_user", "auth.add_user", "auth.change_user", "auth.view_group",
)  # fmt: skip

# Beside view_* of `SEEN_APPS`.
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": (),
    "operator": _OPERATOR,
    "administrator": _OPERATOR + _ADMINISTRATOR,
}


@transaction.atomic
def ensure() -> None:
    """Make the groups, each with exactly its permissions. Repeatable; runs after ``migrate``, which makes those."""
    seen = Permission.objects.filter(content_type__app_label__in=SEEN_APPS, codename__startswith="view_")
    for name, more in ROLES.items():
        named = Q(pk__in=[])
        for label in more:
            app, _, codename = label.partition(".")
            named |= Q(content_type__app_label=app, codename=codename)
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set([*seen, *Permission.objects.filter(named)])


def has_role(request: HttpRequest) -> bool:
    """Whether this login may do anything at all; being on the staff is not enough."""
    return request.user.is_active and bool(request.user.get_all_permissions())


def may_look(request: HttpRequest) -> bool:
    """Whether the product's figures are open to this login."""
    return any(request.user.has_module_perms(app) for app in SEEN_APPS)


def may_see_payloads(request: HttpRequest) -> bool:
    """Whether what customers said may be shown: payloads, ``data``, files, participants."""
    return request.user.has_perm(SEE_PAYLOADS)


def may_act(request: HttpRequest) -> bool:
    """Whether retries, pauses, fresh URLs and states of problems are open to this login."""
    return request.user.has_perm(OPERATE)
