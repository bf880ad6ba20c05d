"""Retention of the inbox: problem groups not seen for long, the batches that they name, finished jobs and old alerts."""

from collections.abc import Sequence
from datetime import datetime

from django.db.models import QuerySet

from evermuse import retention
from evermuse.retention import Due, Kind
from ingest.problems.models import Alert, Job, Problem, ProblemBatch

_UNFINISHED = [Job.State.QUEUED, Job.State.RUNNING]


def _batches(before: datetime) -> QuerySet[ProblemBatch]:
    return ProblemBatch.objects.filter(last_seen_at__lt=before, problem__workspace__legal_hold=False)


def _groups(before: datetime) -> QuerySet[Problem]:
    unfinished = Job.objects.filter(state__in=_UNFINISHED).values("problem")
    rows = Problem.objects.filter(last_seen_at__lt=before, workspace__legal_hold=False)
    return rows.exclude(pk__in=unfinished)


def _jobs(before: datetime) -> QuerySet[Job]:
    return Job.objects.filter(state__in=[Job.State.DONE, Job.State.FAILED], finished_at__lt=before)


def _alerts(before: datetime) -> QuerySet[Alert]:
    return Alert.objects.filter(next_attempt_at=None, created_at__lt=before)


_group_rows = retention.of_rows("problem-groups", "Problem groups", "EVERMUSE_PROBLEM_RETENTION_DAYS", _groups)


def _remove_groups(before: datetime, found: Sequence[Due]) -> int:
    """Remove groups, except those that are locked because they are seen again at this moment.

    Earlier steps remove a group's batches. If some are left, the group waits for the next run.
    """
    rows = Problem.objects.filter(pk__in=[one.key for one in found]).select_for_update(skip_locked=True, of=("self",))
    locked = list(rows.values_list("pk", flat=True))
    named = ProblemBatch.objects.filter(problem__in=locked).values("problem")
    return _groups(before).filter(pk__in=locked).exclude(pk__in=named).delete()[0]


KINDS = (
    retention.of_rows(
        "problem-batches", "Batches named by problem groups", "EVERMUSE_PROBLEM_RETENTION_DAYS", _batches
    ),
    Kind(_group_rows.name, _group_rows.title, _group_rows.setting, _group_rows.due, _remove_groups),
    retention.of_rows("jobs", "Finished jobs", "EVERMUSE_JOB_RETENTION_DAYS", _jobs),
    retention.of_rows("alerts", "Alerts that were sent or given up", "EVERMUSE_ALERT_RETENTION_DAYS", _alerts),
)
