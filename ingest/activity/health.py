"""Whether the servers that the product needs answer, each within about a second."""

import select
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import redis
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, NotSupportedError, OperationalError, ProgrammingError, connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from kombu import Connection

from evermuse import ended_connections, logs, replica
from evermuse.celery import app
from evermuse.errors import DATABASE_AWAY
from evermuse.raw_connection import raw_connection
from lake import object_store

OK, AWAY = "ok", "away"
# PostgreSQL answers, but its version is too old, or migrations of this code are missing.
UNSUPPORTED, NOT_MIGRATED = "unsupported", "not migrated"
# What a process of each role cannot work without.
NEEDED = {
    "web": ("database",),
    "landing": ("database", "objectStore"),
    "attachments": ("database", "objectStore"),
    "maintenance": ("database", "objectStore"),
    "beat": ("broker",),
}
TIMEOUT_SECONDS = 1.5

log = logs.get(__name__)
_threads = ThreadPoolExecutor(6, thread_name_prefix="health")


def check() -> dict[str, str]:
    """``ok`` or what is wrong, for the database, the broker, Redis (rate limits), the object store and the standby."""
    probes = {"broker": _broker, "redis": _redis, "objectStore": object_store.is_up}
    if replica.is_configured():
        probes["replica"] = _replica
    asked = {name: _threads.submit(probe) for name, probe in probes.items()}
    found = {"database": _database()}
    for name, answer in asked.items():
        found[name] = OK if _result(answer.result) else AWAY
    return found


def _result(wait: Callable[[float], bool]) -> bool:
    try:
        return wait(TIMEOUT_SECONDS)
    except TimeoutError:
        return False


def _database() -> str:
    try:
        # Whether PostgreSQL answers now, only a new connection shows.
        ended_connections.close(DEFAULT_DB_ALIAS)
        _require_answer()
        return OK if _is_migrated() else NOT_MIGRATED
    except NotSupportedError as error:
        log.error("readiness.database_unsupported", error=str(error).strip()[:200])
        return UNSUPPORTED
    except DATABASE_AWAY as error:
        log.warning("readiness.database_away", error=str(error).strip()[:200])
        connection.close()
        return AWAY


def _require_answer() -> None:
    """Raise OperationalError if PostgreSQL is silent. Its own time limits do not help when the server is frozen.

    psycopg waits for an answer without an end, so this sends its query by libpq.
    """
    with raw_connection() as raw:
        server = raw.pgconn
        server.send_query(b"SELECT 1")
        answers = select.poll()
        answers.register(server.socket, select.POLLIN)
        ends_at = time.monotonic() + TIMEOUT_SECONDS
        while server.is_busy():
            if not answers.poll(max(0.0, ends_at - time.monotonic()) * 1000):
                raw.close()
                raise OperationalError(f"no answer within {TIMEOUT_SECONDS} s")
            server.consume_input()
        while server.get_result():
            pass


def _is_migrated() -> bool:
    """Whether every migration of this code is applied. Later migrations, of newer code, are allowed."""
    try:
        return _last_migrations() <= MigrationRecorder(connection).applied_migrations().keys()
    except ProgrammingError:
        return False


@cache
def _last_migrations() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).graph.leaf_nodes())


def _replica() -> bool:
    """Whether the standby may be used for reads."""
    try:
        ended_connections.close(replica.ALIAS)
        seconds = replica.lag()
    except DATABASE_AWAY:
        connections[replica.ALIAS].close()
        return False
    return seconds is not None and seconds <= settings.EVERMUSE_REPLICA_MAX_LAG_SECONDS


def _broker() -> bool:
    options = {"socket_timeout": 1, "socket_connect_timeout": 1, "max_retries": 0}
    try:
        with Connection(
            app.conf.broker_write_url, ssl=app.conf.broker_use_ssl, connect_timeout=1, transport_options=options
        ) as broker:
            broker.connect()
            channel = broker.default_channel
            if hasattr(channel, "client"):
                channel.client.ping()
        return True
    except Exception:  # kombu's transports raise errors of many libraries
        return False


def _redis() -> bool:
    try:
        with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1, retry=None) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
