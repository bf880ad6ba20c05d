"""The pause of a worker process after a fault of the deployment.

With a missing column or a server that is too old, every batch would fail. The process stops claiming for a while, and each
further fault makes the pause longer. A batch that lands ends it.
"""

import time

from evermuse import retry_policy


class Pause:
    """A pause during which this process claims nothing."""

    def __init__(self) -> None:
        self._faults = 0
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        return time.monotonic() < self._until

    def lengthen(self) -> float:
        """Begin a pause that is longer than the last one. Returns its seconds."""
        self._faults += 1
        wait = retry_policy.LANDING_DEPLOYMENT.backoff(self._faults)
        self._until = time.monotonic() + wait
        return wait

    def end(self) -> None:
        """Forget all faults."""
        self._faults, self._until = 0, 0.0
