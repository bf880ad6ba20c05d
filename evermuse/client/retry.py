"""Decides how often and how long a call is retried. The clients do the waiting."""

import random
import time
from dataclasses import dataclass, field

from evermuse.client.errors import ApiError, EvermuseError

IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
# Status codes after which the same request may succeed.
_TRANSIENT = frozenset({429, 500, 502, 503, 504})
# Seconds. Our limits of rates last for one second. A proxy that refuses for longer must not make a command seem to hang.
_LONGEST_REFUSAL = 60.0
# More would overflow.
_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class Retries:
    """Retry until ``patience`` seconds after the first failure, with waits that double from ``first`` to ``longest``.

    If the server sends a ``retryAfter`` above 0, that is the wait. Answers 429 are limited by number (``refusals``) and not by time,
    because they are not failures of the server.
    """

    patience: float = 60.0
    first: float = 0.2
    longest: float = 10.0
    refusals: int = 200


def is_transient(error: EvermuseError) -> bool:
    """Whether the same request may succeed later."""
    if not isinstance(error, ApiError):
        return True
    return error.status in _TRANSIENT or error.code == IN_PROGRESS


@dataclass(slots=True)
class Attempts:
    """Counts the failures of one call."""

    retries: Retries
    _ends_at: float | None = None
    _failures: int = 0
    _refusals: int = 0
    _random: random.Random = field(default_factory=random.Random)

    def pause(self, error: EvermuseError) -> None:
        """Sleep until the next attempt. Raises the error if there is no further attempt."""
        time.sleep(self.wait(error))

    def wait(self, error: EvermuseError) -> float:
        """Seconds until the next attempt. Raises the error if there is no further attempt."""
        if not is_transient(error):
            raise error
        if error.code == "RATE_LIMITED":
            self._refusals += 1
            wait = error.retry_after or 1.0
            if self._refusals > self.retries.refusals or wait > max(self.retries.patience, _LONGEST_REFUSAL):
                raise error
            return wait
        now = time.monotonic()
        self._ends_at = self._ends_at or now + self.retries.patience
        backoff = min(self.retries.first * 2.0 ** min(self._failures, _MOST_DOUBLINGS), self.retries.longest)
        self._failures += 1
        wait = error.retry_after or self._random.uniform(backoff / 2, backoff)
        if now + wait > self._ends_at:
            raise error
        return wait
