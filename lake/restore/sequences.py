"""The sequences that ids are drawn from. After a restore they must not give an id a second time.

A restored database continues with the ids that were drawn after its backup. The greatest id that is found anywhere is not an
upper bound: ids are drawn in the accepting transaction, so perhaps only the lost database had the last ones. A sequence
therefore leaps far
beyond all of them. Ids are 64 bits wide, so leaps cost nothing: 8 billion of them fit.
"""

from collections.abc import Mapping
from datetime import datetime

from django.db import connection

# A leap is at least this long, and long enough for this rate since the database's last mark (`lake.restore.marks`). One machine
# draws some thousand ids a second.
LEAST_LEAP = 1_000_000_000
LEAP_A_SECOND = 1_000_000

# The other sequences, of the admin's tables, are 32 bits wide, and their ids are not visible outside.
_DRAWN = """
SELECT sequencename::text, coalesce(last_value, 0) FROM pg_sequences
WHERE schemaname = current_schema() AND data_type = 'bigint'::regtype ORDER BY 1
"""
_SET = "SELECT setval(%s::regclass, %s)"


def drawn() -> dict[str, int]:
    """The last value of each sequence. After a crash or restore it may be a little greater than the last drawn one."""
    with connection.cursor() as cursor:
        cursor.execute(_DRAWN)
        return dict(cursor.fetchall())


def leap(now: Mapping[str, int], known: Mapping[str, int], *, since: datetime, until: datetime) -> dict[str, int]:
    """Where each sequence has to continue. ``known``: values that are known to have been drawn, from any other source."""
    seconds = max((until - since).total_seconds(), 0.0)
    distance = max(LEAST_LEAP, int(seconds * LEAP_A_SECOND))
    return {name: max(value, known.get(name, 0)) + distance for name, value in now.items()}


def move(to: Mapping[str, int]) -> None:
    """Set sequences, in the caller's transaction."""
    with connection.cursor() as cursor:
        for name, value in to.items():
            cursor.execute(_SET, [connection.ops.quote_name(name), value])
