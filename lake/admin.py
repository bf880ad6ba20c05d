"""Operators' view of the lake."""

from typing import ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from evermuse import public_ids
from evermuse.admin import PipelineAdmin, block, pretty
from lake import frames, selectors, terms
from lake.models import ArchivedObject, Record, RejectedRecord

SEARCHED = ("vendor", "thread", "participant", "tag", "project")


@admin.register(Record)
class RecordAdmin(PipelineAdmin):
    list_display = ("public_id", "workspace", "type", "product_id", "event_at", "version", "updated_at")
    list_filter = ("workspace", "type")
    list_select_related = ("workspace",)
    search_fields = ("id",)
    search_help_text = "Record id, vendor id (key:value), thread, participant, tag or project, exactly"
    ordering: ClassVar = ["-updated_at"]
    fields = (
        "public_id", "workspace", "type", "product_id", "event_at", "version", "written_by", "sequence",
        "first_accepted_at", "updated_at", "envelope", "stored_data",
    )  # fmt: skip
    confidential = ("envelope", "stored_data")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Record], search_term: str
    ) -> tuple[QuerySet[Record], bool]:
        wanted = search_term.strip()
        if not wanted:
            return queryset, False
        digits = wanted.removeprefix("rec_").replace("-", "").lower()
        if len(digits) == 32 and all(c in "0123456789abcdef" for c in digits):
            return queryset.filter(id=digits), False
        workspaces = Record._meta.get_field("workspace").related_model._default_manager.values_list("pk", flat=True)
        any_term = [terms.term(pk, name, wanted) for pk in workspaces for name in SEARCHED]
        return queryset.filter(Q(terms__overlap=any_term)), False

    @admin.display(description="Record")
    def public_id(self, obj: Record) -> str:
        return obj.public_id

    @admin.display(description="This version was written by")
    def written_by(self, obj: Record) -> str:
        return public_ids.of_batch(obj.batch_id)

    @admin.display(description="Envelope, normalized")
    def envelope(self, obj: Record) -> SafeString:
        return pretty(selectors.normalized(frames.read([obj.place])[obj.place]).head)

    @admin.display(description="data, as sent")
    def stored_data(self, obj: Record) -> SafeString:
        return block(selectors.normalized(frames.read([obj.place])[obj.place]).data)


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
