"""The sweeper: finds every batch that has stood still, whatever was lost on the way, and sets it going again."""

from datetime import timedelta

from django.db.models.functions import Now

from evermuse import logs, wake
from ingest.models import Batch
from ingest.pipeline import claims, processing, transitions

log = logs.get(__name__)

# As many wake-ups as could find work; a worker that is awake goes on until nothing waits.
MAX_WAKE_UPS = 8
MAX_BATCHES = 1000
# A round looks at this many times `MAX_BATCHES` of those that wait for their processors; the next round goes on from there.
MAX_STEPS = 10
# A landed batch is advanced by who landed it; only one that was left behind is the sweeper's.
LEFT_BEHIND = timedelta(seconds=5)


class _Progress:
    """The way through all batches at which processors work: up to which one this process has come."""

    place = 0


def sweep() -> None:
    """One round. Two sweepers at once do no harm: each step is a conditional UPDATE or a hint."""
    ids = claims.waiting(MAX_WAKE_UPS)
    for batch_id in ids:
        wake.publish(wake.LAND, [batch_id])
    unsettled = _advance_landed() + _advance_processing()
    ended = claims.end_forgotten_landings()
    transitions.add_failure_codes()
    if ids or unsettled or ended:
        log.info("sweep.found", landing=len(ids), unsettled=unsettled, forgotten_landings=ended)


def _advance_landed() -> int:
    """Advance batches whose worker died right after landing; how many. Nothing holds them back, so they are few."""
    left = _left_behind(Batch.Status.LANDED, after=0)
    processing.advance(left)
    return len(left)


def _advance_processing() -> int:
    """Advance the next batches that wait for processors; how many were looked at.

    Thousands may wait for days, for a host that is paused: one that is settled but was never completed can be behind them.
    """
    seen = 0
    for _ in range(MAX_STEPS):
        left = _left_behind(Batch.Status.PROCESSING, after=_Progress.place)
        processing.advance(left)
        seen += len(left)
        _Progress.place = left[-1] if len(left) == MAX_BATCHES else 0
        if not _Progress.place:
            break
    return seen


def _left_behind(status: Batch.Status, *, after: int) -> list[int]:
    rows = Batch.objects.filter(status=status, landed_at__lt=Now() - LEFT_BEHIND, id__gt=after)
    return list(rows.order_by("id").values_list("id", flat=True)[:MAX_BATCHES])
