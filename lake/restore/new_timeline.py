"""Sequences leap after a standby was promoted, before the first statement on the new primary. So no id is given twice,
whatever was lost."""

from typing import Any

import psycopg
from psycopg.rows import tuple_row

from evermuse import logs
from lake.restore import sequences, sql

log = logs.get(__name__)


def note(raw: psycopg.Connection[Any], timeline: int) -> bool:
    """Let the sequences leap if this timeline is newer than the database's last one. For `evermuse.timelines`.

    False before the first migration, and while the database accepts no writes: then no id can be drawn either.
    """
    cursor = psycopg.Cursor(raw, row_factory=tuple_row)
    try:
        if cursor.execute(sql.HAS_TIMELINE).fetchall() == [(False,)]:
            return False
        if not (known := cursor.execute(sql.TIMELINE).fetchall()):
            cursor.execute(sql.FIRST_TIMELINE, [timeline])
        elif timeline > known[0][0]:
            _leap(raw, cursor, timeline)
        elif timeline < known[0][0]:
            # A new cluster counts from 1 again, after pg_upgrade or a dump. Without this, its promotions would go unnoticed.
            cursor.execute(sql.LATER_TIMELINE, [timeline])
    except psycopg.errors.ReadOnlySqlTransaction:
        return False
    return True


def _leap(raw: psycopg.Connection[Any], cursor: psycopg.Cursor[tuple[Any, ...]], timeline: int) -> None:
    """Let the sequences leap once. Other processes wait for the row, and then find that it was done.

    If the process dies between the two transactions, or within the second one, the next process lets them leap again.
    """
    for statement in (sql.BEFORE_LEAP, sql.LEAP):
        with raw.transaction():
            [(known,)] = cursor.execute(f"{sql.TIMELINE} FOR UPDATE").fetchall()
            if timeline <= known:
                return
            cursor.execute(statement, {"row": 1, "timeline": timeline, "leap": sequences.LEAST_LEAP})
    log.warning("database.promoted", timeline=timeline, earlier=known, ids_leap=sequences.LEAST_LEAP)
