"""Statements that run for every request: prepared once a connection, parameters bound by the server.

Django's cursors bind on the client's side, so that PostgreSQL parses and plans each text anew.
"""

import re
import select
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import count
from typing import Any

import psycopg
from django.db import connection
from psycopg import pq

# What `value` can send.
Parameter = int | str | bytes | list[int]


class _Kept(threading.local):
    """What a thread keeps of its connection: a cursor, and the names of what is prepared there."""

    raw: psycopg.Connection[Any] | None = None
    cursor: psycopg.Cursor[Any]
    names: dict[str, bytes]


_kept = _Kept()


def _connection() -> psycopg.Connection[Any]:
    raw: psycopg.Connection[Any] = connection.connection
    if _kept.raw is not raw:
        _kept.raw, _kept.cursor, _kept.names = raw, psycopg.Cursor(raw), {}
    return raw


def is_alive() -> bool:
    """Whether this thread's connection stands, as far as this side knows: a server that goes away closes it, and an idle
    connection has nothing else to read. One that is not open yet will be opened."""
    raw = connection.connection
    if raw is None:
        return True
    if raw.closed:
        return False
    poll = select.poll()
    poll.register(raw.fileno(), select.POLLIN)
    return not poll.poll(0)


def rows(
    statement: str, parameters: Sequence[Any] | Mapping[str, Any], *, binary: bool = False
) -> list[tuple[Any, ...]]:
    """All rows of a statement of ours, in Django's connection and transaction. Raises Django's database errors.

    ``binary``: how PostgreSQL sends them; much less for bytea.
    """
    connection.ensure_connection()
    with connection.wrap_database_errors:
        raw = _connection()
        # Django switches preparing off for the connection: its own texts hold their values.
        raw.prepare_threshold = 0
        try:
            _kept.cursor.execute(statement.encode(), parameters, prepare=True, binary=binary)
            return _kept.cursor.fetchall()
        finally:
            raw.prepare_threshold = None


def rows_under(lock: str, *statements: tuple[str, Mapping[str, Any]]) -> list[list[tuple[Any, ...]]]:
    """The same for some statements after one that locks, in one round trip and one transaction: they see what the lock
    waited for. The rows of each."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        raw = _connection()
        raw.prepare_threshold = 0
        try:
            with raw.pipeline():
                raw.execute(lock.encode())
                cursors = [psycopg.Cursor(raw) for _ in statements]
                for cursor, (statement, parameters) in zip(cursors, statements, strict=True):
                    cursor.execute(statement.encode(), parameters, prepare=True)
                return [cursor.fetchall() for cursor in cursors]
        finally:
            raw.prepare_threshold = None


def value(statement: str, parameters: Sequence[Parameter]) -> str | None:
    """The first value of a statement's row as PostgreSQL writes it, None without a row. Raises like `rows`.

    Outside of a transaction it goes to libpq directly, with as little Python as can be: for what each request does.
    PostgreSQL must see each parameter's type in the statement.
    """
    connection.ensure_connection()
    if connection.in_atomic_block:
        found = rows(statement, parameters)
        return None if not found else str(found[0][0])
    with connection.wrap_database_errors:
        server = _connection().pgconn
        formats = [isinstance(parameter, bytes) for parameter in parameters]
        sent = [_written(parameter) for parameter in parameters]
        try:
            result = server.exec_prepared(_name(server, statement), sent, formats)
            if result.error_field(pq.DiagnosticField.SQLSTATE) in _IS_PREPARED_NO_MORE:
                # Said before it ran. After a ROLLBACK psycopg has the server forget all; a migration may change a result.
                _kept.names.clear()
                result = server.exec_prepared(_name(server, statement), sent, formats)
        except MemoryError:  # psycopg's word for no result at all, which is what a lost connection gives
            raise psycopg.OperationalError(server.get_error_message()) from None
        _checked(result, pq.ExecStatus.TUPLES_OK)
        return None if not result.ntuples else (result.get_value(0, 0) or b"").decode()


_serial = count(1)
_IS_PREPARED_NO_MORE = {b"26000", b"0A000"}


def _name(server: "pq.abc.PGconn", statement: str) -> bytes:
    """What a statement is prepared as on this connection; never a name that was used before."""
    if statement not in _kept.names:
        name = b"evermuse_%d" % next(_serial)
        _checked(server.prepare(name, _numbered(statement)), pq.ExecStatus.COMMAND_OK)
        _kept.names[statement] = name
    return _kept.names[statement]


@cache
def _numbered(statement: str) -> bytes:
    """With libpq's placeholders."""
    numbers = count(1)
    return re.sub("%s", lambda _: f"${next(numbers)}", statement).encode()


def _written(parameter: Parameter) -> bytes:
    if isinstance(parameter, bytes):
        return parameter
    if isinstance(parameter, list):
        return b"{%b}" % ",".join(map(str, parameter)).encode()
    return str(parameter).encode()


def _checked(result: "pq.abc.PGresult", expected: pq.ExecStatus) -> None:
    if result.status != expected:
        if not result.error_field(pq.DiagnosticField.SQLSTATE):  # not the server's: it is gone
            raise psycopg.OperationalError(result.get_error_message())
        raise psycopg.errors.error_from_result(result)
