"""The rate limit: exact over processes, sliding, and open while Redis is away."""

import multiprocessing
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import redis
from django.conf import settings
from django.utils.crypto import get_random_string

from deploy.local.embedded import Servers
from ingest.api import throttles
from ingest.api.throttles import RateLimiter

HOUR = 3_600_000_000


@pytest.fixture
def key(servers: Servers) -> str:
    return get_random_string(12)


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the window, in microseconds, to one that no test outlives. A slow machine must not pass for an absent Redis."""
    monkeypatch.setattr(throttles, "TIMEOUT_SECONDS", 30.0)
    return lambda microseconds: monkeypatch.setattr(throttles, "WINDOW_MICROSECONDS", microseconds)


def is_an_hour(wait: int) -> bool:
    """What is left of an hour in a test, however slow the machine."""
    return 3000 < wait <= 3600


def _ask(url: str, key: str, times: int, start: Any, passed: Any) -> None:
    limiter = RateLimiter(url)
    start.wait()
    passed.put(sum(limiter.wait(key, 37) == 0 for _ in range(times)))


def test_the_limit_is_exact_over_processes(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    context = multiprocessing.get_context("fork")
    start, passed = context.Event(), context.Queue()
    processes = [context.Process(target=_ask, args=(settings.REDIS_URL, key, 40, start, passed)) for _ in range(6)]
    for process in processes:
        process.start()
    start.set()
    assert sum(passed.get(timeout=60) for _ in processes) == 37
    for process in processes:
        process.join()


def test_refused_requests_do_not_count(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    assert [limiter.wait(key, 2) for _ in range(2)] == [0, 0]
    waits = [limiter.wait(key, 2) for _ in range(50)]
    assert all(is_an_hour(wait) for wait in waits)
    assert redis.Redis.from_url(settings.REDIS_URL).zcard(f"evermuse:rate:{key}") == 2


def test_a_request_passes_when_the_oldest_has_left_the_window(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    limiter.wait(key, 1)
    assert limiter.wait(key, 1) > 0
    name = f"evermuse:rate:{key}"
    store = redis.Redis.from_url(settings.REDIS_URL)
    [(member, at)] = store.zscan_iter(name)
    store.zadd(name, {member: float(at) - HOUR})
    assert limiter.wait(key, 1) == 0


def test_keys_do_not_share_a_limit(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    assert [limiter.wait(f"{key}{name}", 1) for name in "abc"] == [0, 0, 0]
    assert all(is_an_hour(limiter.wait(f"{key}{name}", 1)) for name in "ab")


def test_the_wait_is_a_whole_number_of_at_least_one_second(key: str) -> None:
    limiter = RateLimiter(settings.REDIS_URL)
    waits = {limiter.wait(key, 1) for _ in range(5)}
    assert waits == {0, 1}


def test_without_redis_requests_pass_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limiter = RateLimiter(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        assert [limiter.wait("k", 1) for _ in range(5)] == [0] * 5
    assert [entry.msg["event"] for entry in caplog.records] == ["rate_limit.redis_away"]  # type: ignore[index]


def test_a_connection_that_died_lets_nobody_through(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    assert limiter.wait(key, 1) == 0
    mine = limiter._mine.connection
    mine.send_command("CLIENT", "ID")
    assert redis.Redis.from_url(settings.REDIS_URL).client_kill_filter(_id=str(mine.read_response())) == 1
    assert is_an_hour(limiter.wait(key, 1))


def test_threads_that_come_and_go_do_not_use_the_limit_up(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    waits: list[int] = []
    for _ in range(130):
        thread = threading.Thread(target=lambda: waits.append(limiter.wait(key, 1)))
        thread.start()
        thread.join()
    assert waits[0] == 0
    assert all(is_an_hour(wait) for wait in waits[1:])


def test_redis_is_asked_again_after_a_pause(key: str) -> None:
    limiter = RateLimiter(settings.REDIS_URL)
    limiter._asks_again_at = time.monotonic() + 1000
    assert [limiter.wait(key, 1) for _ in range(3)] == [0, 0, 0]
    limiter._asks_again_at = 0.0
    assert [limiter.wait(key, 1) > 0 for _ in range(2)] == [False, True]
