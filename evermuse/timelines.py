"""PostgreSQL's timeline: the promotion of a standby, or a restore, begins a new one.

The new primary may lack the last transactions of the old one. What has to be done before anything else is registered in
`reactions`. It is done on the first connection of each process that leads to a new timeline, before its first statement.

Two servers must never be written to: a process that has seen a timeline refuses a server on an earlier one, which is the old
primary. It also refuses a standby, because nobody would look again when this standby is promoted.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.rows import tuple_row

# The name of a file of WAL begins with the number of its timeline, in hexadecimal. A standby writes none.
CURRENT = """
SELECT CASE WHEN pg_is_in_recovery() THEN 0
  ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END
"""

Reaction = Callable[[psycopg.Connection[Any], int], bool]
# Each gets the connection and the timeline. False: call it again for the next connection.
reactions: list[Reaction] = []


class _Seen:
    """The last timeline that this process has seen, once every reaction has taken place."""

    timeline = 0


def look(raw: psycopg.Connection[Any]) -> None:
    """Look at a connection to the primary, outside of a transaction. Raises psycopg's errors.

    OperationalError: the server is a standby, or the old primary.
    """
    timeline = current(raw)
    if timeline is None or timeline == _Seen.timeline:
        return
    if timeline == 0:
        raise psycopg.OperationalError(
            "DATABASE_URL leads to a standby: promote it, or name all servers with target_session_attrs=read-write"
        )
    if timeline < _Seen.timeline:
        raise psycopg.OperationalError(
            f"the server is an old primary, on timeline {timeline}; this process has used timeline {_Seen.timeline}: "
            "stop that server, or restart this process if it is right"
        )
    if all(react(raw, timeline) for react in reactions):
        _Seen.timeline = timeline


def current(raw: psycopg.Connection[Any]) -> int | None:
    """The timeline of a connection's server, 0 for a standby. None: the service does not report it."""
    try:
        [(timeline,)] = psycopg.Cursor(raw, row_factory=tuple_row).execute(CURRENT).fetchall()
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.InsufficientPrivilege, psycopg.errors.UndefinedFunction):
        return None
    return int(timeline)
