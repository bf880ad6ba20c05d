"""How many of PostgreSQL's connections are in use, so that the limit is noticed before one is refused."""

from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from evermuse import logs

log = logs.get(__name__)

# Some are left for the next process, a migration and a person with psql.
WARN_SHARE = 0.8
# Every role may see these counts. In pg_stat_activity, most see only their own sessions.
USED = """
SELECT sum(numbackends)::int, current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
  - coalesce(current_setting('reserved_connections', true)::int, 0)
FROM pg_stat_database
"""


@dataclass(frozen=True, slots=True)
class ConnectionBudget:
    """Connections of all clients of the server. ``allowed``: without those that are reserved for administrators."""

    used: int
    allowed: int

    @property
    def is_short(self) -> bool:
        """Whether more than `WARN_SHARE` of them are in use."""
        return self.used > WARN_SHARE * self.allowed


def read(connection: BaseDatabaseWrapper | None = None) -> ConnectionBudget:
    """What the server reports now."""
    with (connection or connections[DEFAULT_DB_ALIAS]).cursor() as cursor:
        cursor.execute(USED)
        return ConnectionBudget(*cursor.fetchone())


def warn_if_short(connection: BaseDatabaseWrapper) -> None:
    """Log a warning, when a process starts, if few connections are left."""
    budget = read(connection)
    if budget.is_short:
        log.warning(
            "database.connections_short",
            used=budget.used,
            allowed=budget.allowed,
            fix="raise max_connections, or put PgBouncer in front of PostgreSQL",
        )
