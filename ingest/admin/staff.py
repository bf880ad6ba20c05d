"""Logins, roles and the audit log in the admin."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, DELETION, LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from evermuse.admin import PipelineAdmin, RoleAware
from evermuse.roles import ROLES

admin.site.unregister([User, Group])
FLAGS = {ADDITION: "added", DELETION: "deleted"}
KIND_LABELS = {"added": "success", "deleted": "danger", "acted": "info"}


@admin.register(LogEntry)
class AuditAdmin(PipelineAdmin):
    """The audit log: who did what to which row, and when. Read-only."""

    list_display = ("action_time", "user", "kind", "act", "row", "content_type")
    list_display_links = ("action_time",)
    list_filter = (
        ("user", admin.RelatedOnlyFieldListFilter), "action_time", ("content_type", admin.RelatedOnlyFieldListFilter),
        "action_flag",
    )  # fmt: skip
    list_select_related = ("user", "content_type")
    search_fields = ("object_repr", "change_message", "user__username", "=object_id")
    search_help_text = "An action, the row's name or number, or a login"
    date_hierarchy = "action_time"
    ordering: ClassVar = ["-action_time", "-id"]
    lookups = (
        "user__id__exact", "content_type__id__exact", "content_type__isnull", "action_flag__exact", "action_time__gte", "action_time__lt",
        "action_time__year", "action_time__month", "action_time__day",
    )  # fmt: skip
    fields = ("action_time", "login", "kind", "act", "row", "content_type", "object_id")

    @admin.display(description="User")
    def login(self, obj: LogEntry) -> str:
        # Without a link: operators see the audit log, but not the pages of logins.
        return obj.user.get_username()

    @display(description="Kind", label=KIND_LABELS)  # type: ignore[untyped-decorator]
    def kind(self, obj: LogEntry) -> str:
        return FLAGS.get(obj.action_flag, "acted")

    @admin.display(description="What was done")
    def act(self, obj: LogEntry) -> str:
        return obj.get_change_message() or FLAGS.get(obj.action_flag, "–").capitalize()

    @admin.display(description="Row")
    def row(self, obj: LogEntry) -> SafeString | str:
        url = None if obj.is_deletion() else obj.get_admin_url()
        return format_html('<a class="underline" href="{}">{}</a>', url, obj.object_repr) if url else obj.object_repr


@admin.register(User)
class StaffAdmin(RoleAware, UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """Logins. Only superusers change superusers and single permissions; others can only assign roles."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "roles", "is_active", "is_staff", "superuser", "last_login")
    list_filter = ("is_active", "is_superuser", "groups")
    lookups = ("is_active__exact", "is_superuser__exact", "groups__id__exact", "groups__isnull")
    ORDINARY: ClassVar = [
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Role", {"fields": ("is_active", "is_staff", "groups")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    ]
    add_fieldsets = (
        (None, {"fields": ("username", "usable_password", "password1", "password2")}),
        ("Role", {"fields": ("is_staff", "groups")}),
    )
    readonly_fields = ("last_login", "date_joined")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("groups")

    @admin.display(description="Roles")
    def roles(self, obj: User) -> str:
        return ", ".join(group.name for group in obj.groups.all()) or "–"

    @admin.display(description="Superuser", ordering="is_superuser")
    def superuser(self, obj: User) -> str:
        # As a word: the theme marks "no" with a red cross.
        return "yes" if obj.is_superuser else "no"

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        shown = super().get_fieldsets(request, obj)
        return shown if obj is None or _is_superuser(request) else self.ORDINARY

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: act for name, act in super().get_actions(request).items() if name != "delete_selected"}

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed: bool = super().has_change_permission(request, obj)
        return allowed and (obj is None or not obj.is_superuser or _is_superuser(request))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        user = self.get_object(request, id)
        if user is not None and not self.has_change_permission(request, user):
            raise PermissionDenied
        answer: HttpResponse = super().user_change_password(request, id, form_url)
        return answer

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        user = self.get_object(request, object_id)
        if user and self.has_delete_permission(request, user) and LogEntry.objects.filter(user=user).exists():
            messages.error(request, f"{user} is named in the audit log and cannot be deleted: clear “active” instead.")
            return redirect("admin:auth_user_change", user.pk)
        answer: HttpResponse = super().delete_view(request, object_id, extra_context)
        return answer


def _is_superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


@admin.register(Group)
class RoleAdmin(RoleAware, GroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Roles. ``manage.py bootstrap`` creates them and resets their permissions, so these cannot be deleted."""

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return (obj is None or obj.name not in ROLES) and super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {name: act for name, act in super().get_actions(request).items() if name != "delete_selected"}

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Only the names of the groups: each of their permissions would be one more line, with a number for a name."""
        _, counts, lacking, protected = super().get_deleted_objects(objs, request)
        return [str(one) for one in objs], {"groups": counts.get("groups", 0)}, lacking, protected
