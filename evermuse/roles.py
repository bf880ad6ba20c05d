"""What a login may do in the admin: viewers view, operators also act and see payloads, administrators manage clients
and logins.

Roles are Django groups that ``manage.py bootstrap`` creates. Code checks permissions, never a group's name.
"""

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest

SEE_PAYLOADS, OPERATE = "ingest.see_payloads", "ingest.operate"

# Every role may view everything in the product. Payloads are protected by a permission.
VIEWED_APPS = ("ingest", "lake", "attachments", "problems", "activity")
_OPERATOR = (SEE_PAYLOADS, OPERATE, "admin.view_logentry")
_ADMINISTRATOR = (
    "ingest.add_workspace", "ingest.change_workspace", "ingest.delete_workspace",
    "ingest.add_product", "ingest.change_product", "ingest.delete_product",
    "ingest.add_project", "ingest.change_project", "ingest.delete_project",
    "ingest.add_apikey", "ingest.change_apikey",
    "auth.view_user", "auth.add_user", "auth.change_user", "auth.view_group",
)  # fmt: skip

# In addition to view_* of `VIEWED_APPS`.
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": (),
    "operator": _OPERATOR,
    "administrator": _OPERATOR + _ADMINISTRATOR,
}


@transaction.atomic
def ensure() -> None:
    """Create the groups, each with exactly its permissions. May be repeated. Run it after ``migrate``, which creates
    permissions.
    """
    seen = Permission.objects.filter(content_type__app_label__in=VIEWED_APPS, codename__startswith="view_")
    for name, more in ROLES.items():
        named = Q(pk__in=[])
        for label in more:
            app, _, codename = label.partition(".")
            named |= Q(content_type__app_label=app, codename=codename)
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set([*seen, *Permission.objects.filter(named)])


def has_role(request: HttpRequest) -> bool:
    """Whether this login has a role. Being on the staff is not enough."""
    return request.user.is_active and bool(request.user.get_all_permissions())


def may_look(request: HttpRequest) -> bool:
    """Whether this login may view the product's figures."""
    return any(request.user.has_module_perms(app) for app in VIEWED_APPS)


def may_see_payloads(request: HttpRequest) -> bool:
    """Whether this login may see what customers said: payloads, ``data``, files, participants."""
    return request.user.has_perm(SEE_PAYLOADS)


def may_act(request: HttpRequest) -> bool:
    """Whether this login may retry, pause, give fresh URLs and change problems."""
    return request.user.has_perm(OPERATE)
