"""Jobs retry a whole group in slices. A slice and its progress are one transaction, fenced by the claim's token."""

import time
from datetime import timedelta

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone

from evermuse import logs, wake
from evermuse.errors import LeaseLost
from ingest.problems import retries, sql
from ingest.problems.models import Job, Problem

log = logs.get(__name__)

RUN = "problems.run_jobs"
# A task ends after this time, so that other maintenance can run.
TASK_SECONDS = 5.0
# After this many faults in a row, dead workers included, the job ends FAILED. Slices that are done stay done.
MAX_FAULTS = 5

State = Job.State
UNFINISHED = Q(state__in=[State.QUEUED, State.RUNNING])


def request(problem: Problem, *, user_id: int | None) -> tuple[Job, bool]:
    """Start a job that retries a whole group. Returns the job and whether it is new: an unfinished job is returned as it is."""
    try:
        with transaction.atomic():
            made = Job.objects.create(problem=problem, requested_by_id=user_id, created_at=timezone.now())
    except IntegrityError:
        running = Job.objects.filter(UNFINISHED, problem=problem).first()
        if running is None:  # it finished meanwhile
            return request(problem, user_id=user_id)
        return running, False
    log.info("job.requested", job_id=made.pk, problem_id=problem.pk)
    transaction.on_commit(_wake)
    return made, True


def is_any_waiting() -> bool:
    """Whether a job waits for a worker, or lost the one it had."""
    return Job.objects.filter(UNFINISHED, Q(claimed_until=None) | Q(claimed_until__lt=Now())).exists()


def run_waiting() -> int:
    """Claim jobs and run their slices, for at most `TASK_SECONDS`. Returns the number of slices."""
    slices = 0
    ends_at = time.monotonic() + TASK_SECONDS
    while (claimed := claim()) is not None:
        slices += _run(*claimed, ends_at=ends_at)
        if time.monotonic() >= ends_at:
            if is_any_waiting():
                _wake()
            break
    return slices


def claim() -> tuple[int, int] | None:
    """Claim a waiting job: its id and the token. A job that killed too many workers becomes FAILED."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql.CLAIM_JOB, {"lease": settings.EVERMUSE_LEASE_SECONDS, "max_faults": MAX_FAULTS})
        row = cursor.fetchone()
        if row is None:
            return None
        job_id, token, state = row
        if state == State.FAILED:
            Job.objects.filter(pk=job_id).update(finished_at=Now(), claimed_until=None)
            log.error("job.given_up", job_id=job_id)
            return None
    return job_id, token


def _run(job_id: int, token: int, *, ends_at: float) -> int:
    slices = 0
    try:
        while True:
            is_done = run_slice(job_id, token)
            slices += 1
            if is_done:
                log.info("job.done", job_id=job_id)
                return slices
            if time.monotonic() >= ends_at:
                _give_back(job_id, token)
                return slices
    except LeaseLost:
        log.warning("job.lease_lost", job_id=job_id, token=token)
    except OperationalError:
        raise  # not a fault of the job: the next worker claims it when the lease ends
    except Exception as error:
        log.exception("job.fault", job_id=job_id)
        _note_fault(job_id, token, f"{type(error).__name__}: {error}")
    return slices


def run_slice(job_id: int, token: int) -> bool:
    """Run one slice and store the progress. Returns whether the job is done. Raises LeaseLost if the claim was lost."""
    with transaction.atomic():
        held = Job.objects.select_for_update(of=("self",)).select_related("problem")
        job = held.filter(pk=job_id, claim_token=token, state=State.RUNNING).first()
        if job is None:
            raise LeaseLost(f"job {job_id} under claim {token}")
        if job.total is None:
            job.total, job.until = retries.extent(job.problem)
        progress = retries.next_slice(job)
        job.step, job.cursor = progress.step, progress.cursor
        job.done += progress.done
        job.skipped += progress.skipped.total()
        for reason, number in progress.skipped.items():
            job.reasons[reason] = job.reasons.get(reason, 0) + number
        job.total = max(job.total, job.done + job.skipped)
        if progress.is_done:
            job.state, job.finished_at, job.claimed_until, job.error = State.DONE, timezone.now(), None, ""
        else:
            job.claimed_until = Now() + timedelta(seconds=settings.EVERMUSE_LEASE_SECONDS)
        job.faults = 0
        job.save()
    if progress.wake:
        progress.wake()
    return progress.is_done


def _give_back(job_id: int, token: int) -> None:
    Job.objects.filter(pk=job_id, claim_token=token, state=State.RUNNING).update(claimed_until=None)


def _note_fault(job_id: int, token: int, error: str) -> None:
    """Store the error. The job is claimed again when its lease ends, and the claim counts the fault."""
    Job.objects.filter(pk=job_id, claim_token=token, state=State.RUNNING).update(
        error=error.replace("\0", "\ufffd")[:500]
    )


def _wake() -> None:
    wake.publish(RUN, [])
