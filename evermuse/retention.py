"""Retention: removes what has been kept for as long as a setting says.

An app describes each kind of row that expires (`Kind`); `ingest.retention` lists them all. A run removes them in steps. A step
is one transaction that removes a bounded number of rows and holds an advisory lock, so that only one process removes at a
time and a killed one leaves no lock behind. Each step checks again that its rows have expired.
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

# More days than this would leave the range of dates: a hundred years is for ever.
MOST_DAYS = 36_500
# A step removes about this many rows, and at most this many of what `due` yields.
STEP_ROWS, STEP_ITEMS = 5000, 500
READ_AT_ONCE = 500

M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True)
class Due:
    """Something that has expired. ``key``: its primary key; ``name``: what a dry run prints; ``rows``: how many go with it."""

    key: Any
    name: str | int
    rows: int = 1


@dataclass(frozen=True, slots=True)
class Kind:
    """Rows that are kept for ``setting`` days; without a setting, for as many days as their workspace says.

    ``due(before)`` yields what expired before an instant (now, where each workspace says for how long). ``remove(before,
    found)`` removes it, in the caller's transaction, unless that has changed meanwhile, and returns the number of rows that it
    removed. It may raise NotNow. ``some``: in place of ``due``, what one run should remove, where all cannot be read between
    two steps.
    """

    name: str
    title: str
    setting: str | None
    due: Callable[[datetime], Iterator[Due]]
    remove: Callable[[datetime, Sequence[Due]], int]
    some: Callable[[datetime], Iterator[Due]] | None = None

    @property
    def days(self) -> int | None:
        """For how long the rows are kept; None: each workspace says for how long."""
        return None if self.setting is None else int(getattr(settings, self.setting))

    def before(self, now: datetime) -> datetime:
        """Rows of an earlier instant have expired."""
        return days_before(now, self.days or 0)


class NotNow(Exception):
    """What expired cannot be removed at this moment: the next run removes it."""


def days_before(now: datetime, days: int) -> datetime:
    """The instant some days ago."""
    return now - timedelta(days=min(days, MOST_DAYS))


@dataclass(frozen=True, slots=True)
class Removed:
    """What a run did: rows that it removed, and whether it left some for the next run."""

    rows: int
    is_whole: bool


def run(kind: Kind, *, now: datetime, seconds: float) -> Removed:
    """Remove what has expired, step by step, until nothing is left, the time is over or another process removes."""
    ends_at = time.monotonic() + seconds
    before = kind.before(now)
    rows = 0
    found = (kind.some or kind.due)(before)
    while step := _step(found):
        try:
            removed = _remove(kind, before, step)
        except NotNow:
            return Removed(rows, is_whole=False)
        except OperationalError as error:  # a row stayed locked for too long
            log.warning("retention.waits", kind=kind.name, error=str(error).strip().splitlines()[0])
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
    """The number of rows that were removed; None while another process removes."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [AdvisoryLock.RETENTION])
        if not cursor.fetchone()[0]:
            return None
        # Others wait for no row that this step would have to wait for.
        cursor.execute("SET LOCAL lock_timeout = '2s'")
        return kind.remove(before, step)


def of_rows(
    name: str, title: str, setting: str, expired: Callable[[datetime], QuerySet[M]], *, shown: str = "pk"
) -> Kind:
    """A kind whose rows stand alone. ``expired(before)``: those that go; ``shown``: the field that a dry run prints."""

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
