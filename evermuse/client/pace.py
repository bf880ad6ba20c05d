"""The rate of a key: at most N requests in any second, shared by all threads and tasks of a client."""

import threading
import time
from collections import deque

# The server counts requests when they arrive. The extra time allows for delays in the network.
WINDOW_SECONDS = 1.05
# A higher rate needs no limit, and remembering its requests would cost memory.
_UNLIMITED = 2000


class Pace:
    """Decides when each request may start."""

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
        """Start no request for this many seconds, because the server has refused one."""
        with self._lock:
            self._paused_until = max(self._paused_until, time.monotonic() + seconds)

    def reserve(self) -> float:
        """Reserve the next start. Returns the seconds until then. Call `paused` after waiting."""
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
        """The remaining seconds of a pause."""
        with self._lock:
            return max(0.0, self._paused_until - time.monotonic())
