"""What of a batch expires: its payload, rejected records, outcomes, and the attachment ledger with its attempts.

It expires some time after its batch has settled, all of a batch's detail of one kind at once. The batch itself stays, with its
status and counts. Batches that are still to land, that wait for their files, that were given up, or whose workspace is under a legal hold keep all of it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce

from attachments import retention as attachments_retention
from evermuse import public_ids
from evermuse.retention import READ_AT_ONCE, Due, Kind
from ingest import failures, sql
from ingest.models import Batch
from lake import retention as lake_retention
from lake.models import Payload

MAX_COUNTED = 10_000
_GIVEN_UP = Q(status=Batch.Status.FAILED, failure_code=failures.GIVEN_UP)
# A page of batches that have such details, with the number of rows: after an id, up to another one.
Held = Callable[[int, int, int], list[tuple[int, int]]]


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


def kept_payloads(now: datetime) -> KeptPayloads:
    """Old payloads of batches that have not landed or were given up."""
    old = Batch.objects.filter(created_at__lt=PAYLOADS.before(now))
    return KeptPayloads(
        landing=old.filter(status=Batch.Status.LANDING)[:MAX_COUNTED].count(),
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
) -> Kind:
    """The retention of one kind. ``also``: a further condition on settled batches."""

    def due(before: datetime) -> Iterator[Due]:
        after, until = 0, _last_created(before)
        while page := held(after, until, READ_AT_ONCE):
            after = page[-1][0]
            settled = set(_settled([batch_id for batch_id, _ in page], before).values_list("id", flat=True))
            expired = set(also(sorted(settled), before)) if settled else set()
            yield from (Due(one, public_ids.of_batch(one), rows) for one, rows in page if one in expired)

    def remove_of(before: datetime, found: Sequence[Due]) -> int:
        return remove(also(_locked([one.key for one in found], before), before))

    return Kind(name, title, setting, due, remove_of)


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
