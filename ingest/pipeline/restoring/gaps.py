"""Finds batch ids that were given, but of which neither the database nor the bucket has a trace."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Max

from ingest.models import Batch
from ingest.pipeline import sql

# A request may commit this long after its id was drawn. Until then later ids are stored already.
LONGEST_REQUEST = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class IdRange:
    """Batch ids from ``first`` to ``last``."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Last:
    """The last batch that a restored database holds, and when it was accepted. 0 and None for an empty one."""

    batch_id: int
    accepted_at: datetime | None


def last_batch(up_to: int) -> Last:
    """The last batch of the database, among the ids that were drawn before the leap."""
    found = Batch.objects.filter(id__lte=up_to).order_by("-id").values_list("id", "created_at").first()
    return Last(*found) if found else Last(0, None)


def first_doubtful(last: Last) -> int:
    """The first id that may be missing: of a request that was under way when the backup ended."""
    if last.accepted_at is None:
        return 1
    before = Batch.objects.filter(id__lte=last.batch_id, created_at__lt=last.accepted_at - LONGEST_REQUEST)
    return (before.aggregate(last=Max("id"))["last"] or 0) + 1


def missing(ranges: Iterable[IdRange]) -> list[IdRange]:
    """The ids of these ranges that have no batch."""
    found: list[IdRange] = []
    with connection.cursor() as cursor:
        for one in ranges:
            if one.first <= one.last:
                cursor.execute(sql.IDS_WITHOUT_BATCH, {"first": one.first, "last": one.last})
                found += [IdRange(first, last) for first, last in cursor.fetchall()]
    return found


def outside(ranges: Iterable[IdRange], skipped: Sequence[IdRange]) -> list[IdRange]:
    """The ranges without the ids that were never given, because the sequence leapt over them. ``skipped``: in order."""
    found: list[IdRange] = []
    for one in ranges:
        first = one.first
        for gone in skipped:
            if gone.first <= one.last and gone.last >= first:
                if first < gone.first:
                    found.append(IdRange(first, gone.first - 1))
                first = gone.last + 1
        if first <= one.last:
            found.append(IdRange(first, one.last))
    return found


def without(ranges: Iterable[IdRange], ids: Iterable[int]) -> list[IdRange]:
    """The ranges without some ids."""
    return outside(ranges, joined(IdRange(number, number) for number in ids))


def joined(ranges: Iterable[IdRange]) -> list[IdRange]:
    """The same ids in order, each once."""
    found: list[IdRange] = []
    for one in sorted(ranges, key=lambda each: each.first):
        if found and one.first <= found[-1].last + 1:
            found[-1] = IdRange(found[-1].first, max(found[-1].last, one.last))
        else:
            found.append(one)
    return found


def of_json(rows: Iterable[Mapping[str, Any]]) -> list[IdRange]:
    """Ranges as `lake.models.RestoreMark` keeps them."""
    return [IdRange(row["first"], row["last"]) for row in rows]
