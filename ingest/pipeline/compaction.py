"""A round of compaction: turns objects of older versions into segments, then merges segments."""

from dataclasses import dataclass
from datetime import date

from evermuse import logs
from evermuse.named_rows import fetch
from ingest import sql
from lake.segments import compaction
from lake.segments.compaction import Result

log = logs.get(__name__)

# A round ends after this time, so that the worker can land batches. The next round continues.
ROUND_SECONDS = 20.0
ADOPTED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class _AdoptedBatch:
    batch_id: int


def compact(*, seconds: float = ROUND_SECONDS, before: date | None = None) -> Result:
    """Run one round. ``before``: earlier dates count as closed."""
    adopt()
    return compaction.compact(seconds=seconds, before=before)


def adopt(*, steps: int = 200) -> int:
    """Turn objects from versions before segments into segments. Returns their number. Each step is a short transaction."""
    adopted = 0
    for _ in range(steps):
        found = fetch(_AdoptedBatch, sql.ADOPT_OBJECTS, {"limit": ADOPTED_AT_ONCE})
        adopted += len(found)
        if not found:
            break
    if adopted:
        log.info("segments.adopted", objects=adopted)
    return adopted
