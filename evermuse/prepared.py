"""Statements that run for every request: prepared once a connection, parameters bound by the server.

Django's cursors bind on the client's side, so that PostgreSQL parses and plans each text anew.
"""

import threading
from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import connection


def rows(statement: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """All rows of a statement of ours, in Django's connection and transaction. Raises Django's database errors."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        raw: psycopg.Connection[Any] = connection.connection
        if _kept.cursor is None or _kept.cursor.connection is not raw:
            _kept.cursor = psycopg.Cursor(raw)
        # Django switches preparing off for the connection: its own texts hold their values.
        raw.prepare_threshold = 0
        try:
            _kept.cursor.execute(statement.encode(), parameters, prepare=True)
            return _kept.cursor.fetchall()
        finally:
            raw.prepare_threshold = None


class _Kept(threading.local):
    """This thread's cursor: it remembers how the values of a connection are read and written."""

    cursor: psycopg.Cursor[Any] | None = None


_kept = _Kept()
