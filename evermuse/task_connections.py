"""Database connections of tasks: kept from one task to the next, and checked before each.

Celery closes a task's connection before and after the task. A new connection costs a login, the caches of its backend and
every prepared plan.
"""

import sys

import psycopg
from django.db import close_old_connections, connection

from evermuse import pooler, timelines

# Neither the setting that Celery's support for Django reads (`celery.fixups.django`) nor Django's
# `close_if_health_check_failed` is documented. A test fails with any other version.
WRITTEN_FOR = {"celery": "5.7.0", "django": "5.2.19"}

# Celery closes a connection after this many tasks.
TASKS_PER_CONNECTION = sys.maxsize


def check() -> None:
    """Close this thread's connection if it broke since the last task. The next statement opens another one.

    A connection through a pooler outlives a failover, so it is searched for a new timeline here, too.
    """
    close_old_connections()
    connection.close_if_health_check_failed()
    raw = connection.connection
    if raw is not None and pooler.is_pooled(raw):
        try:
            timelines.look(raw)
        except psycopg.Error:
            # The next connection is refused for the same reason, and the task reports it.
            connection.close()
