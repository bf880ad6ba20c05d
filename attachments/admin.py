"""Operators' view of attachments."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from attachments import hosts
from attachments.file_admin import AttachmentAdmin
from attachments.models import VendorHost
from evermuse import audit
from evermuse.admin import EstimatingPaginator
from evermuse.roles import may_act

__all__ = ["AttachmentAdmin", "VendorHostAdmin"]


@admin.register(VendorHost)
class VendorHostAdmin(ModelAdmin):  # type: ignore[misc]
    """Vendors' hosts: what holds them, and the two actions."""

    list_display = ("host", "condition", "failures", "held_until", "last_error", "files")
    search_fields = ("host",)
    fields = readonly_fields = (
        "host",
        "files",
        "condition",
        "paused_at",
        "failures",
        "opened_at",
        "held_until",
        "last_error",
    )
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

    @admin.display(description="Files")
    def files(self, obj: VendorHost) -> SafeString:
        url = reverse("admin:attachments_attachment_changelist", query={"host__exact": obj.host})
        return format_html('<a class="file-link" href="{}">its files</a>', url)

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
