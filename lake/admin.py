"""Operators' view of the lake."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from evermuse.admin import PipelineAdmin, block, pretty
from lake.models import ArchivedObject, RejectedRecord
from lake.record_admin import RecordAdmin

__all__ = ["ArchivedObjectAdmin", "RecordAdmin", "RejectedRecordAdmin"]


@admin.register(RejectedRecord)
class RejectedRecordAdmin(PipelineAdmin):
    list_display = ("batch", "index", "first_error")
    list_select_related = ("batch",)
    search_fields = ("=batch__id", "errors")
    search_help_text = "Batch number, or a part of the errors"
    ordering: ClassVar = ["-batch_id", "index"]
    fields = ("batch", "index", "reasons", "as_sent")
    confidential = ("as_sent",)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "batch__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="First error")
    def first_error(self, obj: RejectedRecord) -> SafeString:
        return format_html("{}", obj.errors[:200])

    @admin.display(description="Errors")
    def reasons(self, obj: RejectedRecord) -> SafeString:
        return pretty(obj.errors)

    @admin.display(description="Payload as sent")
    def as_sent(self, obj: RejectedRecord) -> SafeString:
        return block(bytes(obj.payload))


@admin.register(ArchivedObject)
class ArchivedObjectAdmin(PipelineAdmin):
    list_display = ("batch", "record_count", "size", "uri", "created_at")
    search_fields = ("=batch__id",)
    ordering: ClassVar = ["-batch_id"]
