"""How long a landing process waits at its end. billiard has no setting for it; only this module uses billiard's internals."""

import billiard.pool

# The internals used here were read in this version; a test fails at another one.
WRITTEN_FOR = {"billiard": "4.3.2"}

# billiard checks every 0.1 s whether the parent has read all results.
_LOOKS = 20


def shorten() -> None:
    """Wait 2 s instead of 30 until the parent has read every result.

    A parent that was told to end never reads results of tasks whose start it had not read. A result that is lost costs
    nothing: the batch's state is in PostgreSQL.
    """
    billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = _LOOKS
