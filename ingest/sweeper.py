"""The sweeper: finds every batch that has stood still, whatever was lost on the way, and sets it going again."""

from datetime import timedelta

from django.db.models.functions import Now

from evermuse import logs, wake
from ingest import batches, idempotency, pipeline
from ingest.models import Batch

log = logs.get(__name__)

# As many wake-ups as could find work; a worker that is awake goes on until nothing waits.
MAX_WAKE_UPS = 8
MAX_BATCHES = 1000
# A landed batch is advanced by who landed it; only one that was left behind is the sweeper's.
LEFT_BEHIND = timedelta(seconds=5)


def sweep() -> None:
    """One round. Two sweepers at once do no harm: each step is a conditional UPDATE or a hint."""
    now = Now()
    ids = batches.waiting(MAX_WAKE_UPS)
    for batch_id in ids:
        wake.publish(wake.LAND, [batch_id])
    unsettled = Batch.objects.filter(
        status__in=[Batch.Status.LANDED, Batch.Status.PROCESSING], landed_at__lt=now - LEFT_BEHIND
    )
    left = list(unsettled.order_by("id").values_list("id", flat=True)[:MAX_BATCHES])
    pipeline.advance(left)
    idempotency.forget_expired()
    if ids or left:
        log.info("sweep.found", landing=len(ids), unsettled=len(left))
