"""Operators' view of who sends and what was sent."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from evermuse import audit, wake
from evermuse.admin import PipelineAdmin, block, pretty
from ingest import api_keys, batches
from ingest.models import PERMISSIONS, ApiKey, Batch, Product, Project, Workspace


@admin.register(Workspace)
class WorkspaceAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "created_at")
    search_fields = ("name",)


@admin.register(Product)
class ProductAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("product_id", "workspace")
    list_filter = ("workspace",)
    list_select_related = ("workspace",)
    search_fields = ("product_id",)
    autocomplete_fields = ("workspace",)


@admin.register(Project)
class ProjectAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("project_id", "product", "workspace")
    list_filter = ("workspace",)
    list_select_related = ("workspace", "product")
    search_fields = ("project_id", "product__product_id")
    autocomplete_fields = ("workspace", "product")

    def get_form(self, request: HttpRequest, obj: Project | None = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)

        class Checked(form):  # type: ignore[misc, valid-type]
            def clean(self) -> dict[str, Any]:
                cleaned: dict[str, Any] = super().clean()
                product, workspace = cleaned.get("product"), cleaned.get("workspace")
                if product and workspace and product.workspace_id != workspace.pk:
                    raise ValidationError({"product": "This product is another workspace's."})
                return cleaned

        return Checked


class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new key; its secret is made by the service and shown once."""

    permissions = forms.MultipleChoiceField(
        choices=[(name, name) for name in PERMISSIONS],
        initial=["api:read", "api:write"],
        widget=forms.CheckboxSelectMultiple,
    )

    class Meta:
        model = ApiKey
        fields = ("workspace", "label", "source", "permissions", "rate_limit", "expires_at")


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("label", "workspace", "prefix", "source", "state", "last_used_at", "expires_at", "created_at")
    list_filter = ("workspace", "source")
    list_select_related = ("workspace",)
    search_fields = ("label", "prefix", "workspace__name")
    actions: ClassVar = ["revoke"]
    add_fields = ("workspace", "label", "source", "permissions", "rate_limit", "expires_at")
    seen_fields = (*add_fields, "prefix", "created_at", "last_used_at", "revoked_at")

    def get_form(self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **({} if obj else {"form": ApiKeyForm}) | kwargs)

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return self.seen_fields if obj else self.add_fields

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return self.seen_fields if obj else ()

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    @admin.display(description="State")
    def state(self, obj: ApiKey) -> str:
        return "revoked" if obj.revoked_at else "live"

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponseBase:
        try:
            answer: HttpResponseBase = super().add_view(request, form_url, extra_context)
        except ValidationError as error:
            messages.error(request, "; ".join(error.messages))
            answer = self.changelist_view(request)
        return answer

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            return
        made = api_keys.create(
            workspace=obj.workspace,
            label=obj.label,
            source=obj.source,
            permissions=form.cleaned_data["permissions"],
            rate_limit=obj.rate_limit,
            expires_at=obj.expires_at,
        )
        obj.pk, obj.prefix, obj.digest = made.api_key.pk, made.api_key.prefix, made.api_key.digest
        messages.success(
            request,
            format_html(
                "The key, shown this once: <code>{}</code> Copy it now: it is stored only as a hash.", made.secret
            ),
        )

    @admin.action(description="Revoke the selected keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        revoked = sum(api_keys.revoke(key) for key in queryset)
        messages.success(request, f"Revoked: {revoked}. They are refused from the next request on.")


@admin.register(Batch)
class BatchAdmin(PipelineAdmin):
    list_display = (
        "public_id", "workspace", "status", "type", "source", "record_count", "accepted_count", "rejected_count",
        "created_at", "completed_at",
    )  # fmt: skip
    list_filter = ("status", "workspace", "type", "source")
    list_select_related = ("workspace",)
    search_fields = ("id__exact", "source")
    search_help_text = "Batch number or id, or a source label"
    actions: ClassVar = ["retry"]
    fields = (
        "public_id", "workspace", "status", "type", "source", "api_key", "created_at", "landed_at", "processing_at",
        "completed_at", "record_count", "accepted_count", "rejected_count", "error_count", "errors", "links", "payload",
        "attempts", "crashes", "claimed_by", "claimed_until", "not_before", "failure",
    )  # fmt: skip
    confidential = ("payload",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Batch], search_term: str
    ) -> tuple[QuerySet[Batch], bool]:
        number = search_term.strip().removeprefix("batch_")
        if number.isascii() and number.isdigit() and len(number) <= 19 and int(number) < 2**63:
            return queryset.filter(id=int(number)), False
        return (queryset.filter(source__startswith=search_term.strip()) if search_term else queryset), False

    @admin.display(description="Batch", ordering="id")
    def public_id(self, obj: Batch) -> str:
        return obj.public_id

    @admin.display(description="First errors")
    def errors(self, obj: Batch) -> SafeString:
        return pretty(obj.first_errors)

    @admin.display(description="Of this batch")
    def links(self, obj: Batch) -> SafeString:
        def link(name: str) -> str:
            return f"{reverse(f'admin:{name}_changelist')}?batch__id__exact={obj.pk}"

        return format_html(
            '<a href="{}">Rejected records</a> · <a href="{}">Attachments</a>',
            link("lake_rejectedrecord"),
            link("attachments_attachment"),
        )

    @admin.display(description="Payload as sent")
    def payload(self, obj: Batch) -> SafeString:
        return block(batches.content_of(obj.payload))

    @admin.action(description="Retry the selected FAILED batches", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        reopened = [batch.pk for batch in queryset if batches.reopen(batch.pk)]
        for batch_id in reopened:
            audit.record(request, Batch(pk=batch_id), "Retried")
            wake.landing(batch_id)
        messages.success(request, f"Set going again: {len(reopened)}.")
