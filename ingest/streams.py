"""At most so many streams at once for a key, over all processes: a sorted set in Redis of those that are open.

An open stream is renewed while its process lives; the streams of one that was killed are forgotten after EXPIRY_SECONDS.
Without Redis each process counts its own.
"""

import contextlib
import secrets
import threading
from collections import defaultdict

import redis
from django.conf import settings

from evermuse import logs
from ingest.refusals import Refusal

log = logs.get(__name__)

EXPIRY_SECONDS, RENEWAL_SECONDS = 60, 20
RETRY_AFTER_SECONDS = 5
# A Redis that takes longer is away.
TIMEOUT_SECONDS = 0.3

# By Redis's clock, which serves all processes. 1: the stream may open.
OPEN = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
RENEW = """
local now = tonumber(redis.call('TIME')[1])
for _, token in ipairs(ARGV) do
  if token ~= ARGV[1] then redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), token) end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class StreamSlots:
    """The open streams of this process, and what Redis knows of all."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=None
        )
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()
        self._renewer: threading.Thread | None = None

    def acquire(self, key: str) -> str:
        """A place for one more stream of a key, to be released. Raises the 429 refusal."""
        limit = settings.EVERMUSE_STREAMS_PER_KEY
        token = secrets.token_hex(8)
        name = _name(key)
        with self._lock:
            if len(self._open[name]) >= limit:
                raise _too_many(limit)
            self._open[name].add(token)
        try:
            may_open = self._redis.eval(OPEN, 1, name, token, limit, EXPIRY_SECONDS)
        except redis.RedisError as error:
            log.warning("streams.redis_away", error=str(error), effect="each process counts its own")
            may_open = 1
        if not may_open:
            self._forget(name, token)
            raise _too_many(limit)
        self._start_renewing()
        return token

    def release(self, key: str, token: str) -> None:
        """Give a place back. Repeatable."""
        if not self._forget(_name(key), token):
            return
        with contextlib.suppress(redis.RedisError):  # it expires
            self._redis.zrem(_name(key), token)

    def renew(self) -> None:
        """Keep this process's open streams from being forgotten."""
        with self._lock:
            found = {name: sorted(tokens) for name, tokens in self._open.items() if tokens}
        try:
            for name, tokens in found.items():
                self._redis.eval(RENEW, 1, name, EXPIRY_SECONDS, *tokens)
        except redis.RedisError as error:
            log.warning("streams.redis_away", error=str(error), effect="each process counts its own")

    def _forget(self, name: str, token: str) -> bool:
        with self._lock:
            tokens = self._open.get(name, set())
            is_open = token in tokens
            tokens.discard(token)
            if not tokens:
                self._open.pop(name, None)
            return is_open

    def _start_renewing(self) -> None:
        with self._lock:
            if self._renewer is not None:
                return
            self._renewer = threading.Thread(target=self._keep_renewing, name="renews streams", daemon=True)
            self._renewer.start()

    def _keep_renewing(self) -> None:
        pause = threading.Event()
        while not pause.wait(RENEWAL_SECONDS):
            self.renew()


def _name(key: str) -> str:
    return f"evermuse:streams:{key}"


def _too_many(limit: int) -> Refusal:
    return Refusal(
        429,
        "RATE_LIMITED",
        f"At most {limit} streams at once with this key: read one of them to its end first.",
        retry_after=RETRY_AFTER_SECONDS,
    )


slots = StreamSlots(settings.REDIS_URL)
