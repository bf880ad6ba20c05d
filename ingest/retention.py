"""All kinds of rows that expire, and the run that removes them."""

import time
from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils import timezone

from attachments import retention as attachments_retention
from evermuse import admin_retention, logs, retention
from evermuse.retention import Kind, Removed
from ingest.admission import idempotency
from ingest.clients import holds
from ingest.models import RetentionRun
from ingest.pipeline import aged, detail, journal, partitions
from ingest.problems import retention as problems_retention
from lake import retention as lake_retention

log = logs.get(__name__)

# A run occupies one of the workers that also sweep. The next run removes what is left.
RUN_SECONDS = 10.0

KINDS: tuple[Kind, ...] = (
    *detail.KINDS,
    *aged.KINDS,
    lake_retention.versions(holds.held),
    lake_retention.REMOVED_RECORDS,
    idempotency.ANSWERS,
    attachments_retention.UPLOADS,
    *problems_retention.KINDS,
    *admin_retention.KINDS,
)


def remove_expired(
    *, now: datetime | None = None, kinds: tuple[Kind, ...] = KINDS, seconds: float = RUN_SECONDS
) -> dict[str, int]:
    """Remove expired rows of all kinds. Returns the number of removed rows by kind.

    Each kind gets an equal share of the time. What is left of it goes to the kinds that have more to remove. If one kind fails,
    the others are still removed.
    """
    now = now or timezone.now()
    ends_at = time.monotonic() + seconds
    found: dict[str, Removed] = {}
    waiting = list(kinds)
    while waiting:
        share = max(ends_at - time.monotonic(), 0) / len(waiting)
        unfinished = []
        for kind in waiting:
            is_first = kind.name not in found
            part = _run(kind, now, share, is_first=is_first)
            if part is None:
                continue
            earlier = 0 if is_first else found[kind.name].rows
            found[kind.name] = Removed(earlier + part.rows, part.is_whole)
            if part.rows and not part.is_whole:
                unfinished.append(kind)
        waiting = unfinished if time.monotonic() < ends_at else []
    for kind in kinds:
        if kind.name in found:
            _note(kind, now, found[kind.name])
    return {name: one.rows for name, one in found.items()}


def _run(kind: Kind, now: datetime, seconds: float, *, is_first: bool) -> Removed | None:
    """What was removed. None if the kind fails."""
    began = time.monotonic()
    try:
        dropped = partitions.maintain(kind.before(now)) if kind is detail.PAYLOADS and is_first else 0
        if kind is detail.OUTCOMES and is_first:
            # It reads outcomes, and those that it has not read stay.
            journal.write()
        found = retention.run(kind, now=now, seconds=seconds)
    except Exception:
        log.exception("retention.failed", kind=kind.name)
        return None
    found = Removed(found.rows + dropped, found.is_whole)
    if found.rows:
        took = round(time.monotonic() - began, 3)
        log.info("retention.removed", kind=kind.name, rows=found.rows, seconds=took, is_whole=found.is_whole)
    return found


def _note(kind: Kind, now: datetime, found: Removed) -> None:
    """Store the result of a kind's run for the overview."""
    shown: dict[str, Any] = {"title": kind.title, "days": kind.days, "ran_at": now, "is_whole": found.is_whole}
    RetentionRun.objects.get_or_create(kind=kind.name, defaults=shown)
    if found.rows:
        shown |= {"removed": F("removed") + found.rows, "last_removed": found.rows, "last_removed_at": now}
    RetentionRun.objects.filter(kind=kind.name).update(**shown)
