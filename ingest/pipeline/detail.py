"""Retention of a batch's detail: its payload, rejected records, outcomes, and the attachment ledger with its attempts.

Detail expires some time after the batch has settled, all of one kind at once. The batch itself stays, with its status and
counts. A batch keeps all its detail until it has landed and its files have settled, while it counts as given up, and while its
workspace is under a legal hold.
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
from ingest.pipeline import partitions, runs
from lake import retention as lake_retention
from lake.journal import writing
from lake.models import Payload

MAX_COUNTED = 10_000
_GIVEN_UP = Q(status=Batch.Status.FAILED, failure_code=failure_codes.GIVEN_UP)
# A failure without a code is from an older version. The sweeper adds the code, and until then the batch counts as given up.
_FAILED_FOR_GOOD = ~Q(failure_code=failure_codes.GIVEN_UP) & (Q(failure_code__isnull=False) | Q(failure=""))
# (after, until, limit) → batches that have such detail, each with its number of rows, in the order of their ids.
Held = Callable[[int, int, int], list[tuple[int, int]]]
# (before, until) → ranges of batch ids in which batches may have settled before an instant. A range excludes its start.
Spans = Callable[[datetime, int], list[tuple[int, int]]]


def errors_have_expired(batch_id: int) -> bool:
    """Whether the batch's rejected records have been removed."""
    return _asked(sql.ERRORS_EXPIRED, batch_id)


def outcomes_have_expired(batch_id: int) -> bool:
    """Whether the outcomes of the batch's records have been removed."""
    return _asked(sql.OUTCOMES_EXPIRED, batch_id)


def payload_has_expired(batch_id: int) -> bool:
    """Whether the batch's payload has been removed. Then the batch can be neither landed again nor reprocessed."""
    return not Payload.objects.filter(batch_id=batch_id).exists()


@dataclass(frozen=True, slots=True)
class KeptPayloads:
    """Counts of batches whose payload has passed its retention, but is the only copy. They are counted up to `MAX_COUNTED`."""

    landing: int
    given_up: int


def kept_payloads(now: datetime, *, oldest_landing: timedelta) -> KeptPayloads:
    """Old payloads of batches that have not landed or were given up. ``oldest_landing``: the age of the oldest LANDING batch."""
    before = PAYLOADS.before(now)
    old = Batch.objects.filter(created_at__lt=before)
    landing = old.filter(status=Batch.Status.LANDING)
    return KeptPayloads(
        # Skips a scan of the backlog if all of it is recent.
        landing=landing[:MAX_COUNTED].count() if now - oldest_landing < before else 0,
        given_up=old.filter(_GIVEN_UP)[:MAX_COUNTED].count(),
    )


def oldest_given_up() -> datetime | None:
    """When the oldest batch was accepted that was given up and has not been retried since."""
    return Batch.objects.filter(_GIVEN_UP).order_by("id").values_list("created_at", flat=True).first()


def _asked(statement: str, batch_id: int) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, [batch_id])
        row = cursor.fetchone()
    return bool(row and row[0])


def _settled(batch_ids: Sequence[int], before: datetime) -> QuerySet[Batch]:
    is_over = Q(status=Batch.Status.COMPLETE) | Q(status=Batch.Status.FAILED) & _FAILED_FOR_GOOD
    rows = Batch.objects.annotate(settled_at=Coalesce("completed_at", "created_at"))
    return rows.filter(is_over, id__in=batch_ids, settled_at__lt=before, workspace__legal_hold=False)


def _locked(batch_ids: Sequence[int], before: datetime) -> list[int]:
    """The settled ones, locked until the caller's transaction ends, so that a retry waits."""
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
    """A kind of detail. ``also`` filters the settled batches further. ``spans``: where to look for them."""

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
        due_in_run=None if spans_of_a_run is None else lambda before: found_in(spans_of_a_run, before),
    )


def _whose_records_are_stored(batch_ids: Sequence[int], before: datetime) -> list[int]:
    """Batches that no longer need their payload: a live segment holds all their records, or no record was accepted."""
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


def _whose_landing_is_in_the_journal(batch_ids: Sequence[int], before: datetime) -> list[int]:
    """Batches whose outcomes the journal does not have to read any more."""
    return sorted(set(batch_ids) - writing.unwritten(batch_ids, before))


OUTCOMES = _kind(
    "outcomes",
    "Outcomes of records",
    "EVERMUSE_OUTCOME_RETENTION_DAYS",
    lake_retention.outcomes_of,
    lake_retention.remove_outcomes,
    _whose_landing_is_in_the_journal,
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
    OUTCOMES,
    _kind(
        "download-attempts",
        "Download attempts",
        "EVERMUSE_DOWNLOAD_ATTEMPT_RETENTION_DAYS",
        attachments_retention.ledgers_of,
        attachments_retention.remove_attempts,
        attachments_retention.expirable,
    ),
    _kind(
        "processor-runs",
        "States of processors",
        "EVERMUSE_PROCESSOR_RUN_RETENTION_DAYS",
        runs.of_batches,
        runs.remove,
    ),
)
