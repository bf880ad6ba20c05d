"""Records in the admin: search, the record as sent and as stored, and its earlier versions."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from evermuse import audit, logs, public_ids, roles
from evermuse.admin import PipelineAdmin, RowList, block, filter_of, moment, pretty
from evermuse.errors import ArchiveDamaged, StoreUnavailable
from lake import frames, index_layout, places, reading, record_excerpts, record_search, term_sets, terms
from lake.formats import RECORD_TYPES
from lake.models import Record, RecordVersion
from lake.record_excerpts import Excerpt

SEARCHED = ("vendor", "thread", "participant", "tag", "project")
# A record may have thousands of versions. Its page shows the latest.
SHOWN_VERSIONS = 50
AWAY = mark_safe("Cannot be read at the moment: only the object store has it.")

log = logs.get(__name__)


class RecordList(RowList):
    """A page of the list, with an excerpt of each record for logins that may see payloads."""

    result_list: Any

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        records: list[Record] = list(self.result_list)
        if roles.may_see_payloads(request):
            found = record_excerpts.of(records)
            for record in records:
                record.excerpt = found.get(record.id)  # type: ignore[attr-defined]
        self.result_list = records


@admin.register(Record)
class RecordAdmin(PipelineAdmin):
    """Records of the index. They cannot be edited."""

    list_display = (
        "public_id", "workspace", "vendor_ids", "thread", "participants", "words", "type_of", "event", "version", "updated",
    )  # fmt: skip
    list_filter = ("workspace", filter_of("type", lambda: sorted(RECORD_TYPES), lookup="batch__type"), "event_at")
    lookups = ("workspace__id__exact", "event_at__gte", "event_at__lt")
    list_select_related = ("workspace", "batch")
    search_fields = ("id",)
    search_help_text = "Record id"
    confidential_search_help = ", vendor id (key:value, %3A for a colon in the key), thread, participant, tag, project"
    # The index `record_by_instant` has the same order, so that no page has to sort all records.
    ordering: ClassVar = ["-workspace_id", "-updated_at", "-id"]
    fields = (
        "public_id", "workspace", "type_of", "product", "event_at", "version", "written_by", "last_sent_by",
        "first_accepted", "last_updated", "lineage", "as_sent", "envelope", "stored_data",
    )  # fmt: skip
    confidential = ("as_sent", "envelope", "stored_data", "vendor_ids", "thread", "participants", "words")
    reading = "Record seen"

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Record], search_term: str
    ) -> tuple[QuerySet[Record], bool]:
        wanted = search_term.strip()
        if not wanted:
            return queryset, False
        digits = wanted.removeprefix("rec_").replace("-", "").lower()
        if len(digits) == 32 and all(c in "0123456789abcdef" for c in digits):
            return queryset.filter(id=digits), False
        if not roles.may_see_payloads(request):
            # Search results reveal what customers said, just as a page does.
            return queryset.none(), False
        texts = dict.fromkeys(SEARCHED, wanted)
        try:
            texts["vendor"] = terms.vendor_id_of(wanted)
        except ValueError:
            del texts["vendor"]
        any_term = [terms.term(pk, name, text) for pk in record_search.workspace_ids() for name, text in texts.items()]
        return queryset.filter(pk__in=record_search.ids_of(any_term)), False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordList]:
        return RecordList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        if self.has_view_permission(request) and roles.may_see_payloads(request):
            audit.read(request, self.model, "Records listed with their first words")
        answer: HttpResponseBase = super().changelist_view(request, extra_context)
        return answer

    @admin.display(description="Vendor IDs")
    def vendor_ids(self, obj: Record) -> SafeString:
        return _shown(_excerpt(obj).vendor_ids)

    @admin.display(description="Thread")
    def thread(self, obj: Record) -> SafeString:
        return _shown(_excerpt(obj).thread)

    @admin.display(description="Participants")
    def participants(self, obj: Record) -> SafeString:
        return _shown(_excerpt(obj).participants)

    @admin.display(description="First words of data")
    def words(self, obj: Record) -> SafeString:
        return _shown(_excerpt(obj).words)

    @admin.display(description="Type")
    def type_of(self, obj: Record) -> str:
        # All accepted records of a batch have its type.
        return obj.batch.type

    @admin.display(description="Product")
    def product(self, obj: Record) -> str:
        [has] = term_sets.whole([obj])
        ids = obj.workspace.products.values_list("product_id", flat=True)
        return ", ".join(one for one in ids if terms.term(obj.workspace_id, "product", one) in has)

    @admin.display(description="Event (UTC)", ordering="event_at")
    def event(self, obj: Record) -> SafeString:
        return moment(obj.event_at)

    @admin.display(description="First accepted")
    def first_accepted(self, obj: Record) -> str:
        return _moment(obj.first_accepted_at or obj.batch.created_at)

    @admin.display(description="Updated (UTC)", ordering="updated_at")
    def updated(self, obj: Record) -> SafeString:
        return moment(obj.updated_at)

    @admin.display(description="Updated")
    def last_updated(self, obj: Record) -> str:
        return _moment(obj.updated_at)

    @admin.display(description="Record")
    def public_id(self, obj: Record) -> str:
        return obj.public_id

    @admin.display(description="This version was written by")
    def written_by(self, obj: Record) -> SafeString:
        return _batch(obj.batch_id)

    @admin.display(description="Last sent by")
    def last_sent_by(self, obj: Record) -> SafeString:
        return _batch(index_layout.last_sender(obj))

    @admin.display(description="Versions before this one")
    def lineage(self, obj: Record) -> SafeString | str:
        past = RecordVersion.objects.filter(record_id=obj.pk).order_by("-version")[:SHOWN_VERSIONS]
        rows = format_html_join(
            "",
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            ((one.version, _batch(one.batch_id), _batch(one.replaced_by_id), _moment(one.replaced_at)) for one in past),
        )
        if not rows:
            return "None. The record was written once."
        heads = mark_safe(
            '<thead><tr><th scope="col">Version</th><th scope="col">Written by</th><th scope="col">Replaced by</th>'
            '<th scope="col">At</th></tr></thead>'
        )
        return format_html(
            '<table class="w-full text-left" style="overflow-wrap:anywhere">{}<tbody>{}</tbody></table>', heads, rows
        )

    @admin.display(description="As sent")
    def as_sent(self, obj: Record) -> SafeString:
        if (sent := frames.read([obj.place]).get(obj.place)) is not None:
            return _folded("The bytes of the request", block(sent))
        stored = _sent(obj)
        return AWAY if stored is None else _folded("Normalized, as stored in the bucket", block(stored))

    @admin.display(description="Envelope, normalized")
    def envelope(self, obj: Record) -> SafeString:
        sent = _sent(obj)
        return AWAY if sent is None else pretty(reading.stored(sent).head)

    @admin.display(description="data, as sent")
    def stored_data(self, obj: Record) -> SafeString:
        sent = _sent(obj)
        return AWAY if sent is None else block(reading.stored(sent).data)


def _sent(record: Record) -> bytes | None:
    """The record as it was sent, or normalized from the bucket. None if it cannot be read at the moment."""
    try:
        return places.read([record.place]).get(record.place)
    except (StoreUnavailable, ArchiveDamaged) as error:
        log.warning("record.store_away", record_id=record.public_id, error=str(error)[:200])
        return None


def _excerpt(record: Record) -> Excerpt:
    return getattr(record, "excerpt", None) or Excerpt(words="(too large for a list)")


def _shown(text: str) -> SafeString:
    return format_html('<span class="excerpt">{}</span>', text)


def _batch(number: int) -> SafeString:
    return format_html(
        '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>',
        reverse("admin:ingest_batch_change", args=[number]),
        public_ids.of_batch(number),
    )


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _folded(title: str, content: Any) -> SafeString:
    return format_html("<details><summary>{}</summary>{}</details>", title, content)
