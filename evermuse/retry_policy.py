"""When to try again: one dataclass, and every policy of the product.

To change a backoff, change its line here. The guard against a clock that was set back (a next attempt further ahead than
the policy can set is due now) is computed from the same line, so a longer backoff is never taken for a wrong clock.
"""

import random
from dataclasses import dataclass, replace
from math import inf

from django.conf import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Waits in seconds: ``first``, then ``factor`` times the one before, at most ``longest``.

    ``jitter``: the share of a wait that is added or taken off at random, so that many retries do not come at once.
    ``longest_asked``: a server may ask for a longer wait (``Retry-After``), of this at most.
    ``max_attempts``: attempts in all, the first one included; None: without end.
    ``window``: no attempt begins later than this after the first one; None: without end.
    """

    first: float
    longest: float
    factor: float = 2.0
    jitter: float = 0.0
    longest_asked: float = 0.0
    max_attempts: int | None = None
    window: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.first <= self.longest:
            raise ValueError(f"first ({self.first:g} s) must be above 0 and at most longest ({self.longest:g} s)")
        if self.factor < 1 or not 0 <= self.jitter < 1:
            raise ValueError("factor must be at least 1, and jitter from 0 to below 1")

    def wait(self, attempts: int, *, asked: float = 0.0, elapsed: float = 0.0) -> float | None:
        """Seconds until the next attempt, after so many (from 1); None when there is none.

        ``asked``: the wait that a server asked for. ``elapsed``: since the first attempt began.
        """
        if self.max_attempts is not None and attempts >= self.max_attempts:
            return None
        wait = self.backoff(attempts)
        if self.window is None:
            return max(wait, min(asked, self.longest_asked))
        left = self.window - elapsed
        if wait > left:
            return None
        return min(max(wait, min(asked, self.longest_asked)), left)

    def backoff(self, attempts: int) -> float:
        """The wait after so many attempts (from 1), whether or not there is another one."""
        # No power of a float beyond its range, however often it was tried.
        wait = min(self.first * self.factor ** min(max(attempts, 1) - 1, 64), self.longest)
        # Not for secrets.
        return wait * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311

    @property
    def span(self) -> float:
        """Seconds from the first attempt to the last, if each wait is as long as the jitter makes it."""
        if self.max_attempts is None:
            return inf
        count = max(self.max_attempts - 1, 0)
        waits = [min(self.first * self.factor**number, self.longest) for number in range(min(count, 64))]
        return (sum(waits) + (count - len(waits)) * self.longest) * (1 + self.jitter)

    @property
    def furthest(self) -> float:
        """No wait of this policy is longer. A next attempt that is much further ahead: the clock was set back since."""
        return max(self.longest * (1 + self.jitter), self.longest_asked)


# Landing, by what was at fault. A batch is never given up for them.
LANDING_STORE = RetryPolicy(first=5.0, longest=5.0)
LANDING_DATABASE = RetryPolicy(first=1.0, longest=1.0)
LANDING_FAULT = RetryPolicy(first=1.0, longest=1.0)
# A missing column, an old server: every batch fails until somebody repairs the deployment. Workers pause as well.
LANDING_DEPLOYMENT = RetryPolicy(first=1.0, longest=30.0)
# After a fault while a batch was claimed alone: there are few tries, and a fault of ours that passes must not use them up.
LANDING_LONE_FAULT = RetryPolicy(first=10.0, longest=10.0)
LANDING = (LANDING_STORE, LANDING_DATABASE, LANDING_FAULT, LANDING_DEPLOYMENT, LANDING_LONE_FAULT)

# A processor that raised, per batch and processor.
PROCESSORS = RetryPolicy(first=10.0, longest=3600.0, jitter=0.1)

# Downloads: their waits. Attempts and window are settings, and `downloads` replaces what stands here.
_DOWNLOADS = RetryPolicy(first=3.0, longest=60.0, jitter=0.5, longest_asked=120.0)
# A file that could not be written because the object store is away: our fault, so it costs no attempt.
DOWNLOAD_STORE = RetryPolicy(first=5.0, longest=5.0)

# Alerts: for about two and a half days.
ALERTS = RetryPolicy(first=10.0, longest=3600.0, max_attempts=70)

# A supervised process of `make run` that keeps ending.
RESTARTS = RetryPolicy(first=0.2, longest=10.0)


def downloads() -> RetryPolicy:
    """The policy of downloads, with this deployment's limits."""
    return replace(
        _DOWNLOADS,
        max_attempts=settings.EVERMUSE_ATTACHMENT_MAX_ATTEMPTS,
        window=float(settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS),
    )


def furthest(*policies: RetryPolicy) -> float:
    """The longest wait that any of these can set, in seconds."""
    return max(policy.furthest for policy in policies)
