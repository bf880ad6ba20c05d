"""The page of a batch: its timeline, outcomes, errors by group, rejected records, files and processors."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Prefetch

from attachments import ledger
from attachments.models import Attachment, AttachmentTally, DownloadAttempt
from evermuse import redaction
from ingest import failure_codes
from ingest.activity.pointers import generalise, without_client_names
from ingest.models import Batch, ProcessorRun
from ingest.pipeline import detail
from lake import processors
from lake.models import BatchOutcomes, RejectedRecord
from lake.outcomes import NAMES

Status = Batch.Status

# Rows on one page of a list.
ROWS = 20
# A batch has at most 1,000 records.
GROUPED_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class TimelineStep:
    """A step of the timeline. ``after`` is the time since the step before it."""

    name: str
    at: datetime | None
    after: timedelta | None
    note: str = ""

    @property
    def is_done(self) -> bool:
        return self.at is not None


def timeline(batch: Batch, sees_payloads: bool) -> list[TimelineStep]:
    """The steps accepted, landed, processing and complete; or accepted and failed."""
    failure = batch.failure if sees_payloads else failure_codes.in_words(batch.failure_code)
    instants: list[tuple[str, datetime | None, str]] = [("Accepted", batch.created_at, "committed before the answer")]
    if batch.status == Status.FAILED and batch.landed_at is None:
        instants.append(("Failed", batch.completed_at or batch.created_at, failure))
    else:
        instants += [
            ("Landed", batch.landed_at, "archived and indexed"),
            ("Processing", batch.processing_at, "processors run, for example downloads"),
            ("Complete", batch.completed_at, "every processor is done"),
        ]
    steps: list[TimelineStep] = []
    before: datetime | None = None
    for name, at, note in instants:
        steps.append(TimelineStep(name, at, at - before if at and before else None, note))
        before = at or before
    return steps


def is_settled(batch: Batch, tally: AttachmentTally | None) -> bool:
    """Whether nothing on the page will change by itself. A retried file of a COMPLETE batch does not change the status."""
    if batch.status not in {Status.COMPLETE, Status.FAILED}:
        return False
    return tally is None or tally.complete + tally.failed >= tally.total


def outcomes(batch: Batch) -> dict[str, int]:
    """Records by outcome. Their sum is the number sent. Before landing: pending and rejected."""
    row = BatchOutcomes.objects.filter(batch_id=batch.pk).only("letters").first()
    if row is None and batch.landed_at is not None:  # they have expired
        return {"accepted": batch.accepted_count, "rejected": batch.rejected_count}
    if row is None:
        rejected = batch.rejected_count
        return {"pending": batch.record_count - rejected, "rejected": rejected}
    counts = Counter(row.letters)
    return {name: counts[letter] for letter, name in NAMES.items()}


@dataclass(frozen=True, slots=True)
class ProcessorState:
    """The state of a processor for a batch. ``at`` is when it reached the state, or when it is called again."""

    name: str
    state: str
    at: datetime | None = None
    error: str = ""


def processor_states(batch: Batch, sees_payloads: bool) -> list[ProcessorState]:
    """The states of the deployment's processors and of others that handled the batch. Empty before it has landed."""
    if batch.landed_at is None:
        return []
    found = {run.processor: run for run in ProcessorRun.objects.filter(batch_id=batch.pk)}
    names = dict.fromkeys([*(one.name for one in processors.installed()), *sorted(found)])
    return [_processor_state(batch, name, found.get(name), sees_payloads) for name in names]


def _processor_state(batch: Batch, name: str, run: ProcessorRun | None, sees_payloads: bool) -> ProcessorState:
    if run is None:
        return ProcessorState(name, "settled" if batch.status == Status.COMPLETE else "not started", batch.completed_at)
    if run.next_attempt_at is not None:
        error = run.error if sees_payloads else redaction.reason(run.error)
        times = "once" if run.attempts == 1 else f"{run.attempts} times in a row"
        return ProcessorState(name, f"failed {times}; called again at", run.next_attempt_at, error)
    if run.settled_at is not None:
        return ProcessorState(name, "settled", run.settled_at)
    return ProcessorState(name, "started" if run.started_at else "not started", run.started_at)


@dataclass(slots=True)
class ErrorGroup:
    """The errors of one code at one field in a batch. ``message`` is that of the first one."""

    code: str
    field: str
    message: str
    count: int = 0


def error_groups(batch: Batch, sees_payloads: bool) -> list[ErrorGroup]:
    """The errors by code and field, the most frequent first. Without the permission to see payloads, names are generalised."""
    found: dict[tuple[str, str], ErrorGroup] = {}
    rows = RejectedRecord.objects.filter(batch_id=batch.pk).order_by("index").values_list("errors", flat=True)
    for text in rows[:GROUPED_RECORDS]:
        for error in json.loads(text):
            code, field = error["code"], generalise(error["pointer"])
            field = field if sees_payloads else without_client_names(field)
            message = error["message"] if sees_payloads else ""
            group = found.setdefault((code, field), ErrorGroup(code, field, message))
            group.count += 1
    return sorted(found.values(), key=lambda group: (-group.count, group.code, group.field))


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a batch, and the record index where the next page begins."""

    rows: Sequence[Any]
    following: int | None


def rejected(batch: Batch, *, start: int) -> Rows:
    """Rejected records with their errors, from a record index on."""
    found = list(RejectedRecord.objects.filter(batch_id=batch.pk, index__gte=start).order_by("index")[: ROWS + 1])
    return Rows(found[:ROWS], found[ROWS].index if len(found) > ROWS else None)


def files(batch: Batch, *, start: int) -> Rows:
    """Attachments with their attempts, from a record index on. The files of a record stay on one page."""
    attempts: Prefetch[str, Any, str] = Prefetch(
        "download_attempts", DownloadAttempt.objects.order_by("token"), to_attr="shown_attempts"
    )
    rows = Attachment.objects.filter(batch_id=batch.pk, record_index__gte=start).order_by("record_index", "position")
    found = list(rows.prefetch_related(attempts)[: ROWS + 11])
    if len(found) <= ROWS + 10:
        return Rows(found, None)
    # A record has at most ten files, so these rows contain at least one whole record before the last index.
    following = found[-1].record_index
    return Rows([row for row in found if row.record_index < following], following)


def expired(batch: Batch) -> list[str]:
    """Says which details of the batch retention has removed."""
    found = {
        "payload": detail.payload_has_expired(batch.pk),
        "outcomes of its records": detail.outcomes_have_expired(batch.pk),
        "rejected records": detail.errors_have_expired(batch.pk),
        "attempts of its files": ledger.has_expired(batch.pk),
    }
    return [name for name, has_expired in found.items() if has_expired]


def errors_of(row: RejectedRecord, sees_payloads: bool) -> list[dict[str, str]]:
    """The errors of a rejected record. Without the permission to see payloads: codes and fields of the envelope only."""
    found: list[dict[str, str]] = json.loads(row.errors)
    if sees_payloads:
        return found
    return [{"code": one["code"], "message": without_client_names(generalise(one["pointer"]))} for one in found]


def in_words(duration: timedelta | None) -> str:
    """A duration for people: 12 ms, 3.4 s, 2 min 5 s, 1 h 3 min."""
    if duration is None:
        return ""
    seconds = duration.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
