"""Statements that run for every request: prepared once a connection, parameters bound by the server.

Django's cursors bind on the client's side, so that PostgreSQL parses and plans each text anew.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection


def rows(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All rows of a statement of ours, in Django's connection and transaction. Raises Django's database errors."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        raw: psycopg.Connection[Any] = connection.connection
        # Django switches preparing off for the connection: its own texts hold their values.
        raw.prepare_threshold = 0
        try:
            with psycopg.Cursor(raw) as cursor:
                cursor.execute(statement.encode(), parameters, prepare=True)
                return cursor.fetchall()
        finally:
            raw.prepare_threshold = None
