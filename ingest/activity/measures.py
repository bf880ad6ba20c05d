"""Counts of one minute or hour, from the pipeline's rows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from ingest.activity import sql
from ingest.activity.models import Metric, Rollup

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# Labels come from clients (pointers, hosts). For each stretch and workspace the most frequent are kept; the others are summed.
MAX_LABELS = 20
OTHER = "other"

# Workspace id, metric, label.
Key = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A minute or an hour."""

    resolution: Rollup.Resolution
    start: datetime

    @property
    def end(self) -> datetime:
        """The start of the next stretch."""
        return self.start + (HOUR if self.resolution == Rollup.Resolution.HOUR else MINUTE)


def floor(at: datetime, step: timedelta) -> datetime:
    """The start of the minute or hour that contains this time."""
    if step == HOUR:
        return at.replace(minute=0, second=0, microsecond=0)
    return at.replace(second=0, microsecond=0)


def count(stretch: Stretch) -> Counter[Key]:
    """All counts of a stretch."""
    bounds = {"start": stretch.start, "end": stretch.end}
    found: Counter[Key] = Counter()
    plain = (
        Metric.BATCHES, Metric.BATCHES_COMPLETE, Metric.BATCHES_FAILED, Metric.RECORDS, Metric.RECORDS_ACCEPTED,
        Metric.RECORDS_REJECTED,
    )  # fmt: skip
    for workspace_id, *values in _rows(sql.BATCHES, bounds):
        found.update({(workspace_id, metric, ""): int(value) for metric, value in zip(plain, values, strict=True)})
    for workspace_id, landed in _rows(sql.LANDED, bounds):
        found[workspace_id, Metric.BATCHES_LANDED, ""] = landed
    if any(found[key] for key in found if key[1] == Metric.RECORDS_REJECTED):
        found += _bounded(Metric.REJECTED_REASON, _rows(sql.REASONS, bounds))
    files = list(_rows(sql.FILES, bounds))
    found += _bounded(Metric.FILES, ((row[0], row[1], row[2]) for row in files))
    found += _bounded(Metric.FILE_BYTES, ((row[0], row[1], int(row[3])) for row in files))
    found += _bounded(Metric.DOWNLOAD_FAILURES, _rows(sql.DOWNLOAD_FAILURES, bounds))
    return found


def _bounded(metric: Metric, rows: Iterable[tuple[Any, ...]]) -> Counter[Key]:
    by_workspace: dict[int, Counter[str]] = {}
    for workspace_id, label, value in rows:
        by_workspace.setdefault(workspace_id, Counter())[label] += value
    found: Counter[Key] = Counter()
    for workspace_id, labels in by_workspace.items():
        for place, (label, value) in enumerate(labels.most_common()):
            found[workspace_id, metric, label if place < MAX_LABELS else OTHER] += value
    return found


def _rows(statement: str, parameters: Mapping[str, datetime]) -> Iterator[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        yield from cursor.fetchall()
