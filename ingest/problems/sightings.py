"""Sightings: failures that the collector found, summed by group and written in the caller's transaction."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from django.db import connection
from django.db.models import Count

from ingest.problems import sql
from ingest.problems.models import Problem

# A client chooses the names of unknown fields. Beyond this many groups its fields share one, so that it cannot fill the inbox.
MAX_GROUPS_OF_A_CLIENT = 200
MANY_FIELDS = "/*"


class Key(NamedTuple):
    """The key of a group."""

    kind: str
    workspace_id: int
    party: str
    code: str
    field: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """One failure, or for a measured group the number that waits. ``batch_id`` is 0 if there are many batches."""

    key: Key
    at: datetime
    message: str
    batch_id: int
    index: int | None = None
    attachment_id: int | None = None
    count: int = 1
    first_at: datetime | None = None


@dataclass(slots=True)
class _Sum:
    count: int
    first: datetime
    last: Sighting


def count(sightings: Sequence[Sighting], *, with_batches: bool) -> None:
    """Add sightings to their groups and hours. ``with_batches``: also to the batches of each group."""
    sightings = _fold(sightings)
    ids = _upsert(sql.COUNT, sightings)
    hours: dict[tuple[int, datetime], int] = defaultdict(int)
    batches: dict[tuple[int, int], tuple[int, datetime]] = {}
    for one in sightings:
        problem = ids[one.key]
        hours[problem, _hour(one.at)] += one.count
        n, at = batches.get((problem, one.batch_id), (0, one.at))
        batches[problem, one.batch_id] = (n + one.count, max(at, one.at))
    with connection.cursor() as cursor:
        cursor.execute(sql.COUNT_HOURS, _columns([(*key, n) for key, n in sorted(hours.items())], 3))
        if with_batches:
            cursor.execute(sql.COUNT_BATCHES, _columns([(*key, *value) for key, value in sorted(batches.items())], 4))


def measure(sightings: Sequence[Sighting]) -> None:
    """Set measured groups to what waits now, and all other measured groups to 0."""
    ids = _upsert(sql.MEASURE, sightings)
    with connection.cursor() as cursor:
        rows = sorted((ids[one.key], _hour(one.at), one.count) for one in sightings)
        cursor.execute(sql.MEASURE_HOURS, _columns(rows, 3))
        cursor.execute(sql.NOTHING_WAITS, [list(ids.values())])


def _upsert(statement: str, sightings: Iterable[Sighting]) -> dict[Key, int]:
    sums: dict[Key, _Sum] = {}
    for one in sightings:
        first = one.first_at or one.at
        if (known := sums.get(one.key)) is None:
            sums[one.key] = _Sum(one.count, first, one)
        else:
            known.count += one.count
            known.first = min(known.first, first)
            if one.at >= known.last.at:
                known.last = one
    rows = [
        (
            str(key.kind),
            *key[1:],
            s.count,
            s.first,
            s.last.at,
            s.last.message,
            s.last.batch_id or None,
            s.last.index,
            s.last.attachment_id,
        )
        for key, s in sorted(sums.items())
    ]
    with connection.cursor() as cursor:
        cursor.execute(statement, _columns(rows, 12))
        return {Key(*row[1:]): row[0] for row in cursor.fetchall()}


def _fold(sightings: Sequence[Sighting]) -> Sequence[Sighting]:
    """Move sightings whose group would be one too many for its client into the shared group."""
    clients = {(s.key.workspace_id, s.key.party) for s in sightings if s.key.kind == Problem.Kind.RECORDS}
    if not clients:
        return sightings
    groups = Problem.objects.filter(
        kind=Problem.Kind.RECORDS,
        workspace_id__in={workspace for workspace, _ in clients},
        party__in={party for _, party in clients},
    )
    numbers = groups.order_by().values_list("workspace_id", "party").annotate(n=Count("id"))
    room = dict.fromkeys(clients, MAX_GROUPS_OF_A_CLIENT)
    for workspace_id, party, n in numbers:
        room[workspace_id, party] = MAX_GROUPS_OF_A_CLIENT - n
    new = {s.key for s in sightings if s.key.kind == Problem.Kind.RECORDS}
    if all(sum(key[1:3] == client for key in new) <= left for client, left in room.items()):
        return sightings
    new -= {Key(*row) for row in groups.values_list("kind", "workspace_id", "party", "code", "field")}
    folded: dict[Key, Key] = {}
    for key in sorted(new):
        client = (key.workspace_id, key.party)
        room[client] -= 1
        if room[client] < 0:
            folded[key] = key._replace(field=MANY_FIELDS)
    return [s if s.key not in folded else _moved(s, folded[s.key]) for s in sightings]


def _moved(one: Sighting, key: Key) -> Sighting:
    return Sighting(key, one.at, one.message, one.batch_id, one.index, one.attachment_id, one.count, one.first_at)


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows as the arrays for unnest: ``width`` of them, even without rows."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]
