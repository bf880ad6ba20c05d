"""Finds out whether a pooler such as PgBouncer is in front of PostgreSQL, and whether it keeps prepared statements.

A pooler makes up the process id that it reports to its client, so this id differs from the session's own. One that keeps
prepared
statements (PgBouncer from 1.21, with ``max_prepared_statements``) gives them names of its own, so the session does not know
ours. Any other pooler is used without prepared statements: that is slower, but right in every mode.
"""

from typing import Any

import psycopg
from django.conf import settings
from psycopg import pq
from psycopg.rows import tuple_row

from evermuse import logs, statement_names
from evermuse.statement_names import StatementNames

log = logs.get(__name__)

AUTO, ALWAYS = "AUTO", "ALWAYS"
PROBE = b"evermuse_probe"
SESSION = "SELECT pg_backend_pid(), current_setting('statement_timeout')"
KNOWS_PROBE = "SELECT count(*) FROM pg_prepared_statements WHERE name = 'evermuse_probe'"
NEWER = "PgBouncer 1.21 or newer with max_prepared_statements=200"
# What PostgreSQL answers when a session does not know a statement, or knows it already.
LOST = (psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement)

_told: set[str] = set()


def examine(raw: psycopg.Connection[Any]) -> None:
    """Prepare a new connection, outside of a transaction: how it names statements, and whether it may prepare any."""
    pid, limit = psycopg.Cursor(raw, row_factory=tuple_row).execute(SESSION).fetchall()[0]
    is_pooled = pid != raw.info.backend_pid
    wanted = settings.EVERMUSE_PREPARED_STATEMENTS
    may_prepare = wanted == ALWAYS or (wanted == AUTO and (not is_pooled or _renames(raw)))
    statement_names.use(raw, StatementNames(may_prepare=may_prepare, is_pooled=is_pooled))
    if is_pooled and limit == "0":
        _warn_once("database.no_time_limits", fix="run `manage.py bootstrap`, then RECONNECT in the pooler's console")
    if wanted == AUTO and not may_prepare:
        _warn_once("database.unprepared_statements", fix=NEWER)


def is_pooled(raw: psycopg.Connection[Any]) -> bool:
    """Whether a connection leads to a pooler."""
    return statement_names.of(raw).is_pooled


def may_prepare(raw: psycopg.Connection[Any]) -> bool:
    """Whether a connection may prepare statements."""
    return statement_names.of(raw).may_prepare


def lost_statement() -> None:
    """A session did not have the statement that it should have. From now on this process prepares no statements."""
    StatementNames.has_lost_any = True
    _warn_once("database.prepared_statement_lost", fix=NEWER)


def _renames(raw: psycopg.Connection[Any]) -> bool:
    """Whether the pooler renames prepared statements."""
    cursor = psycopg.Cursor(raw, row_factory=tuple_row)
    # One session within the transaction.
    with raw.transaction():
        if raw.pgconn.prepare(PROBE, b"SELECT 1").status != pq.ExecStatus.COMMAND_OK:
            # Another process's probe is in the session, under the name that it gave.
            raise psycopg.Rollback
        if cursor.execute(KNOWS_PROBE).fetchall() == [(0,)]:
            return True
        cursor.execute(b"DEALLOCATE " + PROBE)
    return False


def _warn_once(event: str, *, fix: str) -> None:
    if event not in _told:
        _told.add(event)
        log.warning(event, fix=fix)
