"""The stored state of processors for batches: which are started, and which wait after a fault."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from evermuse import retry_policy
from ingest import sql
from ingest.models import ProcessorRun

MAX_ERROR = 500
_COLUMNS = ("is_prepared", "started_at", "settled_at", "attempts", "next_attempt_at", "error")


@dataclass(slots=True)
class Run:
    """The state of a processor for a batch. ``waits``: it must not be called now."""

    batch_id: int
    processor: str
    is_prepared: bool = True
    is_started: bool = False
    is_settled: bool = False
    attempts: int = 0
    waits: bool = False
    is_stored: bool = False
    is_changed: bool = False
    values: dict[str, Any] = field(default_factory=dict)

    def note_started(self) -> None:
        """`start` returned, so it is not called again for this batch."""
        self.is_started, self.attempts = True, 0
        self._change(started_at=Now(), attempts=0, next_attempt_at=None, error="")

    def note_asked(self, *, is_settled: bool) -> None:
        """`settled` returned."""
        if is_settled != self.is_settled or self.attempts:
            self.is_settled, self.attempts = is_settled, 0
            settled_at = Now() if is_settled else None
            self._change(settled_at=settled_at, attempts=0, next_attempt_at=None, error="")

    def note_raised(self, error: str) -> None:
        """The processor raised an exception. It waits longer each time."""
        self.attempts += 1
        self.waits = True
        wait = retry_policy.PROCESSORS.backoff(self.attempts)
        following = Now() + timedelta(seconds=wait)
        self._change(attempts=self.attempts, next_attempt_at=following, error=_clean(error))

    def _change(self, **values: Any) -> None:
        self.values |= values
        self.is_changed = True

    def row(self) -> ProcessorRun:
        """This state as a row."""
        return ProcessorRun(
            batch_id=self.batch_id, processor=self.processor, **{**self.values, "is_prepared": self.is_prepared}
        )


class Runs:
    """The states of several batches."""

    def __init__(self, found: Iterable[Run]) -> None:
        self._found = {(run.batch_id, run.processor): run for run in found}

    def get(self, batch_id: int, processor: str) -> Run:
        """The state for a batch and a processor; a new one if none is stored."""
        return self._found.setdefault((batch_id, processor), Run(batch_id, processor))

    def __iter__(self) -> Iterator[Run]:
        return iter(self._found.values())


def of(batch_ids: Sequence[int]) -> Runs:
    """The stored states of batches, read in one query."""
    # Further in the future than any wait: the clock was turned back.
    furthest = timedelta(seconds=retry_policy.PROCESSORS.furthest * 2)
    is_ahead = Q(next_attempt_at__gt=Now()) & Q(next_attempt_at__lte=Now() + furthest)
    rows = ProcessorRun.objects.filter(batch_id__in=batch_ids)
    waits = ExpressionWrapper(is_ahead, output_field=BooleanField())
    found = rows.annotate(waits=waits).values_list("batch_id", "processor", "waits", *_COLUMNS)
    return Runs(
        Run(
            batch_id,
            processor,
            is_prepared=values[0],
            is_started=values[1] is not None,
            is_settled=values[2] is not None,
            attempts=values[3],
            waits=bool(waits),
            is_stored=True,
            values=dict(zip(_COLUMNS, values, strict=True)),
        )
        for batch_id, processor, waits, *values in found
    )


def save(runs: Iterable[Run], *, complete: set[int]) -> None:
    """Store the states that changed. A batch that is complete at once, as most are, gets no rows."""
    _store([run for run in runs if run.is_changed and (run.is_stored or run.batch_id not in complete)])


def note_unprepared(processor: str, errors: Mapping[int, str]) -> None:
    """Store that `prepare` raised for batches, inside the transaction that lands them."""
    noted = [Run(batch_id, processor, is_prepared=False) for batch_id in errors]
    for run in noted:
        run.note_raised(errors[run.batch_id])
    _store(noted)


def note_before(processor: str, runs: Mapping[int, Run], *, error: str) -> None:
    """Store a failure before a call, in case the worker dies of it. The end of the call replaces it."""
    noted: list[Run] = []
    for batch_id, run in runs.items():
        before = Run(batch_id, processor, run.is_prepared, attempts=run.attempts, values=dict(run.values))
        before.note_raised(error)
        # The result of the call is stored and replaces this.
        run.is_stored = run.is_changed = True
        noted.append(before)
    _store(noted)


def of_batches(after: int, until: int, limit: int) -> list[tuple[int, int]]:
    """Batches with stored states and their number, by id, after ``after`` and up to ``until``."""
    with connection.cursor() as cursor:
        cursor.execute(sql.PROCESSOR_RUNS, [after, until, limit])
        return list(cursor.fetchall())


def remove(batch_ids: Sequence[int]) -> int:
    """Remove the states of these batches. A COMPLETE batch without a state shows its processors as settled."""
    return ProcessorRun.objects.filter(batch_id__in=batch_ids).delete()[0]


def mark_prepared(run: Run) -> None:
    """Store that `prepare` returned for a batch that landed without it, inside the transaction in which it wrote."""
    ProcessorRun.objects.filter(batch_id=run.batch_id, processor=run.processor).update(is_prepared=True)


def pull_forward(batch_ids: Sequence[int], *, processor: str | None = None) -> int:
    """Let processors that wait after a fault be called at once, all or only one. Returns the number of changed rows."""
    waiting = ProcessorRun.objects.filter(batch_id__in=batch_ids, next_attempt_at__gt=Now())
    if processor is not None:
        waiting = waiting.filter(processor=processor)
    return waiting.update(next_attempt_at=None, attempts=0)


def _store(runs: Sequence[Run]) -> None:
    # In the order of the key, so that two workers cannot deadlock.
    rows = [run.row() for run in sorted(runs, key=lambda run: (run.batch_id, run.processor))]
    if rows:
        ProcessorRun.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["batch", "processor"], update_fields=list(_COLUMNS)
        )
        for run in runs:
            run.is_stored, run.is_changed = True, False


def _clean(error: str) -> str:
    return error.replace("\0", "\ufffd")[:MAX_ERROR]
