"""API keys in the admin: created and shown once, listed, revoked."""

from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.admin import ModelAdmin
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from evermuse import audit
from evermuse.admin import RoleAware, row_number
from ingest.admin.clients import ASSETS
from ingest.clients import api_keys, key_states
from ingest.models import PERMISSIONS, ApiKey

STATE_LABELS = {key_states.LIVE: "success", key_states.EXPIRED: "warning", key_states.REVOKED: "danger"}
MAX_REVOKED_AT_ONCE = 100


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of a new key. The service generates the secret."""

    permissions = forms.MultipleChoiceField(
        choices=[(name, name) for name in PERMISSIONS],
        initial=["api:read", "api:write"],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = ApiKey
        fields = ("workspace", "label", "source", "permissions", "rate_limit", "expires_at")

    def clean(self) -> dict[str, Any]:
        """Show the service's objections at their fields."""
        cleaned: dict[str, Any] = super().clean() or {}
        expires_at = cleaned.get("expires_at")
        if expires_at and expires_at <= timezone.now():
            self.add_error("expires_at", "This time has passed: the key would be refused at once.")
        if cleaned.get("workspace") and cleaned.get("label"):
            wrong = api_keys.objections(workspace=cleaned["workspace"], label=cleaned["label"])
            for field, message in wrong.items():
                self.add_error(field, message[0].upper() + message[1:] + ".")
        return cleaned


class KeyStateFilter(admin.SimpleListFilter):
    """Filters by live, expired or revoked."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state, state.capitalize()) for state in STATE_LABELS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        expired = Q(expires_at__lte=timezone.now())
        match self.value():
            case key_states.LIVE:
                return queryset.filter(~expired | Q(expires_at=None), revoked_at=None)
            case key_states.EXPIRED:
                return queryset.filter(expired, revoked_at=None)
            case key_states.REVOKED:
                return queryset.exclude(revoked_at=None)
        return queryset


@admin.register(ApiKey)
class ApiKeyAdmin(RoleAware, ModelAdmin):  # type: ignore[misc]
    """A key is created and revoked, never changed."""

    list_display = (
        "label", "workspace", "prefix", "state", "granted", "rate", "source", "last_used_at", "expires_at", "created_at",
    )  # fmt: skip
    list_filter = (KeyStateFilter, "workspace", "source")
    lookups = ("workspace__id__exact", "source", "source__exact")
    list_select_related = ("workspace",)
    search_fields = ("label", "prefix", "workspace__name")
    autocomplete_fields = ("workspace",)
    actions: ClassVar = ["revoke_selected"]
    actions_detail: ClassVar = ["revoke_this"]
    add_fields = ("workspace", "label", "source", "permissions", "rate_limit", "expires_at")
    seen_fields = (
        "workspace", "label", "state", "source", "granted", "rate", "prefix", "created_at", "last_used_at", "expires_at",
        "revoked_at",
    )  # fmt: skip

    @property
    def media(self) -> Media:
        mine: Media = super().media + ASSETS
        return mine

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if obj else {"form": ApiKeyForm}) | kwargs)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return self.seen_fields if obj else self.add_fields

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return self.seen_fields if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        """The permission of the two actions."""
        return request.user.has_perm("ingest.change_apikey")

    def get_actions_detail(self, request: HttpRequest, object_id: int) -> list[Any]:
        if row_number(str(object_id)) is None or not ApiKey.objects.filter(pk=object_id, revoked_at=None).exists():
            return []
        found: list[Any] = super().get_actions_detail(request, object_id)
        return found

    @display(description="State", label=STATE_LABELS)  # type: ignore[untyped-decorator]
    def state(self, obj: ApiKey) -> str:
        return key_states.of(obj)

    @admin.display(description="Permissions")
    def granted(self, obj: ApiKey) -> str:
        return ", ".join(obj.permissions)

    @admin.display(description="Rate limit", ordering="rate_limit")
    def rate(self, obj: ApiKey) -> str:
        if obj.rate_limit is None:
            return f"{settings.EVERMUSE_RATE_LIMIT:,} a second (the deployment's)"
        return f"{obj.rate_limit:,} a second" if obj.rate_limit else "none"

    def get_urls(self) -> list[URLPattern]:
        revoking = path("revoke/", self.admin_site.admin_view(self.revoke_view), name="ingest_apikey_revoke")
        return [revoking, *super().get_urls()]

    # -- Creating --

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponseBase:
        try:
            answer: HttpResponseBase = super().add_view(request, form_url, extra_context)
        except ValidationError:
            # Another key was created between the form's check and the service's. The form now shows the objection.
            answer = super().add_view(request, form_url, extra_context)
        return answer

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        made = api_keys.create(
            workspace=obj.workspace,
            label=obj.label,
            source=obj.source,
            permissions=form.cleaned_data["permissions"],
            rate_limit=obj.rate_limit,
            expires_at=obj.expires_at,
        )
        obj.pk, obj.prefix, obj.digest = made.api_key.pk, made.api_key.prefix, made.api_key.digest
        form.secret = made.secret

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        request.new_secret = form.secret  # type: ignore[attr-defined]

    def log_addition(self, request: HttpRequest, obj: ApiKey, message: Any) -> None:
        audit.record(request, obj, "Key made", permissions=" ".join(obj.permissions))

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        """Show the secret in this response only: it is not stored in the session, a message or a cache."""
        secret: str = request.new_secret  # type: ignore[attr-defined]
        answer = self._page(request, "ingest/new_key.html", title="The new key", key=obj, secret=secret)
        answer["Cache-Control"] = "no-store"
        return answer

    # -- Revoking --

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse:
        chosen = queryset.values_list("pk", flat=True)[:MAX_REVOKED_AT_ONCE]
        return redirect(f"{reverse('admin:ingest_apikey_revoke')}?{'&'.join(f'key={pk}' for pk in chosen)}")

    @action(description="Revoke", url_path="revoke", permissions=["revoke"], icon="block", variant="danger")  # type: ignore[untyped-decorator]
    def revoke_this(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return redirect(f"{reverse('admin:ingest_apikey_revoke')}?key={object_id}")

    def revoke_view(self, request: HttpRequest) -> HttpResponse:
        """GET asks for confirmation, POST revokes."""
        if not self.has_revoke_permission(request):
            raise PermissionDenied
        named = request.POST.getlist("key") if request.method == "POST" else request.GET.getlist("key")
        numbers = [int(one) for one in named if one.isascii() and one.isdigit() and len(one) < 19]
        keys = ApiKey.objects.filter(pk__in=numbers, revoked_at=None).select_related("workspace")
        if request.method != "POST" and keys:
            return self._page(request, "ingest/revoke_keys.html", title="Revoke", keys=keys)
        revoked = sum(_revoke(request, key) for key in keys) if request.method == "POST" else 0
        messages.success(request, f"Revoked: {revoked}. A revoked key is refused from the next request on.")
        return redirect("admin:ingest_apikey_changelist")

    def _page(self, request: HttpRequest, template: str, **more: Any) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, **more}
        return TemplateResponse(request, template, context)


@transaction.atomic
def _revoke(request: HttpRequest, key: ApiKey) -> bool:
    revoked = api_keys.revoke(key)
    if revoked:
        audit.record(request, key, "Key revoked")
    return revoked
