"""The rate limit is exact over all processes, has a sliding window, and is off while Redis is unavailable."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable

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
    """Sets the window (microseconds) and a long timeout, so that a slow machine does not count as an absent Redis."""
    monkeypatch.setattr(throttles, "TIMEOUT_SECONDS", 30.0)
    return lambda microseconds: monkeypatch.setattr(throttles, "WINDOW_MICROSECONDS", microseconds)


def is_an_hour(wait: int) -> bool:
    """Whether a wait is an hour minus the time that the test may have taken."""
    return 3000 < wait <= 3600


# The other process: it says that it is ready, and asks once its input ends.
OTHER = """
import sys
from ingest.api import throttles
throttles.TIMEOUT_SECONDS, throttles.WINDOW_MICROSECONDS = 30.0, int(sys.argv[1])
limiter = throttles.RateLimiter(throttles.settings.REDIS_URL)
print("ready", flush=True)
sys.stdin.read()
print(*(sum(limiter.wait(key, 37) == 0 for _ in range(40)) for key in sys.argv[2:]))
"""


def test_rate_limit_is_exact_over_several_processes(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    keys = [f"{key}{number}" for number in range(20)]
    # A process of its own from the start: a forked one would inherit locks that other threads hold at that instant.
    words = [sys.executable, "-c", OTHER, str(HOUR), *keys]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin and other.stdout
        assert other.stdout.readline() == "ready\n"
        other.stdin.close()
        ours = [sum(limiter.wait(name, 37) == 0 for _ in range(40)) for name in keys]
        theirs = [int(word) for word in other.stdout.read().split()]
    assert [sum(both) for both in zip(ours, theirs, strict=True)] == [37] * 20


def test_rejected_requests_do_not_count_against_the_rate_limit(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    assert [limiter.wait(key, 2) for _ in range(2)] == [0, 0]
    waits = [limiter.wait(key, 2) for _ in range(50)]
    assert all(is_an_hour(wait) for wait in waits)
    assert redis.Redis.from_url(settings.REDIS_URL).zcard(f"evermuse:rate:{key}") == 2


def test_request_passes_once_the_oldest_one_has_left_the_window(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    limiter.wait(key, 1)
    assert limiter.wait(key, 1) > 0
    name = f"evermuse:rate:{key}"
    store = redis.Redis.from_url(settings.REDIS_URL)
    [(member, at)] = store.zscan_iter(name)
    store.zadd(name, {member: float(at) - HOUR})
    assert limiter.wait(key, 1) == 0


def test_keys_have_separate_rate_limits(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    assert [limiter.wait(f"{key}{name}", 1) for name in "abc"] == [0, 0, 0]
    assert all(is_an_hour(limiter.wait(f"{key}{name}", 1)) for name in "ab")


def test_wait_is_a_whole_number_of_at_least_one_second(key: str, window: Callable[[int], None]) -> None:
    window(1_000_000)
    limiter = RateLimiter(settings.REDIS_URL)
    waits = {limiter.wait(key, 1) for _ in range(5)}
    assert waits == {0, 1}


def test_requests_pass_without_redis_and_one_warning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        limiter = RateLimiter(f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        assert [limiter.wait("k", 1) for _ in range(5)] == [0] * 5
    # Threads of earlier tests may log, too.
    ours = [entry for entry in caplog.records if entry.name == throttles.__name__]
    assert [entry.msg["event"] for entry in ours] == ["rate_limit.redis_away"]  # type: ignore[index]


def test_rate_limit_holds_after_a_redis_connection_died(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    assert limiter.wait(key, 1) == 0
    mine = limiter._mine.connection
    mine.send_command("CLIENT", "ID")
    assert redis.Redis.from_url(settings.REDIS_URL).client_kill_filter(_id=str(mine.read_response())) == 1
    assert is_an_hour(limiter.wait(key, 1))


def test_many_short_threads_do_not_use_up_the_rate_limit(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    waits: list[int] = []
    for _ in range(130):
        thread = threading.Thread(target=lambda: waits.append(limiter.wait(key, 1)))
        thread.start()
        thread.join()
    assert waits[0] == 0
    assert all(is_an_hour(wait) for wait in waits[1:])


def test_redis_is_used_again_after_a_pause(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    limiter._asks_again_at = time.monotonic() + 1000
    assert [limiter.wait(key, 1) for _ in range(3)] == [0, 0, 0]
    limiter._asks_again_at = 0.0
    assert [limiter.wait(key, 1) > 0 for _ in range(2)] == [False, True]


def test_answers_of_redis_are_parsed_in_c(key: str, window: Callable[[int], None]) -> None:
    window(HOUR)
    limiter = RateLimiter(settings.REDIS_URL)
    limiter.wait(key, 1)
    assert type(limiter._mine.connection._parser).__name__ == "_HiredisParser"
