"""Operators' view of attachments."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from attachments import hosts, ledger
from attachments.models import Attachment, VendorHost
from evermuse import audit
from evermuse.admin import EstimatingPaginator, PipelineAdmin
from evermuse.roles import may_act


@admin.register(Attachment)
class AttachmentAdmin(PipelineAdmin):
    list_display = ("public_id", "workspace", "state", "host", "type", "filename", "size", "attempts", "error_code")
    list_filter = ("state", "workspace", "type")
    list_select_related = ("workspace",)
    search_fields = ("=id", "=batch__id", "host", "sha256")
    search_help_text = "Attachment or batch number, vendor host, SHA-256"
    fields = (
        "public_id", "workspace", "batch", "record_id", "record_index", "position", "state", "type", "filename",
        "vendor_url", "upload_intent_id", "declared_mime_type", "declared_size", "declared_sha1", "declared_md5",
        "size", "mime_type", "sha256", "sha1", "md5", "storage_uri", "link", "error_code", "error_message", "tries",
        "next_attempt_at", "claimed_by", "claimed_until", "created_at", "completed_at",
    )  # fmt: skip
    confidential = ("vendor_url", "link", "filename", "storage_uri")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "batch__id__exact" or super().lookup_allowed(lookup, value, request)

    @admin.display(description="Attachment", ordering="id")
    def public_id(self, obj: Attachment) -> str:
        return obj.public_id

    @admin.display(description="Download")
    def link(self, obj: Attachment) -> SafeString | str:
        url = ledger.download_url(obj)
        return format_html('<a href="{}">the stored file, for an hour</a>', url) if url else "–"

    @admin.display(description="Attempts")
    def tries(self, obj: Attachment) -> SafeString:
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            (
                (
                    f"{a.started_at:%Y-%m-%d %H:%M:%S}",
                    f"{(a.finished_at - a.started_at).total_seconds():.1f} s" if a.finished_at else "running",
                    a.http_status or "–",
                    f"{a.bytes:,} bytes",
                    a.code,
                    a.message,
                )
                for a in obj.download_attempts.order_by("token")
            ),
        )
        return format_html('<table class="w-full"><tbody>{}</tbody></table>', rows)

    ordering: ClassVar = ["-id"]


@admin.register(VendorHost)
class VendorHostAdmin(ModelAdmin):  # type: ignore[misc]
    """Vendors' hosts: what holds them, and the two actions."""

    list_display = ("host", "condition", "failures", "held_until", "last_error")
    search_fields = ("host",)
    fields = readonly_fields = ("host", "condition", "paused_at", "failures", "opened_at", "held_until", "last_error")
    paginator = EstimatingPaginator
    show_full_result_count = False
    actions: ClassVar = ["pause", "resume"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: VendorHost | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For the actions."""
        return may_act(request)

    @admin.display(description="Condition")
    def condition(self, obj: VendorHost) -> str:
        if obj.paused_at:
            return "paused"
        return "breaker open" if obj.opened_at else "open for downloads"

    @admin.action(description="Pause: begin no download from these hosts", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[VendorHost]) -> None:
        paused = [one for one in queryset if hosts.pause(one.host)]
        for one in paused:
            audit.record(request, one, "Paused")
        messages.success(request, f"Paused: {len(paused)}. Downloads that are on their way go on.")

    @admin.action(description="Resume: let downloads begin again", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[VendorHost]) -> None:
        resumed = [one for one in queryset if hosts.resume(one.host)]
        for one in resumed:
            audit.record(request, one, "Resumed")
        messages.success(request, f"Resumed: {len(resumed)}.")
