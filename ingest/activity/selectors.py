"""Reads of activity: rollups for a period, partial indexes for what waits now."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Sum

from attachments.models import Attachment, Lane, VendorHost
from ingest.activity import sql
from ingest.activity.measures import HOUR, MINUTE, Key, floor
from ingest.activity.models import EPOCH, Metric, Rollup, RollupState
from ingest.models import Batch, RetentionRun

# Rows in one state are counted up to this number; a greater number is shown as "at least".
MAX_COUNTED = 100_000


@dataclass(frozen=True, slots=True)
class Period:
    """The range of a chart: the last ``steps`` minutes or hours, with the current one."""

    key: str
    title: str
    past: str
    resolution: Rollup.Resolution
    step: timedelta
    steps: int

    def starts(self, now: datetime) -> list[datetime]:
        """The start of each step."""
        last = floor(now, self.step)
        return [last - self.step * back for back in reversed(range(self.steps))]


PERIODS = {
    period.key: period
    for period in (
        Period("1h", "1 hour", "the last hour", Rollup.Resolution.MINUTE, MINUTE, 60),
        Period("24h", "24 hours", "the last 24 hours", Rollup.Resolution.HOUR, HOUR, 24),
        Period("7d", "7 days", "the last 7 days", Rollup.Resolution.HOUR, HOUR, 7 * 24),
    )
}


@dataclass(slots=True)
class Figures:
    """The figures of a period: sums, a value for each step, and sums by label."""

    starts: list[datetime]
    series: dict[str, list[int]]
    labels: dict[str, dict[str, int]] = field(default_factory=dict)

    def total(self, metric: str) -> int:
        """The sum over the period."""
        return sum(self.series[metric])


def figures(period: Period, *, now: datetime, workspace_id: int | None = None) -> Figures:
    """The figures of a period, for one workspace or all. One query over the rollups of the period."""
    starts = period.starts(now)
    place = {at: index for index, at in enumerate(starts)}
    series = {str(metric): [0] * len(starts) for metric in Metric}
    labels: dict[str, dict[str, int]] = defaultdict(dict)
    asked = {"resolution": str(period.resolution), "start": starts[0], "workspace": workspace_id}
    for at, metric, label, value in _rows(sql.PERIOD, asked):
        if at is None:
            labels[metric][label] = value
        elif at in place:
            series[metric][place[at]] = value
    return Figures(starts, series, labels)


def rate(*, now: datetime, minutes: int = 5, workspace_id: int | None = None) -> float:
    """Records sent per second, over the last full minutes."""
    until = floor(now, MINUTE)
    rows = Rollup.objects.filter(
        resolution=Rollup.Resolution.MINUTE, at__gte=until - MINUTE * minutes, at__lt=until, metric=Metric.RECORDS
    )
    if workspace_id is not None:
        rows = rows.filter(workspace_id=workspace_id)
    return float((rows.aggregate(n=Sum("value"))["n"] or 0) / (60 * minutes))


@dataclass(frozen=True, slots=True)
class Standing:
    """The number of rows in each state now, and for how many seconds the oldest has waited. None if nothing waits."""

    batches: dict[str, int]
    files: dict[str, int]
    oldest_batch_seconds: float | None
    oldest_file_seconds: float | None


def waiting_faults() -> set[str]:
    """The codes of the faults after which batches wait to be landed again (`ingest.failure_codes`)."""
    waiting = Batch.objects.filter(status=Batch.Status.LANDING).exclude(failure_code="")
    return {code for code in waiting.order_by().values_list("failure_code", flat=True).distinct() if code}


def standing(totals: dict[Key, int], workspace_id: int | None = None) -> Standing:
    """Counts by state, exact up to MAX_COUNTED, and ages. COMPLETE comes from the counters of `totals`."""
    found = {"workspace": workspace_id, "limit": MAX_COUNTED}
    batches = {str(status): 0 for status in Batch.Status} | dict(_rows(sql.UNSETTLED_BATCHES, found))
    files = {str(state): 0 for state in Attachment.State} | dict(_rows(sql.UNSETTLED_FILES, found))
    batches[Batch.Status.COMPLETE] = total(totals, Metric.BATCHES_COMPLETE)
    if batches[Batch.Status.FAILED] >= MAX_COUNTED:
        batches[Batch.Status.FAILED] = max(MAX_COUNTED, total(totals, Metric.BATCHES_FAILED))
    files[Attachment.State.COMPLETE] = total(totals, Metric.FILES)
    oldest_batch, oldest_file = (
        (sql.OLDEST_BATCH, sql.OLDEST_FILE)
        if workspace_id is None
        else (sql.OLDEST_BATCH_OF_WORKSPACE, sql.OLDEST_FILE_OF_WORKSPACE)
    )
    return Standing(batches, files, _age(oldest_batch, found), _age(oldest_file, found))


def totals(workspace_id: int | None = None) -> dict[Key, int]:
    """All counters: up to now for batches and records, up to the last round for files."""
    counted = state()
    opened_at = counted.closed_through if counted else EPOCH
    rows = _rows(sql.TOTALS, {"open": opened_at, "workspace": workspace_id})
    return {(row[0], row[1], row[2]): row[3] for row in rows}


def total(found: dict[Key, int], metric: Metric) -> int:
    """The sum of a metric over workspaces and labels."""
    return sum(value for (_, name, _), value in found.items() if name == metric)


def state() -> RollupState | None:
    """How far the rollup has got. None before the first round."""
    return RollupState.objects.first()


def retention_runs() -> list[RetentionRun]:
    """What retention has done to each kind of row."""
    return list(RetentionRun.objects.all())


def conditions(hosts: Sequence[str]) -> dict[str, str]:
    """For each paused or held host among these, the reason."""
    failing = Lane.objects.filter(host__in=hosts, opened_at__isnull=False).values_list("host", flat=True)
    paused = VendorHost.objects.filter(host__in=hosts, paused_at__isnull=False).values_list("host", flat=True)
    return dict.fromkeys(failing, "breaker open") | dict.fromkeys(paused, "paused")


def _age(statement: str, parameters: dict[str, int | None]) -> float | None:
    rows = _rows(statement, parameters)
    return max(rows[0][0], 0.0) if rows and rows[0][0] is not None else None


def _rows(statement: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
