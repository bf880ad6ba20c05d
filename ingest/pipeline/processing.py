"""A landed batch and its processors: LANDED → PROCESSING → COMPLETE.

A processor may be other people's code (`lake.processors`). If it raises, the error is logged and stored for the batches
concerned (`ingest.pipeline.runs`), and the call is retried with backoff. Other processors, batches and workspaces continue.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from django.db import transaction

from evermuse import logs, public_ids, wake
from ingest.models import Batch
from ingest.pipeline import runs, transitions
from ingest.pipeline.runs import Run, Runs
from lake import processors
from lake.batch_records import records_of
from lake.processors import LandingBatch, Processor

log = logs.get(__name__)

# If a call for several batches raises, the processor is called for each batch, for at most this long. The next round continues.
# Otherwise a worker would wait for every call if a server does not answer.
ONE_BY_ONE_SECONDS = 2.0
MAX_LOGGED = 50
DIED = "the worker died or was stopped during the call"


@dataclass(slots=True)
class Calls:
    """The results of calling a processor: batches for which it returned, and the errors that it raised by batch."""

    done: set[int] = field(default_factory=set)
    raised: dict[int, str] = field(default_factory=dict)


def prepare(landing: Sequence[LandingBatch]) -> None:
    """Call `prepare` of the processors, inside the transaction that lands the batches.

    An exception of a processor with ``must_prepare`` is raised. Without it the batches land, and `prepare` is called again.
    """
    if not landing:
        return
    for processor in processors.installed():
        if processor.must_prepare:
            processor.prepare(landing)
        if not _may_land_unprepared(processor):
            continue
        by_id = {batch.id: batch for batch in landing}
        calls = _call(processor, "prepare", list(by_id), partial(_prepare_some, processor, by_id))
        if calls.raised:
            runs.note_unprepared(processor.name, calls.raised)


def _may_land_unprepared(processor: Processor) -> bool:
    return not processor.must_prepare and type(processor).prepare is not Processor.prepare


def _prepare_some(processor: Processor, by_id: dict[int, LandingBatch], batch_ids: Sequence[int]) -> None:
    with transaction.atomic():
        processor.prepare([by_id[batch_id] for batch_id in batch_ids])


def advance(batch_ids: Sequence[int], *, are_fresh: bool = False) -> None:
    """LANDED → PROCESSING → COMPLETE, as far as the processors allow. Idempotent; ignores batches in other states.

    ``are_fresh``: this worker has just landed them. Any other batch may have killed the worker that handled it.
    """
    processing = transitions.mark_processing(batch_ids) if batch_ids else []
    if not processing:
        return
    # A batch that has just landed has a stored state only if a processor could not prepare it.
    is_known = are_fresh and not any(map(_may_land_unprepared, processors.installed()))
    noted = runs.Runs([]) if is_known else runs.of(processing)
    settled = set(processing)
    for processor in processors.installed():
        settled &= _advance(processor, processing, noted, are_fresh=are_fresh)
    runs.save(noted, complete=settled)
    if settled and (complete := transitions.mark_complete(sorted(settled))):
        log.info("batch.complete", batch_ids=[public_ids.of_batch(i) for i in complete])


def retry(batch_id: int) -> int:
    """Call the processors that wait after a fault at once. Returns their number. Only for a batch in PROCESSING."""
    if not Batch.objects.filter(pk=batch_id, status=Batch.Status.PROCESSING).exists():
        return 0
    if waiting := runs.pull_forward([batch_id]):
        processors.look_again([batch_id])
    return waiting


def _advance(processor: Processor, batch_ids: Sequence[int], noted: Runs, *, are_fresh: bool) -> set[int]:
    """Call `start` for batches that the processor has not started, then `settled` for all."""
    mine = {batch_id: noted.get(batch_id, processor.name) for batch_id in batch_ids}
    callable_now = [batch_id for batch_id, run in mine.items() if not run.waits]
    begin = [batch_id for batch_id in callable_now if not mine[batch_id].is_started]
    if begin:
        _start(processor, begin, mine, are_fresh=are_fresh)
    started = [batch_id for batch_id in callable_now if mine[batch_id].is_started]
    found: set[int] = set()

    def ask(ids: Sequence[int]) -> None:
        found.update(set(processor.settled(ids)) & set(ids))

    calls = _call(processor, "settled", started, ask)
    _note_raised(calls, mine)
    for batch_id in calls.done:
        mine[batch_id].note_asked(is_settled=batch_id in found)
    return found & calls.done


def _start(processor: Processor, batch_ids: Sequence[int], mine: dict[int, Run], *, are_fresh: bool) -> None:
    """Call `prepare` where it is missing, then `start`. A batch that failed before is called alone: it may kill the worker."""
    wake_up = partial(_wake, processor)

    def start(ids: Sequence[int]) -> None:
        for batch_id in ids:
            if not mine[batch_id].is_prepared:
                _prepare_late(processor, mine[batch_id])
        processor.start(ids, wake_up)

    suspects = [batch_id for batch_id in batch_ids if mine[batch_id].attempts]
    others = [batch_id for batch_id in batch_ids if not mine[batch_id].attempts]
    ends_at = time.monotonic() + ONE_BY_ONE_SECONDS
    for ids in [others, *([one] for one in suspects)]:
        if not ids or (ids is not others and time.monotonic() >= ends_at):
            continue
        if not are_fresh:
            # If this worker dies of it, the next one waits before it tries again.
            runs.note_before(processor.name, {batch_id: mine[batch_id] for batch_id in ids}, error=DIED)
        calls = _call(processor, "start", ids, start)
        _note_raised(calls, mine)
        for batch_id in calls.done:
            mine[batch_id].note_started()
        if not are_fresh:
            runs.save([mine[batch_id] for batch_id in ids], complete=set())


def _prepare_late(processor: Processor, run: Run) -> None:
    """Call `prepare` in a separate transaction for a batch that landed without it."""
    workspace_id: int = Batch.objects.values_list("workspace_id", flat=True).get(pk=run.batch_id)
    landed = LandingBatch(run.batch_id, workspace_id, list(records_of(run.batch_id)))
    with transaction.atomic():
        processor.prepare([landed])
        runs.mark_prepared(run)
    run.is_prepared = True


def _wake(processor: Processor, times: int = 1) -> None:
    if processor.task:
        wake.workers(processor.task, times)


def _note_raised(calls: Calls, mine: dict[int, Run]) -> None:
    for batch_id, error in calls.raised.items():
        mine[batch_id].note_raised(error)


def _call(
    processor: Processor, method: str, batch_ids: Sequence[int], call: Callable[[Sequence[int]], object]
) -> Calls:
    """Call for all batches together. If that raises, call for each alone, so that one batch cannot fail the others."""
    calls = Calls()
    if not batch_ids:
        return calls
    ends_at = time.monotonic() + ONE_BY_ONE_SECONDS
    try:
        call(batch_ids)
        calls.done.update(batch_ids)
    except Exception as error:
        _log_raised(processor, method, batch_ids, error)
        if len(batch_ids) == 1:
            calls.raised[batch_ids[0]] = _described(error)
            return calls
        for batch_id in batch_ids:
            if calls.raised and time.monotonic() >= ends_at:
                break
            try:
                call([batch_id])
                calls.done.add(batch_id)
            except Exception as alone:
                calls.raised[batch_id] = _described(alone)
        if calls.raised:
            waiting = [public_ids.of_batch(batch_id) for batch_id in list(calls.raised)[:MAX_LOGGED]]
            log.warning(
                "processor.waits",
                processor=processor.name,
                method=method,
                batches=len(calls.raised),
                batch_ids=waiting,
            )
    return calls


def _log_raised(processor: Processor, method: str, batch_ids: Sequence[int], error: Exception) -> None:
    log.error(
        "processor.raised",
        processor=processor.name,
        method=method,
        batches=len(batch_ids),
        batch_ids=[public_ids.of_batch(batch_id) for batch_id in batch_ids[:MAX_LOGGED]],
        exc_info=error,
    )


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
