"""Rows of raw SQL as dataclasses: each column of the statement fills the field of its name."""

from collections.abc import Mapping
from typing import Any, TypeVar

import psycopg
from psycopg.rows import class_row

from evermuse.raw_connection import raw_connection

T = TypeVar("T")


def fetch(kind: type[T], statement: str, parameters: Mapping[str, Any]) -> list[T]:
    """All rows of a statement, in Django's connection and transaction. Raises Django's database errors.

    The client binds the values, as Django does. Statements that run often use `evermuse.prepared`.
    """
    with raw_connection() as raw, psycopg.ClientCursor(raw, row_factory=class_row(kind)) as cursor:
        cursor.execute(statement.encode(), parameters)
        return cursor.fetchall()


def expect_count(change: str, *, changed: int, expected: int) -> None:
    """Raise RuntimeError, which rolls the transaction back, unless a change of state reached the expected number of rows."""
    if changed != expected:
        raise RuntimeError(f"{change}: {expected} rows expected, {changed} changed")
