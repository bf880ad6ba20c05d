"""Log lines while a server is away: one clear line instead of a traceback, whoever logs it.

A traceback shows where our code is wrong. When a server does not answer, the code is right, every task and request fails in the
same way, and only the server's name and its error help.
"""

import re
import sys
from collections.abc import Iterator, MutableMapping
from typing import Any

import amqp.exceptions
import django.db
import psycopg
import redis
from celery.beat import SchedulingError
from kombu.exceptions import OperationalError as BrokerError

from evermuse.errors import StoreUnavailable

# SQLSTATEs of a server that ends or refuses connections, has no room for one, or has become a standby. An error without a state
# comes from the connection itself.
_STATES = re.compile(r"08|57P0|53300|25006")
_SERVERS = (BrokerError, amqp.exceptions.ConnectionError, redis.ConnectionError, redis.TimeoutError, StoreUnavailable)
_CLOSED = (django.db.InterfaceError, psycopg.InterfaceError)
# Celery's own messages contain the whole error, or the stack of the caller behind the first line.
_TASKS = "celery.app.trace"
# A worker that answers for a message on a lost connection. The broker sends the message again, and it finds nothing to do.
_ANSWERS = re.compile("Couldn't (ack|reject) ")


def is_away(error: BaseException | None) -> bool:
    """Whether an exception, or what caused it, says that PostgreSQL, the broker, Redis or the object store is away."""
    return any(_says_so(one) for one in _causes(error))


def shorten(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that writes `is_away` errors without a traceback."""
    error = error_of(event.get("exc_info"))
    if error is None or not (is_away(error) or _is_lost_answer(error, str(event["event"]))):
        return event
    del event["exc_info"]
    if event.get("logger") == _TASKS:
        event["event"] = "task.server_away"
    elif not event.get("_from_structlog", True):
        event["event"] = str(event["event"]).strip().partition("\n")[0]
    if str(error) not in event["event"]:
        event.setdefault("error", f"{type(error).__name__}: {error}")
    return event


def _is_lost_answer(error: BaseException, text: str) -> bool:
    """Elsewhere an error of a socket may be one of our code."""
    return isinstance(error, OSError) and bool(_ANSWERS.match(text))


def join_lines(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that writes messages and errors in one line. It must come after the redaction, which finds rows in
    PostgreSQL's errors by their lines.
    """
    for name in ("event", "error"):
        if isinstance(event.get(name), str):
            event[name] = " ".join(event[name].split())
    return event


def _says_so(error: BaseException) -> bool:
    if isinstance(error, _CLOSED):
        return "connection" in str(error)
    if isinstance(error, psycopg.Error):
        if error.sqlstate is None:
            return isinstance(error, psycopg.OperationalError)
        return bool(_STATES.match(error.sqlstate))
    return isinstance(error, _SERVERS)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        # Beat wraps what the broker raises without naming it as the cause.
        error = error.__context__ if isinstance(error, SchedulingError) else error.__cause__


def error_of(exc_info: Any) -> BaseException | None:
    """The exception of a log event: given itself, as a tuple, or as True if it is being handled."""
    if exc_info is True:
        exc_info = sys.exc_info()
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    return exc_info if isinstance(exc_info, BaseException) else None
