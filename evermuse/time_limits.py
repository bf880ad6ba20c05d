"""Sets and lifts the time limits of `evermuse.session_limits`.

A pooler does not pass on the options that sessions start with. So behind one the limits are defaults of the role.
"""

from django.db import connection
from psycopg import sql

from evermuse import pooler
from evermuse.raw_connection import raw_connection
from evermuse.session_limits import ALL, LIMITS


def set_for_role() -> list[str]:
    """Behind a pooler, make the limits defaults of our role in our database. Returns the names of those that were not limited.

    PostgreSQL lets each role set its own defaults. Sessions that the pooler has open do not have them yet.
    """
    with raw_connection() as raw:
        if not pooler.is_pooled(raw):
            return []
    missing = [name for name, value in _current().items() if value == "0" and name in LIMITS]
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_database()")
        database = sql.Identifier(cursor.fetchone()[0])
        for name in missing:
            change = sql.SQL("ALTER ROLE CURRENT_USER IN DATABASE {} SET {} = {}")
            cursor.execute(change.format(database, sql.Identifier(name), sql.Literal(LIMITS[name])))
    return missing


def lift() -> bool:
    """End all limits of this thread's connection. False behind a pooler, which would hand the session to others."""
    with raw_connection() as raw:
        if pooler.is_pooled(raw):
            return not any(value != "0" for value in _current().values())
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(name, '0', false) FROM pg_settings WHERE name = ANY(%s)", [list(ALL)])
    return True


def _current() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", [list(ALL)])
        return dict(cursor.fetchall())
