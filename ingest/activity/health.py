"""Whether the servers that the product needs answer, each within about a second."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import redis
from django.conf import settings
from django.db import connection
from kombu import Connection

from evermuse.celery import app
from evermuse.errors import DATABASE_AWAY
from lake import object_store

OK, AWAY = "ok", "away"
TIMEOUT_SECONDS = 1.5
_threads = ThreadPoolExecutor(6, thread_name_prefix="health")


def check() -> dict[str, str]:
    """``ok`` or ``away`` for the database, the broker, Redis (rate limits) and the object store."""
    asked = {
        name: _threads.submit(probe)
        for name, probe in {"broker": _broker, "redis": _redis, "objectStore": object_store.is_up}.items()
    }
    found = {"database": OK if _database() else AWAY}
    for name, answer in asked.items():
        found[name] = OK if _result(answer.result) else AWAY
    return found


def _result(wait: Callable[[float], bool]) -> bool:
    try:
        return wait(TIMEOUT_SECONDS)
    except TimeoutError:
        return False


def _database() -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            return bool(cursor.fetchone())
    except DATABASE_AWAY:
        connection.close()
        return False


def _broker() -> bool:
    options = {"socket_timeout": 1, "socket_connect_timeout": 1, "max_retries": 0}
    try:
        with Connection(
            app.conf.broker_url, ssl=app.conf.broker_use_ssl, connect_timeout=1, transport_options=options
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
