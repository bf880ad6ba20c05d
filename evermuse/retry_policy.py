"""Every retry policy of the product, each one line of this module.

A next attempt further ahead than its policy can set means that the clock was turned back, and the attempt is due now. This
guard is computed from the same line, so it never mistakes a longer backoff for a wrong clock.
"""

import random
from dataclasses import dataclass, replace
from math import inf

from django.conf import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Waits in seconds: ``first``, then ``factor`` times the one before, at most ``longest``.

    ``jitter``: the share of a wait that is added or subtracted at random, so that many retries do not come at once.
    ``longest_asked``: the longest wait that a server may ask for (``Retry-After``), in seconds.
    ``max_attempts``: all attempts, including the first. None: no limit.
    ``window``: no attempt begins more than this many seconds after the first one. None: no limit.
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
        """Seconds until the next attempt, after this many attempts (from 1). None if there is no next attempt.

        ``asked``: the wait that a server asked for. ``elapsed``: since the first attempt began.
        """
        if self.is_last(attempts):
            return None
        wait = self.backoff(attempts)
        if self.window is None:
            return max(wait, min(asked, self.longest_asked))
        left = self.window - elapsed
        if wait > left:
            return None
        return min(max(wait, min(asked, self.longest_asked)), left)

    def is_last(self, attempts: int) -> bool:
        """Whether no attempt follows after this many."""
        return self.max_attempts is not None and attempts >= self.max_attempts

    def backoff(self, attempts: int) -> float:
        """The wait after this many attempts (from 1), whether or not there is another one."""
        # The exponent is capped, because the power of a float overflows after many attempts.
        wait = min(self.first * self.factor ** min(max(attempts, 1) - 1, 64), self.longest)
        return wait * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311

    @property
    def span(self) -> float:
        """Seconds from the first attempt to the last, if the jitter makes every wait as long as it can."""
        if self.max_attempts is None:
            return inf
        count = max(self.max_attempts - 1, 0)
        waits = [min(self.first * self.factor**number, self.longest) for number in range(min(count, 64))]
        return (sum(waits) + (count - len(waits)) * self.longest) * (1 + self.jitter)

    @property
    def furthest(self) -> float:
        """The longest wait that this policy can set, in seconds."""
        return max(self.longest * (1 + self.jitter), self.longest_asked)


# Landing, by the cause of the failure. None of these ever makes a batch fail for good.
LANDING_STORE = RetryPolicy(first=5.0, longest=5.0)
LANDING_DATABASE = RetryPolicy(first=1.0, longest=1.0)
LANDING_FAULT = RetryPolicy(first=1.0, longest=1.0)
# A missing column, an old server: every batch fails until somebody repairs the deployment. Workers pause as well.
LANDING_DEPLOYMENT = RetryPolicy(first=1.0, longest=30.0)
# After a fault in a batch that was claimed alone. It has few attempts, and a passing fault of ours must not use them up.
LANDING_LONE_FAULT = RetryPolicy(first=10.0, longest=10.0)
LANDING = (LANDING_STORE, LANDING_DATABASE, LANDING_FAULT, LANDING_DEPLOYMENT, LANDING_LONE_FAULT)

# A processor that raised, per batch and processor.
PROCESSORS = RetryPolicy(first=10.0, longest=3600.0, jitter=0.1)

# The waits of downloads. Their attempts and their window are settings, which `downloads` adds.
_DOWNLOADS = RetryPolicy(first=3.0, longest=60.0, jitter=0.5, longest_asked=120.0)
# The object store is away. That is our fault, so it does not count as an attempt.
DOWNLOAD_STORE = RetryPolicy(first=5.0, longest=5.0)
# The worker died, or our code raised an unexpected error. The next attempts are made alone (`attachments.queue.crashes`).
DOWNLOAD_CRASH = RetryPolicy(first=3.0, longest=3.0)

# The object store did not delete objects that are no longer needed.
DELETION = RetryPolicy(first=5.0, longest=5.0)
# An object that a dead worker may have written is deleted again and again. The last time is about 68 hours after the first:
# no suspended worker is expected to write the object any more.
ABANDONED_OBJECTS = RetryPolicy(first=60.0, longest=60.0 * 2**12, max_attempts=13)
# The object store is away when a worker starts and checks it.
STORE_CHECK = RetryPolicy(first=5.0, longest=60.0)
# A fault of the standby that answers reads. The primary answers meanwhile.
STANDBY = RetryPolicy(first=5.0, longest=5.0)

# Alerts are retried for about two and a half days.
ALERTS = RetryPolicy(first=10.0, longest=3600.0, max_attempts=70)

# A supervised process of `make run` that exits again and again.
RESTARTS = RetryPolicy(first=0.2, longest=10.0)


def downloads() -> RetryPolicy:
    """The policy of downloads, with this deployment's limits."""
    return replace(
        _DOWNLOADS,
        max_attempts=settings.EVERMUSE_ATTACHMENT_MAX_ATTEMPTS,
        window=float(settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS),
    )


def furthest_download() -> float:
    """The longest wait of a file for its next attempt, in seconds."""
    return furthest(downloads(), DOWNLOAD_STORE, DOWNLOAD_CRASH)


def furthest(*policies: RetryPolicy) -> float:
    """The longest wait that any of these can set, in seconds."""
    return max(policy.furthest for policy in policies)
