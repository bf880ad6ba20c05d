"""What of a batch expires: its payload, rejected records, outcomes, and the attachment ledger with its attempts.

It expires some time after its batch has settled, all of a batch's detail of one kind at once. The batch itself stays, with its
status and counts. Batches that are still to land, that wait for their files, that were given up, or whose workspace is under a legal hold keep all of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from attachments import retention as attachments_retention
from evermuse import public_ids
from evermuse.retention import READ_AT_ONCE, Due, Kind
from ingest import failure_codes, sql
from ingest.models import Batch
from ingest.pipeline import partitions
from lake import retention as lake_retention
from lake.models import Payload

MAX_COUNTED = 10_000
_GIVEN_UP = Q(status=Batch.Status.FAILED, failure_code=failure_codes.GIVEN_UP)
# A page of batches that have such details, with the number of rows: after an id, up to another one.
Held = Callable[[int, int, int], list[tuple[int, int]]]
# Stretches of batch ids in which something settled before an instant, up to an id: beyond a first one, up to a last one.
Spans = Callable[[datetime, int], list[tuple[int, int]]]


def errors_have_expired(batch_id: int) -> bool:
    """Whether the batch's rejected records have been removed."""
    return _asked(sql.ERRORS_EXPIRED, batch_id)


def outcomes_have_expired(batch_id: int) -> bool:
    """Whether the outcomes of the batch's records have been removed."""
    return _asked(sql.OUTCOMES_EXPIRED, batch_id)


def payload_has_expired(batch_id: int) -> bool:
    """Whether the batch's payload has been removed: the batch can be neither landed again nor reprocessed."""
    return not Payload.objects.filter(batch_id=batch_id).exists()


@dataclass(frozen=True, slots=True)
class KeptPayloads:
    """Batches whose payloads are older than payloads are kept, because each is the only copy. Counted up to `MAX_COUNTED`."""

    landing: int
    given_up: int


def kept_payloads(now: datetime, *, oldest_landing: timedelta) -> KeptPayloads:
    """Old payloads of batches that have not landed or were given up. ``oldest_landing``: the age of the oldest of the former."""
    before = PAYLOADS.before(now)
    old = Batch.objects.filter(created_at__lt=before)
    landing = old.filter(status=Batch.Status.LANDING)
    return KeptPayloads(
        # A backlog of today's batches is not walked through.
        landing=landing[:MAX_COUNTED].count() if now - oldest_landing < before else 0,
        given_up=old.filter(_GIVEN_UP)[:MAX_COUNTED].count(),
    )


def oldest_given_up() -> datetime | None:
    """When the oldest batch that was given up, and not retried since, was accepted."""
    return Batch.objects.filter(_GIVEN_UP).order_by("id").values_list("created_at", flat=True).first()


def _asked(statement: str, batch_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, [batch_id])
        row = cursor.fetchone()
    return bool(row and row[0])


def _settled(batch_ids: Sequence[int], before: datetime) -> QuerySet[Batch]:
    is_over = Q(status=Batch.Status.COMPLETE) | Q(status=Batch.Status.FAILED) & ~Q(failure__startswith="given up")
    rows = Batch.objects.annotate(settled_at=Coalesce("completed_at", "created_at"))
    return rows.filter(is_over, id__in=batch_ids, settled_at__lt=before, workspace__legal_hold=False)


def _locked(batch_ids: Sequence[int], before: datetime) -> list[int]:
    """Those that have settled, locked until the caller's transaction ends: a retry waits for it."""
    rows = _settled(batch_ids, before).select_for_update(skip_locked=True, no_key=True, of=("self",)).order_by("id")
    return list(rows.values_list("id", flat=True))


def _last_created(before: datetime) -> int:
    """The greatest id of a batch accepted before an instant. No later batch can have settled before it."""
    with connection.cursor() as cursor:
        cursor.execute(sql.LAST_CREATED, [before])
        return cursor.fetchone()[0] or 0


def _kind(
    name: str,
    title: str,
    setting: str,
    held: Held,
    remove: Callable[[Sequence[int]], int],
    also: Callable[[Sequence[int], datetime], list[int]] = lambda batch_ids, before: list(batch_ids),
    spans: Spans = lambda before, until: [(0, until)],
    spans_of_a_run: Spans | None = None,
) -> Kind:
    """The retention of one kind. ``also``: a further condition on settled batches. ``spans``: where to look for them."""

    def found_in(where: Spans, before: datetime) -> Iterator[Due]:
        for after, until in where(before, _last_created(before)):
            last = after
            while page := held(last, until, READ_AT_ONCE):
                last = page[-1][0]
                settled = set(_settled([batch_id for batch_id, _ in page], before).values_list("id", flat=True))
                expired = set(also(sorted(settled), before)) if settled else set()
                yield from (Due(one, public_ids.of_batch(one), rows) for one, rows in page if one in expired)

    def remove_of(before: datetime, found: Sequence[Due]) -> int:
        return remove(also(_locked([one.key for one in found], before), before))

    return Kind(
        name,
        title,
        setting,
        lambda before: found_in(spans, before),
        remove_of,
        some=None if spans_of_a_run is None else lambda before: found_in(spans_of_a_run, before),
    )


def _whose_records_are_stored(batch_ids: Sequence[int], before: datetime) -> list[int]:
    """Batches that do not need their payload: a live segment holds all their records, or none was accepted."""
    failed = Batch.objects.filter(id__in=batch_ids, status=Batch.Status.FAILED).values_list("id", flat=True)
    return sorted({*failed, *lake_retention.in_segments(batch_ids)})


PAYLOADS = _kind(
    "payloads",
    "Payloads: bodies of requests",
    "EVERMUSE_PAYLOAD_RETENTION_DAYS",
    lake_retention.payloads_of,
    lake_retention.remove_payloads,
    _whose_records_are_stored,
    partitions.all_expired,
    lambda before, until: partitions.row_by_row(until),
)
KINDS = (
    PAYLOADS,
    _kind(
        "rejected-records",
        "Rejected records",
        "EVERMUSE_REJECTED_RECORD_RETENTION_DAYS",
        lake_retention.rejected_of,
        lake_retention.remove_rejected,
    ),
    _kind(
        "outcomes",
        "Outcomes of records",
        "EVERMUSE_OUTCOME_RETENTION_DAYS",
        lake_retention.outcomes_of,
        lake_retention.remove_outcomes,
    ),
    _kind(
        "download-attempts",
        "Download attempts",
        "EVERMUSE_DOWNLOAD_ATTEMPT_RETENTION_DAYS",
        attachments_retention.ledgers_of,
        attachments_retention.remove_attempts,
        attachments_retention.expirable,
    ),
)
