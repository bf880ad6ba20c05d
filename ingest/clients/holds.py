"""Retention that a workspace chose for itself, and the legal hold that stops all of it."""

from datetime import datetime

from django.db import connection

from evermuse import retention
from evermuse.advisory_locks import AdvisoryLock
from ingest.models import Workspace


def held() -> list[int]:
    """Workspaces under a legal hold."""
    return list(Workspace.objects.filter(legal_hold=True).values_list("id", flat=True))


def wait_for_removal() -> None:
    """Wait until no step of retention runs, and keep others from beginning until the caller's transaction ends.

    A hold that is set in this transaction is seen by every later step, so nothing is removed once it has been committed.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [AdvisoryLock.RETENTION])


def records_before(now: datetime) -> dict[int, datetime]:
    """For each workspace that removes records: events of an earlier instant have expired."""
    return _before("record_retention_days", now)


def files_before(now: datetime) -> dict[int, datetime]:
    """For each workspace that removes files by their own age, like `records_before`."""
    return _before("attachment_retention_days", now)


def _before(field: str, now: datetime) -> dict[int, datetime]:
    rows = Workspace.objects.filter(legal_hold=False).exclude(**{field: None}).order_by("id")
    return {one: retention.days_before(now, days) for one, days in rows.values_list("id", field)}
