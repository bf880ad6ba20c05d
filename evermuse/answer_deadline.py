"""Ends connections to a PostgreSQL that has stopped answering, so that a request waits a limited time.

PostgreSQL's own time limits need a PostgreSQL that runs. While its process or its machine is frozen, the kernel still
acknowledges what we send, so no time limit of TCP applies either.

A thread looks for connections that have waited too long, and shuts their sockets down. libpq then reports a lost connection in
the thread that waits, also in C code. A statement costs two assignments more.
"""

import os
import socket
import threading
import time
import weakref
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import psycopg

from evermuse import logs

log = logs.get(__name__)

LOOK_SECONDS = 1.0


class NoAnswer(psycopg.OperationalError):
    """PostgreSQL did not answer in time, and the connection was closed. What was sent may be carried out later, or not."""


class WatchedConnection(psycopg.Connection[Any]):
    """psycopg's connection, which says since when it has waited for an answer: a time of the monotonic clock, 0 if it does not.

    ``is_overdue``: it waited too long, and cannot be used any more.
    """

    waits_since = 0.0
    is_overdue = False

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        with _lock:
            _open.add(self)

    def wait(self, *arguments: Any, **options: Any) -> Any:
        """psycopg's. Raises NoAnswer."""
        self.waits_since = time.monotonic()
        try:
            return super().wait(*arguments, **options)
        except psycopg.OperationalError as error:
            if self.is_overdue:
                raise NoAnswer(str(error)) from error
            raise
        finally:
            self.waits_since = 0.0


# What Django uses of psycopg, with our connection.
Database: Any = SimpleNamespace(**{**vars(psycopg), "connect": WatchedConnection.connect})

_lock = threading.Lock()
_open: weakref.WeakSet[WatchedConnection] = weakref.WeakSet()


def start(seconds: float) -> None:
    """Limit the waits of all connections of this process."""
    threading.Thread(target=_look, args=(seconds,), name="answer-deadline", daemon=True).start()


def _look(seconds: float) -> None:
    while True:
        time.sleep(min(LOOK_SECONDS, seconds / 4))
        end_waits(seconds)


def end_waits(seconds: float) -> None:
    """Shut down the connections that have waited longer than this."""
    with _lock:
        found = list(_open)
    for raw in found:
        since = raw.waits_since
        if since and time.monotonic() - since > seconds:
            _end(raw, since)


def _end(raw: WatchedConnection, since: float) -> None:
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(raw.fileno())) as copy:
        # If the connection still waits for the same answer, it was its socket that was copied, and not a later one.
        if raw.waits_since == since:
            raw.is_overdue = True
            copy.shutdown(socket.SHUT_RDWR)
            log.error("database.no_answer", seconds=round(time.monotonic() - since))
