"""Other sessions in the test's database, and the locks that they hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from django.db import connection


@contextmanager
def another_session() -> Iterator[psycopg.Connection[Any]]:
    """A separate connection to the test's database; its transaction is rolled back at the end."""
    with psycopg.connect(**connection.get_connection_params() | {"cursor_factory": psycopg.Cursor}) as other:
        yield other
        other.rollback()


@contextmanager
def locked(record_id: UUID) -> Iterator[None]:
    """Another session holds a lock on a row of the index."""
    with another_session() as other:
        other.execute("SELECT FROM lake_record WHERE id = %s FOR UPDATE", [record_id])
        yield
