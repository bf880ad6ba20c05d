"""A streaming standby of PostgreSQL that answers reads: ``DATABASE_REPLICA_URL``.

Within `reading`, every read of this thread goes to the standby: Django's queries by `Router`, raw SQL by
`evermuse.raw_connection`. Only callers that check that the standby has what they need use it: lists of records by their horizon
(`lake.standby`), everything else by the position of the WAL (`read_current`). Whatever goes wrong there, they read from the primary.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DataError, Error, connections

from evermuse import logs, replica_reads, retry_policy

log = logs.get(__name__)

T = TypeVar("T")
ALIAS = "replica"
# A query that would block the replay of changes is cancelled. Another one succeeds.
CONFLICTS = {"40001", "57014"}

# Seconds since the last transaction of the primary that the standby has replayed. NULL: it is no standby (any more), or has
# replayed nothing since its start. An idle primary makes this number grow, so it is never too small.
LAG = """
SELECT CASE WHEN pg_is_in_recovery() THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float END
"""

# What was committed when this is read is in the WAL up to here.
WRITTEN = "SELECT pg_current_wal_flush_lsn()::text"
HAS_REPLAYED = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
# How long a read waits for the standby, which usually follows within some milliseconds.
REPLAY_SECONDS, STEP_SECONDS = 0.1, 0.005


class _Route(threading.local):
    alias = DEFAULT_DB_ALIAS


class _Process:
    """What this process knows of the standby. ``fault``: empty while it is used."""

    retry_at = 0.0
    fault = ""


_mine = _Route()


class NotUsable(Exception):
    """The standby does not have what the caller needs. The message says why."""


def alias() -> str:
    """The database that this thread reads from."""
    return _mine.alias


def is_configured() -> bool:
    """Whether the deployment has a standby."""
    return ALIAS in connections.settings


def may_try() -> bool:
    """Whether the standby is configured, and had no fault within the last seconds."""
    return is_configured() and time.monotonic() >= _Process.retry_at


@contextmanager
def reading() -> Iterator[None]:
    """Send this thread's reads to the standby during the block.

    Raises NotUsable if it does not answer, lags behind or is no standby; another fault during the block as NotUsable, too.
    Raises DataError: the primary would refuse the query's values as well.
    """
    _mine.alias = ALIAS
    try:
        _check_lag()
        yield
    except DataError:
        raise
    except Error as error:
        # Also a table or column that a migration has added on the primary, and that is not replayed yet.
        _mine.alias = DEFAULT_DB_ALIAS
        connections[ALIAS].close()
        if getattr(error.__cause__, "sqlstate", None) not in CONFLICTS:
            _set_fault(f"it does not answer: {type(error.__cause__ or error).__name__}")
        raise NotUsable(str(error).strip()[:200]) from error
    finally:
        _mine.alias = DEFAULT_DB_ALIAS


def read_current(page: Callable[[], T]) -> T:
    """The result of ``page``, from the standby once it has replayed all that the primary has committed by now.

    If that takes too long, or something goes wrong, it comes from the primary. ``page`` must only read, because it may be called
    twice.
    """
    if not may_try():
        return read_from_primary(page)
    needed = _first(DEFAULT_DB_ALIAS, WRITTEN)
    return read_from_standby(page, check=lambda: _await_replay(needed))


def read_from_standby(page: Callable[[], T], *, check: Callable[[], None] = lambda: None) -> T:
    """The result of ``page`` from the standby, after ``check``; from the primary if that or ``page`` raises NotUsable."""
    try:
        with reading():
            check()
            found = page()
    except NotUsable as reason:
        log.debug("replica.read_from_primary", reason=str(reason))
        return read_from_primary(page)
    replica_reads.counts.add(replica_reads.STANDBY)
    return found


def read_from_primary(page: Callable[[], T]) -> T:
    """The result of ``page``, which the standby could not answer. It counts as such if there is one."""
    if is_configured():
        replica_reads.counts.add(replica_reads.PRIMARY)
    return page()


def _await_replay(needed: str) -> None:
    ends_at = time.monotonic() + REPLAY_SECONDS
    while not _first(ALIAS, HAS_REPLAYED, [needed]):
        if time.monotonic() >= ends_at:
            raise NotUsable("it has not replayed the primary's last changes")
        time.sleep(STEP_SECONDS)


def _first(database: str, statement: str, parameters: Any = None) -> Any:
    with connections[database].cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchone()[0]


def lag() -> float | None:
    """Seconds that the standby lags behind, or None if it is no standby. Raises Django's database errors."""
    found: float | None = _first(ALIAS, LAG)
    return found


def _check_lag() -> None:
    seconds = lag()
    if seconds is None or seconds > settings.EVERMUSE_REPLICA_MAX_LAG_SECONDS:
        fault = "it is not a standby" if seconds is None else "it lags behind"
        _set_fault(fault)
        raise NotUsable(fault)
    if _Process.fault:
        _Process.fault = ""
        log.info("replica.used_again")


def _set_fault(fault: str) -> None:
    """Do not use the standby for some seconds. Logged once, until it is used again."""
    _Process.retry_at = time.monotonic() + retry_policy.STANDBY.backoff(1)
    if fault != _Process.fault:
        _Process.fault = fault
        log.warning("replica.not_used", reason=fault, fix="reads go to the primary until the standby has recovered")


class Router:
    """For ``DATABASE_ROUTERS``. Migrations never run on the standby."""

    def db_for_read(self, model: type, **hints: Any) -> str | None:
        """The standby within `reading`."""
        return None if _mine.alias == DEFAULT_DB_ALIAS else _mine.alias

    def db_for_write(self, model: type, **hints: Any) -> str:
        """The primary, also for rows that were read from the standby."""
        return DEFAULT_DB_ALIAS

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Only on the primary."""
        return False if db == ALIAS else None
