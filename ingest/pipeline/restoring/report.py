"""The report of the check after a restore, as JSON."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from evermuse import public_ids
from ingest.pipeline.restoring import gaps
from ingest.pipeline.restoring.check import Outcome
from ingest.pipeline.restoring.gaps import IdRange

# Of longer lists only the beginning is shown, with the count.
MOST_SHOWN = 10_000


def of(outcome: Outcome) -> dict[str, Any]:
    """The report. ``complete``: nothing is known to be missing."""
    looked = outcome.looked
    return {
        "complete": outcome.is_whole,
        "dryRun": outcome.is_dry,
        "wasSetBack": outcome.was_set_back,
        "database": {
            "lastBatchId": _batch(outcome.last.batch_id),
            "lastAcceptedAt": _instant(outcome.last.accepted_at),
        },
        "bucket": {
            "lastBatchId": _batch(outcome.known_to),
            "markedAt": _instant(outcome.mark.at if outcome.mark else None),
        },
        "sequences": [{"name": name, "from": a, "to": b} for name, (a, b) in sorted(outcome.moved.items())],
        "landedAgain": {
            "batches": _ranges(_of_ids(outcome.landed.batch_ids)),
            "records": outcome.landed.records,
            "rejectedRecordsLost": outcome.landed.rejected,
            "workspacesMade": outcome.workspaces_made,
        },
        "pointedAgain": outcome.pointed,
        "removedAgain": outcome.removed,
        "found": {"segments": _shown(looked.unknown), "attachments": _shown(outcome.unknown_files)},
        "missing": {
            "batches": _ranges(outcome.missing),
            "givenUp": [_batch(number) for number in _given_up(outcome)],
            "linesOfBatches": _ranges(_of_ids(outcome.missing_lines)),
            "attachments": _shown(outcome.missing_files),
            "unreadable": _shown(looked.unreadable),
            "workspaces": looked.nameless,
            "journalEvents": [
                {"workspaceId": workspace_id, "first": first, "last": last}
                for workspace_id, history in sorted(looked.histories.items())
                for first, last in history.gaps
            ],
            "removalsWaiting": outcome.removals_waiting,
        },
        "notKnown": _not_known(outcome),
    }


def _not_known(outcome: Outcome) -> dict[str, Any] | None:
    """Batches that were accepted after the last mark. The bucket may have no trace of them."""
    if not outcome.was_set_back:
        return None
    return {
        "batchesAfter": _batch(outcome.known_to),
        "acceptedAfter": _instant(outcome.mark.at if outcome.mark else outcome.last.accepted_at),
    }


def _given_up(outcome: Outcome) -> list[int]:
    """Missing batches that were given up before the database was lost."""
    known = {number for one in outcome.looked.histories.values() for number in one.given_up}
    return sorted(number for number in known if any(one.first <= number <= one.last for one in outcome.missing))


def _of_ids(ids: Iterable[int]) -> list[IdRange]:
    return gaps.joined(IdRange(number, number) for number in ids)


def _ranges(ranges: Sequence[IdRange]) -> list[dict[str, Any]]:
    return [{"first": _batch(one.first), "last": _batch(one.last), "count": one.last - one.first + 1} for one in ranges]


def _batch(number: int) -> str | None:
    return public_ids.of_batch(number) if number else None


def _instant(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _shown(keys: Sequence[str]) -> dict[str, Any]:
    return {"count": len(keys), "keys": list(keys[:MOST_SHOWN])}
