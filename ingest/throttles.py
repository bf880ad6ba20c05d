"""At most N requests in any sliding second for a key, exact over all processes: one script in Redis."""

import threading
import time

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from evermuse import logs

log = logs.get(__name__)

WINDOW_MICROSECONDS = 1_000_000
# While Redis does not answer, ask again only after this many seconds: a hanging one must not hold every request.
PAUSE_SECONDS = 1.0

# A sorted set of the instants of admitted requests. Redis's clock serves all processes; refused requests leave no trace.
# It gives 0 for "go on", or the microseconds until the oldest request leaves the window.
SCRIPT = """
local now = redis.call('TIME')
local at = tonumber(now[1]) * 1000000 + tonumber(now[2])
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] and tonumber(last[2]) > at then at = tonumber(last[2]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', at - tonumber(ARGV[2]))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  return tonumber(first[2]) + tonumber(ARGV[2]) - at + 1
end
local n = redis.call('INCR', KEYS[1] .. ':n')
redis.call('ZADD', KEYS[1], string.format('%.0f', at), n)
local kept = math.ceil(tonumber(ARGV[2]) / 1000) * 2
redis.call('PEXPIRE', KEYS[1], kept)
redis.call('PEXPIRE', KEYS[1] .. ':n', kept)
return 0
"""


class _Kept(threading.local):
    """What a thread keeps: the script on a connection of its own, so that no pool is asked for one."""

    script: Script | None = None


class RateLimiter:
    """The sliding window of one Redis. Without Redis it lets requests through, and says so in the log."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._kept = _Kept()
        self._lock = threading.Lock()
        self._asks_again_at = 0.0

    def wait(self, key: str, limit: int) -> int:
        """0 to go on, else the whole seconds (≥ 1) to wait. ``limit``: requests per second, 0 for none."""
        if limit <= 0 or time.monotonic() < self._asks_again_at:
            return 0
        try:
            microseconds = int(self._script()(keys=[f"evermuse:rate:{key}"], args=[limit, WINDOW_MICROSECONDS]))
        except redis.RedisError as error:
            with self._lock:
                self._asks_again_at = time.monotonic() + PAUSE_SECONDS
            log.warning("rate_limit.redis_away", error=str(error), effect="requests pass without a limit")
            return 0
        return -(-microseconds // 1_000_000) if microseconds else 0

    def _script(self) -> Script:
        """This thread's; connects at first use. A connection that died since is opened once more, at once."""
        if self._kept.script is None:
            client = redis.Redis.from_url(
                self._url, single_connection_client=True, socket_timeout=0.3, socket_connect_timeout=0.3,
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)), health_check_interval=0,
            )  # fmt: skip
            self._kept.script = client.register_script(SCRIPT)
        return self._kept.script


limiter = RateLimiter(settings.REDIS_URL)
