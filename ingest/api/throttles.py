"""At most N requests of a key in any sliding second, exact over all processes: one script in Redis."""

import hashlib
import threading
import time
from typing import Any

import redis
from django.conf import settings

from evermuse import logs

log = logs.get(__name__)

# A `redis.Connection` without its client is documented only in part; a test fails at a version other than this one.
WRITTEN_FOR = {"redis": "8.1.0"}

WINDOW_MICROSECONDS = 1_000_000
# After a failure Redis is asked again only after this many seconds, so that a Redis that hangs does not delay every request.
PAUSE_SECONDS = 1.0
# The longest time that a request waits for Redis.
TIMEOUT_SECONDS = 0.3

# A sorted set of the instants of admitted requests, no two the same, by Redis's clock. Refused requests are not stored.
# Returns 0 if the request is admitted, else the microseconds until the oldest request leaves the window.
SCRIPT = """
local now = redis.call('TIME')
local at = tonumber(now[1]) * 1000000 + tonumber(now[2])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] and tonumber(last[2]) >= at then at = tonumber(last[2]) + 1 end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at - tonumber(ARGV[2]))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return tonumber(first[2]) + tonumber(ARGV[2]) - at + 1
end
local instant = string.format('%.0f', at)
redis.call('ZADD', KEYS[1], instant, instant)
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) / 1000) * 2)
return 0
"""


class _ThreadsRedis(threading.local):
    """A thread's own redis.Connection."""

    connection: Any = None


class RateLimiter:
    """The sliding windows in one Redis. Without Redis it admits every request and logs a warning."""

    def __init__(self, url: str) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=None,
            health_check_interval=0,
        )
        self._sha = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
        self._mine = _ThreadsRedis()
        self._lock = threading.Lock()
        self._asks_again_at = 0.0

    def wait(self, key: str, limit: int) -> int:
        """0 if the request is admitted, else the whole seconds (≥ 1) to wait. ``limit``: requests per second, 0 for none."""
        if limit <= 0 or time.monotonic() < self._asks_again_at:
            return 0
        try:
            microseconds = self._ask(f"evermuse:rate:{key}", limit)
        except redis.RedisError as error:
            with self._lock:
                self._asks_again_at = time.monotonic() + PAUSE_SECONDS
            log.warning("rate_limit.redis_away", error=str(error), effect="requests pass without a limit")
            return 0
        return -(-microseconds // 1_000_000) if microseconds else 0

    def _ask(self, name: str, limit: int) -> int:
        """Run the script on this thread's own connection: redis-py's client and pool take twice as long as Redis does.

        A connection that died since its last use is opened again, once. A connection that fails closes itself.
        """
        if self._mine.connection is None:
            self._mine.connection = self._pool.connection_class(**self._pool.connection_kwargs)
        arguments = (1, name, limit, WINDOW_MICROSECONDS)
        try:
            return self._run("EVALSHA", self._sha, *arguments)
        except (redis.exceptions.NoScriptError, redis.ConnectionError):
            return self._run("EVAL", SCRIPT, *arguments)

    def _run(self, *words: str | int) -> int:
        self._mine.connection.send_command(*words)
        return int(self._mine.connection.read_response())


limiter = RateLimiter(settings.REDIS_URL)
