"""Statements that run for every request: prepared once for each connection, with parameters bound by the server.

Django's cursors bind parameters on the client, so PostgreSQL parses and plans the text each time. The plain way is
`evermuse.named_rows`; tests prove that both return the same.
"""

import re
import select
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from psycopg.rows import class_row, tuple_row

from evermuse import pooler, replica, statement_names
from evermuse.answer_deadline import NoAnswer
from evermuse.raw_connection import is_in_transaction, opened, raw_connection

# It is not documented that psycopg raises MemoryError on a lost connection. A test fails with any other version.
WRITTEN_FOR = {"psycopg": "3.3.9"}

T = TypeVar("T")
# The types that `value` can send.
Parameter = int | str | bytes | list[int]


class ConnectionLost(psycopg.OperationalError):
    """The connection was lost while a statement ran outside of a transaction: it may have been committed or not.

    A PostgreSQL that is stopped in time says so in an error with a code, and rolls the statement back. One that is killed, or a
    pooler, may end the connection between the commit and the answer.
    """


# What PgBouncer says when it loses PostgreSQL in the middle of a statement.
SESSION_CRASHED = "server conn crashed"
# How libpq begins a message of the server, in every language: its severity and two blanks. It loses the code of an error that is
# followed by the end of the connection.
_OF_THE_SERVER = re.compile(rb"[^:\n]+:  ")


class _OpenConnection:
    """A thread's connection with its cursor, and the names of the statements that `value` prepared there."""

    def __init__(self, raw: psycopg.Connection[Any]) -> None:
        self.raw, self.cursor, self.names = raw, psycopg.Cursor(raw), dict[bytes, bytes]()


class _ThreadsConnections(threading.local):
    """A thread's connections by database: the primary, and perhaps the standby."""

    def __init__(self) -> None:
        self.known: dict[str, _OpenConnection] = {}


# The function of PostgreSQL that refuses a plan whose result has another type now.
AGED_PLAN = "RevalidateCachedQuery"


class _Plans:
    """How often this process found that a plan had aged, because a migration changed a type."""

    age = 0


_mine = _ThreadsConnections()


def _of(raw: psycopg.Connection[Any]) -> _OpenConnection:
    """The connection's cursor and names. Those of a connection that was replaced by this one are forgotten."""
    found = _mine.known.get(replica.alias())
    if found is None or found.raw is not raw:
        found = _mine.known[replica.alias()] = _OpenConnection(raw)
    return found


def is_alive(alias: str | None = None) -> bool:
    """Whether this thread's connection is usable, as far as the client knows. True when none is open yet.

    An idle connection becomes readable only when the server closes it. ``alias``: as for `opened`.
    """
    raw = opened(alias)
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
    """All rows of a statement, in Django's connection and transaction. Raises Django's database errors.

    ``binary``: PostgreSQL sends them in its binary format, which is much shorter for bytea.
    """
    found: list[tuple[Any, ...]] = _fetch(tuple_row, statement, parameters, binary)
    return found


def rows_of(kind: type[T], statement: str, parameters: Mapping[str, Any], *, binary: bool = False) -> list[T]:
    """Like `rows`, with each row as a ``kind``: each column fills the field of its name."""
    found: list[T] = _fetch(_row_factory(kind), statement, parameters, binary)
    return found


_row_factory: Any = cache(class_row)


def _fetch(row_factory: Any, statement: str, parameters: Any, binary: bool) -> Any:
    with raw_connection() as raw:
        cursor = _of(raw).cursor
        cursor.row_factory = row_factory

        def run(prepare: bool) -> Any:
            cursor.execute(_text(statement).encode(), parameters, prepare=prepare, binary=binary)
            return cursor.fetchall()

        return _run(raw, run)


def rows_of_several(*statements: tuple[type | None, str, Mapping[str, Any]]) -> list[list[Any]]:
    """The rows of several statements, in one round trip and one transaction.

    A statement comes with the class of its rows, as in `rows_of`, or None for tuples. Each statement sees what was committed
    before it, also while an earlier one waited for a lock.
    """
    with raw_connection() as raw:

        def run(prepare: bool) -> list[list[Any]]:
            with raw.pipeline():
                # psycopg would search a statement of more than 4,096 bytes for its placeholders each time.
                cursors = [
                    psycopg.RawCursor(raw, row_factory=tuple_row if kind is None else _row_factory(kind))
                    for kind, _, _ in statements
                ]
                for cursor, (_, statement, parameters) in zip(cursors, statements, strict=True):
                    text, names = _numbered(_text(statement))
                    cursor.execute(text, [parameters[name] for name in names], prepare=prepare)
                return [cursor.fetchall() for cursor in cursors]

        return _run(raw, run)


def _run(raw: psycopg.Connection[Any], run: Callable[[bool], T]) -> T:
    """Run prepared statements. If a session lost one, or a plan has aged, run them again unprepared.

    PostgreSQL raises these errors before it runs the statement. In a transaction nothing can run after an error, so it is
    raised, and the caller's retry finds statements that work.
    """
    # Django turns prepared statements off, because its own statements contain their values.
    raw.prepare_threshold = 0
    try:
        return run(True)
    except pooler.LOST as error:
        pooler.lost_statement()
        if raw.info.transaction_status != pq.TransactionStatus.IDLE:
            raise psycopg.OperationalError("a pooler lost a prepared statement: try again") from error
    except psycopg.errors.FeatureNotSupported as error:
        if error.diag.source_function != AGED_PLAN:
            raise
        _Plans.age += 1
        if raw.info.transaction_status != pq.TransactionStatus.IDLE:
            raise
    finally:
        raw.prepare_threshold = None
    return run(False)


def _text(statement: str) -> str:
    """The statement, with a comment if plans have aged: a pooler keeps plans by their text."""
    return f"{statement} /* {_Plans.age} */" if _Plans.age else statement


def value(statement: str, parameters: Mapping[str, Parameter]) -> str | None:
    """The first value of a statement's row as PostgreSQL writes it, None without a row. Raises like `rows`.

    For statements that every request runs. Outside of a transaction they go to libpq directly, because psycopg's Python
    code would take longer than PostgreSQL. PostgreSQL must be able to infer each parameter's type from the statement.
    """
    if is_in_transaction():
        found = rows(statement, parameters)
        return None if not found else str(found[0][0])
    with raw_connection() as raw:
        known = _of(raw).names
        server = raw.pgconn
        text, names = _numbered(_text(statement))
        given = [parameters[name] for name in names]
        formats = [isinstance(parameter, bytes) for parameter in given]
        sent = [_written(parameter) for parameter in given]

        def run(prepare: bool) -> "pq.abc.PGresult":
            raw.waits_since = time.monotonic()
            try:
                if prepare and pooler.may_prepare(raw):
                    result = server.exec_prepared(_name(server, text, known), sent, formats)
                else:
                    result = server.exec_params(text, sent, param_formats=formats)
            except MemoryError:  # psycopg raises it when libpq returns no result, as it does on a lost connection
                raise psycopg.OperationalError(server.get_error_message()) from None
            finally:
                raw.waits_since = 0.0
            return _checked(result, pq.ExecStatus.TUPLES_OK)

        try:
            result = _run(raw, run)
        except psycopg.OperationalError as error:
            if raw.is_overdue:
                raise NoAnswer(str(error)) from error
            if _may_be_committed(raw, error):
                raise ConnectionLost(str(error)) from error
            raise
        return None if not result.ntuples else (result.get_value(0, 0) or b"").decode()


def _may_be_committed(raw: psycopg.Connection[Any], error: psycopg.OperationalError) -> bool:
    """Whether a statement outside of a transaction may have been committed although it raised this error."""
    if pooler.is_pooled(raw):
        return error.sqlstate is None or SESSION_CRASHED in str(error)
    return error.sqlstate is None and _OF_THE_SERVER.match(raw.pgconn.error_message) is None


def _name(server: "pq.abc.PGconn", text: bytes, known: dict[bytes, bytes]) -> bytes:
    """The name of a statement on this connection, on which it is prepared first."""
    if text not in known:
        name = statement_names.name_of(text)
        _checked(server.prepare(name, text), pq.ExecStatus.COMMAND_OK)
        known[text] = name
    return known[text]


@cache
def _numbered(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement with libpq's placeholders ($1, $2, ...), and the names of the parameters in their order."""
    names: dict[str, int] = {}
    text = re.sub(r"%\((\w+)\)s", lambda match: f"${names.setdefault(match[1], len(names) + 1)}", statement)
    return text.encode(), tuple(names)


def _written(parameter: Parameter) -> bytes:
    if isinstance(parameter, bytes):
        return parameter
    if isinstance(parameter, list):
        return b"{%b}" % ",".join(map(str, parameter)).encode()
    return str(parameter).encode()


def _checked(result: "pq.abc.PGresult", expected: pq.ExecStatus) -> "pq.abc.PGresult":
    if result.status != expected:
        message = result.get_error_message()
        # An error without a code is libpq's own.
        if not result.error_field(pq.DiagnosticField.SQLSTATE) or SESSION_CRASHED in message:
            raise psycopg.OperationalError(message)
        raise psycopg.errors.error_from_result(result)
    return result
