"""At most N requests in any sliding second for a key, exact over all processes: one script in Redis."""

import hashlib
import threading
import time
from typing import Any

import redis
from django.conf import settings

from evermuse import logs

log = logs.get(__name__)

WINDOW_MICROSECONDS = 1_000_000
# While Redis does not answer, ask again only after this many seconds: a hanging one must not hold every request.
PAUSE_SECONDS = 1.0
# A Redis that takes longer is away: a request waits for it no longer than this.
TIMEOUT_SECONDS = 0.3

# A sorted set of the instants of admitted requests, no two the same. Redis's clock serves all processes; refused requests
# leave no trace. It gives 0 for "go on", or the microseconds until the oldest request leaves the window.
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


class _Kept(threading.local):
    """What a thread keeps: a redis.Connection of its own."""

    connection: Any = None


class RateLimiter:
    """The sliding window of one Redis. Without Redis it lets requests through, and says so in the log."""

    def __init__(self, url: str) -> None:
        self._pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
            retry=None,
            health_check_interval=0,
        )
        self._sha = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
        self._kept = _Kept()
        self._lock = threading.Lock()
        self._asks_again_at = 0.0

    def wait(self, key: str, limit: int) -> int:
        """0 to go on, else the whole seconds (≥ 1) to wait. ``limit``: requests per second, 0 for none."""
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
        """Run the script on this thread's connection, past the client and its pool, which take twice as long as Redis does.

        A connection that died since its last use is opened again, once; one that failed has closed itself.
        """
        if self._kept.connection is None:
            self._kept.connection = self._pool.connection_class(**self._pool.connection_kwargs)
        arguments = (1, name, limit, WINDOW_MICROSECONDS)
        try:
            return self._run("EVALSHA", self._sha, *arguments)
        except (redis.exceptions.NoScriptError, redis.ConnectionError):
            return self._run("EVAL", SCRIPT, *arguments)

    def _run(self, *words: str | int) -> int:
        self._kept.connection.send_command(*words)
        return int(self._kept.connection.read_response())


limiter = RateLimiter(settings.REDIS_URL)
