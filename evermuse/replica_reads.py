"""How many reads the standby and the primary have answered, in all web processes: counters in Redis.

A read only adds to the numbers of its process. A thread adds these to Redis every few seconds, and so does a scrape, so no read
waits for Redis. Without Redis the numbers stay in the process until it answers again. A process that is killed loses those of
the last seconds.
"""

import atexit
import threading
from collections import Counter
from functools import cached_property

import redis
from django.conf import settings

from evermuse import logs

log = logs.get(__name__)

STANDBY, PRIMARY = "replica", "primary"
SERVERS = (STANDBY, PRIMARY)
KEY = "evermuse:replica-reads"
SEND_SECONDS = 5.0
TIMEOUT_SECONDS = 0.3


class ReadCounts:
    """The numbers of this process that Redis does not have yet, and those of all processes in Redis."""

    def __init__(self) -> None:
        self._unsent: Counter[str] = Counter()
        self._lock = threading.Lock()
        # Held while numbers are on their way to Redis, so that nobody reads the totals without them.
        self._sending = threading.Lock()
        self._sender: threading.Thread | None = None

    @cached_property
    def _redis(self) -> "redis.Redis":
        # At the first use, because programs without Django's settings import this module, too.
        return redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=None
        )

    def add(self, server: str) -> None:
        """A read was answered by this server."""
        with self._lock:
            self._unsent[server] += 1
            if self._sender is None:
                self._sender = threading.Thread(target=self._keep_sending, name="counts replica reads", daemon=True)
                self._sender.start()
                atexit.register(self.send)

    def send(self) -> None:
        """Add the numbers of this process to Redis. If it does not answer, keep them."""
        with self._sending:
            self._send()

    def _send(self) -> None:
        with self._lock:
            sending, self._unsent = self._unsent, Counter()
        if not sending:
            return
        try:
            with self._redis.pipeline(transaction=True) as pipeline:
                for server, count in sending.items():
                    pipeline.hincrby(KEY, server, count)
                pipeline.execute()
        except redis.RedisError as error:
            with self._lock:
                self._unsent += sending
            log.debug("replica.reads_not_counted", error=type(error).__name__)

    def totals(self) -> dict[str, int] | None:
        """The reads by server, of all processes. None: Redis did not answer."""
        self.send()
        try:
            found = self._redis.hmget(KEY, SERVERS)
        except redis.RedisError:
            return None
        return {server: int(count or 0) for server, count in zip(SERVERS, found, strict=True)}

    def _keep_sending(self) -> None:
        pause = threading.Event()
        while not pause.wait(SEND_SECONDS):
            self.send()


counts = ReadCounts()
