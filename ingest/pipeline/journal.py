"""Rounds of the journal (`lake.journal`): adds records that were stored before it existed, then writes the waiting entries."""

from collections.abc import Sequence

from evermuse import logs
from evermuse.errors import StoreUnavailable
from ingest.models import Batch, Workspace
from lake.journal import filling, writing
from lake.journal.events import BatchFacts
from lake.restore import marks

log = logs.get(__name__)

# A round ends after this time, so that the worker can land batches. The next round continues.
ROUND_SECONDS = 4.0
# Readers of the bucket are promised ten seconds. Under load, the journal's own task waits behind landings in the worker.
LATE_SECONDS, KEEP_UP_SECONDS = 3.0, 1.0


def write(*, seconds: float = ROUND_SECONDS) -> int:
    """Run one round. Returns the number of events written. While the store is away, the entries wait."""
    behind = writing.behind_seconds()
    filling.fill()
    try:
        written = writing.write(seconds=seconds, names_of=_names_of, facts_of=_facts_of)
    except StoreUnavailable as error:
        log.warning("journal.store_away", error=str(error)[:200], behind_seconds=round(behind, 3))
        return 0
    if written:
        log.info("journal.written", events=written, behind_seconds=round(behind, 3))
    return written


def keep_up() -> None:
    """Called between landings: write for a second if entries have waited too long."""
    if writing.behind_seconds() >= LATE_SECONDS and marks.may_change_bucket():
        write(seconds=KEEP_UP_SECONDS)


def mark() -> None:
    """Record in the bucket how far the database is. While the store is away, this is left to a later round."""
    try:
        marks.note()
    except StoreUnavailable as error:
        log.warning("mark.store_away", error=str(error)[:200])


def _names_of(workspace_ids: Sequence[int]) -> dict[int, str]:
    return dict(Workspace.objects.filter(pk__in=workspace_ids).values_list("pk", "name"))


def _facts_of(batch_ids: Sequence[int]) -> dict[int, BatchFacts]:
    rows = Batch.objects.filter(pk__in=batch_ids).values_list("pk", "source", "type", "created_at")
    return {number: BatchFacts(source, type, accepted_at) for number, source, type, accepted_at in rows}
