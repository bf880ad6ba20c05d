"""The rollup counts each minute until it is closed, and again if its batches change later.

    minute (kept for 48 hours) ── each change is added to ──▶ its hour (90 days) and the counter ``ever``

- A minute is counted in every round until 60 s after its end, because a commit may come late. Then it is closed.
- A batch that lands or completes later makes its minute stale, and the minute is counted again. After 48 hours its hour is
  counted instead; after 90 days nothing is.
- After a downtime, or at the first start with existing batches, rounds catch up in bounded steps. They count whole hours
  where minutes are not kept any more.

Each stretch is one transaction under one lock, and adds the difference between the count and the stored value. So a round
that is repeated, killed or run twice at once does no harm. A FAILED batch that is opened again counts as failed until it
has landed.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from django.db import connection, transaction

from evermuse import logs
from ingest.activity import measures, sql
from ingest.activity.measures import HOUR, MINUTE, OTHER, Key, Stretch, floor
from ingest.activity.models import EPOCH, Metric, Rollup, RollupState, StaleMinute
from ingest.models import Batch

log = logs.get(__name__)

KEEP_MINUTES, KEEP_HOURS = timedelta(hours=48), timedelta(days=90)
# A minute is closed this long after its end.
LATENESS = timedelta(seconds=60)
ROUND_SECONDS = 5.0
MAX_STALE = 120
# The most labels of one metric in the ``ever`` counters: enough for all vendors, and a limit for labels that clients invent.
MAX_COUNTER_LABELS = 200

Resolution = Rollup.Resolution


def roll_up() -> int:
    """Run one round of a few seconds. Returns the number of stretches counted. Several rounds may run at once."""
    ends_at = time.monotonic() + ROUND_SECONDS
    state = _begin()
    if state is None:
        return 0
    counted = 0
    for stretch, is_stale in [*_stale(state.ran_at), *_onward(state)]:
        if time.monotonic() >= ends_at or not _count(stretch, is_stale=is_stale, now=state.ran_at):
            break
        counted += 1
    _prune(state.ran_at)
    return counted


def minutes_kept_from(now: datetime) -> datetime:
    """The hour before which minutes are not kept."""
    return floor(now - KEEP_MINUTES, HOUR)


def _begin() -> RollupState | None:
    """Note which closed minutes have changed. None if another round is running. Uses the database's clock."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not _locked():
            return None
        cursor.execute(sql.NOW)
        now: datetime = cursor.fetchone()[0]
        state = RollupState.objects.first()
        if state is None:
            first = Batch.objects.order_by("id").values_list("created_at", flat=True).first()
            begins_at = floor(min(first or now, now), HOUR)
            state = RollupState(closed_through=begins_at, changes_through=now)
        # The clock was turned back: count those minutes again.
        state.closed_through = min(state.closed_through, floor(now, MINUTE))
        since = min(state.changes_through, now) - LATENESS
        cursor.execute(sql.NOTE_CHANGES, {"since": since, "closed": state.closed_through})
        state.changes_through = state.ran_at = now
        state.save()
    return state


def _stale(now: datetime) -> Iterator[tuple[Stretch, bool]]:
    kept_from = minutes_kept_from(now)
    told: set[Stretch] = set()
    for at in StaleMinute.objects.order_by("-at").values_list("at", flat=True)[:MAX_STALE]:
        stretch = Stretch(Resolution.MINUTE, at) if at >= kept_from else Stretch(Resolution.HOUR, floor(at, HOUR))
        if stretch not in told:
            told.add(stretch)
            yield stretch, True


def _onward(state: RollupState) -> Iterator[tuple[Stretch, bool]]:
    at, now = state.closed_through, state.ran_at
    kept_from = minutes_kept_from(now)
    while at <= now:
        is_whole = at == floor(at, HOUR) and at + HOUR <= kept_from
        stretch = Stretch(Resolution.HOUR if is_whole else Resolution.MINUTE, at)
        yield stretch, False
        at = stretch.end


def _count(stretch: Stretch, *, is_stale: bool, now: datetime) -> bool:
    """Count one stretch and add the differences. False if another round is running."""
    with transaction.atomic():
        if not _locked():
            return False
        if not is_stale or stretch.start >= floor(now - KEEP_HOURS, HOUR):
            changes = measures.count(stretch)
            changes.subtract(_standing(stretch))
            _add(stretch, {key: value for key, value in changes.items() if value})
        if is_stale:
            StaleMinute.objects.filter(at__gte=stretch.start, at__lt=stretch.end).delete()
        elif stretch.end + LATENESS <= now:
            RollupState.objects.filter(closed_through=stretch.start).update(closed_through=stretch.end)
    return True


def _standing(stretch: Stretch) -> Counter[Key]:
    rows = Rollup.objects.filter(resolution=stretch.resolution, at=stretch.start)
    return Counter({row[:3]: row[3] for row in rows.values_list("workspace_id", "metric", "label", "value")})


def _add(stretch: Stretch, changes: Mapping[Key, int]) -> None:
    if not changes:
        return
    _write(stretch.resolution, stretch.start, changes)
    if stretch.resolution == Resolution.MINUTE:
        _write(Resolution.HOUR, floor(stretch.start, HOUR), changes)
    _write(Resolution.EVER, EPOCH, _counters({key: value for key, value in changes.items() if value > 0}))


def _counters(grown: Mapping[Key, int]) -> Counter[Key]:
    """The counts by the counters' labels: reasons by code only, and a bounded number of labels."""
    known: dict[str, set[str]] = {}
    for metric, label in Rollup.objects.filter(resolution=Resolution.EVER).values_list("metric", "label").distinct():
        known.setdefault(metric, set()).add(label)
    found: Counter[Key] = Counter()
    for (workspace_id, metric, label), value in grown.items():
        short = label.partition(" ")[0] if metric == Metric.REJECTED_REASON else label
        labels = known.setdefault(metric, set())
        if short not in labels and len(labels) >= MAX_COUNTER_LABELS:
            short = OTHER
        labels.add(short)
        found[workspace_id, metric, short] += value
    return found


def _write(resolution: Resolution, at: datetime, changes: Mapping[Key, int]) -> None:
    if not changes:
        return
    columns = zip(*((*key, value) for key, value in changes.items()), strict=True)
    with connection.cursor() as cursor:
        cursor.execute(sql.ADD, [resolution, at, *(list(column) for column in columns)])


def _locked() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(sql.LOCK)
        return bool(cursor.fetchone()[0])


def _prune(now: datetime) -> None:
    """Delete old minutes and hours. The counters keep their sums."""
    Rollup.objects.filter(resolution=Resolution.MINUTE, at__lt=minutes_kept_from(now)).delete()
    Rollup.objects.filter(resolution=Resolution.HOUR, at__lt=floor(now - KEEP_HOURS, HOUR)).delete()
