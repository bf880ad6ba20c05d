"""Batches in the admin: the list, the page of one, and the actions of operators."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Media
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    StreamingHttpResponse,
)  # fmt: skip
from django.shortcuts import redirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from unfold.decorators import display

from attachments.models import AttachmentTally
from evermuse import audit
from evermuse.admin import PipelineAdmin, block, filter_of, moment, pretty, row_number, row_or_404
from evermuse.errors import ArchiveDamaged, StoreUnavailable
from evermuse.roles import may_act, may_see_payloads
from ingest import failure_codes
from ingest.admin import batch_actions, batch_page
from ingest.admission import acceptance
from ingest.expired import kept
from ingest.models import ApiKey, Batch
from ingest.ndjson import STEP_BYTES, ndjson
from ingest.pipeline import detail
from lake import archive, selectors
from lake.formats import RECORD_TYPES
from lake.landing import UNKNOWN_TYPE
from lake.models import Payload, RejectedRecord

STATUS_LABELS = {
    "LANDING": "info",
    "LANDED": "info",
    "PROCESSING": "info",
    "COMPLETE": "success",
    "FAILED": "danger",
}
STREAM_PAGE = 500


def _types() -> list[str]:
    return [*sorted(RECORD_TYPES), UNKNOWN_TYPE]


def _sources() -> list[str]:
    """All source labels of batches, read from the keys, revoked ones too: that table is small."""
    return list(ApiKey.objects.order_by("source").values_list("source", flat=True).distinct())


@admin.register(Batch)
class BatchAdmin(PipelineAdmin):
    """Batches are read-only. Actions call the services of the pipeline."""

    list_display = (
        "public_id", "workspace", "condition", "type", "source", "records", "accepted", "rejected", "created", "took",
    )  # fmt: skip
    list_filter = ("status", "workspace", filter_of("type", _types), filter_of("source", _sources))
    lookups = ("status__exact", "workspace__id__exact")
    list_select_related = ("workspace",)
    search_fields = ("id__exact", "source")
    search_help_text = "Batch number or id, or the start of a source label"
    actions: ClassVar = ["retry"]
    fields: ClassVar[list[str]] = []
    change_form_template = "admin/ingest/batch/page.html"

    @property
    def media(self) -> Media:
        mine: Media = super().media + Media(css={"all": ["ingest/batch.css"]}, js=["ingest/batch.js"])
        return mine

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Batch], search_term: str
    ) -> tuple[QuerySet[Batch], bool]:
        number = search_term.strip().removeprefix("batch_")
        if number.isascii() and number.isdigit() and len(number) <= 19 and int(number) < 2**63:
            return queryset.filter(id=int(number)), False
        return (queryset.filter(source__startswith=search_term.strip()) if search_term else queryset), False

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        return actions if may_act(request) else {}

    @admin.display(description="Batch", ordering="id")
    def public_id(self, obj: Batch) -> str:
        return obj.public_id

    @display(description="Status", ordering="status", label=STATUS_LABELS)  # type: ignore[untyped-decorator]
    def condition(self, obj: Batch) -> str:
        return obj.status

    @admin.display(description="Records", ordering="record_count")
    def records(self, obj: Batch) -> str:
        return f"{obj.record_count:,}"

    @admin.display(description="Accepted", ordering="accepted_count")
    def accepted(self, obj: Batch) -> str:
        return f"{obj.accepted_count:,}"

    @admin.display(description="Rejected", ordering="rejected_count")
    def rejected(self, obj: Batch) -> str:
        return f"{obj.rejected_count:,}"

    @admin.display(description="Created (UTC)", ordering="created_at")
    def created(self, obj: Batch) -> SafeString:
        return moment(obj.created_at)

    @admin.display(description="Duration")
    def took(self, obj: Batch) -> str:
        return batch_page.in_words(obj.completed_at - obj.created_at) if obj.completed_at else "–"

    @admin.action(description="Retry failed parts of the selected batches")
    def retry(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        batch_actions.allow(request)
        told = [batch_actions.retry(request, batch) for batch in queryset.order_by("pk")]
        messages.success(request, f"Retried: {sum(told)} of {len(told)}. Nothing had failed in the others.")

    def get_urls(self) -> list[URLPattern]:
        wrap: Callable[[Any], Any] = self.admin_site.admin_view
        mine = [
            path("<int:batch_id>/act/", wrap(self.act_view), name="ingest_batch_act"),
            path("<int:batch_id>/payload/", wrap(self.payload_view), name="ingest_batch_payload"),
            path("<int:batch_id>/archive/", wrap(self.archive_view), name="ingest_batch_archive"),
            path("<int:batch_id>/rejected.ndjson", wrap(self.rejected_view), name="ingest_batch_rejected"),
        ]
        return [*mine, *super().get_urls()]

    def act_view(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        """Runs the action of a button on a batch's page: POST with ``act``."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        batch_actions.allow(request)
        if not self.has_view_permission(request):
            raise PermissionDenied
        batch = row_or_404(Batch.objects.all(), batch_id)
        if request.POST.get("act") == "retry":
            if batch_actions.retry(request, batch):
                messages.success(request, "Retried. This page refreshes until it is done.")
            else:
                messages.warning(request, batch_actions.why_unchanged(batch))
        elif request.POST.get("act") == "reprocess":
            batch_actions.reprocess(request, batch)
        else:
            messages.error(request, "Unknown action.")
        return redirect("admin:ingest_batch_change", batch_id)

    def payload_view(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        """The decompressed body of the request, byte for byte, as a download."""
        batch = self._of_payloads(request, batch_id)
        payload = Payload.objects.filter(batch_id=batch.pk).first()
        if payload is None:
            raise Http404("The payload of this batch has expired.")
        audit.record(request, batch, "Body downloaded")
        answer = HttpResponse(acceptance.content_of(payload), content_type=payload.media_type)
        suffix = "ndjson" if payload.media_type.endswith("ndjson") else "json"
        answer["Content-Disposition"] = f'attachment; filename="{batch.public_id}.{suffix}"'
        return answer

    def rejected_view(self, request: HttpRequest, batch_id: int) -> StreamingHttpResponse:
        """The rejected records as NDJSON, as in the API's error endpoint."""
        batch = self._of_payloads(request, batch_id)
        if detail.errors_have_expired(batch.pk):
            raise Http404("The rejected records of this batch have expired.")
        audit.record(request, batch, "Rejected records downloaded")
        read = kept(
            lambda **how: selectors.rejected_page(batch.pk, batch.record_count, **how),
            lambda: detail.errors_have_expired(batch.pk),
        )
        answer = ndjson(
            request,
            f"staff {request.user.pk}",
            lambda after: read(after=after, limit=STREAM_PAGE, max_bytes=STEP_BYTES, single_line=True),
        )
        answer["Content-Disposition"] = f'attachment; filename="{batch.public_id}-rejected.ndjson"'
        return answer

    def archive_view(self, request: HttpRequest, batch_id: int) -> HttpResponse:
        """The batch's accepted records as they are stored in the bucket, without other batches' lines: NDJSON, one zstd frame."""
        batch = self._of_payloads(request, batch_id)
        archived = archive.of(batch.pk)
        if archived is None:
            raise Http404
        audit.record(request, batch, "Archive downloaded")
        try:
            content = archive.compressed(archived)
        except ArchiveDamaged as error:
            messages.error(request, f"The archive cannot be read: {error}.")
            return redirect("admin:ingest_batch_change", batch_id)
        except StoreUnavailable:
            messages.error(request, "The object store is away. Try again when it is back.")
            return redirect("admin:ingest_batch_change", batch_id)
        answer = HttpResponse(content, content_type="application/zstd")
        answer["Content-Disposition"] = f'attachment; filename="{batch.public_id}.ndjson.zst"'
        return answer

    def _of_payloads(self, request: HttpRequest, batch_id: int) -> Batch:
        return self.row_with_payload(request, Batch.objects.all(), batch_id)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        batch = Batch.objects.select_related("workspace", "api_key").filter(pk=row_number(object_id) or 0).first()
        shown = _page(request, batch) if batch and self.has_view_permission(request, batch) else {}
        if batch and any(row["payload"] for row in shown.get("rejected", [])):
            audit.read(request, batch, "Rejected records seen")
        answer: HttpResponseBase = super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})
        return answer


def _page(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    """The template context of a batch's page."""
    sees_payloads = may_see_payloads(request)
    tally = AttachmentTally.objects.filter(batch_id=batch.pk).first()
    archived = archive.of(batch.pk)
    rejected = batch_page.rejected(batch, start=_index(request.GET.get("rejected")))
    files = batch_page.files(batch, start=_index(request.GET.get("files")))
    # Landing may replace the rejected records, so their payloads are shown only after it.
    shows_payloads = sees_payloads and batch.status != Batch.Status.LANDING
    return {
        "title": batch.public_id,
        "batch": batch,
        "steps": [(step, batch_page.in_words(step.after)) for step in batch_page.timeline(batch, sees_payloads)],
        "failure": batch.failure if sees_payloads else failure_codes.in_words(batch.failure_code),
        "is_settled": batch_page.is_settled(batch, tally),
        "took": batch_page.in_words(batch.completed_at - batch.created_at if batch.completed_at else None),
        "outcomes": batch_page.outcomes(batch),
        "expired": batch_page.expired(batch),
        "processors": (states := batch_page.processor_states(batch, sees_payloads)),
        "error_groups": batch_page.error_groups(batch, sees_payloads),
        "rejected": [_rejected(row, sees_payloads, shows_payloads) for row in rejected.rows],
        "rejected_following": rejected.following,
        "files": files.rows,
        "files_following": files.following,
        "tally": tally,
        "archived": archived,
        "api_key_url": reverse("admin:ingest_apikey_change", args=[batch.api_key_id]) if batch.api_key_id else None,
        "flower_url": f"{settings.EVERMUSE_FLOWER_URL.rstrip('/')}/tasks?name=ingest.land_batches",
        "may_act": may_act(request),
        "may_see_payloads": sees_payloads,
        "has_failed": batch.status == Batch.Status.FAILED
        or bool(tally and tally.failed)
        or any(state.error for state in states),
    }


def _index(text: str | None) -> int:
    """A record's index from a query. 0 for anything else."""
    return min(row_number(text) or 0, 2**31 - 1)


def _rejected(row: RejectedRecord, sees_payloads: bool, shows_payloads: bool) -> dict[str, Any]:
    payload = (pretty if row.is_json else block)(bytes(row.payload)) if shows_payloads else None
    return {"index": row.index, "errors": batch_page.errors_of(row, sees_payloads), "payload": payload}
