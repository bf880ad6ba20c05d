"""Which terms are common, by PostgreSQL's statistics of the records.

A list is either a walk through the workspace's records in the order of their last change, which soon finds enough of them if a
term is common, or a lookup of all records of a rare term, which are then sorted. The planner knows how often the most common
terms occur, and expects a fixed share of all records for any other. With some millions of records that share is thousands of
rows, so it walks, also for a term that one record has or none.
"""

import time
from collections.abc import Iterable

from evermuse import prepared
from lake.term_sets import Wanted

# Autovacuum renews the statistics about as often.
MAX_AGE_SECONDS = 60.0
# Several rare terms may be common together.
MOST_RARE = 8

STATISTICS = """
SELECT attname::text, unnest(CASE attname WHEN 'terms' THEN most_common_elems ELSE most_common_vals END::text::bigint[])
FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'lake_record' AND NOT inherited
  AND attname IN ('terms', 'term_set', 'thread_term', 'vendor_term')
"""


class _Known:
    """The statistics that this process read last, as column and value. Empty if there are none yet."""

    common: frozenset[tuple[str, int]] = frozenset()
    read_at = float("-inf")


def is_rare(wanted: Iterable[Wanted]) -> bool:
    """Whether one of these terms is not common, so that few records match. False without statistics."""
    common = _common()
    return bool(common) and any(len(one.set_ids) < MOST_RARE and common.isdisjoint(one.places()) for one in wanted)


def forget() -> None:
    """Read the statistics again for the next list, which is of another database."""
    _Known.common, _Known.read_at = frozenset(), float("-inf")


def _common() -> frozenset[tuple[str, int]]:
    now = time.monotonic()
    if now - _Known.read_at >= MAX_AGE_SECONDS:
        _Known.common = frozenset((column, value) for column, value in prepared.rows(STATISTICS, {}))
        _Known.read_at = now
    return _Known.common
