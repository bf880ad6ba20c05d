"""Adds a new filter's terms to records that landed before it, a few rows at a time, while the product keeps running."""

from dataclasses import dataclass
from uuid import UUID

from django.db import connection, transaction

from lake import places, term_sets
from lake.filters import Filter
from lake.models import Record
from lake.normalization import NormalizedRecord
from lake.reading import stored
from lake.terms import term

AT_ONCE = 200

# Locked in the order of the key, as in landing, so that the two cannot deadlock. A record that was overwritten after it
# was read already has the terms of its new version.
ADD_TERMS = """
WITH wanted AS (
  SELECT id, digest, array_agg(term) AS terms FROM unnest(%(ids)s::uuid[], %(digests)s::bytea[], %(terms)s::bigint[])
    AS t (id, digest, term) GROUP BY id, digest
), held AS MATERIALIZED (
  SELECT r.id, w.terms FROM lake_record r JOIN wanted w ON w.id = r.id AND w.digest = r.digest
  ORDER BY r.id FOR UPDATE OF r
)
UPDATE lake_record AS r SET terms = coalesce(r.terms, '{}') || held.terms FROM held
WHERE r.id = held.id AND NOT coalesce(r.terms, '{}') @> held.terms
"""


@dataclass(frozen=True, slots=True)
class BackfillStep:
    """The result of one step. ``last``: where the next step continues, or None if there are no more records."""

    seen: int
    filled: int
    last: UUID | None


def step(one: Filter, *, after: UUID | None) -> BackfillStep:
    """Add the filter's terms to the next records in the order of ids. Idempotent. One short transaction."""
    rows = Record.objects.order_by("id")
    if after is not None:
        rows = rows.filter(id__gt=after)
    found = list(rows[:AT_ONCE])
    if not found:
        return BackfillStep(0, 0, None)
    sent = places.read(record.place for record in found)
    missing: list[tuple[UUID, bytes, int]] = []
    for record, has in zip(found, term_sets.whole(found), strict=True):
        # Skip a record that was removed or overwritten meanwhile.
        if record.place not in sent:
            continue
        normalized = stored(sent[record.place])
        # A stored record that today's types cannot describe has no values.
        if isinstance(normalized, NormalizedRecord):
            wanted = {term(record.workspace_id, one.term, value) for value in one.values(normalized)}
            missing += [(record.id, bytes(record.digest), number) for number in sorted(wanted - has)]
    return BackfillStep(len(found), _add(missing) if missing else 0, found[-1].id)


def _add(missing: list[tuple[UUID, bytes, int]]) -> int:
    ids, digests, numbers = zip(*missing, strict=True)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(ADD_TERMS, {"ids": list(ids), "digests": list(digests), "terms": list(numbers)})
        return int(cursor.rowcount)
