"""Term sets: terms that many records of a workspace have in common are stored once.

A record has the id of a set among its terms instead of the set's terms. The id is a hash, as terms are, so that one index
finds both. A filter looks for its term and for the sets that contain it, so a workspace has a limited number of sets.
A record whose terms are in no set has all of them itself.

A landing locks the sets that it uses until it commits. A set is removed under a lock that excludes these, and only if no
record uses it.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b

from django.db import connection, transaction
from django.db.models.functions import Now

from evermuse import logs, prepared
from lake.filters import RecordTerms
from lake.models import TermSet
from lake.terms import WIDTH, content_of, number

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
# Never waits: while another landing stores the same set, this one does not use it.
ADD = """
INSERT INTO lake_termset (id, workspace_id, terms)
SELECT %(id)s::bigint, %(workspace)s::bigint, %(terms)s::bigint[]
WHERE NOT EXISTS (SELECT FROM lake_termsetstart WHERE starts_at > statement_timestamp())
  AND (SELECT count(*) FROM lake_termset WHERE workspace_id = %(workspace)s::bigint) < %(most)s::bigint
  AND pg_try_advisory_xact_lock(%(id)s::bigint)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""
WITH_TERMS = (
    "SELECT id, terms FROM lake_termset WHERE workspace_id = %(workspace)s::bigint AND terms && %(terms)s::bigint[]"
)
OF_IDS = "SELECT id, terms FROM lake_termset WHERE id = ANY(%(ids)s::bigint[])"

CHECKED_AT_ONCE = 50
TO_CHECK = """
SELECT id, workspace_id FROM lake_termset WHERE checked_at < statement_timestamp() - interval '20 hours'
ORDER BY checked_at LIMIT %s
"""
# Most sets are in use by recent records.
IN_RECENT_USE = """
SELECT EXISTS (
  SELECT FROM (SELECT terms FROM lake_record WHERE workspace_id = %s ORDER BY updated_at DESC LIMIT 1000) AS recent
  WHERE terms @> ARRAY[%s::bigint])
"""
IN_USE = "SELECT EXISTS (SELECT FROM lake_record WHERE terms @> ARRAY[%s::bigint])"
AVOID_SCANS = "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_indexscan', 'off', true)"
LOCK = "SELECT id FROM lake_termset WHERE id = %s FOR UPDATE SKIP LOCKED"


def stored(workspace_id: int, records: Sequence[RecordTerms], *, may_add: bool) -> list[list[bytes]]:
    """The terms in the row of each record. The sets among them are locked until the caller's transaction ends.

    ``may_add``: store a set where that is worth it. Then call this before rows of records are locked.
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
    rows = {parts: _row(*parts, whole[parts], few[parts[0]], held) for parts in counts}
    return [list(dict.fromkeys((*one.own, *rows[one.few, one.repeating]))) for one in records]


def _id(terms: Iterable[bytes]) -> int:
    content = b"".join(sorted(set(terms)))
    return number(blake2b(content, digest_size=WIDTH, person=b"term set").digest())


def _row(few: Terms, repeating: Terms, whole_id: int, few_id: int, held: set[int]) -> Terms:
    if whole_id in held:
        return (content_of(whole_id),)
    if few_id in held:
        return (content_of(few_id), *repeating)
    return (*few, *repeating)


def _add(workspace_id: int, wanted: Sequence[tuple[int, set[bytes], int]]) -> set[int]:
    """Store some of these sets: id, terms, and the number of sets from which on it is too many. Returns the ids of the new sets."""
    added: set[int] = set()
    for set_id, terms, most in wanted[:MOST_ADDED]:
        parameters = {"id": set_id, "workspace": workspace_id, "terms": sorted(map(number, terms)), "most": most}
        added |= _ids(ADD, parameters)
    return added


def _ids(statement: str, parameters: dict[str, object]) -> set[int]:
    return {set_id for (set_id,) in prepared.rows(statement, parameters)}


def holding(workspace_id: int, terms: Sequence[int]) -> list[list[int]]:
    """For each term, the term and the sets that contain it: what the rows of its records may have.

    Call it after `lake.horizon.of`: a set that is stored later has no records before the horizon.
    """
    found = prepared.rows(WITH_TERMS, {"workspace": workspace_id, "terms": list(terms)}) if terms else []
    return [[term, *(set_id for set_id, members in found if term in members)] for term in terms]


def whole(rows: Iterable[Sequence[int]]) -> list[set[int]]:
    """The terms of each of these rows of records, with those of its sets."""
    rows = list(rows)
    sets = dict(prepared.rows(OF_IDS, {"ids": list({term for row in rows for term in row})}))
    return [{each for term in row for each in sets.get(term, (term,))} for row in rows]


def remove_unused() -> int:
    """Remove sets that no record uses any more. Checks some of those that were not checked for a day. Returns their number."""
    removed = 0
    for set_id, workspace_id in _executed(TO_CHECK, [CHECKED_AT_ONCE]):
        if _is_used(set_id, workspace_id):
            TermSet.objects.filter(id=set_id).update(checked_at=Now())
        else:
            removed += _remove(set_id)
    if removed:
        log.info("term_sets.removed", sets=removed)
    return removed


def _is_used(set_id: int, workspace_id: int) -> bool:
    [(is_recent,)] = _executed(IN_RECENT_USE, [workspace_id, set_id])
    return bool(is_recent) or _is_in_index(set_id)


def _is_in_index(set_id: int) -> bool:
    with transaction.atomic():
        # The planner may expect to find a row soon where there is none.
        _executed(AVOID_SCANS, [])
        [(is_used,)] = _executed(IN_USE, [set_id])
    return bool(is_used)


def _remove(set_id: int) -> int:
    with transaction.atomic():
        # A statement of its own: the next one sees what landings committed before they released the set.
        if not _executed(LOCK, [set_id]) or _is_in_index(set_id):
            return 0
        return TermSet.objects.filter(id=set_id).delete()[0]


def _executed(statement: str, parameters: list[int]) -> list[tuple[int, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return list(cursor.fetchall())
