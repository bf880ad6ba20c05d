"""The broker of the tests' servers, empty, and without wake-ups of earlier tests that come late."""

import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator

import pytest
import redis

from deploy.local.embedded import Servers
from evermuse import wake
from evermuse.celery import LANDING

# No batch has this number.
MARK = 0


@pytest.fixture
def broker(servers: Servers) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(servers.environment["CELERY_BROKER_URL"]) as client:
        client.flushdb()
        finish(wake.landing, client)
        yield client
        client.flushdb()


def finish(add: Callable[[int], None], client: "redis.Redis") -> None:
    """Empties the broker once all that was added has been published: one thread publishes in order."""
    add(MARK)
    wait_until(lambda: any(MARK in _batches(message) for message in client.lrange(LANDING, 0, -1)))
    client.flushdb()


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits half a minute at most."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _batches(message: bytes | str) -> list[int]:
    args, _, _ = json.loads(b64decode(json.loads(message)["body"]))
    found: list[int] = args[0]
    return found
