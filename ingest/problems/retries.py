"""What "retry all in this group" does for each kind of group. Each slice runs in the job's transaction."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection

from attachments.queue import groups
from evermuse import wake
from ingest import failure_codes
from ingest.models import Batch
from ingest.pipeline import claims, runs, transitions
from ingest.problems import sql
from ingest.problems.models import Job, Problem, ProblemBatch
from lake import processors

SLICE_FILES, SLICE_BATCHES = 500, 200

Kind = Problem.Kind


@dataclass(slots=True)
class Progress:
    """The result of one slice. ``wake`` publishes wake-ups and is called after the commit."""

    step: int
    cursor: int
    is_done: bool
    done: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    wake: Callable[[], None] | None = None


def extent(problem: Problem) -> tuple[int, int]:
    """How many there are to retry, and the greatest id: the job leaves out what fails later."""
    match problem.kind:
        case Kind.FILES:
            return groups.failed(_files(problem))
        case Kind.WAITING_FILES:
            return problem.count, 0
        case Kind.WAITING_BATCHES:
            with connection.cursor() as cursor:
                cursor.execute(sql.COUNT_STANDING_BATCHES, _standing(problem))
                count, last = cursor.fetchone()
            return int(count), int(last)
        case Kind.PROCESSORS:
            with connection.cursor() as cursor:
                cursor.execute(sql.COUNT_FAILING_RUNS, _failing(problem))
                count, last = cursor.fetchone()
            return int(count), int(last)
    members = ProblemBatch.objects.filter(problem=problem)
    last = members.order_by("-batch_id").values_list("batch_id", flat=True).first()
    return members.count(), last or 0


def next_slice(job: Job) -> Progress:
    """Run the next slice of a job, inside its transaction."""
    match job.problem.kind:
        case Kind.FILES:
            return _failed_files(job) if job.step == 0 else _waiting_alike(job)
        case Kind.WAITING_FILES:
            return _standing_files(job)
        case Kind.WAITING_BATCHES:
            return _standing_batches(job)
        case Kind.PROCESSORS:
            return _failing_runs(job)
    return _members(job)


def _files(problem: Problem) -> groups.Group:
    return groups.Group(problem.party, problem.code, problem.workspace_id)


def _failed_files(job: Job) -> Progress:
    ids = groups.retry_group(_files(job.problem), after=job.cursor, until=job.until or 0, limit=SLICE_FILES)
    if len(ids) < SLICE_FILES:
        return Progress(step=1, cursor=0, is_done=False, done=len(ids), wake=lambda: groups.wake_for(len(ids)))
    return Progress(step=0, cursor=ids[-1], is_done=False, done=len(ids), wake=lambda: groups.wake_for(len(ids)))


def _waiting_alike(job: Job) -> Progress:
    """Retry at once the files of the group that wait for their next attempt."""
    pulled = groups.hasten_group(_files(job.problem))
    return Progress(step=2, cursor=0, is_done=True, done=pulled, wake=lambda: groups.wake_for(pulled))


def _standing_files(job: Job) -> Progress:
    due, is_paused = groups.release_host(job.problem.party, job.problem.workspace_id)
    if is_paused:
        reason = "the host is paused: resume it under Vendor hosts"
        return Progress(step=1, cursor=0, is_done=True, skipped=Counter({reason: due}))
    return Progress(step=1, cursor=0, is_done=True, done=due, wake=lambda: groups.wake_for(due))


def _standing(problem: Problem) -> dict[str, Any]:
    return {
        "stuck": settings.EVERMUSE_PROBLEM_STUCK_SECONDS,
        "workspace": problem.workspace_id,
        "party": problem.party,
        "code": failure_codes.code_of(problem.field),
    }


def _standing_batches(job: Job) -> Progress:
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SLICE_OF_STANDING_BATCHES,
            {**_standing(job.problem), "cursor": job.cursor, "until": job.until or 0, "limit": SLICE_BATCHES},
        )
        ids = [row[0] for row in cursor.fetchall()]
    released = claims.pull_forward(ids)
    skipped = Counter({"a worker holds it": len(ids) - released} if len(ids) > released else {})
    is_done = len(ids) < SLICE_BATCHES
    return Progress(0, ids[-1] if ids else job.cursor, is_done, released, skipped, _waking(ids))


def _failing(problem: Problem) -> dict[str, Any]:
    return {"workspace": problem.workspace_id, "processor": problem.party, "error": problem.field}


def _failing_runs(job: Job) -> Progress:
    """Have the processor called at once for the batches of the group."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SLICE_OF_FAILING_RUNS,
            {**_failing(job.problem), "cursor": job.cursor, "until": job.until or 0, "limit": SLICE_BATCHES},
        )
        ids = [row[0] for row in cursor.fetchall()]
    pulled = runs.pull_forward(ids, processor=job.problem.party)
    is_done = len(ids) < SLICE_BATCHES
    return Progress(
        0, ids[-1] if ids else job.cursor, is_done, pulled, wake=(lambda: processors.look_again(ids)) if ids else None
    )


def _members(job: Job) -> Progress:
    """Land the FAILED batches of the group again. In other batches a rejected record cannot change."""
    with connection.cursor() as cursor:
        cursor.execute(
            sql.SLICE_OF_BATCHES,
            {"problem": job.problem_id, "cursor": job.cursor, "until": job.until or 0, "limit": SLICE_BATCHES},
        )
        rows = cursor.fetchall()
    reopened: list[int] = []
    skipped: Counter[str] = Counter()
    for batch_id, status in rows:
        if status == Batch.Status.FAILED and transitions.reopen(batch_id):
            reopened.append(batch_id)
        elif status in (Batch.Status.LANDING, Batch.Status.FAILED):
            skipped["already being retried"] += 1
        elif job.problem.kind == Kind.BATCHES:
            skipped["has landed since"] += 1
        else:
            skipped["its other records have landed; the client has to send the rejected ones again"] += 1
    is_done = len(rows) < SLICE_BATCHES
    return Progress(0, rows[-1][0] if rows else job.cursor, is_done, len(reopened), skipped, _waking(reopened))


def _waking(batch_ids: list[int]) -> Callable[[], None] | None:
    return (lambda: _wake_landing(batch_ids)) if batch_ids else None


def _wake_landing(batch_ids: list[int]) -> None:
    wake.publish(wake.LAND, batch_ids)
