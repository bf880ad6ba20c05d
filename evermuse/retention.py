"""Retention: removes rows that are older than a setting allows.

Each app describes its kinds of rows (`Kind`), and `ingest.retention` lists all kinds. A run removes rows in steps. A step is
one transaction that removes a limited number of rows. It holds an advisory lock, so only one process removes at a time, and
a killed process leaves no lock behind. A step checks again that its rows have expired.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Model, QuerySet

from evermuse import logs
from evermuse.advisory_locks import AdvisoryLock

log = logs.get(__name__)

# A hundred years. More days would lead to dates that Python cannot represent.
MOST_DAYS = 36_500
# A step removes about STEP_ROWS rows, from at most STEP_ITEMS of what `Kind.due` yields.
STEP_ROWS, STEP_ITEMS = 5000, 500
READ_AT_ONCE = 500

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Due:
    """Something that has expired. ``name``: what a dry run prints. ``rows``: the number of rows that belong to it."""

    key: Any
    name: str | int
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows that are kept for as many days as the setting ``setting`` says. If it is None, each workspace has its own limit.

    ``due(before)`` yields what expired before an instant. The instant is the present if each workspace has its own limit.
    ``remove(before, found)`` runs in the caller's transaction. It removes what is still expired, returns the number of
    removed rows, and may raise Postponed. ``due_in_run`` replaces ``due`` in a run if ``due`` would read too much at once.
    """

    name: str
    title: str
    setting: str | None
    due: Callable[[datetime], Iterator[Due]]
    remove: Callable[[datetime, Sequence[Due]], int]
    due_in_run: Callable[[datetime], Iterator[Due]] | None = None

    @property
    def days(self) -> int | None:
        """How many days the rows are kept. None if each workspace has its own limit."""
        return None if self.setting is None else int(getattr(settings, self.setting))

    def before(self, now: datetime) -> datetime:
        """The instant before which rows have expired."""
        return days_before(now, self.days or 0)


class Postponed(Exception):
    """Expired rows cannot be removed at the moment. The next run tries again."""


def days_before(now: datetime, days: int) -> datetime:
    """The instant ``days`` days before now."""
    return now - timedelta(days=min(days, MOST_DAYS))


@dataclass(frozen=True, slots=True)
class Removed:
    """The result of a run. ``is_whole``: no expired rows are left for the next run."""

    rows: int
    is_whole: bool


def run(kind: Kind, *, now: datetime, seconds: float) -> Removed:
    """Remove expired rows step by step. Stops when none are left, after ``seconds``, or if another process removes."""
    ends_at = time.monotonic() + seconds
    before = kind.before(now)
    rows = 0
    found = (kind.due_in_run or kind.due)(before)
    while step := _step(found):
        try:
            removed = _remove(kind, before, step)
        except Postponed:
            return Removed(rows, is_whole=False)
        except OperationalError as error:  # most likely the lock time-out
            log.warning("retention.postponed", kind=kind.name, error=str(error).strip().splitlines()[0])
            return Removed(rows, is_whole=False)
        if removed is None:
            return Removed(rows, is_whole=False)
        rows += removed
        if time.monotonic() >= ends_at:
            return Removed(rows, is_whole=next(found, None) is None)
    return Removed(rows, is_whole=True)


def _step(found: Iterator[Due]) -> list[Due]:
    step: list[Due] = []
    rows = 0
    for due in islice(found, STEP_ITEMS):
        step.append(due)
        rows += due.rows
        if rows >= STEP_ROWS:
            break
    return step


def _remove(kind: Kind, before: datetime, step: Sequence[Due]) -> int | None:
    """The number of removed rows. None if another process is removing."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [AdvisoryLock.RETENTION])
        if not cursor.fetchone()[0]:
            return None
        # A step that waited for one row would make others wait for the rows that it has locked.
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        return kind.remove(before, step)


def of_rows(
    name: str, title: str, setting: str, expired: Callable[[datetime], QuerySet[M]], *, shown: str = "pk"
) -> Kind:
    """A kind whose rows are independent of other rows. ``shown``: the field that a dry run prints."""

    def due(before: datetime) -> Iterator[Due]:
        after: Any = None
        while True:
            rows = expired(before).order_by("pk")
            if after is not None:
                rows = rows.filter(pk__gt=after)
            page = list(rows.values_list("pk", shown)[:READ_AT_ONCE])
            yield from (Due(key, name) for key, name in page)
            if len(page) < READ_AT_ONCE:
                return
            after = page[-1][0]

    def remove(before: datetime, found: Sequence[Due]) -> int:
        return expired(before).filter(pk__in=[one.key for one in found]).delete()[0]

    return Kind(name, title, setting, due, remove)
