"""A limit of open streams for each key, over all processes: sorted sets in Redis of open and waiting streams.

The streams that arrived first are opened. Requests that arrive together reach Redis in any order, since several
processes and threads handle them. So when a key has few free places left, a stream waits GATHER_SECONDS for the earlier
ones. When there is none left, it waits WAIT_SECONDS for one before it is refused: a client that has just read a stream
to its end may open the next one at once.

An open stream is renewed while its process lives. The streams of a killed process expire after EXPIRY_SECONDS. Without Redis
each process counts its own streams, and none waits.
"""

import contextlib
import secrets
import threading
import time
from collections import defaultdict

import redis
from django.conf import settings

from evermuse import logs
from ingest.refusals import Refusal

log = logs.get(__name__)

EXPIRY_SECONDS, RENEWAL_SECONDS = 60, 20
GATHER_SECONDS, WAIT_SECONDS = 0.25, 1.0
RETRY_AFTER_SECONDS = 5
# The longest time that a request waits for Redis.
TIMEOUT_SECONDS = 0.3

OPENED, FULL, WAITING = 1, 0, 2
# By Redis's clock, which serves all processes. Scores: of an open stream the second in which it expires, of a waiting one
# the microsecond in which it arrived. An arrival by a clock that is off is corrected to one within the last second. At
# most half of the places are given away before the earlier requests are known.
ASK = """
local open, waiting = KEYS[1], KEYS[2]
local token, limit, expiry = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local given, gather, may_wait, most_waiting = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1', tonumber(ARGV[7])
local time = redis.call('TIME')
local seconds = tonumber(time[1])
local now = seconds * 1000000 + tonumber(time[2])
redis.call('ZREMRANGEBYSCORE', open, '-inf', seconds)
redis.call('ZREMRANGEBYSCORE', waiting, '-inf', now - 4000000)
local arrived = redis.call('ZSCORE', waiting, token)
if not arrived then
  if redis.call('ZCARD', waiting) >= most_waiting then return 0 end
  arrived = math.max(math.min(given, now), now - 1000000)
  redis.call('ZADD', waiting, string.format('%.0f', arrived), token)
  redis.call('EXPIRE', waiting, 5)
end
local taken = redis.call('ZCARD', open)
local is_known = now - tonumber(arrived) >= gather or taken + redis.call('ZCARD', waiting) <= limit / 2
if redis.call('ZRANK', waiting, token) < limit - taken and (is_known or not may_wait) then
  redis.call('ZREM', waiting, token)
  redis.call('ZADD', open, seconds + expiry, token)
  redis.call('EXPIRE', open, expiry)
  return 1
end
if may_wait then return 2 end
redis.call('ZREM', waiting, token)
return 0
"""
# Streams beyond this number are refused at once.
MOST_WAITING = 32
RENEW = """
local now = tonumber(redis.call('TIME')[1])
for _, token in ipairs(ARGV) do
  if token ~= ARGV[1] then redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), token) end
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
"""


class StreamPlace:
    """One stream's place among those of its key: `evermuse.web.places.AnswerPlace`. ``arrived``: when its request did."""

    def __init__(self, slots: "StreamSlots", key: str, arrived: float | None) -> None:
        self._slots, self._key = slots, key
        self._token = secrets.token_hex(8)
        self._arrived = arrived
        # Only the web process's event loop can wait without holding a thread.
        self._until = time.monotonic() + (WAIT_SECONDS if arrived is not None else 0.0)

    def is_open(self) -> bool:
        """Whether the stream may begin. False: ask again soon. Raises the 429 refusal after its waiting time."""
        may_wait = time.monotonic() < self._until
        arrived = time.time() if self._arrived is None else self._arrived
        found = self._slots.ask(self._key, self._token, arrived, may_wait=may_wait)
        if found == FULL:
            raise _too_many(settings.EVERMUSE_STREAMS_PER_KEY)
        return found == OPENED

    def give_back(self) -> None:
        """Leave the place, or the queue for one. Repeatable."""
        self._slots.release(self._key, self._token)


class StreamSlots:
    """The open streams of this process, and those of all processes in Redis."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=None
        )
        self._open: defaultdict[str, set[str]] = defaultdict(set)
        self._lock = threading.Lock()
        self._renewer: threading.Thread | None = None

    def place(self, key: str, arrived: float | None) -> StreamPlace:
        """A place that is to be asked for. ``arrived``: the request's arrival in Unix time; None: it cannot wait."""
        return StreamPlace(self, key, arrived)

    def ask(self, key: str, token: str, arrived: float, *, may_wait: bool) -> int:
        """OPENED, WAITING, or FULL: then the token is forgotten."""
        limit = settings.EVERMUSE_STREAMS_PER_KEY
        microseconds = int(arrived * 1e6), int(GATHER_SECONDS * 1e6)
        parameters = token, limit, EXPIRY_SECONDS, *microseconds, int(may_wait), MOST_WAITING
        try:
            found = int(self._redis.eval(ASK, 2, _name(key), _queue(key), *parameters))
        except redis.RedisError as error:
            log.warning("streams.redis_away", error=str(error), effect="each process counts its own")
            with self._lock:
                found = OPENED if len(self._open.get(key, ())) < limit else FULL
        if found == OPENED:
            with self._lock:
                self._open[key].add(token)
            self._start_renewing()
        return found

    def release(self, key: str, token: str) -> None:
        """Give a place back, or stop waiting for one. Repeatable."""
        with self._lock:
            tokens = self._open.get(key, set())
            tokens.discard(token)
            if not tokens:
                self._open.pop(key, None)
        with contextlib.suppress(redis.RedisError):  # it expires
            self._redis.zrem(_name(key), token)
            self._redis.zrem(_queue(key), token)

    def renew(self) -> None:
        """Renew this process's open streams before they expire."""
        with self._lock:
            found = {key: sorted(tokens) for key, tokens in self._open.items() if tokens}
        try:
            for key, tokens in found.items():
                self._redis.eval(RENEW, 1, _name(key), EXPIRY_SECONDS, *tokens)
        except redis.RedisError as error:
            log.warning("streams.redis_away", error=str(error), effect="each process counts its own")

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


def _queue(key: str) -> str:
    return f"evermuse:waiting-streams:{key}"


def _too_many(limit: int) -> Refusal:
    return Refusal(
        429,
        "RATE_LIMITED",
        f"At most {limit} streams at once with this key: read one of them to its end first.",
        retry_after=RETRY_AFTER_SECONDS,
    )


slots = StreamSlots(settings.REDIS_URL)
