"""All kinds of rows that expire, and the run that removes them."""

import time
from datetime import datetime
from typing import Any

from django.db.models import F
from django.utils import timezone

from attachments import retention as attachments_retention
from evermuse import admin_retention, logs, retention
from evermuse.retention import Kind
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
    """Remove expired rows of all kinds. Returns the number of removed rows by kind. Each kind gets an equal share of the time.

    If one kind fails, the others are still removed.
    """
    now = now or timezone.now()
    removed: dict[str, int] = {}
    for kind in kinds:
        began = time.monotonic()
        try:
            dropped = partitions.maintain(kind.before(now)) if kind is detail.PAYLOADS else 0
            if kind is detail.OUTCOMES:
                # It reads outcomes, and those that it has not read stay.
                journal.write()
            found = retention.run(kind, now=now, seconds=seconds / len(kinds))
            found = retention.Removed(found.rows + dropped, found.is_whole)
        except Exception:
            log.exception("retention.failed", kind=kind.name)
            continue
        _note(kind, now, found)
        removed[kind.name] = found.rows
        if found.rows:
            took = round(time.monotonic() - began, 3)
            log.info("retention.removed", kind=kind.name, rows=found.rows, seconds=took, is_whole=found.is_whole)
    return removed


def _note(kind: Kind, now: datetime, found: retention.Removed) -> None:
    """Store the result of a kind's run for the overview."""
    shown: dict[str, Any] = {"title": kind.title, "days": kind.days, "ran_at": now, "is_whole": found.is_whole}
    RetentionRun.objects.get_or_create(kind=kind.name, defaults=shown)
    if found.rows:
        shown |= {"removed": F("removed") + found.rows, "last_removed": found.rows, "last_removed_at": now}
    RetentionRun.objects.filter(kind=kind.name).update(**shown)
