"""Term sets: terms that many records of a workspace have in common are stored once.

A record has the number of a set instead of the set's terms (`lake.terms.short`). A filter looks for its term and for the
sets that contain it, so a workspace has a limited number of sets. A record whose terms are in no set has all of them itself.
Records of earlier versions have the set's id among their terms.

A landing locks the sets that it uses until it commits. A set is removed under a lock that excludes these, and only if no
record uses it.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import NamedTuple

from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now

from evermuse import logs, prepared
from lake.filters import NO_TERM, RecordTerms
from lake.models import Record, TermSet
from lake.terms import WIDTH, content_of, number, short

Terms = tuple[bytes, ...]

log = logs.get(__name__)

# The most sets of a workspace. Those of all repeating terms leave room for those of the few-valued ones.
MOST_SETS, MOST_WHOLE_SETS = 256, 128
# The fewest records of one landing for which a set of all their repeating terms is worth a row.
FEWEST_RECORDS = 8
MOST_TERMS = 1000
# A landing of many different records spends no time on sets that the next ones store, or that are too many.
MOST_ADDED = 4

# Not every set is there: earlier landings had none, and unused sets are removed.
HOLD = "SELECT id FROM lake_termset WHERE id = ANY(%(ids)s::bigint[]) ORDER BY id FOR KEY SHARE"
# Never waits: while another landing stores the same set, this one does not use it. Nor is a set stored whose number another
# set of the workspace has.
ADD = """
INSERT INTO lake_termset (id, workspace_id, terms)
SELECT %(id)s::bigint, %(workspace)s::bigint, %(terms)s::bigint[]
WHERE NOT EXISTS (SELECT FROM lake_termsetstart WHERE starts_at > statement_timestamp())
  AND (SELECT count(*) FROM lake_termset WHERE workspace_id = %(workspace)s::bigint) < %(most)s::bigint
  AND pg_try_advisory_xact_lock(%(id)s::bigint)
ON CONFLICT DO NOTHING
RETURNING id
"""
WITH_TERMS = (
    "SELECT id, terms FROM lake_termset WHERE workspace_id = %(workspace)s::bigint AND terms && %(terms)s::bigint[]"
)
OF_IDS = "SELECT id, terms FROM lake_termset WHERE id = ANY(%(ids)s::bigint[])"
OF_NUMBERS = """
SELECT workspace_id, (id & 2147483647)::int, terms FROM lake_termset
WHERE workspace_id = ANY(%(workspaces)s::bigint[]) AND (id & 2147483647)::int = ANY(%(numbers)s::int[])
"""

CHECKED_AT_ONCE = 50
TO_CHECK = """
SELECT id, workspace_id FROM lake_termset WHERE checked_at < statement_timestamp() - interval '20 hours'
ORDER BY checked_at LIMIT %s
"""
# Most sets are in use by recent records.
IN_RECENT_USE = """
SELECT EXISTS (
  SELECT FROM (
    SELECT terms, term_set FROM lake_record WHERE workspace_id = %(workspace)s ORDER BY updated_at DESC LIMIT 1000
  ) AS recent WHERE term_set = %(number)s OR terms @> ARRAY[%(id)s::bigint])
"""
IN_USE = """
SELECT EXISTS (SELECT FROM lake_record WHERE term_set = %(number)s AND workspace_id = %(workspace)s)
  OR EXISTS (SELECT FROM lake_record WHERE terms @> ARRAY[%(id)s::bigint])
"""
AVOID_SCANS = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true)"
LOCK = "SELECT id FROM lake_termset WHERE id = %s FOR UPDATE SKIP LOCKED"


class StoredTerms(NamedTuple):
    """The terms in the row of a record: those of its columns, and the rest. ``term_set``: the number of its set, or 0."""

    terms: list[bytes]
    thread: bytes = NO_TERM
    vendor: bytes = NO_TERM
    term_set: int = 0


def stored(
    workspace_id: int, records: Sequence[RecordTerms], *, may_add: bool, in_columns: bool = True
) -> list[StoredTerms]:
    """What the row of each record has. The sets among it are locked until the caller's transaction ends.

    ``may_add``: store a set where that is worth it. Then call this before rows of records are locked.
    ``in_columns``: False for rows as the previous version finds them (`lake.index_layout`).
    """
    counts = Counter((one.few, one.repeating) for one in records)
    whole = {parts: _id(itertools.chain(*parts)) for parts in counts}
    few = {terms: _id(terms) for terms, _ in counts}
    held = _ids(HOLD, {"ids": [*whole.values(), *few.values()]})
    if may_add:
        wanted = [
            (set_id, set(itertools.chain(*parts)), MOST_WHOLE_SETS)
            for parts, set_id in whole.items()
            if parts[1] and counts[parts] >= FEWEST_RECORDS
        ]
        wanted += [(set_id, set(terms), MOST_SETS) for terms, set_id in few.items()]
        held |= _add(workspace_id, [one for one in wanted if one[0] not in held and 1 < len(one[1]) <= MOST_TERMS])
    # A row cannot name a set by the number 0.
    usable = {set_id for set_id in held if short(set_id)}
    rows = {parts: _row(*parts, whole[parts], few[parts[0]], usable) for parts in counts}
    found = [(one, *rows[one.few, one.repeating]) for one in records]
    if in_columns:
        return [
            StoredTerms(_distinct(one.own, terms), one.thread, one.vendor, short(set_id))
            for one, terms, set_id in found
        ]
    return [
        StoredTerms(_distinct(_of_columns(one), one.own, (content_of(set_id),) if set_id else (), terms))
        for one, terms, set_id in found
    ]


def _distinct(*parts: Sequence[bytes]) -> list[bytes]:
    return list(dict.fromkeys(itertools.chain(*parts)))


def _of_columns(record: RecordTerms) -> Terms:
    return tuple(term for term in (record.thread, record.vendor) if term != NO_TERM)


def _id(terms: Iterable[bytes]) -> int:
    content = b"".join(sorted(set(terms)))
    return number(blake2b(content, digest_size=WIDTH, person=b"term set").digest())


def _row(few: Terms, repeating: Terms, whole_id: int, few_id: int, usable: set[int]) -> tuple[Terms, int]:
    """The terms that are in no set, and the id of the set that has the others, or 0."""
    if whole_id in usable:
        return (), whole_id
    if few_id in usable:
        return repeating, few_id
    return (*few, *repeating), 0


def _add(workspace_id: int, wanted: Sequence[tuple[int, set[bytes], int]]) -> set[int]:
    """Store some of these sets: id, terms, and the number of sets from which on it is too many. Returns the ids of the new sets."""
    added: set[int] = set()
    for set_id, terms, most in wanted[:MOST_ADDED]:
        parameters = {"id": set_id, "workspace": workspace_id, "terms": sorted(map(number, terms)), "most": most}
        added |= _ids(ADD, parameters)
    return added


def _ids(statement: str, parameters: dict[str, object]) -> set[int]:
    return {set_id for (set_id,) in prepared.rows(statement, parameters)}


class Wanted(NamedTuple):
    """A term that a filter looks for, its column (`lake.filters.Filter`), and the ids of the sets that contain it."""

    term: int
    column: str
    set_ids: tuple[int, ...]

    def places(self) -> list[tuple[str, int]]:
        """What the row of one of its records has: one of these values in the column of that name."""
        of_sets = [place for one in self.set_ids for place in (("term_set", short(one)), ("terms", one))]
        return [("terms", self.term), *([(self.column, self.term)] if self.column else []), *of_sets]

    def condition(self) -> Q:
        """Selects its records among those of the workspace. Records of earlier versions have everything among their terms."""
        found = Q(terms__overlap=[self.term, *self.set_ids])
        if self.column:
            found |= Q(**{self.column: self.term})
        if self.set_ids:
            found |= Q(term_set__in=[short(one) for one in self.set_ids])
        return found


def holding(workspace_id: int, wanted: Sequence[tuple[int, str]]) -> list[Wanted]:
    """For each term with its column, what the rows of its records may have.

    Call it after `lake.horizon.of`: a set that is stored later has no records before the horizon.
    """
    terms = [term for term, _ in wanted]
    found = prepared.rows(WITH_TERMS, {"workspace": workspace_id, "terms": terms}) if terms else []
    return [
        Wanted(term, column, tuple(set_id for set_id, members in found if term in members)) for term, column in wanted
    ]


def whole(records: Iterable[Record]) -> list[set[int]]:
    """The terms of each of these records, with those of its sets."""
    records = list(records)
    rows = [{*(one.terms or ()), one.thread_term, one.vendor_term} - {None} for one in records]
    sets = dict(prepared.rows(OF_IDS, {"ids": list({term for row in rows for term in row})}))
    numbers = list({one.term_set for one in records if one.term_set is not None})
    workspaces = list({one.workspace_id for one in records})
    found = prepared.rows(OF_NUMBERS, {"workspaces": workspaces, "numbers": numbers}) if numbers else []
    by_number = {(workspace_id, number): terms for workspace_id, number, terms in found}
    return [
        {each for term in row for each in sets.get(term, (term,))}.union(
            by_number.get((one.workspace_id, one.term_set), ())
        )
        for one, row in zip(records, rows, strict=True)
    ]


def remove_unused() -> int:
    """Remove sets that no record uses any more. Checks some of those that were not checked for a day. Returns their number."""
    removed = 0
    for set_id, workspace_id in _executed(TO_CHECK, [CHECKED_AT_ONCE]):
        one = {"id": set_id, "number": short(set_id), "workspace": workspace_id}
        [(is_recent,)] = _executed(IN_RECENT_USE, one)
        if is_recent or _is_in_index(one):
            TermSet.objects.filter(id=set_id).update(checked_at=Now())
        else:
            removed += _remove(one)
    if removed:
        log.info("term_sets.removed", sets=removed)
    return removed


def _is_in_index(one: dict[str, int]) -> bool:
    with transaction.atomic():
        # The planner may expect to find a row soon where there is none.
        _executed(AVOID_SCANS, [])
        [(is_used,)] = _executed(IN_USE, one)
    return bool(is_used)


def _remove(one: dict[str, int]) -> int:
    with transaction.atomic():
        # A statement of its own: the next one sees what landings committed before they released the set.
        if not _executed(LOCK, [one["id"]]) or _is_in_index(one):
            return 0
        return TermSet.objects.filter(id=one["id"]).delete()[0]


def _executed(statement: str, parameters: list[int] | dict[str, int]) -> list[tuple[int, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
