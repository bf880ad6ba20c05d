"""Attachments in the admin."""

from typing import ClassVar

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin

from attachments.admin.files import AttachmentAdmin
from attachments.models import Lane, VendorHost
from attachments.queue import hosts
from evermuse import audit
from evermuse.admin import EstimatingPaginator, RoleAware
from evermuse.roles import may_act

__all__ = ["AttachmentAdmin", "VendorHostAdmin"]

MAX_BREAKERS = 50


@admin.register(VendorHost)
class VendorHostAdmin(RoleAware, ModelAdmin):  # type: ignore[misc]
    """Vendor hosts: their pauses and breakers, and the actions to pause and resume them."""

    list_display = ("host", "condition", "files")
    search_fields = ("host",)
    fields = readonly_fields = ("host", "files", "condition", "paused_at", "breakers")
    confidential = ("breakers",)
    paginator = EstimatingPaginator
    show_full_result_count = False
    actions: ClassVar = ["pause", "resume"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: VendorHost | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: VendorHost | None = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For the actions declared with ``permissions=["operate"]``."""
        return may_act(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[VendorHost]:
        is_open = Exists(Lane.objects.filter(host=OuterRef("host"), opened_at__isnull=False))
        found: QuerySet[VendorHost] = super().get_queryset(request).annotate(has_open_breaker=is_open)
        return found

    @admin.display(description="Condition")
    def condition(self, obj: VendorHost) -> str:
        if obj.paused_at:
            return "paused"
        return "breaker open" if getattr(obj, "has_open_breaker", False) else "running"

    @admin.display(description="Breakers, by workspace")
    def breakers(self, obj: VendorHost) -> SafeString | str:
        """The workspaces whose downloads from the host are held back."""
        held = Lane.objects.filter(host=obj.host).exclude(opened_at=None, held_until=None).select_related("workspace")
        rows = [
            (lane.workspace, lane.failures, f"{lane.held_until:%Y-%m-%d %H:%M:%S}" if lane.held_until else "–",
             lane.last_error)
            for lane in held.order_by("workspace_id")[:MAX_BREAKERS]
        ]  # fmt: skip
        return (
            format_html_join("\n", "<p>{}: {} failures in a row, held until {}: {}</p>", rows)
            or "None. Downloads from this host are not held back."
        )

    @admin.display(description="Files")
    def files(self, obj: VendorHost) -> SafeString:
        url = reverse("admin:attachments_attachment_changelist", query={"host__exact": obj.host})
        return format_html('<a class="file-link" href="{}">Files of this host</a>', url)

    @admin.action(description="Pause downloads from these hosts", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[VendorHost]) -> None:
        paused = [one for one in queryset if hosts.pause(one.host)]
        for one in paused:
            audit.record(request, one, "Paused")
        messages.success(request, f"Paused: {len(paused)}. Running downloads continue.")

    @admin.action(description="Resume downloads from these hosts", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[VendorHost]) -> None:
        resumed = [one for one in queryset if hosts.resume(one.host)]
        for one in resumed:
            audit.record(request, one, "Resumed")
        messages.success(request, f"Resumed: {len(resumed)}.")
