"""Operators' view of what was sent; who sends and who works here stand in modules of their own."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from evermuse import audit, wake
from evermuse.admin import PipelineAdmin, block, pretty
from ingest import batches
from ingest.client_admin import ProductAdmin, ProjectAdmin, WorkspaceAdmin
from ingest.key_admin import ApiKeyAdmin
from ingest.models import Batch
from ingest.staff_admin import AuditAdmin, RoleAdmin, StaffAdmin

# Django finds a page of the admin by importing this module.
__all__ = [
    "ApiKeyAdmin",
    "AuditAdmin",
    "BatchAdmin",
    "ProductAdmin",
    "ProjectAdmin",
    "RoleAdmin",
    "StaffAdmin",
    "WorkspaceAdmin",
]


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
