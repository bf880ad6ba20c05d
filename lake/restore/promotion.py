"""A promotion: a standby became the primary, perhaps without the old primary's last transactions.

Ids leap at once (`lake.restore.new_timeline`). Later a worker compares the bucket with the database. If the bucket has an object
of a journal that no row names, the database lacks what was written, and counts as set back (`lake.restore.marks`).
Otherwise nothing more happens.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from lake.models import DatabaseTimeline, Segment
from lake.restore import listing, sql
from lake.segments.registry import STORE_SECONDS


@dataclass(frozen=True, slots=True)
class Leap:
    """The values of all sequences before and after a promotion."""

    before: dict[str, int]
    moved: dict[str, int]


def unchecked() -> Leap | None:
    """The leap of a promotion that was not followed yet by a comparison of the bucket with the database."""
    row = DatabaseTimeline.objects.filter(pk=1).exclude(promoted_at=None).first()
    return None if row is None else Leap(row.before, row.moved)


def is_recent() -> bool:
    """Whether workers may still be writing to the bucket what the old primary knew and this database does not."""
    longest = timedelta(seconds=settings.EVERMUSE_LEASE_SECONDS + STORE_SECONDS)
    return DatabaseTimeline.objects.filter(promoted_at__gt=timezone.now() - longest).exists()


def settle() -> None:
    """Record that the bucket was compared with the database."""
    DatabaseTimeline.objects.filter(pk=1).update(promoted_at=None, before={}, moved={})


def is_journal_ahead() -> bool:
    """Whether the bucket has an object of a journal that this database does not know. Raises StoreUnavailable.

    Objects that the sweeper is deleting have no row either, but their journals have continued after them.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.JOURNAL_KEYS, [Segment.Layout.JOURNAL])
        known = {row[0] for row in cursor.fetchall()}
    last: dict[str, int] = defaultdict(int)
    for key in known:
        last[_journal_of(key)] = max(last[_journal_of(key)], listing.last_number(key))
    return any(
        one.key not in known and listing.last_number(one.key) > last[_journal_of(one.key)]
        for objects in listing.journals().values()
        for one in objects
    )


def _journal_of(key: str) -> str:
    return key.rpartition("/")[0]
