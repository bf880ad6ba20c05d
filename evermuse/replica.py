"""A streaming standby of PostgreSQL that answers reads: ``DATABASE_REPLICA_URL``.

Within `reading`, every read of this thread goes to the standby: Django's queries by `Router`, raw SQL by
`evermuse.raw_connection`. Only callers that check that the standby has what they need use it (`lake.standby`). Whatever goes
wrong there, they read from the primary.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections

from evermuse import logs

log = logs.get(__name__)

ALIAS = "replica"
# After a fault, the standby is tried again after this many seconds.
RETRY_SECONDS = 5.0
# A query that would block the replay of changes is cancelled. Another one succeeds.
CONFLICTS = {"40001", "57014"}

# Seconds since the last transaction of the primary that the standby has replayed. NULL: it is no standby (any more), or has
# replayed nothing since its start. An idle primary makes this number grow, so it is never too small.
LAG = """
SELECT CASE WHEN pg_is_in_recovery() THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float END
"""


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
    """
    _mine.alias = ALIAS
    try:
        _check_lag()
        yield
    except Error as error:
        # Also a table or column that a migration has added on the primary, and that is not replayed yet.
        _mine.alias = DEFAULT_DB_ALIAS
        connections[ALIAS].close()
        if getattr(error.__cause__, "sqlstate", None) not in CONFLICTS:
            _set_fault(f"it does not answer: {type(error.__cause__ or error).__name__}")
        raise NotUsable(str(error).strip()[:200]) from error
    finally:
        _mine.alias = DEFAULT_DB_ALIAS


def lag() -> float | None:
    """Seconds that the standby lags behind, or None if it is no standby. Raises Django's database errors."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute(LAG)
        found: tuple[float | None] = cursor.fetchone()
        return found[0]


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
    """Leave the standby alone for some seconds. Logged once, until it is used again."""
    _Process.retry_at = time.monotonic() + RETRY_SECONDS
    if fault != _Process.fault:
        _Process.fault = fault
        log.warning("replica.not_used", reason=fault, fix="reads go to the primary until the standby has recovered")


class Router:
    """For ``DATABASE_ROUTERS``. Migrations never run on the standby."""

    def db_for_read(self, model: type, **hints: Any) -> str | None:
        """The standby within `reading`."""
        return None if _mine.alias == DEFAULT_DB_ALIAS else _mine.alias

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Only on the primary."""
        return False if db == ALIAS else None
