"""The servers that a stack of the journeys uses, chosen by POOLER, BROKER, STORE and FROM_DEBIAN."""

import os
from contextlib import AbstractContextManager
from typing import Any, Protocol

from deploy.local.embedded import BUCKETS, Servers
from tests.parts import debian, moto, pgbouncer, rabbitmq, redis
from tests.parts.moto import Moto
from tests.parts.pgbouncer import PgBouncer
from tests.parts.postgres import DebianPostgreSQL
from tests.parts.rabbitmq import RabbitMQ
from tests.parts.redis import Redis, RedisBroker

POOLER, STORE = os.environ.get("POOLER", ""), os.environ.get("STORE", "")
BROKER = os.environ.get("BROKER", "") or "valkey"
# RabbitMQ with quorum queues and publisher confirms.
QUORUM = "rabbitmq-quorum"


class Broker(Protocol):
    """What faults need of a broker."""

    @property
    def name(self) -> str:
        """Its server's name."""

    def flush(self) -> None:
        """Removes all messages."""

    def waiting(self, queue: str) -> list[tuple[dict[str, Any], bytes]]:
        """The headers and the body of each message that no worker has taken."""

    def exhausted(self) -> AbstractContextManager[None]:
        """It accepts no message during the block."""


def fault() -> str | None:
    """Why the chosen parts cannot be used, or None."""
    if POOLER not in {"", "pgbouncer"}:
        return f"POOLER must be pgbouncer or empty, not {POOLER!r}"
    if BROKER not in {"valkey", "redis", "rabbitmq", QUORUM}:
        return f"BROKER must be valkey, redis, rabbitmq or {QUORUM}, not {BROKER!r}"
    if STORE not in {"", "moto"}:
        return f"STORE must be moto or empty, not {STORE!r}"
    if STORE and not moto.PYTHON:
        return moto.MISSING
    missing = [debian.missing(*sorted(debian.WANTED))]
    missing += [pgbouncer.missing()] if POOLER else []
    missing += [redis.missing()] if BROKER == "redis" else []
    missing += [rabbitmq.missing()] if BROKER in {"rabbitmq", QUORUM} else []
    return next(filter(None, missing), None)


def replace(servers: Servers) -> None:
    """Choose Debian's PostgreSQL, Redis and moto, before any server is started."""
    if "postgres" in debian.WANTED:
        servers.add(DebianPostgreSQL(servers.home, creates_databases=True))
    if BROKER == "redis":
        servers.add(Redis(servers.home))
    if STORE:
        servers.add(Moto(servers.home, buckets=BUCKETS))


def broker(servers: Servers, redis_url: str) -> tuple[Broker, dict[str, str]]:
    """The running broker, with the settings of its clients."""
    if BROKER not in {"rabbitmq", QUORUM}:
        return RedisBroker(redis_url), {"CELERY_BROKER_URL": redis_url}
    server = RabbitMQ(servers.home.root / "rabbitmq")
    _run(servers, server)
    return server, server.environment() | (rabbitmq.SAFEST if BROKER == QUORUM else {})


def pooled(servers: Servers, url: str) -> str:
    """The URL of a database, through the running pooler if one is chosen."""
    if not POOLER:
        return url
    server = PgBouncer(servers.home.root / "pgbouncer", url)
    _run(servers, server)
    return server.url(url)


def _run(servers: Servers, server: PgBouncer | RabbitMQ) -> None:
    servers.add(server)
    servers.start(server.name)
    servers.wait_ready(server.name)
