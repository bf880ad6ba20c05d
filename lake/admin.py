"""The lake in the admin."""

import json
from typing import ClassVar

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from evermuse import amounts, public_ids
from evermuse.admin import PipelineAdmin, block, moment, pretty
from lake.models import RejectedRecord, Segment
from lake.record_admin import RecordAdmin

__all__ = ["RecordAdmin", "RejectedRecordAdmin", "SegmentAdmin"]


@admin.register(RejectedRecord)
class RejectedRecordAdmin(PipelineAdmin):
    list_display = ("batch", "index", "codes", "first_error")
    list_select_related = ("batch",)
    search_fields = ("=batch__id",)
    confidential_search = ("errors",)
    id_columns = ((public_ids.batch_number, "batch_id"),)
    search_help_text = "Batch number or id"
    confidential_search_help = ", or a part of the errors"
    lookups = ("batch__id__exact",)
    ordering: ClassVar = ["-batch_id", "index"]
    fields = ("batch", "index", "codes", "reasons", "as_sent")
    # Messages quote the record, and pointers contain its keys.
    confidential = ("first_error", "reasons", "as_sent")
    reading = "Rejected record seen"

    @admin.display(description="Codes")
    def codes(self, obj: RejectedRecord) -> str:
        return ", ".join(dict.fromkeys(error["code"] for error in json.loads(obj.errors)))

    @admin.display(description="First error")
    def first_error(self, obj: RejectedRecord) -> SafeString:
        first, *others = json.loads(obj.errors)
        return format_html(
            '<span class="excerpt">{}</span>', f"{first['message'][:200]}{f' and {len(others)} more' if others else ''}"
        )

    @admin.display(description="Errors")
    def reasons(self, obj: RejectedRecord) -> SafeString:
        return pretty(obj.errors)

    @admin.display(description="Payload as sent")
    def as_sent(self, obj: RejectedRecord) -> SafeString:
        return block(bytes(obj.payload))


@admin.register(Segment)
class SegmentAdmin(PipelineAdmin):
    list_display = ("__str__", "workspace", "source", "type", "day", "state", "lines", "shown_size", "created")
    list_select_related = ("workspace",)
    empty_text = "The first segment is written when the first batch lands."
    search_help_text = "Number of a segment"
    confidential = ("key",)
    search_fields = ("=id",)
    ordering: ClassVar = ["-id"]

    @admin.display(description="Lines")
    def lines(self, obj: Segment) -> str:
        return f"{obj.line_count:,}"

    @admin.display(description="Size")
    def shown_size(self, obj: Segment) -> str:
        return amounts.size(obj.size)

    @admin.display(description="Created (UTC)")
    def created(self, obj: Segment) -> SafeString:
        return moment(obj.created_at)
