"""Deletes objects that are no longer needed: those whose worker died before publishing them, and those that compaction replaced."""

from evermuse import logs, prepared, retry_policy
from evermuse.errors import StoreUnavailable
from lake import object_store
from lake.models import Segment
from lake.segments import sql

log = logs.get(__name__)

AT_ONCE = 500


def sweep() -> int:
    """Delete expired objects once. Returns their number. Several sweepers may run at once."""
    policy = retry_policy.ABANDONED_OBJECTS
    waits = {"first": policy.first, "factor": policy.factor, "longest": policy.longest}
    found = prepared.rows(sql.TAKE_EXPIRED, {**waits, "limit": AT_ONCE})
    if not found:
        return 0
    abandoned = [key for _, key, state, _ in found if state == Segment.State.ABANDONED]
    try:
        object_store.remove([key for _, key, _, _ in found])
        for key in abandoned:
            object_store.abort_uploads(key)
    except StoreUnavailable as error:
        prepared.rows(sql.PUT_BACK, [retry_policy.DELETION.backoff(1), [id for id, *_ in found]])
        log.warning("segments.store_away", error=str(error)[:200], segments=len(found))
        return 0
    over = [id for id, _, state, sweeps in found if state != Segment.State.ABANDONED or policy.is_last(sweeps)]
    if over:
        prepared.rows(sql.FORGET, [over])
    log.info("segments.swept", objects=len(found), abandoned=len(abandoned))
    return len(found)
