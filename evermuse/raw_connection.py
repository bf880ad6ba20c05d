"""psycopg's connection below Django's: the one module that uses these internals of Django."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connections

from evermuse import replica
from evermuse.answer_deadline import WatchedConnection

# `ensure_connection`, `connection` and `wrap_database_errors` of Django's wrapper are not documented. A test fails with any
# other version.
WRITTEN_FOR = {"django": "5.2.19"}


@contextmanager
def raw_connection() -> Iterator[WatchedConnection]:
    """This thread's connection, in Django's transaction. Opens it if needed; psycopg's errors become Django's.

    Within `replica.reading` it is the connection to the standby.
    """
    connection = connections[replica.alias()]
    connection.ensure_connection()
    with connection.wrap_database_errors:
        yield connection.connection


def opened(alias: str | None = None) -> WatchedConnection | None:
    """This thread's connection if it is open, else None. ``alias``: of which database, else the one of `raw_connection`."""
    found: WatchedConnection | None = connections[alias or replica.alias()].connection
    return found


def is_in_transaction() -> bool:
    """Whether Django holds a transaction open on this thread's connection."""
    return bool(connections[replica.alias()].in_atomic_block)
