"""The broker of the tests' servers, empty, and without wake-ups of earlier tests that come late."""

import itertools
import json
import time
from base64 import b64decode
from collections.abc import Callable, Iterator

import pytest
import redis

from deploy.local.embedded import Servers
from evermuse import wake
from evermuse.celery import LANDING

# No batch has these numbers.
MARKS = itertools.count(0, -1)


@pytest.fixture
def broker(servers: Servers) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(servers.environment["CELERY_BROKER_URL"]) as client:
        client.flushdb()
        finish(wake.landing, client)
        yield client
        client.flushdb()


def finish(add: Callable[[int], None], client: "redis.Redis") -> None:
    """Empties the broker once all that was added has been published: one thread publishes in order.

    A message names a limited number of batches. If many have gathered, the mark is not among them, and the next one is.
    """
    deadline = time.monotonic() + 60
    mark = add_mark(add)
    asked_at = time.monotonic()
    while not any(mark in _batches(message) for message in client.lrange(LANDING, 0, -1)):
        assert time.monotonic() < deadline
        if time.monotonic() > asked_at + 2:
            client.flushdb()
            mark, asked_at = add_mark(add), time.monotonic()
        time.sleep(0.005)
    client.flushdb()


def add_mark(add: Callable[[int], None]) -> int:
    """Adds the number of no batch."""
    mark = next(MARKS)
    add(mark)
    return mark


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
