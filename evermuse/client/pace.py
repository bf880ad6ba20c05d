"""The rate of a key: at most N requests in any second, shared by all threads and tasks of a client."""

import threading
import time
from collections import deque

# The server counts requests as they arrive. A little more than a second leaves room for how the network shifts them.
WINDOW_SECONDS = 1.05
# Faster than this the limit is of no practical use, and its list would only cost memory.
_UNLIMITED = 2000


class Pace:
    """Gives each request its moment."""

    def __init__(self, rate: int | None = None) -> None:
        self._lock = threading.Lock()
        self._moments: deque[float] = deque()
        self._paused_until = 0.0
        self._rate: int | None = None
        self.limit(rate)

    def limit(self, rate: int | None) -> None:
        """Allow ``rate`` requests in a second; None for any number."""
        with self._lock:
            self._rate = rate if rate is not None and rate < _UNLIMITED else None

    def pause(self, seconds: float) -> None:
        """Let no request begin for so many seconds: the server has refused one."""
        with self._lock:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def reserve(self) -> float:
        """Take the next moment. Returns the seconds until it; ask `paused` after them."""
        with self._lock:
            now = time.monotonic()
            moment = max(now, self._paused_until)
            if self._rate is None:
                return moment - now
            while len(self._moments) >= self._rate:
                moment = max(moment, self._moments.popleft() + WINDOW_SECONDS)
            self._moments.append(moment)
            return moment - now

    def paused(self) -> float:
        """Seconds that a pause still lasts."""
        with self._lock:
            return max(0.0, self._paused_until - time.monotonic())
