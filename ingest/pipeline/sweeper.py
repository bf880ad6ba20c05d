"""The sweeper: finds batches that are stuck, for example because a wake-up was lost, and continues them."""

from datetime import timedelta

from django.db.models.functions import Now

from evermuse import logs, wake
from ingest.admission import room
from ingest.models import Batch
from ingest.pipeline import claims, processing, transitions

log = logs.get(__name__)

# The most wake-ups in one round. A worker that is awake lands until nothing waits.
MAX_WAKE_UPS = 8
MAX_BATCHES = 1000
# A round checks this many times `MAX_BATCHES` batches that wait for processors. The next round continues after them.
MAX_STEPS = 10
# The worker that landed a batch advances it. After this time the sweeper does.
LEFT_BEHIND = timedelta(seconds=5)


class _ProcessingWalk:
    """The last batch in PROCESSING that this process has checked; 0 to start again."""

    place = 0


def sweep() -> None:
    """Run one round. Several may run at once, because each step is a conditional UPDATE or a wake-up."""
    ids = claims.waiting(MAX_WAKE_UPS)
    if ids:
        wake.top_up(wake.LAND, ids)
    unsettled = _advance_landed() + _advance_processing()
    ended = claims.end_forgotten_landings()
    transitions.add_failure_codes()
    room.make_ahead()
    if ids or unsettled or ended:
        log.info("sweep.found", landing=len(ids), unsettled=unsettled, forgotten_landings=ended)


def _advance_landed() -> int:
    """Advance batches whose worker died right after landing. Returns how many. They are always few."""
    left = _left_behind(Batch.Status.LANDED, after=0)
    processing.advance(left)
    return len(left)


def _advance_processing() -> int:
    """Advance the next batches that wait for processors. Returns how many were checked.

    Thousands may wait for days, for example for a paused host. A settled batch that was never completed can be behind them.
    """
    seen = 0
    for _ in range(MAX_STEPS):
        left = _left_behind(Batch.Status.PROCESSING, after=_ProcessingWalk.place)
        processing.advance(left)
        seen += len(left)
        _ProcessingWalk.place = left[-1] if len(left) == MAX_BATCHES else 0
        if not _ProcessingWalk.place:
            break
    return seen


def _left_behind(status: Batch.Status, *, after: int) -> list[int]:
    rows = Batch.objects.filter(status=status, landed_at__lt=Now() - LEFT_BEHIND, id__gt=after)
    return list(rows.order_by("id").values_list("id", flat=True)[:MAX_BATCHES])
