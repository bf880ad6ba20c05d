"""Reads of the inbox: the list with its trend, the rows of a group's page, and jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from attachments.models import Attachment
from ingest import failure_codes
from ingest.models import Batch, ProcessorRun
from ingest.problems.models import Job, Problem, ProblemBatch, ProblemHour
from lake.models import RejectedRecord

HOURS = 24
PAGE = 25

Kind = Problem.Kind


def with_day(rows: "QuerySet[Problem]") -> "QuerySet[Problem]":
    """Groups with their hours of the last day in ``day_hours``, prefetched in one query."""
    day = ProblemHour.objects.filter(hour__gt=timezone.now() - timedelta(hours=HOURS))
    return rows.prefetch_related(Prefetch("hours", day, to_attr="day_hours"))


def day(hours: Sequence[ProblemHour], now: datetime) -> list[int]:
    """The counts of the last 24 hours, the current one last."""
    by_hour = {one.hour: one.count for one in hours}
    last = now.replace(minute=0, second=0, microsecond=0)
    return [by_hour.get(last - timedelta(hours=back), 0) for back in range(HOURS - 1, -1, -1)]


@dataclass(frozen=True, slots=True)
class Page:
    """A page of affected rows. ``following`` is where the next page begins."""

    rows: list[Any]
    following: int | None


def affected(problem: Problem, *, before: int | None) -> Page:
    """The batches or attachments of a group, newest first. For a measured group, those that wait now."""
    if problem.kind in (Kind.FILES, Kind.WAITING_FILES):
        return _page(_files(problem), before)
    if problem.kind == Kind.WAITING_BATCHES:
        return _page(_waiting_batches(problem).order_by("-id"), before)
    if problem.kind == Kind.PROCESSORS:
        return _page(_batches_of_processor(problem).order_by("-id"), before)
    members = ProblemBatch.objects.filter(problem=problem).select_related("batch").order_by("-batch_id")
    if before is not None:
        members = members.filter(batch_id__lt=before)
    found = list(members[: PAGE + 1])
    return Page(found[:PAGE], found[PAGE - 1].batch_id if len(found) > PAGE else None)


def _waiting_batches(problem: Problem) -> "QuerySet[Batch]":
    rows = Batch.objects.filter(status=Batch.Status.LANDING, workspace_id=problem.workspace_id, source=problem.party)
    code = failure_codes.code_of(problem.field)
    if code == failure_codes.WORKER_DIED:
        return rows.filter(failure_code=None, crashes__gt=0)
    return rows.filter(failure_code=code)


def _batches_of_processor(problem: Problem) -> "QuerySet[Batch]":
    waiting = ProcessorRun.objects.filter(processor=problem.party, next_attempt_at__isnull=False)
    waiting = waiting.filter(error__startswith=problem.field, attempts__gte=3)
    rows = Batch.objects.filter(status=Batch.Status.PROCESSING, workspace_id=problem.workspace_id)
    return rows.filter(id__in=waiting.values("batch_id"))


def _files(problem: Problem) -> "QuerySet[Attachment]":
    rows = Attachment.objects.filter(host=problem.party, workspace_id=problem.workspace_id).order_by("-id")
    if problem.kind == Kind.FILES:
        return rows.filter(state=Attachment.State.FAILED, error_code=problem.code)
    return rows.filter(state=Attachment.State.PENDING, next_attempt_at__lt=timezone.now())


def _page(rows: Any, before: int | None) -> Page:
    found = list((rows if before is None else rows.filter(id__lt=before))[: PAGE + 1])
    return Page(found[:PAGE], found[PAGE - 1].pk if len(found) > PAGE else None)


def open_count(request: HttpRequest) -> str:
    """The number of open groups for the badge in the navigation. Empty if there are none."""
    count = Problem.objects.filter(state=Problem.State.OPEN).order_by()[:100].count()
    return "" if count == 0 else str(count) if count < 100 else "99+"


def sample_record(problem: Problem) -> RejectedRecord | None:
    """The rejected record that a group shows as its sample, if it still exists."""
    if problem.kind != Kind.RECORDS or problem.sample_batch is None or problem.sample_index is None:
        return None
    return RejectedRecord.objects.filter(batch_id=problem.sample_batch, index=problem.sample_index).first()


def latest_job(problem: Problem) -> Job | None:
    """The latest job of a group."""
    return problem.jobs.select_related("requested_by").order_by("-id").first()
