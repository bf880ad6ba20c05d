"""Files in the admin: the list, the page with attempts and preview, and the operator's actions."""

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from attachments import fetching, ledger
from attachments.fetch import file_urls
from attachments.models import Attachment, Lane, VendorHost
from attachments.queue import claims, hosts
from attachments.serving import links
from evermuse import amounts, audit, public_ids, wake
from evermuse.admin import PipelineAdmin, filter_of, row_number, row_or_404
from evermuse.roles import may_act, may_see_payloads
from lake.formats import is_uri
from lake.models import Record

STATE_LABELS = {"PENDING": "info", "IN_PROGRESS": "info", "COMPLETE": "success", "FAILED": "danger"}
MAX_URL = 2048
TYPES = ("audio", "video", "file", "image", "text", "unknown")

State = Attachment.State


class FreshUrlForm(forms.Form):
    """A fresh URL for a file, by the contract's rules for `vendor_url`."""

    vendor_url = forms.CharField(max_length=MAX_URL, label="Fresh URL")

    def clean_vendor_url(self) -> str:
        """An absolute URI. Whether downloads may reach it is checked when it is dialled."""
        url: str = self.cleaned_data["vendor_url"].strip()
        if not is_uri(url):
            raise forms.ValidationError("vendor_url must be an absolute URI, such as https://files.example/a.wav")
        return url


@admin.register(Attachment)
class AttachmentAdmin(PipelineAdmin):
    """Files are shown and can be retried, but not edited."""

    list_display = (
        "public_id",
        "workspace",
        "condition",
        "host",
        "type",
        "filename",
        "shown_size",
        "attempts",
        "error_code",
    )
    list_filter = ("state", "workspace", filter_of("type", lambda: TYPES))
    list_select_related = ("workspace",)
    # Links on other pages filter by these, though the list has no such filter.
    lookups = (
        "state__exact", "workspace__id__exact", "batch__id__exact", "host", "host__exact", "error_code",
        "error_code__exact",
    )  # fmt: skip
    search_fields = ("=id", "=batch__id", "=host", "=error_code")
    confidential_search = ("=sha256",)
    id_columns = ((public_ids.attachment_number, "id"), (public_ids.batch_number, "batch_id"))
    search_help_text = "Attachment or batch (number or id), exact vendor host and port, or error code"
    confidential_search_help = ", SHA-256"
    ordering: ClassVar = ["-id"]
    actions: ClassVar = ["retry"]
    change_form_template = "attachments/file.html"
    # Checksums reveal whether a customer sent a known file.
    confidential = (
        "vendor_url", "link", "filename", "storage_uri", "upload_intent_id", "declared_mime_type", "declared_size",
        "declared_sha1", "declared_md5", "mime_type", "sha256", "sha1", "md5", "error_message",
    )  # fmt: skip
    fields = (
        "public_id", "workspace", "batch", "record", "record_index", "position", "state", "type", "filename",
        "vendor_url", "upload_intent_id", "declared_mime_type", "declared_size", "declared_sha1", "declared_md5",
        "size", "mime_type", "sha256", "sha1", "md5", "storage_uri", "link", "error_code", "error_message",
        "next_attempt_at", "claimed_by", "claimed_until", "created_at", "completed_at",
    )  # fmt: skip

    @property
    def media(self) -> Media:
        mine: Media = super().media + Media(css={"all": ["attachments/file.css"]})
        return mine

    @admin.display(description="Attachment", ordering="id")
    def public_id(self, obj: Attachment) -> str:
        return obj.public_id

    @admin.display(description="Record")
    def record(self, obj: Attachment) -> SafeString | str:
        name = public_ids.of_record(obj.record_id)
        if not Record.objects.filter(pk=obj.record_id).exists():
            return f"{name} (not stored)"
        url = reverse("admin:lake_record_change", args=[obj.record_id])
        return format_html('<a class="file-link" href="{}">{}</a>', url, name)

    @display(description="State", ordering="state", label=STATE_LABELS)  # type: ignore[untyped-decorator]
    def condition(self, obj: Attachment) -> str:
        return obj.state

    @admin.display(description="Size", ordering="size")
    def shown_size(self, obj: Attachment) -> str:
        return "–" if obj.size is None else amounts.size(obj.size)

    @admin.display(description="Download")
    def link(self, obj: Attachment) -> SafeString | str:
        if obj.state != State.COMPLETE:
            return "–"
        url = reverse("admin:attachments_attachment_download", args=[obj.pk])
        return format_html('<a class="file-link" href="{}">the stored file</a>', url)

    @admin.action(description="Retry the selected FAILED files", permissions=["operate"])
    def retry(self, request: HttpRequest, queryset: QuerySet[Attachment]) -> None:
        again = _retry(request, list(queryset.order_by("pk")))
        messages.success(request, f"{again} downloads were started again.")

    def get_urls(self) -> list[URLPattern]:
        wrap: Callable[[Any], Any] = self.admin_site.admin_view
        mine = [
            path("<int:attachment_id>/act/", wrap(self.act_view), name="attachments_attachment_act"),
            path("<int:attachment_id>/download/", wrap(self.download_view), name="attachments_attachment_download"),
        ]
        return [*mine, *super().get_urls()]

    def download_view(self, request: HttpRequest, attachment_id: int) -> HttpResponse:
        """Redirect to a URL of the stored file that expires within the hour."""
        file = self.row_with_payload(request, Attachment.objects.all(), attachment_id)
        url = ledger.url_of(file)
        if url is None:
            raise Http404
        audit.record(request, file, "File downloaded")
        return redirect(url)

    def act_view(self, request: HttpRequest, attachment_id: int) -> HttpResponse:
        """The buttons of a file's page send a POST with ``act``."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (may_act(request) and self.has_view_permission(request)):
            raise PermissionDenied
        file = row_or_404(Attachment.objects.all(), attachment_id)
        act = request.POST.get("act")
        if act == "retry":
            self._tell(
                request,
                bool(_retry(request, [file])),
                "The download starts again.",
                "The file is not FAILED, so nothing changed.",
            )
        elif act == "fresh-url":
            self._fresh_url(request, file)
        elif act in {"pause", "resume"} and file.host:
            changed = hosts.pause(file.host) if act == "pause" else hosts.resume(file.host)
            if changed:
                audit.record(request, VendorHost.objects.get(pk=file.host), f"{act.capitalize()}d")
            self._tell(request, changed, f"The host is {act}d.", f"The host is already {act}d.")
        else:
            messages.error(request, "Unknown action.")
        return redirect("admin:attachments_attachment_change", attachment_id)

    def _fresh_url(self, request: HttpRequest, file: Attachment) -> None:
        form = FreshUrlForm(request.POST)
        if not form.is_valid():
            messages.error(request, "; ".join(map(str, form.errors["vendor_url"])))
        elif file.state == State.COMPLETE:
            messages.warning(request, "The file is stored, so nothing changed.")
        else:
            audit.record(request, file, "Fresh URL given")
            fetching.replace_url(file.batch_id, file.pk, form.cleaned_data["vendor_url"])
            messages.success(request, "The download starts again with the fresh URL.")

    def _tell(self, request: HttpRequest, is_changed: bool, done: str, nothing: str) -> None:
        (messages.success if is_changed else messages.warning)(request, done if is_changed else nothing)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        file = Attachment.objects.filter(pk=row_number(object_id) or 0).first()
        shown = _page(request, file) if file and self.has_view_permission(request, file) else {}
        if file and shown.get("preview_kind"):
            audit.read(request, file, "File previewed")
        answer: HttpResponseBase = super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})
        return answer


def _retry(request: HttpRequest, files: list[Attachment]) -> int:
    with transaction.atomic():
        again = set(claims.retry_files([file.pk for file in files]))
        for file in files:
            if file.pk in again:
                audit.record(request, file, "Retried")
    if again:
        wake.downloads(len(again), at_most=16)
    return len(again)


def _page(request: HttpRequest, file: Attachment) -> dict[str, Any]:
    """The context of a file's page."""
    host = VendorHost.objects.filter(pk=file.host).first()
    lane = Lane.objects.filter(workspace=file.workspace_id, host=file.host).first()
    kind = file_urls.preview_kind(file.mime_type) if file.state == State.COMPLETE else ""
    is_open = bool(kind) and may_see_payloads(request)
    return {
        "file": file,
        "attempts": list(file.download_attempts.order_by("token")),
        "host": host,
        "lane": lane,
        "is_held": bool((host and host.paused_at) or (lane and (lane.opened_at or lane.held_until))),
        "preview_kind": kind if is_open else "",
        "preview_url": links.preview_url(file.storage_uri, mime_type=file.mime_type) if is_open else "",
        "may_act": may_act(request),
        "may_see_payloads": may_see_payloads(request),
        "max_url": MAX_URL,
    }
